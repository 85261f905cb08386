"""The host with boards as programs of their own (device/main.py), and a host that is killed.

The model must come out the same, bit for bit, whoever the boards are and however often the host
died.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from array import array
from pathlib import Path

import pytest

import interpreters
from fedboard import samples
from fedboard_host.events import BoardJoined, BoardLeft, BoardState
from fedboard_host.links.process import ProcessOpener
from fedboard_host.rounds import Policy
from federations import EXACT, SPARSE, SPEC, Fleet, blobs

KEY = "5a" * 32
MAIN = interpreters.DEVICE / "main.py"
HOST = Path(__file__).with_name("kill_host.py")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal and SIGKILL")


def board_folder(folder: Path, i: int, n_samples: int, **settings: object) -> Path:
    """A board's flash: samples as blobs(i), and settings. Returns the latter's path."""
    folder = folder / f"b{i}"
    folder.mkdir(parents=True)
    own = blobs(i, n_samples)
    x = array("b", bytes(own.n_in))
    data = samples.pack_header(own.n_in)
    for k in range(len(own)):
        label = own.read(k, x)
        data += samples.pack_record(x, label)
    (folder / "samples.bin").write_bytes(data)
    config = folder / "fedboard.json"
    config.write_text(json.dumps({"name": f"b{i}", "data_dir": str(folder), **settings}))
    return config


def expected(folder, strategy, n_boards, n_rounds, n_samples):
    """What an undisturbed federation of virtual boards comes to."""

    async def body():
        async with Fleet(folder, n_boards, strategy=strategy, n_samples=n_samples) as fleet:
            return await fleet.run(n_rounds)

    return asyncio.run(body()).params


@pytest.mark.parametrize("runtime", ["cpython", "micropython"])
def test_boards_as_processes_on_terminals_give_the_same_model(tmp_path, runtime, request):
    command = [sys.executable]
    if runtime == "micropython":
        command = request.getfixturevalue("micropython")

    async def body():
        policy = Policy(3, quorum=3)
        async with Fleet(tmp_path / "run", 0, strategy=SPARSE, policy=policy, speed=1) as fleet:
            for i in range(3):
                config = board_folder(tmp_path / "flash", i, 40, key=KEY)
                fleet.federation._roster._key = bytes.fromhex(KEY)
                fleet.federation.add_opener(
                    ProcessOpener([*command, str(MAIN), "--config", str(config)])
                )
            return (await fleet.run(4)).params

    assert asyncio.run(body()) == expected(tmp_path / "virtual", SPARSE, 3, 4, 40)


def test_a_board_that_dies_is_started_again_and_redoes_its_part(tmp_path):
    """Its flash survives: the base model, and the samples."""

    async def body():
        policy = Policy(2, quorum=2)
        async with Fleet(tmp_path / "run", 0, policy=policy, speed=1) as fleet:
            for i in range(2):
                config = board_folder(tmp_path / "flash", i, 1000)
                fleet.federation.add_opener(
                    ProcessOpener([sys.executable, str(MAIN), "--config", str(config)])
                )
            running = asyncio.create_task(fleet.run(4))
            for round_no in (1, 3):
                await fleet.until(BoardState, board="b1", round=round_no, state="receiving")
                await asyncio.sleep(0.03)
                fleet.federation._roster.members["b1"].connection.link.process.kill()
            result = await running
            assert len(fleet.of(BoardJoined, board="b1")) == 3
            assert len(fleet.of(BoardLeft, board="b1")) == 2
            return result.params

    assert asyncio.run(body()) == expected(tmp_path / "virtual", EXACT, 2, 4, 1000)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


FOREVER = 1_000_000  # rounds: a host with that goal cannot be done before it is killed


class Killed:
    """Runs kill_host.py, killing it at random times, until it comes to an end by itself."""

    def __init__(self, folder, port, strategy, n_boards, *urls):
        self.folder = str(folder)
        self.federation = [str(port), strategy, str(n_boards)]
        self.urls = urls
        self.env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.last = 0  # round that it has told of

    def start(self, n_rounds):
        return subprocess.Popen(
            [sys.executable, str(HOST), self.folder, *self.federation, str(n_rounds), KEY,
             *self.urls],
            env=self.env, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def kill_after(self, n_more_rounds, delay_s):
        with self.start(FOREVER) as host:
            try:
                goal = self.last + n_more_rounds
                self._hear(host.stdout.readline())
                while self.last < goal:
                    self._hear(host.stdout.readline())
                time.sleep(delay_s)
            finally:
                host.send_signal(signal.SIGKILL)
            for line in host.stdout:
                self._hear(line)

    def finish(self, n_more_rounds):
        """Two figures: the rounds done in all, and the model's digest."""
        n_rounds = self.last + n_more_rounds
        with self.start(n_rounds) as host:
            try:
                said, _ = host.communicate(timeout=90)
            finally:
                host.kill()
        assert host.returncode == 0
        *before, last = said.splitlines()
        for line in before:
            self._hear(line)
        return n_rounds, last.split()[1]

    def _hear(self, line):
        assert line, "the host ended by itself"
        words = line.split()
        if words[0] == "closed":
            # A closed round stays closed; only the one whose telling was cut off may be told of.
            assert int(words[1]) in (self.last + 1, self.last + 2)
            self.last = int(words[1])


def digest(params):
    return SPEC.digest(params).hex()


@pytest.mark.slow
def test_a_killed_host_and_boards_that_live_on_lose_nothing(tmp_path):
    """Boards on the network outlive the host, with residuals in their RAM: nothing is lost or
    counted twice."""
    port = free_port()
    rng = random.Random(8)
    configs = [
        board_folder(tmp_path / "flash", i, 1500, key=KEY, host=f"127.0.0.1:{port}")
        for i in range(2)
    ]
    boards = [
        subprocess.Popen(
            [sys.executable, str(MAIN), "--config", str(config)], stdout=subprocess.DEVNULL
        )
        for config in configs
    ]
    try:
        host = Killed(tmp_path / "run", port, "SPARSE", 2)
        for n_more in (0, 2, 1, 2):
            host.kill_after(n_more, rng.random() * 0.2)
        n_rounds, found = host.finish(4)
    finally:
        for board in boards:
            board.terminate()
            board.wait()
    assert found == digest(expected(tmp_path / "virtual", SPARSE, 2, n_rounds, 1500))


@pytest.mark.slow
def test_a_killed_host_and_boards_that_die_with_it_redo_the_open_round(tmp_path):
    rng = random.Random(9)
    urls = []
    for i in range(2):
        config = board_folder(tmp_path / "flash", i, 1500, key=KEY)
        urls.append(f"process:{sys.executable} {MAIN} --config {config}")
    host = Killed(tmp_path / "run", 0, "EXACT", 2, *urls)
    for n_more in (0, 2, 1, 1):
        host.kill_after(n_more, rng.random() * 0.2)
    n_rounds, found = host.finish(3)
    assert found == digest(expected(tmp_path / "virtual", EXACT, 2, n_rounds, 1500))


