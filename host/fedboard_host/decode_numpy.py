"""Reading updates in NumPy: the ends of gaps' zeros are looked for, the rest is done for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]  # integers, of the least type that is at hand
# (words, bits of the stream, table, starts, indices, values) -> the bit behind the last part, or an
# error below 0. table: a part's n, k, r (-1: no gaps), bits, shift, dense, at. starts: the first
# bit of each part. indices, values: of the sparse parts, one after the other.
Reader = Callable[[Numbers, int, Numbers, Numbers, Numbers, Numbers], int]

CUT_SHORT = -1
BEYOND = -2


def read(
    words: Numbers, n_bits: int, table: Numbers, starts: Numbers, indices: Numbers, values: Numbers
) -> int:
    """A Reader in NumPy."""
    at = out = 0
    bits = b""
    for row, (n, k, r, width, shift, dense, _) in enumerate(table.tolist()):
        starts[row] = at
        if dense:
            at += n * width
            continue
        if not k:
            continue
        if r < 0:
            places = np.arange(k)
            codes = fields(words, np.arange(at, at + k * width, width), width)
            at += k * width
        else:
            if not bits:
                data = words.astype(np.uint8)[: n_bits // 8]  # each word's lowest byte
                bits = np.unpackbits(data, bitorder="little").tobytes()
            fixed = 1 + r + width
            ends = _ends(bits, at, k, fixed)
            if len(ends) < k:
                return CUT_SHORT
            zeros = np.diff(ends, prepend=at - fixed) - fixed
            places = np.cumsum((zeros << r) + fields(words, ends + 1, r) + 1) - 1
            if places[-1] >= n:
                return BEYOND
            codes = fields(words, ends + 1 + r, width)
            at = int(ends[-1]) + fixed
        if at > n_bits:
            return CUT_SHORT
        magnitudes = (codes >> 1) + 1
        indices[out : out + k] = places
        values[out : out + k] = np.where(codes & 1, -magnitudes, magnitudes) << shift
        out += k
    return at if at <= n_bits else CUT_SHORT


def _ends(bits: bytes, at: int, k: int, fixed: int) -> NDArray[np.int64]:
    """Where each of k entries has the 1 that ends its zeros; fewer if the stream ends before."""
    find = bits.find
    ends = []
    for _ in range(k):
        at = find(1, at)
        if at < 0:
            break
        ends.append(at)
        at += fixed
    return np.array(ends, np.int64)


def fields(words: Numbers, starts: Numbers, width: int) -> NDArray[np.int64]:
    """The numbers of `width` bits (at most 56) that start at these bits; zeros behind the end."""
    found = words[np.minimum(starts >> 3, len(words) - 1)] >> (starts & 7).astype(np.uint64)
    numbers: NDArray[np.int64] = (found & np.uint64((1 << width) - 1)).astype(np.int64)
    return numbers
