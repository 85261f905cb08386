"""Talking to single boards, for a person: record, list, predict, adapt. No federation is needed.

    async for answer in talk.ask(collect.Record(label=1, n=10)):
        ...

How a Talk is come by: see reach.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from fedboard import FedboardError, messages
from fedboard.hub import Hub, Joined, Left
from fedboard.session import Denied
from fedboard_host.clock import SLOW, Clock
from fedboard_host.connection import Connection
from fedboard_host.history import pieces
from fedboard_host.links import Link

if TYPE_CHECKING:
    from fedboard_host.history import History

JOIN_S = 60.0 * SLOW  # for a board on a cable: its program may have to be started first, slowly
ANSWER_S = 30.0 * SLOW  # without any word


class TalkError(FedboardError):
    """The board cannot be reached, or cannot do what was asked: why, and what helps."""


class BrokenModel(TalkError):
    """The model did not arrive whole, or not on top of what the board has."""


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
        model: History | None = None,
        on_progress: Callable[[messages.Progress], None] | None = None,
    ) -> messages.Metrics:
        """Give it a task that ends with Metrics, and the model if it is to be of its current one.

        Of a model that it holds, and that is in the history, only what changed since is sent.
        """
        self._token += 1
        task.round = self._token
        held = self.status.version, self.status.digest
        await self._give(task, model, *held)
        while True:
            try:
                answer = await self._next(ANSWER_S)
            except BrokenModel:
                if model is None or not held[0]:
                    raise
                held = 0, b""  # its model is not what it said: all of the new one
                await self._give(task, model, *held)
                continue
            if isinstance(answer, messages.Progress) and on_progress is not None:
                on_progress(answer)
            if isinstance(answer, messages.Metrics) and answer.round == task.round:
                if model is not None:
                    self.status.version, self.status.digest = model.version, model.digest
                return answer

    async def _give(
        self, task: messages.Task, model: History | None, version: int, digest: bytes
    ) -> None:
        """Send the task, and the way to its model from the one that the board holds."""
        transfer = None
        if model is not None:
            task.version, task.digest = model.version, model.digest
            task.spec = model.spec.pack()
            if not model.is_current(version, digest):
                transfer = await model.transfer(version, digest)
        self._connection.hub.cancel()
        self.send(task)
        if model is not None and transfer is not None:
            base, encoding, meta, data = transfer
            begin = messages.Begin(
                what=messages.MODEL, round=task.round, version=model.version, base=base,
                encoding=encoding, n_bytes=len(data), digest=model.digest, meta=meta,
            )  # fmt: skip
            self._connection.hub.transfer(begin, pieces(data))
            self._connection.wake()

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
                        kind = BrokenModel if event.code == messages.BAD_MODEL else TalkError
                        raise kind(f"{self.name}: {event.text}")
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
