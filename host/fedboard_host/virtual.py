"""A virtual board: the shared Board class on in-memory links, as an asyncio task.

    board = VirtualBoard("kitchen", ArraySamples(x, y))
    federation.add_opener(board)
    task = asyncio.create_task(board.run())

The same protocol bytes and the same arithmetic as on a real one. Its link can be cut and spoilt.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from fedboard import DataError, WireError, messages
from fedboard.base import MemoryBase
from fedboard.board import Board
from fedboard.node import Identity
from fedboard_host.clock import Clock
from fedboard_host.links import Link, LinkError, Opener
from fedboard_host.links.memory import Faults, MemoryLink, pair

_SLICE_S = 0.004  # of work at a time: all boards and the host share one thread
_BUSY_MS = 20  # between looks at the protocol's timers
_IDLE_MS = 500


class ArraySamples:
    """Samples in memory. x: int8 rows (n, n_in), values -128 to 127; y: labels 0 to 255.

    Or y: rows of int16 targets, see fedboard.samples.
    """

    def __init__(self, x: Sequence[Sequence[int]], y: Sequence[Any]) -> None:
        if len(x) != len(y):
            raise DataError(f"{len(x)} samples and {len(y)} labels")
        self._rows = [array("b", [int(v) for v in row]) for row in x]
        self._labels: list[Any] = [array("h", v) if isinstance(v, Sequence) else int(v) for v in y]
        self.n_in = len(self._rows[0]) if self._rows else 0
        first = self._labels[0] if self._labels else 0
        self.n_targets = 0 if isinstance(first, int) else len(first)
        if any(len(row) != self.n_in for row in self._rows):
            raise DataError("samples of different lengths")

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, i: int, x: array[int]) -> Any:
        x[:] = self._rows[i]
        return self._labels[i]

    def append(self, x: array[int], label: int, flush: bool = True) -> None:
        self._rows.append(array("b", x))
        self._labels.append(label)
        self.n_in = len(x)

    def remove(self, label: int, n_last: int = 0) -> int:
        """Delete the samples with this label, and the last n. How many they were."""
        n = len(self)
        left = [i for i in range(n - n_last) if self._labels[i] != label]
        self._rows = [self._rows[i] for i in left]
        self._labels = [self._labels[i] for i in left]
        if not left:
            self.n_in = 0
        return n - len(left)

    def flush(self) -> None:
        """There is no flash."""


class Samples(Protocol):
    """What a board learns from: fedboard.board.Samples."""

    @property
    def n_in(self) -> int: ...
    def __len__(self) -> int: ...
    def read(self, i: int, x: array[int]) -> int | array[int]: ...


class VirtualBoard(Opener):
    """Opening it plugs it in; run() is its life. Unplugged, it goes on with its work."""

    def __init__(
        self,
        name: str,
        samples: Samples,
        *,
        key: bytes | None = None,
        uid: bytes | None = None,
        window: int = 4,
        up: Faults | None = None,
        down: Faults | None = None,
        clock: Clock | None = None,
        log: Callable[[str], None] | None = None,
        open_sensor: Callable[[], Any] | None = None,
        dial: Callable[[Link], None] | None = None,
        mask_key: bytes | None = None,
    ) -> None:
        """up, down: what the cable does to bytes to, and from, the host.

        open_sensor() makes a sensor for the board: see fedboard.collect. dial: it sleeps when it
        may, and then comes back by a call of this.
        """
        self._dial = dial
        self.name = name
        self._samples = samples
        self._key = key
        self._mask_key = mask_key
        self._identity = Identity(name, uid or hashlib.sha256(name.encode()).digest()[:8], window)
        self._faults = up, down
        self._clock = clock or Clock()
        self._log = log
        self._open_sensor = open_sensor
        self._end: MemoryLink | None = None
        self._wake = asyncio.Event()
        self._plugged = True
        self.base = MemoryBase()
        self.personal = MemoryBase()
        self.board = self._new_board()

    @property
    def link(self) -> Link:
        """A fresh cable for Federation.add_link(): once it is cut, it stays so."""
        return self._connect()

    async def open(self) -> Link:
        """A fresh cable; the old one, if any, is cut."""
        if not self._plugged:
            raise LinkError(f"{self.name} is unplugged")
        return self._connect()

    def _connect(self) -> Link:
        if self._end is not None:
            self._end.cut()
        host, self._end = pair("virtual " + self.name, up=self._faults[0], down=self._faults[1])
        self._wake.set()
        return host

    def unplug(self) -> None:
        """Cut the cable; plug() lets the host open it again."""
        self._plugged = False
        if self._end is not None:
            self._end.cut()

    def plug(self) -> None:
        self._plugged = True

    def reset(self) -> None:
        """As a press of the button, or a brown-out: RAM is lost, the base (flash) is not."""
        if self._end is not None:
            self._end.cut()
        self.board = self._new_board()

    async def run(self) -> None:
        """Be the board until cancelled."""
        while True:
            while self._end is None or self._end.at_end:
                self._work()
                if self.board.busy:
                    await asyncio.sleep(0)
                else:
                    await self._clock.wait(self._wake, _IDLE_MS)
            await self._session(self._end, self.board)

    async def _session(self, end: MemoryLink, board: Board) -> None:
        """One cable's time."""
        inbox: asyncio.Queue[bytes] = asyncio.Queue(8)
        reader = asyncio.create_task(self._read(end, inbox))
        board.open(self._clock.now_ms())
        try:
            while end is self._end and board is self.board:
                if reader.done() and inbox.empty():
                    break
                while not inbox.empty():
                    board.receive(inbox.get_nowait(), self._clock.now_ms())
                working = self._work()
                if self._dial is not None and board.rest_s and not board.busy:
                    await self._sleep(end, board)
                    break
                out = board.outgoing(self._clock.now_ms())
                if out:
                    await end.write(out)
                if working:
                    await asyncio.sleep(0)
                else:
                    waiting = _BUSY_MS if board.busy else _IDLE_MS
                    waiting = board.wait_ms(self._clock.now_ms(), waiting)
                    await self._clock.wait(self._wake, waiting)
        except WireError:
            end.cut()
        finally:
            reader.cancel()

    async def _sleep(self, end: MemoryLink, board: Board) -> None:
        seconds, board.rest_s = board.rest_s, 0
        board.node.send(messages.Bye(reason=f"asleep for {seconds} s"))
        await end.write(board.outgoing(self._clock.now_ms()))
        await end.close()
        await asyncio.sleep(self._clock.seconds(1000 * seconds))
        assert self._dial is not None
        self._dial(self._connect())

    async def _read(self, end: MemoryLink, inbox: asyncio.Queue[bytes]) -> None:
        while data := await end.read():
            await inbox.put(data)
            self._wake.set()
        self._wake.set()

    def _work(self) -> bool:
        """A slice of learning. True while there is more."""
        until_s = time.monotonic() + _SLICE_S
        while self.board.step(self._clock.now_ms()):
            if time.monotonic() > until_s:
                return True
        return False

    def _new_board(self) -> Board:
        return Board(
            self._identity, self._key, self.base, cast(Any, self._samples), os.urandom,
            firmware=f"virtual {sys.implementation.name}", log=self._log,
            personal=lambda: self.personal, open_sensor=self._open_sensor, mask_key=self._mask_key,
        )  # fmt: skip
