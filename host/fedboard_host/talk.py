"""Talking to single boards, for a person: record, list, predict, adapt. No federation is needed.

    async with Reach(home, key) as reach:
        talk = await reach.board("kitchen")
        async for answer in talk.ask(collect.Record(label=1, n=10)):
            ...

A board is named as in home.toml, by its link (serial:PORT, a bare port, process:COMMAND), or by
the name that it gives itself when the USB ports are knocked on. A board at its prompt is started,
one on the network is waited for until it dials.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import os
from array import array
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fedboard import DataError, FedboardError, messages
from fedboard.hub import Hub, Joined, Left
from fedboard.rebase import DENSE
from fedboard.session import Denied
from fedboard_host import links
from fedboard_host.clock import Clock
from fedboard_host.connection import Connection
from fedboard_host.history import pieces
from fedboard_host.links import Link

if TYPE_CHECKING:
    from fedboard_host.config import Home
    from fedboard_host.export import Model

JOIN_S = 60.0  # for a board on a cable: its program may have to be started first, slowly
DIAL_S = 45.0  # for one on the network: it dials again after half a minute
ANSWER_S = 30.0  # without any word


class TalkError(FedboardError):
    """The board cannot be reached, or cannot do what was asked: why, and what helps."""


class Talk:
    """One board that has joined. `hello` and `status` are its own words."""

    def __init__(self, link: Link, key: bytes | None, clock: Clock, knock: bool = True) -> None:
        self.name = link.name
        self.hello: messages.Hello
        self.status: messages.Status
        self._events: asyncio.Queue[object] = asyncio.Queue()
        hub = Hub(key, os.urandom, "fedboard", knock=knock)
        self._connection = Connection(link, hub, clock, self)
        self._task = asyncio.create_task(self._serve())
        self._token = 0

    async def join(self, timeout_s: float) -> None:
        """Wait for the handshake. Raises TalkError."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while True:
                    event = await self._events.get()
                    if isinstance(event, Joined):
                        self.hello, self.status = event.hello, event.status
                        self.name = event.hello.name
                        return
                    if isinstance(event, Denied):
                        raise TalkError(event.reason)
                    if isinstance(event, TalkError):
                        raise event
        text = f"no answer from {self.name}: is the board plugged in, and fedboard on it?"
        if self._connection.hub.hello is not None:
            text = f"{self.name} says hello and no more: it has another key than this host"
        raise TalkError(text)

    async def ask(self, message: Any, timeout_s: float = ANSWER_S) -> AsyncIterator[Any]:
        """Send it with a new token; its answers, until the caller has enough of them.

        Raises TalkError for the board's Error, if it leaves, and if nothing comes for timeout_s.
        """
        self._token += 1
        message.token = self._token
        self.send(message)
        while True:
            answer = await self._next(timeout_s)
            if getattr(answer, "token", None) == self._token:
                yield answer

    async def work(
        self,
        task: messages.Task,
        model: Model | None = None,
        on_progress: Callable[[messages.Progress], None] | None = None,
    ) -> messages.Metrics:
        """Give it a task that ends with Metrics, and the model if it is to be of this one."""
        self._token += 1
        task.round = self._token
        sends = False
        if model is not None:
            task.version, task.digest = model.version, model.digest
            task.spec = model.spec.pack()
            sends = (self.status.version, self.status.digest) != (model.version, model.digest)
        self.send(task)
        if model is not None and sends:
            begin = messages.Begin(
                what=messages.MODEL, round=task.round, version=model.version, encoding=DENSE,
                n_bytes=2 * len(model.params), digest=model.digest,
            )  # fmt: skip
            self._connection.hub.transfer(begin, pieces(_little_endian(model.params)))
            self._connection.wake()
        while True:
            answer = await self._next(ANSWER_S)
            if isinstance(answer, messages.Progress) and on_progress is not None:
                on_progress(answer)
            if isinstance(answer, messages.Metrics) and answer.round == task.round:
                if model is not None:
                    self.status.version, self.status.digest = model.version, model.digest
                return answer

    def send(self, message: Any) -> None:
        """Send it, whatever the answers are. Raises TalkError if the board is gone."""
        if not self._connection.joined:
            raise TalkError(f"{self.name} is gone")
        self._connection.hub.send(message)
        self._connection.wake()

    def stop(self, message: Any) -> None:
        """Send it under the token of what goes on."""
        message.token = self._token
        self.send(message)

    async def _next(self, timeout_s: float) -> object:
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    event = await self._events.get()
                    if isinstance(event, messages.Error) and event.round == self._token:
                        raise TalkError(f"{self.name}: {event.text}")
                    if isinstance(event, Left):
                        raise TalkError(f"{self.name} has left: {event.reason}")
                    if isinstance(event, TalkError):
                        raise event
                    if isinstance(event, messages.Status):
                        self.status = event
                    return event
        except TimeoutError:
            raise TalkError(f"{self.name} has fallen silent: press its reset button") from None

    async def close(self) -> None:
        """Say BYE as far as it goes at once, and close the link."""
        if self._connection.joined:
            self._connection.hub.cancel()
            self._connection.hub.send(messages.Bye(reason="done"))
        await self._connection.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _serve(self) -> None:
        reason = await self._connection.serve()
        self._events.put_nowait(TalkError(f"{self.name}: {reason}"))

    # What Connection tells

    async def on_event(self, connection: Connection, event: object) -> None:
        self._events.put_nowait(event)

    def on_note(self, level: str, text: str, board: str = "") -> None:
        """Why its program cannot be started."""
        self._events.put_nowait(TalkError(text))


class Reach:
    """The way to boards: their links as home.toml has them, and the door for those that dial."""

    def __init__(
        self, home: Home | None, key: bytes | None, note: Callable[[str], None] | None = None
    ) -> None:
        self._home = home
        self._key = key
        self._note = note or (lambda text: None)
        self._clock = Clock()
        self._talks: list[Talk] = []
        self._listener: Any = None
        self._dialled: dict[str, Talk] = {}
        self._arrived = asyncio.Event()
        self._greeting: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Reach:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._listener is not None:
            await self._listener.close()
        for task in self._greeting:
            task.cancel()
        await asyncio.gather(*self._greeting, return_exceptions=True)
        await asyncio.gather(*(talk.close() for talk in self._talks), return_exceptions=True)

    async def board(self, name: str) -> Talk:
        """The board, joined. Raises TalkError, LinkError, DataError."""
        link = await self._link_of(name)
        if link == "network":
            return await self._wait_for(name)
        opened = await links.parse(link).open()
        if opened.is_network and self._key is None:
            await opened.close()
            raise DataError(f"{link} is on a network and needs a key: name a --key-file")
        talk = Talk(opened, self._key, self._clock)
        self._talks.append(talk)
        await talk.join(JOIN_S)
        return talk

    async def _link_of(self, name: str) -> str:
        entries = self._home.boards if self._home else ()
        for entry in entries:
            if entry.name == name:
                return entry.link
        is_com = name[:3].upper() == "COM" and name[3:].isdigit()
        if ":" in name or is_com or os.sep in name:
            return name
        if self._home is not None and self._home.listen is not None:
            return "network"  # it may dial without a [[board]]
        from fedboard_host import discover

        found = await discover.knock_on_ports(discover.serial_ports(), self._key)
        for finding in found:
            if finding.name == name:
                return finding.port
        known = sorted({e.name for e in entries} | {f.name for f in found if f.name})
        near = difflib.get_close_matches(name, known, 1)
        there = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none'}"
        raise DataError(f"no board {name}: {there} (a port will do, too: `fedboard boards`)")

    async def _wait_for(self, name: str) -> Talk:
        """A board that dials in."""
        if self._listener is None:
            await self._listen()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DIAL_S):
                while name not in self._dialled:
                    self._arrived.clear()
                    await self._arrived.wait()
                return self._dialled[name]
        others = ", ".join(sorted(self._dialled)) or "none"
        raise TalkError(
            f"{name} has not dialled in within {DIAL_S:.0f} s (others: {others}): "
            "is it on, in reach of the WiFi, and does its fedboard.json name this host?"
        )

    async def _listen(self) -> None:
        from fedboard_host.links.tcp import TcpListener, is_loopback

        home = self._home
        if home is None or home.listen is None:
            raise DataError('boards on WiFi dial in: home.toml needs [network] listen = "..."')
        if self._key is None and not is_loopback(home.listen[0]):
            raise DataError("boards on a network need a key: make one with `fedboard key`")
        self._listener = TcpListener(*home.listen, self._take)
        await self._listener.start()
        self._note(f"waiting for the board to dial {home.listen[0]}:{self._listener.port} ...")

    def _take(self, link: Link) -> None:
        talk = Talk(link, self._key, self._clock)
        self._talks.append(talk)
        task = asyncio.create_task(self._greet(talk))
        self._greeting.add(task)
        task.add_done_callback(self._greeting.discard)

    async def _greet(self, talk: Talk) -> None:
        try:
            await talk.join(JOIN_S)
        except TalkError as error:
            self._note(str(error))
            return
        self._dialled[talk.name] = talk
        self._arrived.set()


def newest_model(folder: Path) -> Model | None:
    """The newest model of the run in the folder; None if there is none yet."""
    from fedboard_host import store
    from fedboard_host.export import Model

    try:
        found = store.read_checkpoint(store.find_checkpoint(folder))
    except DataError:
        return None
    return Model(found.spec, found.version, found.result) if found.round else None


def _little_endian(params: array[int]) -> bytes:
    import numpy as np

    return np.asarray(params, "<i2").tobytes()
