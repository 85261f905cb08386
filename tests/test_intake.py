"""Taking updates in: the same model whether they are summed from their bits or decoded first."""

from __future__ import annotations

import asyncio
import importlib.util

import pytest

from fedboard import WireError
from fedboard_host import decode
from fedboard_host.events import RoundClosed, UpdateReceived
from fedboard_host.rounds import Policy
from fedboard_host.virtual import VirtualBoard
from federations import SPARSE, Fleet, blobs

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="pip install 'fedboard[fast]'"
)


@pytest.fixture(autouse=True)
def put_back():
    yield
    decode.use_compiled(False)


def learned(folder, compiled, n_rounds=3):
    """(the model, bytes of updates) after some rounds of three boards."""
    assert decode.use_compiled(compiled) == compiled

    async def main():
        boards = [VirtualBoard(f"b{b}", blobs(b, 24)) for b in range(3)]
        async with Fleet(folder, 3, strategy=SPARSE, boards=boards) as fleet:
            for board in boards:
                board._clock = fleet.clock
            await fleet.until_ready(3)
            result = await fleet.run(n_rounds)
            closed = fleet.of(RoundClosed)
            return list(result.params), [each.update_bytes for each in closed]

    return asyncio.run(main())


def test_compiled_loops_learn_the_same_model(tmp_path, monkeypatch):
    taken = []
    add_to = decode.Decoder.add_to

    def spied(self, *args):
        found = add_to(self, *args)
        taken.append(found is not None)
        return found

    plain = learned(tmp_path / "plain", False)
    monkeypatch.setattr(decode.Decoder, "add_to", spied)
    assert learned(tmp_path / "compiled", True) == plain
    assert taken == [True] * 9


def test_a_malformed_update_fails_its_board_and_nothing_else(tmp_path, monkeypatch):
    add_to = decode.Decoder.add_to
    failed = []

    def broken(self, *args):
        if not failed:
            failed.append(True)
            raise WireError("update that is cut short")
        return add_to(self, *args)

    assert decode.use_compiled()
    monkeypatch.setattr(decode.Decoder, "add_to", broken)

    async def main():
        async with Fleet(tmp_path / "run", 3, strategy=SPARSE, policy=Policy(3, quorum=2)) as fleet:
            await fleet.until_ready(3)
            running = asyncio.create_task(fleet.run(2))
            update = await fleet.until(UpdateReceived, accepted=False)
            await running
            return update, fleet.of(RoundClosed)

    update, closed = asyncio.run(main())
    assert "cut short" in update.reason
    assert [each.n_updates for each in closed] == [2, 3]
