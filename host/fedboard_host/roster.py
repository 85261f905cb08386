"""Who is here: every link's connection, every board that has proved itself, by name.

Links that we open are opened again after a break, later and later. A name belongs to one board:
its own newer link wins over its older one; another board of that name is turned away while the
first is here. Strangers on the network are few, brief, and cannot make us keep anything.
"""

from __future__ import annotations

import asyncio
import os
from typing import Protocol

from fedboard import messages
from fedboard.hub import Hub, Joined, Left
from fedboard.session import Denied
from fedboard_host.clock import Clock
from fedboard_host.connection import Connection
from fedboard_host.events import BoardJoined, BoardLeft, Event, Note
from fedboard_host.gate import MAX_WAIT_MS, Gate
from fedboard_host.links import Link, LinkError, Opener
from fedboard_host.member import Member, info_of
from fedboard_host.tasks import Tasks

MAX_STRANGERS = 128  # network links whose board has not joined yet
MAX_STRANGERS_EACH = 8  # of them from one address, unless it is this machine
_TICK_MS = 500
_KEY_HINT_MS = 3000  # after HELLO without STATUS: it is not a delay, it is the key
_FIRST_RETRY_MS = 250
_MAX_RETRY_MS = 30_000
MAX_MEMBERS = 1 << 14  # names that boards may have had since the start: each is remembered
_MAX_TOLD = 200  # different complaints about boards that are not in: strangers could make up more


class Handler(Protocol):
    """What the federation does about its members."""

    def emit(self, event: Event) -> None: ...
    def on_joined(self, member: Member) -> None: ...
    def on_left(self, member: Member) -> None: ...
    async def on_message(self, member: Member, message: object) -> None: ...
    def on_crash(self, error: BaseException) -> None: ...


class Roster:
    def __init__(
        self,
        handler: Handler,
        clock: Clock,
        key: bytes | None,
        name: str,
        max_update_bytes: int,
        dead_ms: int,
        handshake_ms: int,
    ) -> None:
        self.members: dict[str, Member] = {}
        self._handler = handler
        self._clock = clock
        self._key = key
        self._name = name
        self._max_update_bytes = max_update_bytes
        self._dead_ms = dead_ms
        self._handshake_ms = handshake_ms
        self._connections: dict[Connection, int] = {}  # and when it came up
        self._told: set[str] = set()
        self._greeted: dict[Connection, int] = {}  # since when it says hello and no more
        self._past_up = 0  # bytes of closed connections
        self._past_down = 0
        self._gate = Gate()
        self._tasks = Tasks(handler.on_crash)
        self._closing = False
        self._tasks.spawn(self._tick())

    # Links

    def add_link(self, link: Link) -> None:
        address = _stranger_address(link)
        shut = address and not self._gate.admits(address, self._clock.now_ms())
        connection = None if shut else self._admit(link)
        if connection is None:
            self._tasks.spawn(link.close())
        else:
            self._tasks.spawn(self._serve(connection))

    def add_opener(self, opener: Opener) -> None:
        self._tasks.spawn(self._keep_open(opener))

    def _admit(self, link: Link) -> Connection | None:
        if self._closing:
            return None
        if link.is_network and self._key is None:
            self.on_note(
                "error", f"{link.name} is on a network and needs a key: make one (fedboard key)"
            )
            return None
        if link.is_network:
            strangers = [c.link for c in self._connections if c.link.is_network and not c.joined]
            address = _stranger_address(link)
            same = [each for each in strangers if getattr(each, "address", "") == address]
            if len(strangers) >= MAX_STRANGERS or (address and len(same) >= MAX_STRANGERS_EACH):
                return None
        hub = Hub(self._key, os.urandom, self._name, max_update_bytes=self._max_update_bytes)
        connection = Connection(link, hub, self._clock, self)
        self._connections[connection] = self._clock.now_ms()
        return connection

    async def _serve(self, connection: Connection) -> bool:
        """Until it closes. Returns whether a board was there."""
        reason = "stopped"
        try:
            reason = await connection.serve()
        finally:
            del self._connections[connection]
            self._greeted.pop(connection, None)
            self._past_up += connection.bytes_in
            self._past_down += connection.bytes_out
            if reason.startswith("broke"):
                self.on_note("warning", f"{connection.link.name} {reason}", connection.board)
            self._leave(connection, reason)
            self._judge(connection)
        return bool(connection.board) and not connection.barred

    async def _keep_open(self, opener: Opener) -> None:
        retry_ms = _FIRST_RETRY_MS
        said = ""
        while not self._closing:
            try:
                connection = self._admit(await opener.open())
                if connection is None:
                    return
                said = ""
                if await self._serve(connection):
                    retry_ms = _FIRST_RETRY_MS
            except LinkError as error:
                if str(error) != said:
                    said = str(error)
                    self.on_note("warning", said)
            await asyncio.sleep(self._clock.seconds(retry_ms))
            retry_ms = min(2 * retry_ms, _MAX_RETRY_MS)

    def _judge(self, connection: Connection) -> None:
        """A connection from the network has ended: was there ever a board that has the key?"""
        address = _stranger_address(connection.link)
        if not address or self._closing:
            return
        if connection.board or connection.barred:
            self._gate.passed(address)
        elif self._gate.failed(address, self._clock.now_ms()):
            self._complain(
                "warning",
                f"{address} connects again and again and does not prove the key: it is not "
                f"listened to for up to {MAX_WAIT_MS // 1000} s at a time",
            )

    # Boards

    async def on_event(self, connection: Connection, event: object) -> None:
        if connection.barred:
            return
        if isinstance(event, Joined):
            self._join(connection, event)
        elif isinstance(event, Left):
            self._leave(connection, event.reason or "said goodbye")
        elif isinstance(event, Denied):
            self._complain("warning", event.reason)
        else:
            member = self.members.get(connection.board)
            if member is not None and member.connection is connection:
                await self._handler.on_message(member, event)

    def on_note(self, level: str, text: str, board: str = "") -> None:
        self._handler.emit(Note(level, text, board))

    def _complain(self, level: str, text: str, board: str = "") -> None:
        """Such boards try again and again: say it once, until a board joins."""
        if text not in self._told and len(self._told) < _MAX_TOLD:
            self._told.add(text)
            self.on_note(level, text, board)

    def _join(self, connection: Connection, joined: Joined) -> None:
        info = info_of(joined)
        member = self.members.get(info.name)
        if member is None and len(self.members) >= MAX_MEMBERS:
            text = f"this host has met {MAX_MEMBERS} boards and takes no other: start it again"
            self._bar(connection, text)
            self._complain("error", text)
            return
        if member is None:
            member = self.members[info.name] = Member(info)
        old = member.connection
        if old is not None and old is not connection and old.joined:
            if member.info.uid != info.uid:
                self._turn_away(connection, member, info.uid)
                return
            self._leave(old, "came back on another link")
            old.barred = True
            self._tasks.spawn(old.close())
        elif member.info.uid != info.uid:
            self.on_note(
                "info", f"{info.name} is another board now ({info.uid}, it was {member.info.uid})",
                info.name,
            )  # fmt: skip
        self._told = {text for text in self._told if f" {info.name} " not in f" {text} "}
        connection.board = info.name
        self._greeted.pop(connection, None)
        member.join(connection, info)
        self._handler.emit(
            BoardJoined(
                info.name, info.uid, connection.link.name, info.firmware, info.kernels,
                info.free_ram, info.n_samples, info.version,
            )
        )  # fmt: skip
        self._handler.on_joined(member)

    def _turn_away(self, connection: Connection, member: Member, uid: str) -> None:
        name = member.info.name
        self._bar(connection, f"another board is called {name}: rename one")
        where = member.connection.link.name if member.connection else "?"
        self._complain(
            "error",
            f"two boards are called {name}: {member.info.uid} on {where} stays, {uid} on "
            f"{connection.link.name} is turned away. Give one another name in its fedboard.json",
            name,
        )

    def _bar(self, connection: Connection, reason: str) -> None:
        connection.hub.send(messages.Bye(reason=reason))
        connection.barred = True
        self._tasks.spawn(connection.close())

    def _leave(self, connection: Connection, reason: str) -> None:
        member = self.members.get(connection.board)
        if member is None or member.connection is not connection:
            return
        member.last_seen_ms(self._clock.now_ms())
        member.settle_model()
        member.connection = None
        asleep = reason.startswith("asleep") and member.wakes_ms > self._clock.now_ms()
        member.state = "asleep" if asleep else "gone"
        self._handler.emit(BoardLeft(member.info.name, reason))
        self._handler.on_left(member)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._clock.seconds(_TICK_MS))
            now_ms = self._clock.now_ms()
            for connection, since_ms in list(self._connections.items()):
                hub = connection.hub
                if hub.joined:
                    if hub.silent_ms(now_ms) > self._dead_ms:
                        self._leave(connection, f"silent for {hub.silent_ms(now_ms) // 1000} s")
                        self._tasks.spawn(connection.close())
                elif connection.link.is_network and now_ms - since_ms > self._handshake_ms:
                    self._tasks.spawn(connection.close())
                elif hub.hello is not None and not connection.barred:
                    self._wait_for(connection, hub.hello.name, now_ms)

    def _wait_for(self, connection: Connection, name: str, now_ms: int) -> None:
        """A board on a cable that said hello, or goodbye, and no more."""
        waiting_ms = now_ms - self._greeted.setdefault(connection, now_ms)
        if waiting_ms > _KEY_HINT_MS and not connection.board:
            self._complain(
                "warning",
                f"board {name} says hello and no more: its key differs from this host's. "
                "Deploy it again",
                name,
            )
        if waiting_ms > self._handshake_ms:
            del self._greeted[connection]
            connection.hub.open(now_ms)  # knock anew: it may have been reset meanwhile

    @property
    def bytes_up(self) -> int:
        return self._past_up + sum(each.bytes_in for each in self._connections)

    @property
    def bytes_down(self) -> int:
        return self._past_down + sum(each.bytes_out for each in self._connections)

    async def close(self, wait_ms: int = 2000) -> None:
        """Let what is queued arrive, say BYE, close all."""
        self._closing = True
        here = [each for each in self._connections if each.joined]
        for connection in here:
            connection.hub.cancel()
            connection.hub.send(messages.Bye(reason="the host is done"))
            connection.wake()
        until_ms = self._clock.now_ms() + wait_ms
        while self._clock.now_ms() < until_ms:
            if all(each.hub.channel.idle or not each.joined for each in here):
                break
            await asyncio.sleep(0.005)
        await self._tasks.cancel()


def _stranger_address(link: Link) -> str:
    """Where a link from the network comes from; "" for cables and this machine."""
    return str(getattr(link, "address", "")) if link.is_network else ""
