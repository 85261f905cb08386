"""Whole federations in one process: real sessions, real boards' code, bad cables."""

from __future__ import annotations

import asyncio
from array import array

import pytest

from fedboard import DataError
from fedboard.model import Spec, init_params, new_params
from fedboard_host import strategies
from fedboard_host.events import (
    BoardJoined,
    BoardLeft,
    BoardProgress,
    BoardState,
    Note,
    RoundClosed,
    RoundStarted,
    UpdateReceived,
)
from fedboard_host.links.memory import Faults
from fedboard_host.rounds import Policy
from fedboard_host.virtual import VirtualBoard
from federations import EXACT, SPARSE, SPEC, TIFED, Fleet, accuracy, blobs, play

KEY = bytes(range(32))
BAD_CABLE = Faults(seed=3, loss=0.06, corrupt=0.06, duplicate=0.06, reorder=0.03)
STRATEGIES = {
    "exact": (SPEC, EXACT),
    "sparse": (SPEC, SPARSE),
    "tifed-full": (TIFED, strategies.make("tifed-full", {"batch": 4, "rate": 64})),
    "tifed-single-layer": (TIFED, strategies.make("tifed-single-layer", {"batch": 4, "rate": 64})),
}


def test_four_boards_learn_what_none_of_them_saw_alone(tmp_path):
    test = blobs(1000, 200)
    pairs = [(0, 1), (1, 2), (2, 3), (3, 0)]

    async def body():
        async with Fleet(tmp_path, 0, policy=Policy(4, quorum=4),
                         evaluate=lambda p: (accuracy(SPEC, p, test), 0.0)) as fleet:
            for i, classes in enumerate(pairs):
                fleet.add(VirtualBoard(f"b{i}", blobs(i, 40, classes), clock=fleet.clock))
            return await fleet.run(8), fleet

    result, fleet = asyncio.run(body())
    params = new_params(SPEC)
    init_params(SPEC, params)
    assert accuracy(SPEC, params, test) < 0.6
    assert result.accuracy > 0.9
    assert result.round == 8
    assert result.version == 9
    assert not result.stopped
    closed = fleet.of(RoundClosed)
    assert [c.round for c in closed] == list(range(1, 9))
    assert all(c.n_updates == 4 and c.bytes_up > c.update_bytes > 0 for c in closed)
    assert result.bytes_up >= sum(c.bytes_up for c in closed)
    assert {e.board for e in fleet.of(BoardProgress)} == {"b0", "b1", "b2", "b3"}
    assert [v.state for v in fleet.federation.boards()] == ["gone"] * 4


@pytest.mark.parametrize("name", STRATEGIES)
def test_bad_cables_give_the_same_model_bit_for_bit(tmp_path, name):
    spec, strategy = STRATEGIES[name]
    options = {"spec": spec, "strategy": strategy, "key": KEY}
    clean, _ = play(tmp_path / "clean", **options)
    again, _ = play(tmp_path / "again", **options)
    bad, fleet = play(tmp_path / "bad", up=BAD_CABLE, down=BAD_CABLE, **options)
    assert clean.params == again.params
    assert bad.params == clean.params
    assert bad.model == clean.model
    assert bad.params != list(new_params(spec))
    assert sum(board.board.node.channel.n_bad for board in fleet.boards) > 0
    assert not fleet.of(UpdateReceived, accepted=False)


def test_the_model_goes_down_as_what_changed_since_the_boards_base(tmp_path):
    strategy = strategies.make(
        "fedavg", {"batch": 4, "rate": 6, "top_percent": 5, "bits": 4, "down_percent": 5,
                   "down_bits": 4},
    )  # fmt: skip
    spec = Spec((12, 40, 4), "fedboard", 7)
    _, fleet = play(tmp_path, 5, spec=spec, strategy=strategy)
    dense = 4 * 2 * spec.n_params
    closed = fleet.of(RoundClosed)
    assert closed[0].bytes_down > dense
    assert all(c.bytes_down < dense / 2 for c in closed[1:])
    # What boards hold is what the host believes that they hold.
    for board in fleet.boards:
        assert board.base.version == 5
    assert len(set(map(bytes, (b.base._params for b in fleet.boards)))) == 1


def test_boards_hold_the_hosts_model(tmp_path):
    result, fleet = play(tmp_path, 3, strategy=SPARSE)
    # The last merge has not gone out: boards are at the version before it.
    assert {b.base.version for b in fleet.boards} == {result.version - 1}


@pytest.mark.parametrize("moment", ["receiving", "training", "sending"])
@pytest.mark.parametrize("name", ["exact", "sparse"])
def test_a_board_vanishes_and_returns_in_the_same_round(tmp_path, name, moment):
    """Its RAM survives, as when a cable or the WiFi fails: not a bit of the model differs."""
    spec, strategy = STRATEGIES[name]
    options = {"spec": spec, "strategy": strategy, "n_samples": 400}
    clean, _ = play(tmp_path / "clean", 3, **options)

    async def body():
        async with Fleet(tmp_path / "cut", **options) as fleet:
            running = asyncio.create_task(fleet.run(3))
            for round_no in (1, 2):
                if moment == "receiving":
                    await fleet.until(BoardState, board="b1", state=moment, round=round_no)
                else:
                    await fleet.until_training(fleet.boards[1], round_no)
                if moment == "sending":
                    while fleet.boards[1].board.learner.update is None:
                        await asyncio.sleep(0)
                fleet.boards[1].unplug()
                await fleet.until(BoardLeft, round_no, board="b1")
                fleet.boards[1].plug()
            return await running, fleet

    cut, fleet = asyncio.run(body())
    assert len(fleet.of(BoardJoined, board="b1")) == 3
    assert cut.params == clean.params


@pytest.mark.parametrize("moment", ["receiving", "training", "done"])
def test_a_board_is_reset_and_does_its_part_again(tmp_path, moment):
    """RAM is lost: without a residual the result is the same."""
    clean, _ = play(tmp_path / "clean", 3, n_samples=400)

    async def body():
        async with Fleet(tmp_path / "cut", n_samples=400) as fleet:
            running = asyncio.create_task(fleet.run(3))
            if moment == "training":
                await fleet.until_training(fleet.boards[2])
            else:
                await fleet.until(BoardState, board="b2", state=moment, round=1)
            fleet.boards[2].reset()
            return await running

    assert asyncio.run(body()).params == clean.params


def test_a_board_that_missed_its_acceptance_settles_when_it_returns(tmp_path):
    """The round closes while the board is away: its update counts once, not twice."""

    async def body():
        async with Fleet(tmp_path, 2, strategy=SPARSE) as fleet:
            board = fleet.boards[0]
            running = asyncio.create_task(fleet.run(1))
            await fleet.until(UpdateReceived, board="b0")
            board.unplug()
            await running
            assert board.board.learner.update is not None
            board.plug()
            await fleet.until(BoardJoined, 2, board="b0")
            async with asyncio.timeout(10):
                while board.board.learner.update is not None:
                    await asyncio.sleep(0.01)
            return (await fleet.run(4)).params

    clean, _ = play(tmp_path / "clean", 4, n_boards=2, strategy=SPARSE)
    assert asyncio.run(body()) == clean.params


def test_the_deadline_closes_a_round_without_the_lost_and_they_catch_up(tmp_path):
    policy = Policy(n_boards=3, quorum=2, deadline_ms=20_000)

    async def body():
        async with Fleet(tmp_path, 3, policy=policy) as fleet:
            running = asyncio.create_task(fleet.run(4))
            await fleet.until(BoardState, board="b0", state="receiving")
            fleet.boards[0].unplug()
            closed = await fleet.until(RoundClosed)
            assert closed.n_updates == 2
            assert closed.n_boards == 3
            assert not fleet.of(RoundClosed, round=2)  # a third board is needed to start
            fleet.boards[0].plug()
            return await running, fleet

    result, fleet = asyncio.run(body())
    assert result.round == 4
    assert fleet.of(UpdateReceived, board="b0", accepted=True)
    assert {c.n_boards for c in fleet.of(RoundClosed)} == {3}


def test_a_round_without_quorum_goes_on_and_asks_whoever_comes(tmp_path):
    policy = Policy(n_boards=1, quorum=1, deadline_ms=1000)

    async def body():
        async with Fleet(tmp_path, 1, policy=policy, n_samples=400) as fleet:
            running = asyncio.create_task(fleet.run(1))
            await fleet.until(RoundStarted)
            fleet.boards[0].unplug()
            await fleet.until(Note, level="warning")
            fleet.add(VirtualBoard("late", blobs(5, 20), clock=fleet.clock))
            return await running, fleet

    result, fleet = asyncio.run(body())
    assert result.round == 1
    assert [u.board for u in fleet.of(UpdateReceived)] == ["late"]


def test_two_boards_with_one_name(tmp_path):
    async def body():
        async with Fleet(tmp_path, 2) as fleet:
            await fleet.run(1)
            said = []
            impostor = VirtualBoard(
                "b0", blobs(77, 20), uid=b"another!", clock=fleet.clock, log=said.append
            )
            fleet.add(impostor)
            note = await fleet.until(Note, level="error", board="b0")
            assert "two boards are called b0" in note.text
            async with asyncio.timeout(10):
                while not any("rename one" in line for line in said):
                    await asyncio.sleep(0.01)
            result = await fleet.run(3)
            assert impostor.base.version == 0
            return result, fleet

    clean, _ = play(tmp_path / "clean", 3, n_boards=2)
    result, fleet = asyncio.run(body())
    assert result.params == clean.params
    assert not fleet.of(BoardLeft, board="b0", reason="came back on another link")


def test_a_boards_newer_link_wins(tmp_path):
    async def body():
        async with Fleet(tmp_path, 2, n_samples=400) as fleet:
            running = asyncio.create_task(fleet.run(2))
            await fleet.until_training(fleet.boards[0])
            board = fleet.boards[0]
            stale = board._end
            board._end = None  # the old cable stays open, and silent
            fleet.federation.add_link(board.link)
            await fleet.until(BoardLeft, board="b0", reason="came back on another link")
            result = await running
            assert stale.closed
            return result

    clean, _ = play(tmp_path / "clean", 2, n_boards=2, n_samples=400)
    assert asyncio.run(body()).params == clean.params


def test_another_board_takes_over_a_name_that_is_free(tmp_path):
    async def body():
        async with Fleet(tmp_path, 1) as fleet:
            await fleet.run(1)
            fleet.boards[0].unplug()
            await fleet.until(BoardLeft, board="b0")
            fleet.add(VirtualBoard("b0", blobs(5, 20), uid=b"spare", clock=fleet.clock))
            await fleet.until(Note, level="info", board="b0")
            return await fleet.run(2)

    assert asyncio.run(body()).round == 2


def test_a_board_with_another_key_stays_out(tmp_path):
    async def body():
        async with Fleet(tmp_path, 1, key=KEY) as fleet:
            said = []
            fleet.add(VirtualBoard(
                "evil", blobs(1, 20), key=bytes(32), clock=fleet.clock, log=said.append
            ))  # fmt: skip
            fleet.add(VirtualBoard("open", blobs(1, 20), clock=fleet.clock, log=said.append))
            await fleet.run(2)
            note = await fleet.until(Note, level="warning", board="evil")
            assert "key differs" in note.text
            keyless = "board open has no key, this federation needs one: deploy it"
            await fleet.until(Note, text=keyless)
            assert {j.board for j in fleet.of(BoardJoined)} == {"b0"}
            assert any("does not have this board's key" in line for line in said)

    asyncio.run(body())


def test_stop_finishes_the_open_round(tmp_path):
    async def body():
        async with Fleet(tmp_path, 2, n_samples=200) as fleet:
            running = asyncio.create_task(fleet.run(50))
            await fleet.until(RoundStarted, round=2)
            fleet.federation.request_stop()
            result = await running
            assert result.stopped
            assert result.round == 2
            # And goes on later.
            result = await fleet.run(3)
            assert not result.stopped
            return result

    clean, _ = play(tmp_path / "clean", 3, n_boards=2, n_samples=200)
    assert asyncio.run(body()).params == clean.params


def test_stop_while_waiting_for_boards_is_at_once_and_twice_drops_the_round(tmp_path):
    async def body():
        async with Fleet(tmp_path, 0, policy=Policy(1)) as fleet:
            running = asyncio.create_task(fleet.run(1))
            await asyncio.sleep(0.01)
            fleet.federation.request_stop()
            assert (await running).round == 0
            board = VirtualBoard("b0", blobs(0, 5000), clock=fleet.clock)
            fleet.add(board)
            running = asyncio.create_task(fleet.run(1))
            await fleet.until(RoundStarted)
            fleet.federation.request_stop()
            fleet.federation.request_stop()
            result = await running
            assert result.round == 0
            assert result.stopped

    asyncio.run(body())


@pytest.mark.parametrize("strategy", [EXACT, SPARSE], ids=["exact", "sparse"])
def test_resume_goes_on_bit_identically(tmp_path, strategy):
    folder = tmp_path / "twice"

    async def twice():
        async with Fleet(folder, 2, strategy=strategy) as fleet:
            await fleet.run(2)
            boards = fleet.boards
        async with Fleet(folder, 2, strategy=strategy, boards=boards, resume=True) as fleet:
            assert fleet.of(Note)[0].text == "resumed after round 2"
            return await fleet.run(5)

    clean, _ = play(tmp_path / "clean", 5, n_boards=2, strategy=strategy)
    assert asyncio.run(twice()).params == clean.params


def test_resume_of_another_model_or_strategy_says_so(tmp_path):
    play(tmp_path, 1, n_boards=1)
    with pytest.raises(DataError, match="this run is of the model 12-10-4 fedboard"):
        play(tmp_path, 1, n_boards=1, spec=Spec((12, 9, 4)), resume=True)
    other = strategies.make("tifed-full", {})
    with pytest.raises(DataError, match="this run is of strategy fedavg"):
        play(tmp_path, 1, n_boards=1, strategy=other, resume=True)


def test_a_start_model_is_what_boards_start_from(tmp_path):
    params = array("h", [(i * 37) % 200 - 100 for i in range(SPEC.n_params)])

    async def body():
        async with Fleet(tmp_path, 1, start=params) as fleet:
            await fleet.until(BoardJoined)
            assert fleet.federation.checkpoint.params == params
            return await fleet.run(1)

    assert asyncio.run(body()).params != params


def test_a_crash_in_a_view_is_not_swallowed(tmp_path):
    async def body():
        async with Fleet(tmp_path, 1) as fleet:

            def view(event):
                if isinstance(event, UpdateReceived):
                    raise RuntimeError("the view is broken")

            fleet.federation._state.on_event = view
            await fleet.run(1)

    with pytest.raises(RuntimeError, match="the view is broken"):
        asyncio.run(body())


def test_select_asks_some_of_the_boards(tmp_path):
    result, fleet = play(tmp_path, 6, n_boards=4, policy=Policy(4, n_select=2, quorum=2))
    asked = [r.boards for r in fleet.of(RoundStarted)]
    assert all(len(boards) == 2 for boards in asked)
    assert len(set(asked)) > 1
    assert result.round == 6
