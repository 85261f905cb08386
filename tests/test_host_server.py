"""Whole federations in one process: real sessions, real boards' code, bad cables, bad manners."""

from __future__ import annotations

import asyncio
from array import array

import pytest

from fedboard import DataError, messages
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
from fedboard_host.links.memory import Faults, pair
from fedboard_host.rounds import Policy
from fedboard_host.virtual import VirtualBoard
from federations import EXACT, SPARSE, SPEC, TIFED, Fleet, accuracy, blobs

KEY = bytes(range(32))
BAD_CABLE = Faults(seed=3, loss=0.06, corrupt=0.06, duplicate=0.06, reorder=0.03)
STRATEGIES = {
    "exact": (SPEC, EXACT),
    "sparse": (SPEC, SPARSE),
    "tifed-full": (TIFED, strategies.make("tifed-full", {"batch": 4, "rate": 64})),
    "tifed-single-layer": (TIFED, strategies.make("tifed-single-layer", {"batch": 4, "rate": 64})),
}


def play(folder, n_rounds=4, **options):
    async def body():
        async with Fleet(folder, **options) as fleet:
            return await fleet.run(n_rounds), fleet

    return asyncio.run(body())


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


class Puppet:
    """A board whose words the test puts into its mouth."""

    def __init__(self, name="puppet", n_samples=9, n_in=12):
        import os

        from fedboard.node import Identity, Node

        status = messages.Status(n_samples=n_samples, n_in=n_in)
        self.node = Node(Identity(name, name.encode()), None, os.urandom, lambda: status)
        self.host, self.end = pair("puppet")
        self.heard = []
        self._now = 0

    async def run(self):
        self.node.open(0)
        while True:
            self._now += 50
            await self.end.write(self.node.outgoing(self._now))
            try:
                async with asyncio.timeout(0.01):
                    data = await self.end.read()
            except TimeoutError:
                continue
            if not data:
                return
            self.heard += self.node.receive(data, self._now)

    async def hear(self, kind):
        async with asyncio.timeout(10):
            while True:
                for message in self.heard:
                    if isinstance(message, kind):
                        self.heard.remove(message)
                        return message
                await asyncio.sleep(0.005)

    def update(self, data, **begin):
        self.node.transfer(messages.Begin(what=messages.UPDATE, **begin), [data])


def with_puppet(folder, body, **options):
    async def wrapped():
        async with Fleet(folder, 1, policy=Policy(2, quorum=1), **options) as fleet:
            puppet = Puppet()
            task = asyncio.create_task(puppet.run())
            fleet.federation.add_link(puppet.host)
            running = asyncio.create_task(fleet.run(1))
            try:
                return await body(fleet, puppet, await puppet.hear(messages.Task), running)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    return asyncio.run(wrapped())


def good_update():
    """An update of all layers that changes nothing."""
    return bytes([3]) + bytes([0, 0, 0, 4, 0]) * 2, b""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"round": 2}, "it is of round 2, round 1 is open"),
        ({"version": 9}, "it is on model 9, this round is on 1"),
        ({"n_samples": 0}, "a weight of 0 samples cannot be"),
        ({"n_samples": 1 << 30}, "a weight of 1073741824 samples cannot be"),
        ({"meta": b"\x01" + bytes([0, 0, 0, 4, 0])}, "update of layers 0x01"),
        ({"meta": b"\x07" + bytes(15)}, "update of layers 0x07"),
        ({"meta": b"\x03" + bytes([255, 255, 255, 4, 0]) * 2}, "cannot have"),
        ({"meta": b""}, "update"),
        ({"data": bytes(50)}, "update of 50 bytes"),
    ],
)
def test_a_bad_update_is_refused_with_its_reason(tmp_path, change, why):
    async def body(fleet, puppet, task, running):
        meta, data = good_update()
        begin = {"round": task.round, "version": task.version, "n_samples": 9, "meta": meta}
        begin.update(change)
        puppet.update(begin.pop("data", data), **begin)
        refused = await puppet.hear(messages.Refused)
        assert why in refused.reason
        received = await fleet.until(UpdateReceived, board="puppet")
        assert not received.accepted
        assert why in received.reason
        if set(change) & {"round", "version", "n_samples"}:  # a good one may follow
            puppet.update(data, round=1, version=1, n_samples=9, meta=meta)
            await puppet.hear(messages.Accepted)
        return await running

    assert with_puppet(tmp_path, body).round == 1


def test_the_same_update_twice_counts_once(tmp_path):
    async def body(fleet, puppet, task, running):
        meta, data = good_update()
        for _ in range(3):
            puppet.update(data, round=1, version=1, n_samples=9, meta=meta)
            while puppet.node.transferring or not puppet.node.channel.idle:
                await asyncio.sleep(0.01)
        await puppet.hear(messages.Accepted)
        await running
        # And late, when the round is closed.
        puppet.update(data, round=1, version=1, n_samples=9, meta=meta)
        while puppet.node.transferring or not puppet.node.channel.idle:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert not any(isinstance(m, messages.Refused) for m in puppet.heard)
        return fleet

    fleet = with_puppet(tmp_path, body, n_samples=300)
    assert len(fleet.of(UpdateReceived, board="puppet")) == 1


def test_a_stale_update_is_refused_when_its_round_is_closed(tmp_path):
    async def body(fleet, puppet, task, running):
        puppet.node.send(messages.Error(code=messages.NO_MEMORY, round=1, text="no room"))
        await running
        meta, data = good_update()
        puppet.update(data, round=1, version=1, n_samples=9, meta=meta)
        return (await puppet.hear(messages.Refused)).reason

    assert with_puppet(tmp_path, body) == "round 1 is closed"


def test_a_board_that_cannot_does_not_hold_up_the_round(tmp_path):
    async def body(fleet, puppet, task, running):
        puppet.node.send(messages.Error(code=messages.NO_MEMORY, round=1, text="no room"))
        await running
        assert fleet.of(BoardState, board="puppet", state="failed")[0].detail == "no room"
        assert fleet.of(Note, board="puppet")[0].text == "puppet: no room"
        return fleet

    assert with_puppet(tmp_path, body).of(RoundClosed)[0].n_updates == 1


def test_a_model_that_does_not_arrive_is_sent_again_but_not_for_ever(tmp_path):
    async def body(fleet, puppet, task, running):
        for _ in range(3):
            begin = await puppet.hear(messages.Begin)
            assert begin.encoding == 0
            puppet.node.send(messages.Error(code=messages.BAD_MODEL, round=1, text="digest"))
        await fleet.until(BoardState, board="puppet", state="failed")
        return await running

    assert with_puppet(tmp_path, body).round == 1


@pytest.mark.parametrize(
    "message",
    [
        messages.Begin(what=messages.MODEL),
        messages.Begin(what=messages.UPDATE, n_bytes=1 << 30),
        messages.Chunk(offset=5, data=b"x"),
        messages.End(),
    ],
)
def test_a_board_that_breaks_the_protocol_is_cut_off_and_the_others_go_on(tmp_path, message):
    async def body(fleet, puppet, task, running):
        puppet.node.send(message)
        note = await fleet.until(Note, level="warning", board="puppet")
        assert "broke the protocol" in note.text
        assert puppet.end.closed
        fleet.add(VirtualBoard("b1", blobs(1, 20), clock=fleet.clock))
        return await running

    policy = Policy(2, quorum=1, deadline_ms=2000)

    async def wrapped():
        async with Fleet(tmp_path, 1, policy=policy) as fleet:
            puppet = Puppet()
            task = asyncio.create_task(puppet.run())
            fleet.federation.add_link(puppet.host)
            running = asyncio.create_task(fleet.run(1))
            result = await body(fleet, puppet, await puppet.hear(messages.Task), running)
            task.cancel()
            return result

    assert asyncio.run(wrapped()).round == 1


def test_noise_and_text_before_and_within_a_session_do_no_harm(tmp_path):
    import random

    async def body():
        rng = random.Random(5)
        async with Fleet(tmp_path, 2, n_samples=200) as fleet:
            running = asyncio.create_task(fleet.run(3))
            while not running.done():
                end = fleet.boards[0]._end
                if end is not None and not end.closed:
                    end._peer._take(b"\r\n>>> " + rng.randbytes(rng.randrange(1, 400)))
                    end._take(rng.randbytes(rng.randrange(1, 300)))
                await asyncio.sleep(0.005)
            return await running

    clean, _ = play(tmp_path / "clean", 3, n_boards=2, n_samples=200)
    assert asyncio.run(body()).params == clean.params


def test_a_flood_on_one_link_does_not_stop_the_others(tmp_path):
    async def body():
        async with Fleet(tmp_path, 2) as fleet:
            host, end = pair("flood")
            fleet.federation.add_link(host)
            done = asyncio.Event()

            async def flood():
                while not done.is_set():
                    await end.write(b"\x7e\x10junk" * 5000)
                    await asyncio.sleep(0)

            flooding = asyncio.create_task(flood())
            result = await fleet.run(3)
            done.set()
            end.cut()
            await flooding
            return result

    clean, _ = play(tmp_path / "clean", 3, n_boards=2)
    assert asyncio.run(body()).params == clean.params


def test_a_link_that_takes_nothing_does_not_stop_the_others(tmp_path):
    async def body():
        async with Fleet(tmp_path, 2) as fleet:
            host, _end = pair("stuck")

            async def never(data):
                await asyncio.Event().wait()

            host.write = never
            fleet.federation.add_link(host)
            return await fleet.run(2)

    assert asyncio.run(body()).round == 2


def test_a_silent_board_is_dropped(tmp_path):
    async def body():
        async with Fleet(tmp_path, 1, dead_ms=8000) as fleet:
            puppet = Puppet()
            task = asyncio.create_task(puppet.run())
            fleet.federation.add_link(puppet.host)
            await fleet.until(BoardJoined, board="puppet")
            task.cancel()  # the cable stays
            left = await fleet.until(BoardLeft, board="puppet")
            assert left.reason.startswith("silent for")

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

            fleet.federation._conductor._on_event = view
            await fleet.run(1)

    with pytest.raises(RuntimeError, match="the view is broken"):
        asyncio.run(body())


def test_boards_without_samples_or_of_another_size_are_not_asked(tmp_path):
    async def body():
        async with Fleet(tmp_path, 1) as fleet:
            for name, n_samples, n_in in (("empty", 0, 12), ("other", 9, 11)):
                puppet = Puppet(name, n_samples, n_in)
                task = asyncio.create_task(puppet.run())
                fleet._tasks.append(task)
                fleet.federation.add_link(puppet.host)
                await fleet.until(BoardJoined, board=name)
            await fleet.run(1)
            assert fleet.of(RoundStarted)[0].boards == ("b0",)

    asyncio.run(body())


def test_select_asks_some_of_the_boards(tmp_path):
    result, fleet = play(tmp_path, 6, n_boards=4, policy=Policy(4, n_select=2, quorum=2))
    asked = [r.boards for r in fleet.of(RoundStarted)]
    assert all(len(boards) == 2 for boards in asked)
    assert len(set(asked)) > 1
    assert result.round == 6
