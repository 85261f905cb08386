"""One link at work: bytes to the Hub, the Hub's to the link, and the board's start if it is mute.

Two tasks a link: one reads and feeds, in small slices, so that a flood on one link leaves the
others their time; one writes, woken when there is something to say and otherwise at the pace of
the protocol's timers. `on_event` is awaited before more is read: nothing piles up.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

from fedboard import WireError
from fedboard.hub import Hub
from fedboard_host.clock import Clock
from fedboard_host.links import Link

_SLICE = 512  # bytes fed at a time
_BUSY_MS = 50  # between looks at the timers while something is unacknowledged
_IDLE_MS = 500
START_AFTER_MS = 3000  # of silence: then the board's program is started
_MAX_STRANGER_BYTES = 8192  # from a network link before its board has joined


class Owner(Protocol):
    async def on_event(self, connection: Connection, event: object) -> None: ...
    def on_note(self, level: str, text: str, board: str = "") -> None: ...


class Connection:
    """serve() until the link closes."""

    def __init__(self, link: Link, hub: Hub, clock: Clock, owner: Owner) -> None:
        self.link = link
        self.hub = hub
        self.board = ""  # its name, once it has joined
        self.barred = False  # turned away: nothing it says counts
        self._clock = clock
        self._owner = owner
        self._wake = asyncio.Event()
        self._paused = False
        self._closing = False

    @property
    def joined(self) -> bool:
        return self.hub.joined and not self.barred and not self._closing

    @property
    def bytes_in(self) -> int:
        return self.hub.channel.bytes_in

    @property
    def bytes_out(self) -> int:
        return self.hub.channel.bytes_out

    def wake(self) -> None:
        """There is something to send."""
        self._wake.set()

    async def serve(self) -> str:
        """Returns why it ended."""
        self.hub.open(self._clock.now_ms())
        writer = asyncio.create_task(self._write())
        reader = asyncio.create_task(self._read())
        starter = asyncio.create_task(self._watch()) if self.link.can_start else None
        try:
            while True:
                tasks = {reader, writer} | ({starter} if starter else set())
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done - {starter}:
                    return task.result() or ""
                assert starter is not None
                starter.result()
                patience = 1
                if self.hub.hello is None:  # else it has answered after all, just now
                    self._paused = True
                    await _cancel(reader)
                    problem = await self.link.start_board()
                    if problem:
                        self._owner.on_note("warning", problem)
                    self._paused = False
                    self.hub.open(self._clock.now_ms())
                    reader = asyncio.create_task(self._read())
                    patience = 10 if problem else 5
                starter = asyncio.create_task(self._watch(patience))
        finally:
            self._closing = True
            for task in {reader, writer} | ({starter} if starter else set()):
                await _cancel(task)
            await self.link.close()

    async def close(self) -> None:
        """Write what is queued, as far as it goes at once, and close; serve() then returns."""
        self._closing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self.link.write(self.hub.outgoing(self._clock.now_ms()))
        await self.link.close()
        self.wake()

    async def _read(self) -> str:
        while data := await self.link.read():
            for at in range(0, len(data), _SLICE):
                try:
                    events = self.hub.receive(data[at : at + _SLICE], self._clock.now_ms())
                except WireError as error:
                    return f"broke the protocol: {error}"
                for event in events:
                    await self._owner.on_event(self, event)
                    if self._closing:
                        return ""
                self.wake()  # an acknowledgement is due, or room for more
                await asyncio.sleep(0)
            stranger = self.link.is_network and not self.hub.joined
            if stranger and self.bytes_in > _MAX_STRANGER_BYTES:
                return "sent too much before it proved its key"
        words = self.link.last_words()
        return "link closed" + (f", its last words: {words.splitlines()[-1]}" if words else "")

    async def _write(self) -> str:
        while not self._closing:
            if not self._paused:
                data = self.hub.outgoing(self._clock.now_ms())
                if data:
                    await self.link.write(data)
            busy = not self.hub.channel.idle or self.hub.transferring or not self.hub.joined
            await self._clock.wait(self._wake, _BUSY_MS if busy else _IDLE_MS)
        return ""

    async def _watch(self, patience: int = 1) -> str:
        """Return when the board has not answered for too long."""
        while True:
            opened_ms = self._clock.now_ms()
            await asyncio.sleep(self._clock.seconds(START_AFTER_MS * patience))
            silent_ms = self._clock.now_ms() - max(self.hub.heard_ms, opened_ms)
            if self.hub.hello is None and silent_ms >= START_AFTER_MS * patience:
                return ""


async def _cancel(task: asyncio.Task[str]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
