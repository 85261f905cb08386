"""Federations that learn in secret: boards that drop out, that lack the key, that are real."""

from __future__ import annotations

import asyncio
import json
from array import array
from pathlib import Path

import numpy as np
import pytest

from fedboard import DataError, mask
from fedboard.party import Party
from fedboard_device import config as board_config
from fedboard_host import config, dataset, paths, secret, strategies
from fedboard_host.events import Note, RoundClosed
from fedboard_host.links.process import ProcessOpener
from fedboard_host.robust import Merging
from fedboard_host.rounds import Policy
from fedboard_host.secret import Secret
from fedboard_host.virtual import VirtualBoard
from federations import SPEC, Fleet, blobs

MASK_KEY = bytes(range(32))
SECURE = Merging(secure=True)
STRATEGY = strategies.make("fedavg", {"batch": 4, "rate": 6, "top_percent": 30})


class Spy:
    """What boards would have sent in the clear, and what the host got, by round."""

    def __init__(self, monkeypatch):
        self.sent = {}
        self.found = {}
        chunks, sums = mask.MaskedUpdate.chunks, Secret.sums

        def spied_chunks(update, *size):
            who = update._cohort.names[update._own]
            self.sent[update._where[1], who] = dict(update.changes())
            return chunks(update, *size)

        def spied_sums(host):
            found = sums(host)
            self.found[host._round] = host.names, found.tolist()
            return found

        monkeypatch.setattr(mask.MaskedUpdate, "chunks", spied_chunks)
        monkeypatch.setattr(secret.Secret, "sums", spied_sums)

    def check(self, round_no, names=None):
        who, found = self.found[round_no]
        assert names is None or who == names
        total = [0] * SPEC.n_params
        for one in who:
            for i, value in self.sent[round_no, one].items():
                total[i] += value
        assert any(total)
        assert total == found


def boards(n, key=MASK_KEY, clock=None):
    return [VirtualBoard(f"b{i}", blobs(i, 24), mask_key=key, clock=clock) for i in range(n)]


def test_a_federation_learns_in_secret(tmp_path, monkeypatch):
    spy = Spy(monkeypatch)

    async def main():
        async with Fleet(
            tmp_path, 4, strategy=STRATEGY, boards=boards(4), merging=SECURE,
        ) as fleet:  # fmt: skip
            await fleet.until_ready(4)
            await fleet.run(3)
            return fleet.of(RoundClosed)

    closed = asyncio.run(main())
    assert [(event.n_updates, event.n_boards) for event in closed] == [(4, 4)] * 3
    for round_no in (1, 2, 3):
        spy.check(round_no, ["b0", "b1", "b2", "b3"])


def test_with_masks_of_zero_the_model_is_the_same(tmp_path, monkeypatch):
    def model(folder):
        async def main():
            async with Fleet(folder, 3, strategy=STRATEGY, boards=boards(3), merging=SECURE) as f:
                await f.until_ready(3)
                return list((await f.run(2)).params)

        return asyncio.run(main())

    masked = model(tmp_path / "a")
    monkeypatch.setattr(mask.Stream, "next", lambda self: array("H", bytes(32)))
    assert model(tmp_path / "b") == masked


def test_a_board_that_drops_out_before_its_update(tmp_path, monkeypatch):
    spy = Spy(monkeypatch)

    async def main():
        own = boards(4)
        own[1] = VirtualBoard("b1", blobs(1, 6000), mask_key=MASK_KEY)
        async with Fleet(
            tmp_path, 4, strategy=STRATEGY, boards=own, merging=SECURE,
            policy=Policy(4, quorum=3, deadline_ms=2000),
        ) as fleet:  # fmt: skip
            await fleet.until_ready(4)
            running = asyncio.create_task(fleet.run(1))
            await fleet.until_training(own[1])
            own[1].unplug()
            await running

    asyncio.run(main())
    spy.check(1, ["b0", "b2", "b3"])


def test_a_board_that_drops_out_after_its_update(tmp_path, monkeypatch):
    """Another one tells its seeds."""
    spy = Spy(monkeypatch)
    answer = Party.answer

    async def main():
        own = boards(4)

        def dead(party, ask):
            if party._name == "b1" or (ask.of == 1 and party._name == "b0"):
                raise DataError("gone")
            return answer(party, ask)

        monkeypatch.setattr(Party, "answer", dead)
        async with Fleet(tmp_path, 4, strategy=STRATEGY, boards=own, merging=SECURE) as fleet:
            await fleet.until_ready(4)
            await fleet.run(1)

    asyncio.run(main())
    spy.check(1, ["b0", "b1", "b2", "b3"])


def test_without_the_key_a_board_says_so(tmp_path):
    async def main():
        own = [*boards(3), VirtualBoard("keyless", blobs(7, 24))]
        async with Fleet(
            tmp_path, 4, strategy=STRATEGY, boards=own, merging=SECURE,
            policy=Policy(4, quorum=3, deadline_ms=2000),
        ) as fleet:  # fmt: skip
            await fleet.until_ready(4)
            await fleet.run(1)
            return fleet.of(Note, board="keyless"), fleet.of(RoundClosed)

    notes, closed = asyncio.run(main())
    assert 'no "mask_key" in fedboard.json' in notes[0].text
    assert closed[0].n_updates == 3


def test_a_round_that_too_few_can_do_is_begun_anew(tmp_path, monkeypatch):
    """Two of three cannot hide each other: it waits for the third, with fresh masks."""
    spy = Spy(monkeypatch)
    nonces = []
    first = Secret.__init__

    def spied(self, *values, **named):
        first(self, *values, **named)
        nonces.append(self._nonce)

    monkeypatch.setattr(Secret, "__init__", spied)

    async def main():
        own = boards(3)
        own[2]._mask_key = None
        own[2].reset()
        async with Fleet(tmp_path, 3, strategy=STRATEGY, boards=own, merging=SECURE) as fleet:
            await fleet.until_ready(3)
            running = asyncio.create_task(fleet.run(1))
            await fleet.until(Note, level="error")
            own[2]._mask_key = MASK_KEY
            own[2].reset()
            await running

    asyncio.run(main())
    spy.check(1, ["b0", "b1", "b2"])
    assert len(set(nonces)) == len(nonces) >= 2


def test_a_micropython_board_among_others(tmp_path, monkeypatch, micropython):
    """Its words cancel with those of CPython's boards."""
    spy = Spy(monkeypatch)
    own = blobs(9, 24)
    x = np.array([list(row) for row in own._rows], np.int8)
    (tmp_path / "samples.bin").write_bytes(
        dataset.sample_file(dataset.Set(x, np.array(own._labels)))
    )
    settings = tmp_path / "fedboard.json"
    settings.write_text(json.dumps(
        {"name": "mpy", "data_dir": str(tmp_path), "mask_key": MASK_KEY.hex()}
    ))  # fmt: skip
    command = [*micropython, str(paths.device_dir() / "main.py"), "--config", str(settings)]

    async def main():
        async with Fleet(
            tmp_path / "run", 4, strategy=STRATEGY, boards=boards(3), merging=SECURE, speed=1,
            policy=Policy(4, quorum=4), dead_ms=60_000, handshake_ms=60_000,
        ) as fleet:  # fmt: skip
            fleet.federation.add_opener(ProcessOpener(command, name="mpy"))
            await fleet.until_ready(4)
            return await fleet.run(2)

    result = asyncio.run(main())
    who, found = spy.found[2]
    assert who == ["b0", "b1", "b2", "mpy"]
    # Its own share of the sum is small, as learning's changes are: with masks left it were random.
    rest = np.array(found)
    for one in who[:3]:
        for i, value in spy.sent[2, one].items():
            rest[i] -= value
    places = list(mask.places(SPEC, 3, 300, 11, 2))
    assert any(rest[places])
    assert np.abs(rest).max() < 3000
    assert not np.delete(rest, places).any()
    assert result.round == 2


def test_config(tmp_path):
    text = '[federation]\nname = "a"\nsecure = true\n{}\n[model]\nlayers = [4, 3]\n' + "".join(
        f'[[board]]\nname = "b{i}"\nlink = "serial:{i}"\n' for i in range(3)
    )
    home = config.parse(text.format(""), Path("h"))
    assert home.merging == SECURE
    for more, why in (
        ('merge = "median"', "hides them from the host: choose one of the two"),
        ('merge = "multi-krum"', "hides them from the host"),
        ('strategy = "tifed-full"', "is for strategy fedavg"),
        ("bits = 4", "masked values have 16"),
        ("quorum = 2", "needs 3 updates a round, not 2: set quorum = 3"),
    ):
        with pytest.raises(DataError, match=why):
            config.parse(text.format(more), Path("h"))
    with pytest.raises(DataError, match=r"^h:3: .*needs 3 updates a round, not 2: add boards$"):
        config.parse(text.format("").rpartition("[[board]]")[0], Path("h"))
    with pytest.raises(DataError, match="another rule than centred"):
        config.parse(text.format("").replace("4, 3]", '4, 3]\nrule = "centred"'), Path("h"))
    file = tmp_path / "fedboard.json"
    file.write_text(json.dumps({"mask_key": MASK_KEY.hex()}))
    assert board_config.load(str(file)).mask_key == MASK_KEY
    file.write_text(json.dumps({"mask_key": "secret"}))
    (problem,) = board_config.load(str(file)).problems
    assert problem.startswith("mask_key: a key is 64")
    assert "secret" not in problem
