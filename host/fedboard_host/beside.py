"""Adding up on several cores at once, in loops that release the GIL.

Each thread adds to sums of its own, which come together when a round ends: as sums are exact, it
is the same whoever adds what. Threads are begun when they are first needed, and end with Python.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

MAX_THREADS = 4  # each takes eight bytes a parameter
Answer = TypeVar("Answer")


class Beside:
    """The sums of one model's parameters that threads have beside the first one's."""

    def __init__(self, n_params: int) -> None:
        self._n_params = n_params
        self._sums: list[NDArray[np.int64]] = []
        self._is_empty = True

    def of(self, thread: int) -> NDArray[np.int64]:
        """To add to. thread: from 1 on; so many threads' sums take memory."""
        while len(self._sums) < thread:
            self._sums.append(np.zeros(self._n_params, np.int64))
        self._is_empty = False
        return self._sums[thread - 1]

    def move_to(self, acc: NDArray[np.int64]) -> None:
        """Add all to acc, and start over."""
        if not self._is_empty:
            for sums in self._sums:
                acc += sums
        self.drop()

    def drop(self) -> None:
        if not self._is_empty:
            for sums in self._sums:
                sums[:] = 0
        self._is_empty = True


@functools.cache
def n_threads() -> int:
    """One for each core that this process may use, MAX_THREADS at most."""
    if hasattr(os, "sched_getaffinity"):
        n = len(os.sched_getaffinity(0))
    else:
        n = os.cpu_count() or 1
    return min(n, MAX_THREADS)


@functools.cache
def _others() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MAX_THREADS - 1, "adding")


def at_once(jobs: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """What each of them returns: the first is done here, the others meanwhile in other threads."""
    if len(jobs) == 1:
        return [jobs[0]()]
    begun = [_others().submit(job) for job in jobs[1:]]
    try:
        first = jobs[0]()
    finally:
        wait(begun)  # whatever happens here: nobody adds to sums that others look at
    return [first, *(other.result() for other in begun)]
