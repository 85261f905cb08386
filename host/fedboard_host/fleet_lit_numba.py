# mypy: ignore-errors
"""A layer whose inputs are mostly one value, compiled by numba: only what is not is multiplied.

With x = c + p for such a value c, as a picture's background, of which few p are not 0 ("lit"),

    forward   sum_i W[i] x[i] = c * sum_i W[i]  +  the lit W[i] p[i]        sums over all i are kept
    update    sum_s x[i, s] d[s] = c * sum_s d[s]  +  the lit p[i, s] d[s]

    find_lit(...), turn(...)    what is lit, by samples and by inputs
    forward_first(...)          the layer's sums
    update_first(...)           and its step
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from fedboard_host.rows_numba import add_rows, add_to, copy, subtract, subtract_shifted

# numba keeps these loops while this file stays the same. With them are compiled:
# rows_numba 39bd4fbb
_compiled = numba.njit(cache=True, nogil=True)
_i32 = np.int32


@_compiled
def find_lit(x: Any, c: int, starts: Any, rows: Any, values: Any) -> None:
    """Of samples x (samples, n_in): the lit inputs of sample s at starts[s] to starts[s + 1]."""
    n = 0
    n_eights = x.shape[1] >> 3
    dark = np.uint64(c & 255) * np.uint64(0x0101010101010101)
    for s in range(x.shape[0]):
        starts[s] = n
        own = x[s]
        eights = own[: 8 * n_eights].view(np.uint64)
        for k in range(n_eights + 1):
            if k < n_eights and eights[k] == dark:  # as most are
                continue
            for i in range(8 * k, min(8 * k + 8, len(own))):
                p = _i32(own[i]) - c
                rows[n] = i
                values[n] = p
                n += p != 0
    starts[x.shape[0]] = n


@_compiled
def turn(starts: Any, rows: Any, values: Any, ends: Any, who: Any, turned: Any) -> None:
    """The same by inputs: the samples that light input i end at ends[i]."""
    ends[:] = 0
    for k in range(starts[-1]):
        ends[rows[k]] += 1
    total = 0
    for i in range(len(ends)):
        n = ends[i]
        ends[i] = total
        total += n
    for s in range(len(starts) - 1):
        for k in range(starts[s], starts[s + 1]):
            at = ends[rows[k]]
            who[at] = s
            turned[at] = values[k]
            ends[rows[k]] = at + 1


@_compiled
def forward_first(
    w: Any, c: int, totals: Any, starts: Any, rows: Any, values: Any, acc: Any
) -> None:
    """acc (samples, n_out) = the sums of w (n_in + 1, n_out); totals: its sums over all inputs."""
    bias = w[-1]
    for s in range(len(starts) - 1):
        own = acc[s]
        for j in range(len(own)):
            own[j] = bias[j] + c * totals[j]
        add_rows(own, w, rows, values, starts[s], starts[s + 1])


@_compiled
def update_first(
    source: Any, is_new: bool, w: Any, c: int, totals: Any, ends: Any, who: Any, p: Any, d: Any,
    shift: int, limit: int, goes_on: bool, acc: Any, base: Any, dark: Any,
) -> None:  # fmt: skip
    """w (n_in + 1, n_out) = source - the floored sums of x d; is_new: w is another.

    totals: the sums of w over all inputs, if it goes_on and they are asked for once more.
    """
    base[:] = 0
    for s in range(len(d)):
        add_to(base, d[s])
    copy(w[-1], source[-1])
    subtract_shifted(w[-1], base, shift, limit)
    for j in range(len(base)):
        base[j] *= c
        dark[j] = base[j] >> shift
        totals[j] = 0
    k = 0
    for i in range(len(ends)):
        if is_new:
            copy(w[i], source[i])
        if k == ends[i]:
            subtract(w[i], dark, limit)
        else:
            copy(acc, base)
            add_rows(acc, d, who, p, k, ends[i])
            subtract_shifted(w[i], acc, shift, limit)
            k = ends[i]
        if goes_on:
            add_to(totals, w[i])
