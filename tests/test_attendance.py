"""Days of rounds: who takes part, how long boards are waited for, who sleeps, who comes back."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from fedboard.model import Spec
from fedboard_host import strategies
from fedboard_host.attendance import GRACE_MS, SLACK_MS, Attendance
from fedboard_host.clock import Clock
from fedboard_host.events import BoardLeft, BoardState, Note, RoundClosed, RoundStarted
from fedboard_host.member import OVERSLEPT_MS, Member
from fedboard_host.rounds import Policy
from fedboard_host.strategies.base import BoardInfo, trainable, training_bytes
from fedboard_host.virtual import VirtualBoard
from federations import EXACT, N_IN, SPARSE, SPEC, Fleet, blobs


def member(name="b0", n_samples=20, **values):
    made = Member(BoardInfo(name, "u", n_samples=n_samples, n_in=N_IN))
    for key, value in values.items():
        setattr(made, key, value)
    return made


def new(made, n_samples, learned=0):
    made.info = replace(made.info, n_samples=n_samples)
    return made.n_new(learned)


def test_new_samples_are_those_since_the_last_update():
    made = member()
    assert new(made, 20) == 20  # it never learned
    assert new(made, 25) == 25
    made.has_learned()
    assert new(made, 25) == 0
    assert new(made, 28) == 3
    assert new(made, 14) == 3  # old ones were dropped
    assert new(made, 2) == 2
    assert new(made, 6) == 6


def test_new_samples_after_the_host_was_started_again():
    assert new(member(), 50, learned=44) == 6
    assert new(member(), 30, learned=44) == 0
    assert new(member(), 30) == 30


def test_a_board_is_waited_for_as_long_as_it_usually_takes():
    attendance = Attendance(Policy(deadline_ms=60_000, patience=3), {})
    made = member()
    assert attendance.due_ms(made, 1000) == 61_000  # nobody knows
    made.took_ms += [2000, 4000, 3000]
    assert attendance.due_ms(made, 1000) == 1000 + 3 * 4000 + SLACK_MS
    made.took_ms += [50_000]
    assert attendance.due_ms(made, 1000) == 61_000
    made.took_ms += [100] * 5  # it has become fast
    assert attendance.due_ms(made, 1000) == 1000 + 300 + SLACK_MS
    assert Attendance(Policy(deadline_ms=60_000), {}).due_ms(made, 1000) == 61_000


def test_a_round_starts_in_its_time_and_not_without_sleepers_that_are_due():
    attendance = Attendance(Policy(2, quorum=2, every_ms=60_000), {})
    awake = [member("a"), member("b")]
    assert attendance.hold_ms(awake, 1, 5000) is None
    assert attendance.hold_ms(awake, 2, 5000) == 0
    assert attendance.rest_s(5000) == 0
    attendance.started(5000)
    assert attendance.hold_ms(awake, 2, 15_000) == 50_000
    assert attendance.rest_s(15_000) == 50
    assert attendance.rest_s(64_000) == 0  # not worth it
    asleep = member("c", state="asleep", wakes_ms=66_000)
    assert attendance.hold_ms([*awake, asleep], 2, 65_000) == 1000 + GRACE_MS
    assert attendance.hold_ms([*awake, asleep], 2, 66_000 + GRACE_MS) == 0


def test_less_ram_means_fewer_layers():
    full, first, last = 3, 1, 2
    need = [training_bytes(SPEC, mask, 4) for mask in (last, first, full)]
    assert need == sorted(need)
    board = BoardInfo("b", "u")
    assert trainable(SPEC, 4, board) == full  # it cannot tell
    assert trainable(SPEC, 4, replace(board, free_ram=need[2])) == full
    assert trainable(SPEC, 4, replace(board, free_ram=need[2] - 1)) == last
    assert trainable(SPEC, 4, replace(board, free_ram=1)) == last
    for spec in (Spec(SPEC.sizes, "float"), Spec((64, 8, 10), "conv1")):
        assert trainable(spec, 4, replace(board, free_ram=1)) == full
    # A board that holds the model says what is free beside it.
    assert trainable(SPEC, 4, replace(board, free_ram=need[2] - 2 * SPEC.n_params, version=3)) == 3


def test_a_board_that_ran_out_of_memory_is_asked_for_less(tmp_path):
    boards = [VirtualBoard(f"b{i}", blobs(i, 24)) for i in range(2)]

    async def body():
        async with Fleet(tmp_path, boards=boards, policy=Policy(2, quorum=1), speed=1) as fleet:
            learner = boards[1].board.learner  # it does not tell its RAM beforehand

            def check(need, what, text=""):
                if what.startswith("a batch") and need > 80:
                    from fedboard.learner import NoMemory

                    raise NoMemory(f"{what} needs {need} bytes, 80 are free")

            learner.check_free = check
            await fleet.run(3)
            return fleet

    fleet = asyncio.run(body())
    assert fleet.of(BoardState, board="b1", state="failed", round=1)
    assert [each.n_updates for each in fleet.of(RoundClosed)] == [1, 2, 2]


def test_rounds_start_when_there_is_something_new(tmp_path):
    own = [blobs(i, 20) for i in range(3)]
    boards = [VirtualBoard(f"b{i}", own[i]) for i in range(3)]

    def record(i, n):
        more = blobs(50 + i, n)
        own[i]._rows += more._rows
        own[i]._labels += more._labels

    async def body():
        policy = Policy(2, quorum=2, n_new=5)
        async with Fleet(tmp_path, boards=boards, policy=policy, speed=20) as fleet:
            running = asyncio.create_task(fleet.run(3))
            await fleet.until(RoundClosed)
            await fleet.until(Note, text="0 of 2 boards are here with 5 new samples each: waiting")
            record(0, 5)
            record(1, 4)
            await asyncio.sleep(0.2)
            assert len(fleet.of(RoundStarted)) == 1
            record(1, 1)
            await fleet.until(RoundClosed, 2)
            assert fleet.of(RoundStarted)[1].boards == ("b0", "b1")
            fleet.federation.request_stop()
            result = await running
            assert result.stopped
        assert fleet.store.latest().learned == {"b0": 25, "b1": 25, "b2": 20}
        # The host is started again: nothing was forgotten.
        async with Fleet(tmp_path, boards=boards, policy=policy, speed=20, resume=True) as fleet:
            running = asyncio.create_task(fleet.run(3))
            await fleet.until(Note, text="0 of 2 boards are here with 5 new samples each: waiting")
            record(2, 7)
            record(0, 9)
            await running
            assert fleet.of(RoundStarted)[0].boards == ("b0", "b2")

    asyncio.run(body())


def test_boards_without_samples_are_named_while_all_wait(tmp_path):
    boards = [VirtualBoard("b0", blobs(0, 20)), VirtualBoard("b1", blobs(1, 0))]

    async def body():
        async with Fleet(tmp_path, boards=boards, policy=Policy(2, quorum=2), speed=20) as fleet:
            running = asyncio.create_task(fleet.run(1))
            text = "1 of 2 boards are here: waiting (no samples yet: b1)"
            await fleet.until(Note, text=text)
            fleet.federation.request_stop()
            assert (await running).stopped

    asyncio.run(body())


def test_boards_sleep_between_rounds(tmp_path):
    async def body():
        policy = Policy(2, quorum=2, every_ms=30_000)
        async with Fleet(tmp_path, 0, policy=policy) as fleet:
            for i in range(2):
                fleet.add_sleeper(f"b{i}", blobs(i, 24))
            await fleet.run(3)
            return fleet

    fleet = asyncio.run(body())
    assert all(each.n_updates == 2 for each in fleet.of(RoundClosed))
    left = [each.reason for each in fleet.of(BoardLeft)]
    assert len([reason for reason in left if reason.startswith("asleep for ")]) >= 4


def test_a_straggler_is_not_waited_for_until_the_deadline(tmp_path):
    """It took moments in rounds 1 and 2; in round 3 it is stuck, and that ends long before."""

    async def body():
        policy = Policy(3, quorum=2, deadline_ms=3_600_000, patience=3)
        async with Fleet(tmp_path, 3, policy=policy) as fleet:
            await fleet.run(2)
            fleet.boards[2].board.step = lambda now_ms: False
            result = await fleet.run(3)
            assert result.round == 3
            return fleet

    fleet = asyncio.run(body())
    assert [each.n_updates for each in fleet.of(RoundClosed)] == [3, 3, 2]


def test_a_pause_lets_the_open_round_finish(tmp_path):
    async def body():
        async with Fleet(tmp_path, 2) as fleet:
            running = asyncio.create_task(fleet.run(4))
            await fleet.until(RoundStarted)
            fleet.federation.pause(True)
            assert fleet.federation.is_paused
            await fleet.until(RoundClosed)
            await asyncio.sleep(0.1)
            assert len(fleet.of(RoundStarted)) == 1
            fleet.federation.pause(False)
            assert (await running).round == 4
            return fleet

    fleet = asyncio.run(body())
    texts = [each.text for each in fleet.of(Note)]
    assert "the run is paused: no round starts" in texts
    assert "the run goes on" in texts


@pytest.mark.parametrize("strategy", [EXACT, SPARSE], ids=["exact", "sparse"])
def test_a_board_that_was_away_gets_what_changed_even_from_a_new_host(tmp_path, strategy):
    """Its base is older than the newest checkpoint, but it is on the disk."""

    async def body():
        policy = Policy(1, quorum=1)
        async with Fleet(tmp_path, 2, strategy=strategy, policy=policy) as fleet:
            await fleet.until_ready(2)
            await fleet.run(2)
            boards = fleet.boards
            boards[1].unplug()
            await fleet.until(BoardLeft, board="b1")
            await fleet.run(3)
        async with Fleet(
            tmp_path, strategy=strategy, policy=policy, boards=boards, resume=True
        ) as fleet:
            boards[1].plug()
            await fleet.until_ready(2)
            history = fleet.federation._conductor._dispatch.history
            info = fleet.federation._roster.members["b1"].info
            assert info.version < history.version
            base, _, _, data = await history.transfer(info.version, info.digest)
            assert len(data) < 2 * SPEC.n_params
            assert base == info.version
            now = fleet.federation.checkpoint
            # `fedboard evaluate` brings boards the result
            base, _, _, data = await history.transfer(now.version, SPEC.digest(now.result))
            assert (base, len(data) < 2 * SPEC.n_params) == (now.version, True)
            return await fleet.run(5)

    assert asyncio.run(body()).round == 5


def test_the_log_is_rotated(tmp_path):
    from fedboard_host.events import UpdateReceived
    from fedboard_host.runlog import RunLog

    log = RunLog(tmp_path / "log.sqlite", keep=300)
    for n in range(2500):
        log.add(UpdateReceived("b", n, 1, 1, True))
    n_events, last = log._db.execute("SELECT count(*), max(id) FROM events").fetchone()
    n_updates = log._db.execute("SELECT count(*) FROM updates").fetchone()[0]
    log.close()
    assert (n_events, last, n_updates) == (300, 2500, 1200)
    assert os.path.getsize(tmp_path / "log.sqlite") < 1_000_000


def test_a_log_of_an_earlier_release_goes_on(tmp_path):
    import sqlite3

    from fedboard_host.runlog import RunLog

    with sqlite3.connect(tmp_path / "log.sqlite") as db:
        db.executescript(
            "CREATE TABLE rounds (round INTEGER PRIMARY KEY, version INTEGER, n_updates INTEGER, "
            "n_boards INTEGER, accuracy REAL, loss REAL, bytes_up INTEGER, bytes_down INTEGER, "
            "update_bytes INTEGER, seconds REAL, at REAL); INSERT INTO rounds (round) VALUES (1);"
            "CREATE TABLE updates (round INTEGER, board TEXT, n_samples INTEGER, n_bytes INTEGER, "
            "accepted INTEGER, reason TEXT, at REAL);"
        )
    db.close()
    log = RunLog(tmp_path / "log.sqlite")
    assert log.repaired == ""
    assert log.rounds()[0]["digest"] is None
    log.close()


def test_what_a_policy_cannot_be():
    from fedboard import DataError

    for wrong in ({"patience": -1.0}, {"n_new": -1}, {"every_ms": -5}):
        with pytest.raises(DataError, match="positive"):
            Policy(**wrong)


def test_strategies_still_plan_all_layers_by_default():
    works = strategies.make("fedavg").plan(SPEC, [BoardInfo("b", "u", free_ram=10**6)], 1)
    assert works["b"].layers == 3


def test_a_sleeper_that_does_not_come_back_is_gone():
    clock = Clock()
    made = member(state="asleep", wakes_ms=clock.now_ms() + 1000)
    assert made.view(clock).state == "asleep"
    made.wakes_ms = clock.now_ms() - OVERSLEPT_MS - 1
    assert made.view(clock).state == "gone"
