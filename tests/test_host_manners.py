"""Boards and links that misbehave, in a federation in one process: the others go on."""

from __future__ import annotations

import asyncio

import pytest

from fedboard import messages
from fedboard_host.events import (
    BoardJoined,
    BoardLeft,
    BoardState,
    Note,
    RoundClosed,
    RoundStarted,
    UpdateReceived,
)
from fedboard_host.links.memory import pair
from fedboard_host.rounds import Policy
from fedboard_host.virtual import VirtualBoard
from federations import Fleet, blobs, play


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
