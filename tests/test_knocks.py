"""A board that was long busy, or is slow to start, and the hosts that knock meanwhile."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

import device_lab
from fedboard import messages, wire
from fedboard.hub import Hub, Joined, Left
from fedboard.node import Identity, Node, Opened
from fedboard_device import config, link, runner, system
from fedboard_host import discover, links
from fedboard_host.clock import Clock
from fedboard_host.connection import Connection
from test_session import KEY, make_hub, make_node

keys = pytest.mark.parametrize("key", [KEY, None])


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


def opened(peer):
    peer.open(0)
    return peer


@keys
def test_a_welcome_to_an_older_hello_is_noise(key):
    """The board was reset while it was on its way."""
    hub, node = opened(make_hub(key)), opened(make_node(key))
    hub.outgoing(0)
    hub.receive(node.outgoing(0), 0)
    late = hub.outgoing(0)
    node = opened(make_node(key, seed=9))
    hello = node.outgoing(0)
    assert node.receive(late, 0) == []
    assert node.channel.n_bad == 1
    hub.receive(hello, 0)
    assert [type(e) for e in node.receive(hub.outgoing(0), 0)] == [Opened]
    assert [type(e) for e in hub.receive(node.outgoing(0), 0)] == [Joined]


@keys
def test_a_status_to_another_hosts_welcome_joins_nobody(key):
    """Both heard the same HELLO, before they knocked; the first was killed then."""
    killed, hub, node = opened(make_hub(key)), opened(make_hub(key, 7)), opened(make_node(key))
    hello = node.outgoing(0)
    killed.receive(hello, 0)
    node.receive(killed.outgoing(0), 0)
    hub.receive(hello, 0)
    assert hub.receive(node.outgoing(0), 0) == []
    assert node.receive(hub.outgoing(0), 0) == []  # its KNOCK, and a WELCOME to the old HELLO
    seen = []
    for now_ms in range(0, 100, 20):
        seen += hub.receive(node.outgoing(now_ms), now_ms)
        node.receive(hub.outgoing(now_ms), now_ms)
    assert [type(e) for e in seen] == [Joined]


class Cable:
    """Bytes stay in order; what is under way arrives even if who sent it has been reset since."""

    def __init__(self, key, seed):
        self.rng = random.Random(seed)
        self.key = key
        self.now_ms = 0
        self.down, self.up = [], []
        self.n_starts = 0  # of the board
        self.sessions = {}  # that a board has opened: in which of its starts
        self.start_board()
        self.start_host()

    def start_board(self):
        self.n_starts += 1
        self.node = Node(Identity("b", b"u", 2), self.key, self.rng.randbytes, self.on_opened)
        self.node.open(self.now_ms)

    def on_opened(self):
        self.sessions[self.node.channel.bond] = self.n_starts
        return messages.Status()

    def start_host(self):
        self.hub = Hub(self.key, self.rng.randbytes)
        self.hub.open(self.now_ms)

    def knock_anew(self):
        self.hub.open(self.now_ms)

    def wait(self):
        self.now_ms += self.rng.choice([20, 100, 500, 1000])

    def write(self):
        for peer, flight in ((self.hub, self.down), (self.node, self.up)):
            if self.rng.random() < 0.5:
                said = peer.outgoing(self.now_ms).split(wire.FLAG)
                flight += [wire.FLAG + frame + wire.FLAG for frame in said if frame]

    def take(self, flight):
        n = min(len(flight), self.rng.choice([1, 2, 9]))
        frames = flight[:n]
        del flight[:n]
        return frames

    def hear(self):
        if self.rng.random() < 0.5:
            for event in self.node.receive(b"".join(self.take(self.down)), self.now_ms):
                assert isinstance(event, Opened), event.reason
        for frame in self.take(self.up):
            for event in self.hub.receive(frame, self.now_ms):
                if isinstance(event, Joined):
                    assert self.hub.channel.bond in self.sessions
                    self.start_joined = self.sessions[self.hub.channel.bond]
                elif isinstance(event, Left):
                    assert self.start_joined != self.n_starts, "it started over for nothing"

    def turn(self):
        rare = self.rng.choice([self.start_board, self.start_host, self.knock_anew])
        act = self.rng.choices([rare, self.wait, self.write, self.hear], [1, 2, 4, 4])[0]
        act()

    @property
    def agrees(self):
        return self.hub.joined and self.hub.channel.bond == self.node.channel.bond


@keys
def test_nobody_joins_a_session_of_others_whoever_starts_when(key):
    n_sessions = 0
    for seed in range(60):
        cable = Cable(key, seed)
        for _ in range(150):
            cable.turn()
        n_sessions += len(cable.sessions)
        for _ in range(99):  # left in peace, they find each other
            cable.now_ms += 20
            cable.write()
            cable.hear()
        assert cable.agrees, seed
    assert n_sessions > 200


def test_a_board_does_not_take_what_was_said_to_an_earlier_start(micropython, tmp_path):
    """A host's WELCOME to that comes between HELLO and the KNOCKs of who is there now."""
    left, earlier = knocking(), opened(make_node(None, name="lab"))
    left.outgoing(0)
    left.receive(earlier.outgoing(0), 0)
    welcome = left.outgoing(0)
    with device_lab.Process([*micropython, "-X", "heapsize=256k"], tmp_path, {}) as board:
        host = device_lab.Host(board.stream)
        late, heard = [], []
        host.mangle_out = lambda data: late.append(data) or b""
        while host.hub.hello is None:
            host.turn()
        board.stream.write(welcome)
        host.mangle_in = lambda data: heard.append(data) or data
        while b"".join(heard).count(wire.FLAG) < 2:  # HELLO again; or STATUS, if it was misled
            host.turn()
        host.mangle_out = bytes
        board.stream.write(b"".join(late))
        host.until(Joined)
        host.hub.send(messages.Ping())
        host.idle()
    assert [type(event) for event in host.seen] == [Joined]


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


@pytest.mark.parametrize("answers", [True, False])
def test_a_board_is_not_started_that_answers_or_goes_at_the_last_moment(monkeypatch, answers):
    """The host has just decided to start it: that would end a program which runs."""

    class Port(links.Link):
        can_start = True

        def __init__(self) -> None:
            self.inbox: asyncio.Queue[bytes] = asyncio.Queue()

        async def read(self) -> bytes:
            return await self.inbox.get()

        async def write(self, data: bytes) -> None: ...

        async def close(self) -> None: ...

        async def start_board(self) -> str:
            raise AssertionError("its program runs, or it is gone")

    class Owner:
        async def on_event(self, connection: Connection, event: object) -> None: ...
        def on_note(self, level: str, text: str, board: str = "") -> None: ...

    async def work():
        port = Port()
        connection = Connection(port, make_hub(None), Clock(), Owner())
        n_watches = 0

        async def watch(patience: int = 1) -> str:
            nonlocal n_watches
            n_watches += 1
            if answers and n_watches == 1:
                port.inbox.put_nowait(opened(make_node(None)).outgoing(0))
                while connection.hub.hello is None:
                    await asyncio.sleep(0)
            else:
                port.inbox.put_nowait(b"")
                while not port.inbox.empty():
                    await asyncio.sleep(0)
            return ""

        monkeypatch.setattr(connection, "_watch", watch)
        return await connection.serve(), n_watches

    assert asyncio.run(work()) == ("link closed", 2 if answers else 1)
