"""Updates that wait together are added up together: which of them, in the lanes of lockstep_numba.

Updates of one Head.kind are. They need not be of one length, but then the longer end one by one.
Where there is enough to read, several threads share the groups of sixteen (beside).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedboard_host import aligned
from fedboard_host.beside import Beside, at_once, n_threads
from fedboard_host.head import Head

LEAST = 5  # fewer are faster one by one
PAYS = 1 << 17  # bytes to read, of each thread: fewer take less time than another's beginning
_PADDING = 32

Wire = tuple[int, int, bytes, bytes]  # an update: its weight, layers, meta and stream


class Added(NamedTuple):
    """Some updates that have been added up: which, and of what length they are."""

    members: list[int]  # of the updates that were given
    layers: list[int]
    squares: NDArray[np.int64]  # a row an update: decode.squares() of each of these layers


Heads = dict[Head, list[int]]  # which updates have which
Group = list[tuple[Head, int]]  # updates for the lanes: what each says, and its place


class Lockstep:
    """Keeps the memory that this takes from one time to the next."""

    def __init__(self) -> None:
        self._works: list[NDArray[np.uint32]] = []  # each thread's

    def add(
        self, loops: Any, acc: NDArray[np.int64], weights: Sequence[int],
        streams: Sequence[bytes], heads: Heads, beside: Beside | None,
        add_others: Callable[[Heads], None],
    ) -> list[Added]:  # fmt: skip
        """acc[i] += weight * change, of the whole model. heads: which updates have which.

        Those that are not for the lanes add_others() gets, while other threads may be adding.
        What is malformed is in heads afterwards, with what was in step with it. With `beside`,
        some threads may have added to theirs, not to acc.
        """
        kinds: dict[bytes, list[Head]] = {}
        for head, members in heads.items():
            if head.kind and max([weights[i] for i in members]) <= head.max_weight:
                kinds.setdefault(head.kind, []).append(head)
        groups: list[Group] = []
        for same in kinds.values():
            same.sort(key=_length)
            waiting = [(head, i) for head in same for i in heads[head]]
            for at in range(0, len(waiting), loops.N_LANES):
                if len(waiting) - at >= LEAST:
                    groups.append(waiting[at : at + loops.N_LANES])
        n = 1
        if beside is not None and len(groups) > 1:
            n_bytes = sum([len(streams[i]) for group in groups for _, i in group])
            n = max(1, min(n_threads(), len(groups), n_bytes // PAYS))
        while len(self._works) < n:
            self._works.append(aligned.zeros(loops.N_WORK, np.uint32))
        shares: list[Callable[[], list[Added]]] = [
            functools.partial(
                _add_groups, loops, beside.of(k) if beside is not None and k else acc, weights,
                streams, groups[k::n], self._works[k],
            )
            for k in range(n)
        ]  # fmt: skip
        grouped = {i for group in groups for _, i in group}
        others = {h: [i for i in members if i not in grouped] for h, members in heads.items()}

        def first() -> list[Added]:
            added = shares[0]()
            add_others(others)
            return added

        added = [each for share in at_once([first, *shares[1:]]) for each in share]
        taken = {i for each in added for i in each.members}
        failed = grouped - taken
        for head, members in heads.items():
            heads[head] = [i for i in members if i in failed]
        return added


def _add_groups(
    loops: Any, acc: NDArray[np.int64], weights: Sequence[int], streams: Sequence[bytes],
    groups: list[Group], work: NDArray[np.uint32],
) -> list[Added]:  # fmt: skip
    """Those that are added. acc is as if there were no others, in which one is malformed."""
    added = []
    for group in groups:
        members = [i for _, i in group]
        squares = _add(
            loops, acc, [head for head, _ in group], [weights[i] for i in members],
            [streams[i] for i in members], work,
        )  # fmt: skip
        if squares is not None:
            added.append(Added(members, group[0][0].layers, squares))
    return added


def _add(
    loops: Any, acc: NDArray[np.int64], heads: list[Head], weights: list[int],
    streams: list[bytes], work: NDArray[np.uint32],
) -> NDArray[np.int64] | None:  # fmt: skip
    """Their squares; None: one is malformed, and acc is as it was."""
    n = len(streams)
    sizes = [len(stream) for stream in streams]
    begins = [0, *accumulate(sizes[:-1])]
    most = max([head.most for head in heads])
    data = np.frombuffer(b"".join([*streams, bytes(most + _PADDING)]), np.uint8)
    for i in range(loops.N_LANES - n):  # idle lanes read what others read, and add nothing
        begins.append(begins[i])
        sizes.append(sizes[i])
        heads.append(heads[i])
        weights.append(0)
    if heads.count(heads[0]) == len(heads):
        tables = heads[0].lanes(len(heads))
    else:
        tables = np.stack([head.table for head in heads])
    squares = np.empty((n, tables.shape[1]), np.int64)
    where = np.array(begins), np.array(sizes)
    counted = np.array(weights)
    if loops.add_streams(data, *where, tables, counted, acc, squares, work):
        return squares
    loops.add_streams(data, *where, tables, -counted, acc, squares, work)
    return None


def _length(head: Head) -> int:
    return head.n_sparse
