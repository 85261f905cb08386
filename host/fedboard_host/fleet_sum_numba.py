# mypy: ignore-errors
"""What a fleet's boards have learned, added up in one pass: compiled by numba (extra `fast`)."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from fedboard_host.rows_numba import add_to

# numba keeps these loops while this file stays the same. With them are compiled:
# rows_numba 39bd4fbb
_compiled = numba.njit(cache=True, nogil=True)


@_compiled
def sum_changes(start: Any, own: Any, sizes: Any, out: Any) -> None:
    """out int64 (n_params,) = the sum of own (boards, n_params) - start (n_params,).

    It is in model.Spec's order: eight of a row at a time, as they share a line of the cache.
    """
    at = 0
    for l in range(len(sizes) - 1):
        n_in, n_out = sizes[l], sizes[l + 1]
        weights = out[at : at + n_in * n_out].reshape(n_out, n_in)
        sums = np.empty((8, n_out), np.int32)
        for first in range(0, n_in + 1, 8):
            n = min(8, n_in + 1 - first)
            for k in range(n):
                here = at + (first + k) * n_out
                for j in range(n_out):
                    sums[k, j] = -len(own) * start[here + j]
                for b in range(len(own)):
                    add_to(sums[k], own[b, here : here + n_out])
            n_weights = min(n, n_in - first)
            for j in range(n_out):
                for k in range(n_weights):
                    weights[j, first + k] = sums[k, j]
        end = at + n_in * n_out
        for j in range(n_out):
            out[end + j] = sums[n_in % 8, j]
        at = end + n_out


def warm_up() -> None:
    """Compile it now, for the types that are used: or load what has been before."""
    words = np.zeros((1, 4), np.int16)
    sum_changes(words[0], words, np.ones(3, np.int64), np.zeros(4, np.int64))
