"""Updates that wait together are added up together: which of them, in the lanes of lockstep_numba.

Updates of one Head.kind are. They need not be of one length, but then the longer end one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedboard_host.head import Head

LEAST = 6  # fewer are faster one by one
_PADDING = 32
_ALIGNED = 64  # bytes, of a vector in memory

Wire = tuple[int, int, bytes, bytes]  # an update: its weight, layers, meta and stream


class Added(NamedTuple):
    """Some updates that have been added up: which, and of what length they are."""

    members: list[int]  # of the updates that were given
    layers: list[int]
    squares: NDArray[np.int64]  # a row an update: decode.squares() of each of these layers


class Lockstep:
    """Keeps the memory that this takes from one time to the next."""

    def __init__(self) -> None:
        self._work = np.zeros(0, np.uint32)

    def add(
        self, loops: Any, acc: NDArray[np.int64], weights: Sequence[int],
        streams: Sequence[bytes], heads: dict[Head, list[int]],
    ) -> list[Added]:  # fmt: skip
        """acc[i] += weight * change, of the whole model. heads: which updates have which.

        What it does not take stays in heads: malformed updates are among it, with those that were
        in step with them.
        """
        added = []
        kinds: dict[bytes, list[Head]] = {}
        for head, members in heads.items():
            if head.kind and max([weights[i] for i in members]) <= head.max_weight:
                kinds.setdefault(head.kind, []).append(head)
        for same in kinds.values():
            same.sort(key=_length)
            waiting = [(head, i) for head in same for i in heads.pop(head)]
            for at in range(0, len(waiting), loops.N_LANES):
                some = waiting[at : at + loops.N_LANES]
                members = [i for _, i in some]
                squares = None
                if len(some) >= LEAST:
                    squares = self._add(
                        loops, acc, [head for head, _ in some],
                        [weights[i] for i in members], [streams[i] for i in members],
                    )  # fmt: skip
                if squares is not None:
                    added.append(Added(members, some[0][0].layers, squares))
                    continue
                for head, i in some:
                    heads.setdefault(head, []).append(i)
        return added

    def _add(
        self, loops: Any, acc: NDArray[np.int64], heads: list[Head], weights: list[int],
        streams: list[bytes],
    ) -> NDArray[np.int64] | None:  # fmt: skip
        """Their squares; None: one is malformed, and acc is as it was."""
        n = len(streams)
        sizes = [len(stream) for stream in streams]
        begins = [0, *accumulate(sizes[:-1])]
        most = max([head.most for head in heads])
        data = np.frombuffer(b"".join([*streams, bytes(most + _PADDING)]), np.uint8)
        for i in range(loops.N_LANES - n):  # idle lanes read what others read: it counts nothing
            begins.append(begins[i])
            sizes.append(sizes[i])
            heads.append(heads[i])
            weights.append(0)
        if heads.count(heads[0]) == len(heads):
            tables = heads[0].lanes(len(heads))
        else:
            tables = np.stack([head.table for head in heads])
        squares = np.empty(tables.shape[:2], np.int64)
        where = np.array(begins), np.array(sizes)
        counted = np.array(weights)
        if not len(self._work):
            self._work = _aligned(loops.N_WORK)
        if loops.add_streams(data, *where, tables, counted, acc, squares, self._work):
            return squares[:n]
        loops.add_streams(data, *where, tables, -counted, acc, squares, self._work)
        return None


def _length(head: Head) -> int:
    return head.n_sparse


def _aligned(n: int) -> NDArray[np.uint32]:
    """n numbers, as vectors are best in memory."""
    raw = np.zeros(4 * n + _ALIGNED, np.uint8)
    at = -raw.ctypes.data % _ALIGNED
    return raw[at : at + 4 * n].view(np.uint32)
