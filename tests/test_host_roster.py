"""Strangers, keys, links that break, boards that sit at their prompt."""

from __future__ import annotations

import asyncio
import os

import pytest

from fedboard import PROTOCOL, DataError, messages, wire
from fedboard_host import roster
from fedboard_host.events import BoardJoined, BoardLeft, Note, RoundClosed
from fedboard_host.links import Link, LinkError, Opener, repl
from fedboard_host.links.memory import pair
from fedboard_host.links.tcp import TcpOpener
from fedboard_host.rounds import Policy
from fedboard_host.virtual import VirtualBoard
from federations import SPEC, Fleet, blobs
from prompt_board import FakeBoard

KEY = bytes(range(32))


def stranger(name="stranger", address="192.0.2.7"):
    host, end = pair(name)
    host.is_network = True
    host.address = address
    return host, end


def in_fleet(folder, body, n_boards=1, **options):
    async def wrapped():
        async with Fleet(folder, n_boards, **options) as fleet:
            return await body(fleet)

    return asyncio.run(wrapped())


async def gone(link, timeout_s=20):
    async with asyncio.timeout(timeout_s):
        while not link.closed:
            await asyncio.sleep(0.005)


def test_a_network_needs_a_key(tmp_path):
    async def body(fleet):
        host, _ = stranger()
        fleet.federation.add_link(host)
        await gone(host)
        note = await fleet.until(Note, level="error")
        assert "on a network and needs a key" in note.text
        with pytest.raises(DataError, match="need a key: make one"):
            await fleet.federation.listen("0.0.0.0", 0)
        return await fleet.run(1)

    assert in_fleet(tmp_path, body).round == 1


def test_a_stranger_that_says_nothing_is_dropped_after_a_while(tmp_path):
    async def body(fleet):
        host, _ = stranger()
        fleet.federation.add_link(host)
        await fleet.run(1)
        await gone(host)

    in_fleet(tmp_path, body, key=KEY, handshake_ms=5000)


def test_a_stranger_that_talks_too_much_is_dropped_at_once(tmp_path):
    async def body(fleet):
        for data in (b"\x00" * 10_000, b"\x7e" * 10_000, b"\x7e\x00\x7e" * 4000):
            host, end = stranger()
            fleet.federation.add_link(host)
            await end.write(data)
            await gone(host)
        return await fleet.run(1)

    assert in_fleet(tmp_path, body, key=KEY, handshake_ms=1 << 40).round == 1


def test_hellos_without_end_get_nowhere(tmp_path):
    """Each is answered, none is remembered, and the limit on a stranger's bytes ends it."""

    async def body(fleet):
        host, end = stranger()
        fleet.federation.add_link(host)
        n = 0
        while not end.closed:
            nonce = os.urandom(16)
            hello = messages.Hello(protocol=PROTOCOL, keyed=1, window=1, nonce=nonce, name="x")
            await end.write(wire.pack(messages.Hello.KIND, 0, 0, 0, 0, hello.pack()))
            await asyncio.sleep(0)
            n += 1
            assert n < 1000
        assert not fleet.of(BoardJoined, board="x")

    in_fleet(tmp_path, body, key=KEY, handshake_ms=1 << 40)


def test_strangers_are_few(tmp_path, monkeypatch):
    monkeypatch.setattr(roster, "MAX_STRANGERS", 10)

    async def body(fleet):
        one = [stranger(address="192.0.2.9")[0] for _ in range(roster.MAX_STRANGERS_EACH + 3)]
        for link in one:
            fleet.federation.add_link(link)
        await gone(one[-1])
        assert [link.closed for link in one] == [False] * 8 + [True] * 3
        others = [stranger(address=f"192.0.2.{i}")[0] for i in range(20, 25)]
        for link in others:
            fleet.federation.add_link(link)
        await gone(others[-1])
        assert [link.closed for link in others] == [False, False, True, True, True]
        return await fleet.run(1)  # boards on cables are none of them

    assert in_fleet(tmp_path, body, key=KEY, handshake_ms=1 << 40).round == 1


def test_boards_dial_in(tmp_path):
    """A virtual board behind a real socket."""

    async def body(fleet):
        port = await fleet.federation.listen("127.0.0.1", 0)
        board = VirtualBoard("wifi", blobs(3, 24), key=KEY, clock=fleet.clock)
        cable = board.link
        wire_link = await TcpOpener("127.0.0.1", port).open()
        life = asyncio.create_task(board.run())

        async def carry(source, sink):
            while data := await source.read():
                await sink.write(data)

        ways = [asyncio.create_task(carry(cable, wire_link)),
                asyncio.create_task(carry(wire_link, cable))]  # fmt: skip
        result = await fleet.run(3)
        views = {view.name: view for view in fleet.federation.boards()}
        assert views["wifi"].link.startswith("tcp 127.0.0.1")
        await wire_link.close()
        left = await fleet.until(BoardLeft, board="wifi")
        assert left.reason == "link closed"
        for task in (life, *ways):
            task.cancel()
        await asyncio.gather(life, *ways, return_exceptions=True)
        return result

    policy = Policy(2, quorum=2)
    result = in_fleet(tmp_path, body, key=KEY, policy=policy)
    assert result.round == 3


class Flaky(Opener):
    """Fails so many times, then gives what another opener gives."""

    name = "flaky"

    def __init__(self, n_failures, opener):
        self.n_failures = n_failures
        self.opener = opener
        self.n_opened = 0

    async def open(self) -> Link:
        self.n_opened += 1
        if self.n_opened <= self.n_failures:
            raise LinkError("the port is not there: plug it in")
        return await self.opener.open()


def test_a_link_that_cannot_be_opened_is_told_once_and_tried_again(tmp_path):
    async def body(fleet):
        board = VirtualBoard("late", blobs(1, 20), clock=fleet.clock)
        flaky = Flaky(4, board)
        fleet.add(board)
        fleet.federation.add_opener(flaky)
        await fleet.until(BoardJoined, board="late")
        while flaky.n_opened < 5:
            await asyncio.sleep(0.01)
        assert len(fleet.of(Note, text="the port is not there: plug it in")) == 1

    in_fleet(tmp_path, body, n_boards=0, policy=Policy(1))


def test_a_board_at_its_prompt_is_started(tmp_path):
    """No answer to the KNOCKs: raw REPL, the code, and frames on the same port."""

    async def body(fleet):
        host, end = pair("port")
        host.can_start = True
        started = []

        async def start_board():
            fake = FakeBoard(end, lambda code: None)
            task = asyncio.create_task(fake.run())
            problem = await repl.start_program(host, timeout_s=1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            started.append(fake.code)
            board = VirtualBoard("repl", blobs(1, 20), clock=fleet.clock)
            board._end = end
            fleet._tasks.append(asyncio.create_task(board.run()))
            return problem

        host.start_board = start_board
        fleet.federation.add_link(host)
        result = await fleet.run(2)
        assert started == [repl.CODE]
        return result, fleet

    result, fleet = in_fleet(tmp_path, body, n_boards=0, policy=Policy(1))
    assert result.round == 2
    assert fleet.of(BoardJoined)[0].board == "repl"


def test_a_board_that_cannot_be_started_is_told_and_asked_again(tmp_path):
    async def body(fleet):
        host, _ = pair("port")
        host.can_start = True
        n = 0

        async def start_board():
            nonlocal n
            n += 1
            return "nobody is there"

        host.start_board = start_board
        fleet.federation.add_link(host)
        await fleet.until(Note, 2, text="nobody is there")
        assert n >= 2

    in_fleet(tmp_path, body, n_boards=0, policy=Policy(1))


def test_a_board_that_answers_is_not_interrupted(tmp_path):
    async def body(fleet):
        board = VirtualBoard("b", blobs(1, 20), clock=fleet.clock)
        link = board.link
        link.can_start = True
        interrupted = []
        link.start_board = lambda: interrupted.append(1)
        fleet._tasks.append(asyncio.create_task(board.run()))
        fleet.federation.add_link(link)
        await fleet.run(1)
        await asyncio.sleep(fleet.clock.seconds(10_000))
        assert not interrupted

    in_fleet(tmp_path, body, n_boards=0, policy=Policy(1))


def test_boards_tell_what_they_are(tmp_path):
    async def body(fleet):
        await fleet.run(1)
        (view,) = fleet.federation.boards()
        assert view.name == "b0"
        assert view.link == "virtual b0"
        assert view.firmware.startswith("virtual cpython")
        assert view.n_samples == 24
        assert view.version == 1
        assert view.bytes_up > 0
        assert view.bytes_down > 2 * SPEC.n_params
        assert view.last_seen_s < 20
        fleet.boards[0].unplug()
        await fleet.until(BoardLeft)
        (view,) = fleet.federation.boards()
        assert view.state == "gone"
        seen_s = view.last_seen_s
        await asyncio.sleep(0.05)
        assert fleet.federation.boards()[0].last_seen_s > seen_s

    in_fleet(tmp_path, body)


def test_bytes_of_closed_links_stay_counted(tmp_path):
    async def body(fleet):
        await fleet.run(1)
        up = fleet.federation._roster.bytes_up
        fleet.boards[0].unplug()
        await fleet.until(BoardLeft)
        assert fleet.federation._roster.bytes_up >= up
        fleet.boards[0].plug()
        result = await fleet.run(2)
        assert fleet.federation._roster.bytes_up > up
        assert result.bytes_up >= sum(c.bytes_up for c in fleet.of(RoundClosed)[1:])

    in_fleet(tmp_path, body)


def test_a_board_on_a_cable_that_said_goodbye_is_knocked_at_again(tmp_path):
    async def body(fleet):
        await fleet.run(1)
        board = fleet.boards[0]
        board.board.node.send(messages.Bye(reason="stopped"))
        board._wake.set()
        assert (await fleet.until(BoardLeft)).reason == "stopped"
        await fleet.until(BoardJoined, 2)
        assert not fleet.of(Note, level="warning")
        return await fleet.run(2)

    assert in_fleet(tmp_path, body).round == 2


def test_what_keeps_a_board_out_is_told_once(tmp_path):
    async def body(fleet):
        fleet.add(VirtualBoard("evil", blobs(1, 20), key=bytes(32), clock=fleet.clock))
        fleet.add(VirtualBoard("open", blobs(1, 20), clock=fleet.clock))
        fleet.add(VirtualBoard("b0", blobs(1, 20), uid=b"2", key=KEY, clock=fleet.clock))
        await fleet.run(1)
        await asyncio.sleep(fleet.clock.seconds(25_000))
        notes = [note.text[:20] for note in fleet.of(Note)]
        assert sorted(notes) == [
            "board evil says hell", "board open has no ke", "two boards are calle",
        ]  # fmt: skip

    in_fleet(tmp_path, body, key=KEY)


def test_names_without_end_are_not_all_remembered(tmp_path, monkeypatch):
    """Of a board that has the key, and takes another one each time."""
    monkeypatch.setattr(roster, "MAX_MEMBERS", 2)

    async def body(fleet):
        await fleet.until_ready(2)
        fleet.add(VirtualBoard("third", blobs(9, 24), clock=fleet.clock))
        note = await fleet.until(Note, level="error")
        assert note.text.startswith("this host has met 2 boards and takes no other")
        assert sorted(fleet.federation._roster.members) == ["b0", "b1"]
        return await fleet.run(1)

    assert in_fleet(tmp_path, body, n_boards=2).round == 1
