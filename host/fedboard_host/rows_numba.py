# mypy: ignore-errors
"""Rows of int16 and int32 in loops that numba compiles: what the fleet's compiled loops share.

A row is contiguous, so each of these loops runs in vectors. Sums are int32, and may wrap.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_compiled = numba.njit(cache=True, nogil=True)
_i32 = np.int32


@_compiled
def copy(w: Any, source: Any) -> None:
    for j in range(len(w)):
        w[j] = source[j]


@_compiled
def add_to(total: Any, w: Any) -> None:
    for j in range(len(w)):
        total[j] += w[j]


@_compiled
def add_rows(acc: Any, w: Any, which: Any, p: Any, k: int, end: int) -> None:
    """acc += p[k] * w[which[k]] and so on, up to `end`: four rows at a time."""
    while k + 4 <= end:
        w0, w1, w2, w3 = w[which[k]], w[which[k + 1]], w[which[k + 2]], w[which[k + 3]]
        p0, p1, p2, p3 = p[k], p[k + 1], p[k + 2], p[k + 3]
        for j in range(len(acc)):
            acc[j] += (
                _i32(w0[j] * p0) + _i32(w1[j] * p1)
                + _i32(w2[j] * p2) + _i32(w3[j] * p3)
            )  # fmt: skip
        k += 4
    while k < end:
        w0, p0 = w[which[k]], p[k]
        for j in range(len(acc)):
            acc[j] += _i32(w0[j] * p0)
        k += 1


@_compiled
def subtract(w: Any, change: Any, limit: int) -> None:
    for j in range(len(w)):
        w[j] = min(max(_i32(w[j] - change[j]), -limit), limit)


@_compiled
def subtract_shifted(w: Any, sums: Any, shift: int, limit: int) -> None:
    for j in range(len(w)):
        w[j] = min(max(_i32(w[j] - (sums[j] >> shift)), -limit), limit)
