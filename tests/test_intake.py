"""Taking updates in: the same model whether they are summed from their bits or decoded first."""

from __future__ import annotations

import asyncio
import importlib.util
from array import array
from types import SimpleNamespace

import pytest

from fedboard_host import decode
from fedboard_host.batch import Batch
from fedboard_host.events import RoundClosed, UpdateReceived
from fedboard_host.intake import MAX_WAITING, Intake
from fedboard_host.means import MeanMerger
from fedboard_host.rounds import Policy, Round
from fedboard_host.strategies.base import Work
from fedboard_host.virtual import VirtualBoard
from federations import SPARSE, Fleet, blobs
from test_decode import SPEC, encoded

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
    add_all = decode.Decoder.add_all

    def spied(self, *args):
        added, refused, left = add_all(self, *args)
        taken.extend(i for each in added for i in each.members)
        return added, refused, left

    plain = learned(tmp_path / "plain", False)
    monkeypatch.setattr(decode.Decoder, "add_all", spied)
    assert learned(tmp_path / "compiled", True) == plain
    assert len(taken) == 9


def test_a_malformed_update_fails_its_board_and_nothing_else(tmp_path, monkeypatch):
    add_all = decode.Decoder.add_all
    failed = []

    def broken(self, acc, updates, beside):
        if not failed:
            failed.append(True)
            weight, layers, meta, data = updates[0]
            updates = [(weight, layers, meta, data + b"\1"), *updates[1:]]
        return add_all(self, acc, updates, beside)

    assert decode.use_compiled()
    monkeypatch.setattr(decode.Decoder, "add_all", broken)

    async def main():
        async with Fleet(tmp_path / "run", 3, strategy=SPARSE, policy=Policy(3, quorum=2)) as fleet:
            await fleet.until_ready(3)
            running = asyncio.create_task(fleet.run(2))
            update = await fleet.until(UpdateReceived, accepted=False)
            await running
            return update, fleet.of(RoundClosed)

    update, closed = asyncio.run(main())
    assert "bytes: its head says otherwise" in update.reason or "more bits" in update.reason
    assert [each.n_updates for each in closed] == [2, 3]


TOOK_MS = 70


class Member(SimpleNamespace):
    """As much of a member.Member as an Intake looks at."""

    def __init__(self, name):
        super().__init__(
            info=SimpleNamespace(name=name, uid=f"uid of {name}"),
            progress=None, is_here=False, connection=None, took_ms=[],
        )  # fmt: skip


def taking(n):
    """(an Intake with an open round of n boards, the round, its boards, their updates, events).

    Among the events is "changed", when it says so: then it is known, too, how long boards took.
    """
    work = Work(layers=3, epochs=1, batch=1, rate=1, top_permille=300, bits=4)
    round_ = Round(1, 1, Policy(n), 0)
    members = [Member(f"b{i}") for i in range(n)]
    updates = []
    for i, member in enumerate(members):
        round_.ask(member.info, work, now_ms=1000)
        meta, data = encoded(i, 3, 300, 4, 30, 1.0)
        begin = SimpleNamespace(round=1, version=1, n_samples=5 + i, meta=meta)
        updates.append(SimpleNamespace(begin=begin, data=data))
    merger = MeanMerger(SPEC)
    merger.start(array("h", bytes(2 * SPEC.n_params)))
    events = []
    clock = SimpleNamespace(now_ms=lambda: 1000 + TOOK_MS)

    def changed():
        assert sum(len(member.took_ms) for member in members) == round_.n_accepted
        events.append("changed")

    intake = Intake(SPEC, merger, events.append, lambda *_: None, changed, clock, 0)
    intake.open(round_)
    return intake, merger, round_, members, updates, events


def test_what_comes_together_is_taken_together(monkeypatch):
    """Each board hears what it would have heard alone, and sums are the same."""
    sizes = []
    take_all = MeanMerger.take_all

    def spied(self, decoder, updates, boards):
        sizes.append(len(updates))
        return take_all(self, decoder, updates, boards)

    monkeypatch.setattr(MeanMerger, "take_all", spied)
    assert decode.use_compiled()
    intake, merger, round_, members, updates, events = taking(MAX_WAITING + 9)
    updates[3].data = updates[3].data[:-1]
    updates[4].begin.version = 7

    async def main():
        pairs = list(zip(members, updates, strict=True))
        pairs.insert(20, pairs[17])  # twice: it came over two connections
        tasks = [asyncio.create_task(intake.take(*pair)) for pair in pairs]
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert sizes == [MAX_WAITING - 1, 9]  # without the second of b17
    assert [name for name, part in round_.parts.items() if not part.accepted] == ["b3", "b4"]
    assert list(round_.failures) == ["b3"]
    assert members[17].took_ms == [TOOK_MS]
    assert events[1::2] == ["changed"] * len(members)
    assert [each.board for each in events[::2] if not each.accepted] == ["b4", "b3"]
    alone = MeanMerger(SPEC)
    alone.start(array("h", bytes(2 * SPEC.n_params)))
    decoder = decode.Decoder(SPEC)
    good = [u for i, u in enumerate(updates) if i not in (3, 4)]
    for update in good:
        alone.add(decoder.parse(3, update.begin.meta, update.data), update.begin.n_samples)
    assert intake.n_bytes == sum(len(update.data) for update in good)
    assert merger.n_updates == len(good)
    assert merger.merge() == alone.merge()


def test_an_update_counts_even_if_its_connection_ends_meanwhile():
    """Else it would be in the sums, and be sent and added again. It is told of, once."""
    assert decode.use_compiled()
    intake, _, round_, members, updates, events = taking(2)

    async def main():
        task = asyncio.create_task(intake.take(members[0], updates[0]))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await intake.take(members[0], updates[0])

    asyncio.run(main())
    assert round_.n_accepted == 1
    assert intake.n_bytes == len(updates[0].data)
    assert members[0].took_ms == [TOOK_MS]
    told, changed = events
    assert (told.board, told.accepted, changed) == ("b0", True, "changed")


def test_an_update_that_waits_while_its_round_closes_is_too_late():
    assert decode.use_compiled()
    intake, merger, _, members, updates, events = taking(1)

    async def main():
        task = asyncio.create_task(intake.take(members[0], updates[0]))
        await asyncio.sleep(0)
        intake.close()
        await task

    asyncio.run(main())
    assert [(e.accepted, e.reason) for e in events[::2]] == [(False, "round 1 is closed")]
    assert not merger.n_updates


def test_an_error_is_raised_where_it_belongs():
    """Not in the loop, where nobody would hear of it."""

    def work(items):
        raise ValueError(f"{len(items)} items")

    async def main():
        batch = Batch(work, 2)
        return await asyncio.gather(*(batch.put(i) for i in range(3)), return_exceptions=True)

    assert [str(error) for error in asyncio.run(main())] == ["2 items", "2 items", "1 items"]
