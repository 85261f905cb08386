"""Errands: one board is asked directly, outside of any round: adapt, evaluate, forget.

    async with Errand(await links.parse("serial:/dev/ttyACM0").open()) as board:
        found = await board.ask(Task(op=ADAPT, shots=5, n_max=50, batch=1, flags=KEEP))
        found = await board.ask(task, spec, params, version)      on this model: it goes down first

The answer is the board's Metrics (see fedboard.personal). What the board cannot do is a DataError
with its own words; a link that fails, or a board that falls silent, is a LinkError.
"""

from __future__ import annotations

import asyncio
import os
from array import array
from collections.abc import Callable
from types import TracebackType

from fedboard import DataError, messages
from fedboard.hub import Hub, Joined, Left
from fedboard.model import Spec
from fedboard.session import Denied
from fedboard_host.clock import Clock
from fedboard_host.connection import Connection
from fedboard_host.history import pieces
from fedboard_host.links import Link, LinkError

JOIN_MS = 15_000  # a board at its prompt is started first
_LOOK_MS = 1000
_SILENT_MS = 20_000


class Errand:
    """One open link to one board; a context manager. hello, status: what it said of itself.

    on_progress: hears its PROGRESS. key: 32 bytes, where the board has one.
    """

    def __init__(
        self,
        link: Link,
        key: bytes | None = None,
        *,
        name: str = "fedboard",
        on_progress: Callable[[messages.Progress], None] | None = None,
        join_ms: int = JOIN_MS,
        clock: Clock | None = None,
    ) -> None:
        self.hello = messages.Hello()
        self.status = messages.Status()
        self._clock = clock or Clock()
        self._hub = Hub(key, os.urandom, name)
        self._connection = Connection(link, self._hub, self._clock, self)
        self._serving: asyncio.Task[str] | None = None
        self._on_progress = on_progress
        self._join_ms = join_ms
        self._changed = asyncio.Event()
        self._problem: Exception | None = None
        self._joined = False
        self._answers: list[messages.Metrics] = []  # to the last question
        self._token = 0  # of that: what else comes answers an older one

    async def __aenter__(self) -> Errand:
        self._serving = asyncio.create_task(self._connection.serve())
        try:
            await self._wait(lambda: self._joined, self._join_ms)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    async def ask(
        self,
        task: messages.Task,
        spec: Spec | None = None,
        params: array[int] | None = None,
        version: int = 0,
    ) -> messages.Metrics:
        """Have it do the task (EVALUATE, ADAPT or FORGET) and wait for its answer.

        With spec, params and version, on this model, which becomes the board's base. Its `round`,
        `version`, `digest` and `spec` are set here.
        """
        self._token += 1
        self._answers.clear()
        task.round = self._token
        send = None
        if spec is not None and params is not None:
            task.version, task.spec, task.digest = version, spec.pack(), spec.digest(params)
            if (self.status.version, self.status.digest) != (version, task.digest):
                send = params
        self._hub.send(task)
        if send is not None:
            data = bytes(send)
            begin = messages.Begin(
                what=messages.MODEL, round=task.round, version=version, n_bytes=len(data),
                digest=task.digest,
            )  # fmt: skip
            self._hub.transfer(begin, pieces(data))
            self.status.version, self.status.digest = version, task.digest
        self._connection.wake()
        await self._wait(lambda: bool(self._answers), None)
        return self._answers.pop()

    async def _wait(self, done: Callable[[], bool], at_most_ms: int | None) -> None:
        """Until done(). Raises what went wrong instead."""
        began_ms = self._clock.now_ms()
        while not done():
            if self._problem is not None:
                problem, self._problem = self._problem, None
                raise problem
            assert self._serving is not None
            link = self._connection.link.name
            if self._serving.done():
                raise LinkError(f"{link}: {self._serving.result()}")
            now_ms = self._clock.now_ms()
            if at_most_ms is not None and now_ms - began_ms > at_most_ms:
                raise LinkError(f"{link}: no board answers: is fedboard on it? See fedboard boards")
            if at_most_ms is None and self._hub.silent_ms(now_ms) > _SILENT_MS:
                raise LinkError(f"{link}: the board has fallen silent: reset it and try again")
            await self._clock.wait(self._changed, _LOOK_MS)

    async def _close(self) -> None:
        if self._hub.joined:
            self._hub.send(messages.Bye(reason="done"))
        await self._connection.close()
        if self._serving is not None:
            await self._serving

    # What the connection tells

    async def on_event(self, connection: Connection, event: object) -> None:
        if isinstance(event, Joined):
            self.hello, self.status = event.hello, event.status
            self._joined = True
        elif isinstance(event, Denied | Left):
            self._problem = LinkError(event.reason)
        elif isinstance(event, messages.Metrics) and event.round == self._token:
            self._answers.append(event)
        elif isinstance(event, messages.Error) and event.round == self._token:
            self._problem = DataError(f"{self.hello.name}: {event.text}")
        elif isinstance(event, messages.Progress) and self._on_progress is not None:
            self._on_progress(event)
        self._changed.set()

    def on_note(self, level: str, text: str, board: str = "") -> None:
        self._problem = LinkError(text)
        self._changed.set()
