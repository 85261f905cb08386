"""The last few model versions, so that a board gets only what changed since the one it holds.

A board's base is known by version and digest: a version may have two models, the one that boards
learn from and the one to use (see checkpoints), and a board may hold either. A delta is made once
for all boards that need it, in a thread, since it takes a while for a large model.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import OrderedDict
from collections.abc import Iterator

from fedboard import delta, rebase, wire
from fedboard.model import Spec

_KEPT_BYTES = 4_000_000
_CHUNK_HEAD = 4  # messages.Chunk's offset


class History:
    """n_kept: models; 0: as many as 4 MB hold, 8 to 64."""

    def __init__(self, spec: Spec, n_kept: int = 0) -> None:
        self.spec = spec
        self._n_kept = n_kept or n_usual(spec)
        self._models: OrderedDict[tuple[int, bytes], array[int]] = OrderedDict()
        self._transfers: dict[bytes, asyncio.Task[tuple[int, bytes, bytes]]] = {}
        self.version = 0
        self.digest = b""
        self.params: array[int] = array("h")

    def add(self, version: int, params: array[int]) -> None:
        """A new current model; the oldest one beyond n_kept is forgotten."""
        self.version = version
        self.digest = self.spec.digest(params)
        self.params = params
        self._models[version, self.digest] = params
        while len(self._models) > self._n_kept:
            self._models.popitem(last=False)
        self._transfers.clear()

    def is_current(self, version: int, digest: bytes) -> bool:
        return version == self.version and digest == self.digest

    async def transfer(self, version: int, digest: bytes) -> tuple[int, int, bytes, bytes]:
        """(base, encoding, meta, data) that takes a board from its base to the current model.

        base 0: it is dense. Unknown bases, and those of another run, get it dense.
        """
        old = self._models.get((version, digest))
        key = digest if old is not None else b""
        task = self._transfers.get(key)
        if task is None:
            task = asyncio.create_task(
                asyncio.to_thread(delta.encode_delta, self.spec, old, self.params)
            )
            self._transfers[key] = task
        encoding, meta, data = await asyncio.shield(task)
        return (version if encoding == rebase.SPARSE else 0), encoding, meta, data


def n_usual(spec: Spec) -> int:
    """How many models of this shape are kept."""
    return min(64, max(8, _KEPT_BYTES // (2 * spec.n_params)))


def pieces(data: bytes) -> Iterator[bytes]:
    """`data` in pieces that fill a CHUNK each."""
    at = 0
    while at < len(data):
        n = wire.fit(data[at : at + wire.MAX_PAYLOAD], _CHUNK_HEAD)
        yield data[at : at + n]
        at += n
