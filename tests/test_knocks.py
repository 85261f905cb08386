"""A board that was long busy, or is slow to start, and the hosts that knock meanwhile."""

from __future__ import annotations

import asyncio
import os

import pytest

from fedboard import messages
from fedboard.hub import Hub, Joined
from fedboard.node import Identity, Node
from fedboard_device import config, link, runner, system
from fedboard_host import discover, links


class Buffered(link.Link):
    """Its read() gives a frame at a time, as a console's does."""

    def __init__(self) -> None:
        self.waiting: list[bytes] = []
        self.written = b""

    def open(self) -> None: ...

    def close(self) -> None: ...

    def wait(self, timeout_ms: int) -> None: ...

    def read(self) -> bytes:
        return self.waiting.pop(0) if self.waiting else b""

    def write(self, data: bytes) -> None:
        self.written += data

    def take(self) -> bytes:
        """What the board has written since."""
        written, self.written = self.written, b""
        return written


@pytest.fixture
def board(tmp_path, monkeypatch):
    settings = config.Settings()
    settings.name = "kitchen"
    settings.data_dir = str(tmp_path)
    monkeypatch.setattr(system, "say", lambda text: None)
    made = runner.Runner(settings)
    made._link = Buffered()
    yield made
    made.close()


def knocking() -> Hub:
    """A program that has just opened the port."""
    hub = Hub(None, os.urandom)
    hub.open(0)
    return hub


def kinds(written: bytes) -> list[int]:
    return [frame[0] for frame in written.split(b"~") if frame]


def test_one_hello_answers_all_knocks_that_waited(board):
    board._link.waiting = [knocking().outgoing(0) for _ in range(17)]
    board._turn()
    assert kinds(board._link.take()) == [messages.Hello.KIND]
    assert not board._link.waiting


def test_a_flood_of_knocks_is_answered_nevertheless(board):
    knock = knocking().outgoing(0)
    board._link.read = lambda: knock
    board._turn()
    assert kinds(board._link.take()) == [messages.Hello.KIND]


@pytest.mark.parametrize("is_open", [False, True])
def test_a_welcome_of_a_program_that_has_left_misleads_no_other(board, is_open):
    """It must not join the board with the next program, whose KNOCK then ends that session."""
    left = knocking()
    board._turn()
    left.receive(board._link.take(), 0)
    welcome = left.outgoing(0)
    if is_open:  # with a program before both
        board._link.waiting.append(welcome)
        board._turn()
        board._link.take()
    now = knocking()
    knock = now.outgoing(0)
    board._link.waiting += [knock, knock, knock, welcome, knock]
    seen: list[object] = []
    for _ in range(20):
        board._turn()
        seen += now.receive(board._link.take(), 0)
        board._link.waiting += [data for data in [now.outgoing(0)] if data]
    assert [type(event) for event in seen] == [Joined]


def test_a_board_that_has_just_started_may_finish_its_handshake(monkeypatch):
    """Its HELLO comes at the last moment: it is here, not "denied"."""

    class Starting(links.Link):
        def __init__(self) -> None:
            self.n_reads = 0
            self.node = Node(Identity("kitchen", b"12345678"), None, os.urandom, messages.Status)
            self.node.open(0)
            self.welcomed = asyncio.Event()

        async def read(self) -> bytes:
            self.n_reads += 1
            if self.n_reads == 2:
                await asyncio.Event().wait()  # until the time is over
            if self.n_reads > 2:
                await self.welcomed.wait()
                await asyncio.sleep(3 * discover._TICK_S)
            return self.node.outgoing(0)

        async def write(self, data: bytes) -> None:
            self.node.receive(data, 0)
            if self.node.channel.open:
                self.welcomed.set()

        async def close(self) -> None:
            pass

    class Opener(links.Opener):
        async def open(self) -> links.Link:
            return Starting()

    monkeypatch.setattr(links, "parse", lambda port: Opener())
    monkeypatch.setattr(discover, "LEAST_S", 0)
    monkeypatch.setattr(discover, "HANDSHAKE_S", 60)
    asked = [discover.Finding("port")]
    (found,) = asyncio.run(discover.knock_on_ports(asked, timeout_s=0.01))
    assert (found.state, found.name) == ("here", "kitchen")
