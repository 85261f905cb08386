"""Two ends of a stream in memory, for virtual boards and tests; Faults make it a bad cable.

    host_end, board_end = pair()
    host_end, board_end = pair(up=Faults(seed=1, loss=0.05, corrupt=0.01))
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from fedboard_host.links import Link

MAX_PENDING = 1 << 16  # bytes that may wait to be read: a writer waits beyond that


@dataclass(frozen=True)
class Faults:
    """What happens to a stream, cut into pieces of at most `piece` bytes: chances per piece."""

    seed: int = 1
    loss: float = 0.0
    corrupt: float = 0.0  # one bit is flipped
    duplicate: float = 0.0
    reorder: float = 0.0  # the piece comes after the next one
    delay_s: float = 0.0  # each write comes in so much later; order is kept
    piece: int = 256


class MemoryLink(Link):
    """One end. Made by pair()."""

    def __init__(self, name: str, faults: Faults | None) -> None:
        self.name = name
        self._peer: MemoryLink = self
        self._faults = faults
        self._random = random.Random(faults.seed) if faults else None
        self._held = b""
        self._inbox = bytearray()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = False

    async def read(self) -> bytes:
        while not self._inbox:
            if self._closed:
                return b""
            self._readable.clear()
            await self._readable.wait()
        data = bytes(self._inbox)
        self._inbox.clear()
        self._writable.set()
        return data

    async def write(self, data: bytes) -> None:
        peer = self._peer
        while len(peer._inbox) > MAX_PENDING and not self._closed:
            peer._writable.clear()
            await peer._writable.wait()
        if self._closed:
            return
        if self._faults is None:
            peer._take(data)
            return
        data = self._spoil(data)
        if self._faults.delay_s:
            asyncio.get_running_loop().call_later(self._faults.delay_s, peer._take, data)
        else:
            peer._take(data)

    async def close(self) -> None:
        """What the other end has not read yet it can still read."""
        self._inbox.clear()
        self._shut()

    def cut(self) -> None:
        """Close both ends at once, as a pulled plug does: what was under way is lost."""
        self._inbox.clear()
        self._peer._inbox.clear()
        self._shut()

    def _shut(self) -> None:
        for end in (self, self._peer):
            end._closed = True
            end._readable.set()
            end._writable.set()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def at_end(self) -> bool:
        """Closed, and all that came has been read."""
        return self._closed and not self._inbox

    def _take(self, data: bytes) -> None:
        if data and not self._closed:
            self._inbox += data
            self._readable.set()

    def _spoil(self, data: bytes) -> bytes:
        faults, rng = self._faults, self._random
        assert faults is not None
        assert rng is not None
        out = b""
        for at in range(0, len(data), faults.piece):
            piece = data[at : at + faults.piece]
            if rng.random() < faults.loss:
                continue
            if rng.random() < faults.corrupt:
                spoilt = bytearray(piece)
                spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
                piece = bytes(spoilt)
            if rng.random() < faults.duplicate:
                piece += piece
            if rng.random() < faults.reorder and not self._held:
                self._held = piece
                continue
            out += piece + self._held
            self._held = b""
        return out


def pair(
    name: str = "memory", *, up: Faults | None = None, down: Faults | None = None
) -> tuple[MemoryLink, MemoryLink]:
    """(the host's end, the board's end). up: what happens on the way from board to host."""
    host = MemoryLink(name, down)
    board = MemoryLink(name, up)
    host._peer, board._peer = board, host
    return host, board
