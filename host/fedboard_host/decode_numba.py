# mypy: ignore-errors
"""decode's loops, compiled by numba (extra `fast`): the same results, and the same errors."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from fedboard_host.bits_numba import trailing_zeros
from fedboard_host.decode_numpy import BEYOND, CUT_SHORT

# numba keeps these loops while this file stays the same. With them are compiled:
# bits_numba 06dd22b6, decode_numpy af9c29d7
_compiled = numba.njit(cache=True, nogil=True)


def _read(words: Any, n_bits: int, table: Any, starts: Any, indices: Any, values: Any) -> int:
    """All parts of a stream: see decode_numpy.Reader. words[i]: the 64 bits from byte i on.

    `window` holds the next bits, at least 56 after each refill (Giesen's way, which needs no
    branch); behind the stream there are zeros. So an entry's only branch is for a rare long gap.
    """
    last = len(words) - 1
    at = np.int64(0)
    out = np.uint64(0)
    for row in range(len(table)):
        n, k, r, bits, shift, dense, _ = table[row]
        starts[row] = at
        if dense:
            at += n * bits
            continue
        unary = r >= 0
        r = max(r, 0)
        fixed = r + bits
        low = (np.uint64(1) << np.uint64(r)) - np.uint64(1)
        top = (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
        index = np.int64(-1)
        byte = at >> 3  # of the first bit that is not in the window
        window = words[np.uint64(min(byte, last))] >> np.uint64(at & 7)
        left = np.int64(56 - (at & 7))
        byte += 7
        for _ in range(k):
            window |= words[np.uint64(min(byte, last))] << np.uint64(left)
            byte += (63 - left) >> 3
            left |= 56
            index += 1
            if unary:
                zeros = np.int64(trailing_zeros(window | np.uint64(1) << np.uint64(63)))
                if zeros + 1 + fixed > 56:
                    at = 8 * byte - left
                    while True:
                        if at >= n_bits or index >= n:
                            return BEYOND if index >= n else CUT_SHORT
                        window = words[at >> 3] >> np.uint64(at & 7)
                        if window != 0:
                            break
                        index += (64 - (at & 7)) << r
                        at += 64 - (at & 7)
                    zeros = np.int64(trailing_zeros(window))
                    index += zeros << r
                    at += zeros + 1
                    byte = at >> 3
                    window = words[np.uint64(min(byte, last))] >> np.uint64(at & 7)
                    left = np.int64(56 - (at & 7))
                    byte += 7
                    window |= words[np.uint64(min(byte, last))] << np.uint64(left)
                    byte += (63 - left) >> 3
                    left |= 56
                else:
                    window >>= np.uint64(zeros + 1)
                    left -= zeros + 1
                    index += zeros << r
                index += np.int64(window & low)
                window >>= np.uint64(r)
            code = np.int64(window & top)
            window >>= np.uint64(bits)
            left -= fixed
            sign = -(code & 1)
            indices[out] = index
            values[out] = ((((code >> 1) + 1) ^ sign) - sign) << shift
            out += np.uint64(1)
        at = 8 * byte - left
        if index >= n:
            return BEYOND
        if at > n_bits:
            return CUT_SHORT
    return int(at) if at <= n_bits else CUT_SHORT


def _add_all(acc: Any, values: Any, weight: int) -> float:
    squares = 0.0  # exact: below 2**53
    for i in range(len(values)):
        value = np.int32(values[i])
        acc[i] += np.int64(value) * weight
        squares += np.float64(value) * np.float64(value)
    return squares


def _add_some(acc: Any, indices: Any, values: Any, weight: int) -> float:
    """Below 0 if an index is none of acc's: nothing else here looks after them."""
    n = np.uint32(len(acc))
    squares = 0.0
    for i in range(len(indices)):
        at = np.uint32(indices[i])
        if at >= n:
            return -1.0
        value = np.int32(values[i])
        acc[at] += np.int64(value) * weight
        squares += np.float64(value) * np.float64(value)
    return squares


read = _compiled(_read)
# In whatever order, as the sums are exact: several squares at a time.
_adder = numba.njit(cache=True, nogil=True, fastmath={"reassoc"})
add_all = _adder(_add_all)
add_some = _adder(_add_some)


def warm_up() -> None:
    """Compile all of it now, for the types that Decoder gives: or load what has been before."""
    words: Any = np.ndarray((2,), "<u8", bytes(9), strides=(1,))
    indices, values = np.empty((2, 0), np.int32)
    read(words, 0, np.empty((0, 7), np.int64), np.empty(0, np.int64), indices, values)
    acc = np.zeros(1, np.int64)
    for kind in (np.int32, np.int64):  # as they are, and clipped
        add_some(acc, indices, np.empty(0, kind), 1)
    for kind in (np.int16, np.int32, np.int64):
        add_all(acc, np.empty(0, kind), 1)
    for kind in (np.int8, np.int16):  # what lies in the stream as it is
        add_all(acc, np.frombuffer(bytes(2), kind)[:0], 1)
