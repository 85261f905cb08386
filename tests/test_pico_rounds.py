"""Rounds of training over an emulated Pico's USB: bit for bit what boards in memory compute."""

from __future__ import annotations

import asyncio
import json
import os
import shutil

import pytest

import device_lab as lab
import federations
import pico_lab
from fedboard.hub import Joined, Update
from fedboard.model import Spec
from fedboard_host import strategies
from fedboard_host.links.process import ProcessOpener
from fedboard_host.links.serial import SerialOpener
from fedboard_host.rounds import Policy
from fedboard_host.server import Federation
from fedboard_host.store import Store
from fedboard_host.virtual import VirtualBoard
from pico.lab import Pico
from pico_lab import plugged, put_samples, start

pytestmark = [pytest.mark.slow, pytest.mark.pico]


@pytest.fixture
def image(compiled, tmp_path):
    return shutil.copy(compiled, tmp_path / "flash.img")


def test_rounds_and_a_power_cut(image, tmp_path):
    made = lab.make_samples()
    reference = lab.InProcess(made)
    params = lab.start_params()
    with Pico(flash=image) as board:
        put_samples(board, tmp_path / "data", made)
        start(board)
        with plugged(board) as host:
            status = host.until(Joined).status
            assert (status.n_samples, status.n_in, status.version) == (60, 16, 0)
            for round_ in (1, 2, 3):
                task = lab.make_task(params, round_)
                got = host.round(task, params)
                expected = reference.round(task, params)
                assert (got.begin.meta, got.data) == (expected.begin.meta, expected.data)
                params = lab.apply(params, got)
            board.kill()
    with Pico(flash=image) as board:
        start(board)
        with plugged(board) as host:
            status = host.until(Joined).status
            assert (status.version, status.digest) == (3, task.digest)
            # Its model survived, its residual, which is in RAM only, did not.
            again = host.round(lab.make_task(params, 4, flags=0), params)
            assert (again.begin.meta, again.data) == (
                lab.InProcess(made).round(lab.make_task(params, 4, flags=0), params).begin.meta,
                lab.InProcess(made).round(lab.make_task(params, 4, flags=0), params).data,
            )
    assert host.hub.channel.n_refused == 0


def test_noisy_line(image, tmp_path):
    """Lost, changed and foreign bytes, in both directions."""
    made = lab.make_samples()
    params = lab.start_params()
    with Pico(flash=image) as board:
        put_samples(board, tmp_path / "data", made)
        start(board)
        with plugged(board) as host:
            host.stream.write(bytes(byte for byte in os.urandom(500) if byte != 3))
            host.mangle_in = host.mangle_out = lab.noise(5)
            host.until(Joined)
            for round_ in (1, 2):
                task = lab.make_task(params, round_, flags=0)
                got = host.round(task, params)
                expected = lab.InProcess(made).round(task, params)
                assert (got.begin.meta, got.data) == (expected.begin.meta, expected.data)


LEAST_LEFT = {(200, 50, 10): 100 << 10, (784, 64, 10): 20 << 10}  # bytes of heap


@pytest.mark.parametrize("sizes", list(LEAST_LEFT))
def test_large_networks(deployed, tmp_path, sizes):
    """Deployed as sources, where the heap is the most broken up."""
    image = shutil.copy(deployed, tmp_path / "flash.img")
    spec = Spec(sizes)
    made = lab.make_samples(4, sizes[0], sizes[-1])
    params = lab.start_params(spec)
    task = lab.make_task(params, 1, spec, batch=2, epochs=1, top_permille=10)
    with Pico(flash=image) as board:
        put_samples(board, tmp_path / "data", made)
        start(board)
        with plugged(board) as host:
            host.until(Joined)
            host.send_task(task, params)
            got = host.until(Update)
            expected = lab.InProcess(made).round(task, params)
            assert (got.begin.meta, got.data) == (expected.begin.meta, expected.data)
        with plugged(board) as host:  # whoever comes back is told what is left beside the network
            assert host.until(Joined).status.free_ram >= LEAST_LEFT[sizes]


def test_federation_of_boards_of_all_kinds(compiled, micropython, tmp_path):
    """Two Picos at their REPL, started by the host, and two unix boards: the in-memory model."""
    spec = federations.SPEC
    strategy = strategies.make(
        "fedavg", {"batch": 4, "rate": 6, "top_percent": 20, "bits": 4, "carry": True}
    )
    samples = {f"b{i}": federations.blobs(i, 24) for i in range(4)}
    made = {
        name: [(bytes_of(each, i), each.read(i, bytes_of(each, i))) for i in range(len(each))]
        for name, each in samples.items()
    }

    async def play(folder, openers, lives=()):
        store = Store(folder)
        try:
            federation = Federation(
                spec, strategy, store, run=11, policy=Policy(4, quorum=4, deadline_ms=3_600_000),
                dead_ms=120_000, handshake_ms=60_000,
            )  # fmt: skip
            tasks = [asyncio.create_task(life.run()) for life in lives]
            for opener in openers:
                federation.add_opener(opener)
            async with asyncio.timeout(pico_lab.TIMEOUT_S):
                result = await federation.run(3)
            await federation.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return result
        finally:
            store.close()

    virtual = [VirtualBoard(name, each) for name, each in samples.items()]
    expected = asyncio.run(play(tmp_path / "memory", virtual, virtual))

    openers = []
    for name in ("b0", "b1"):
        folder = tmp_path / name
        lab.write_samples(folder / "data", made[name])
        config = folder / "fedboard.json"
        config.write_text(json.dumps({"name": name, "data_dir": str(folder / "data")}))
        command = [*micropython, "-X", "heapsize=256k", str(lab.MAIN), "--config", str(config)]
        openers.append(ProcessOpener(command, name=name))
    picos = []
    try:
        for i, name in enumerate(("b2", "b3")):
            folder = tmp_path / name
            folder.mkdir()
            flash = shutil.copy(compiled, folder / "flash.img")
            board = Pico(flash=flash, uid=f"e66000000000000{i}", seed=i + 1)
            picos.append(board)
            put_samples(board, folder / "data", made[name])
            config = folder / "fedboard.json"
            config.write_text(json.dumps({"name": name}))
            pico_lab.mpremote(board, "cp", str(config), ":fedboard.json")
            openers.append(SerialOpener(board.port))
        result = asyncio.run(play(tmp_path / "boards", openers))
    finally:
        for board in picos:
            board.stop()
    assert result.round == expected.round == 3
    assert result.params == expected.params
    assert result.model == expected.model


def bytes_of(samples, i):
    from array import array

    x = array("b", bytes(samples.n_in))
    samples.read(i, x)
    return x
