# mypy: ignore-errors
"""Compiled by numba (extra `fast`): from an update's bits straight into the sums, and out of them.

    add_stream(data, n_bits, table, acc, weight, squares)    as a Reader, then decode.add
    close(acc, total, gain, limit, bits, master, sent)       a layer's end of round

Nothing is written in between: what a sparse entry costs is to find where it ends, and one addition.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from fedboard_host.bits_numba import WHOLE, number, trailing_zeros, window
from fedboard_host.decode_numpy import BEYOND, CUT_SHORT
from fedboard_host.vectors_memory_numba import load, rounded, store, store_short
from fedboard_host.vectors_numba import N_LANES, halved, in_lanes, within

_TABLE_BITS = 8  # values of so many bits are looked up
_MOST_QUICK = 1 << 22  # see _close
# numba keeps these loops while this file stays the same. With them are compiled:
# bits_numba 06dd22b6, decode_numpy af9c29d7, vectors_numba 36becedc, vectors_memory_numba 39fea8d4
_compiled = numba.njit(cache=True, nogil=True)


def _add_stream(data: Any, n_bits: int, table: Any, acc: Any, weight: int, squares: Any) -> int:
    """acc += weight * change; squares: of each part's values, summed.

    data: uint8, the stream and 16 zeros. Returns what a Reader does. After an error some of
    the changes are in acc: the same call with -weight takes just these off again.
    """
    one, seven = np.uint64(1), np.uint64(63)
    end = np.uint64(n_bits)
    products = np.empty(1 << _TABLE_BITS, np.int64)  # by code
    lengths = np.empty(1 << _TABLE_BITS, np.int64)
    at = np.uint64(0)
    for row in range(len(table)):
        n, k, rice, n_value, shift, dense, start = table[row]
        bits = np.uint64(n_value)
        top = (one << bits) - one
        i = np.uint64(start)  # the next one that there can be
        stop = np.uint64(start + n)
        left = np.int64(k)
        total = np.int64(0)
        if dense or rice < 0:
            if at + np.uint64(k) * bits > end:
                return CUT_SHORT
            for _ in range(k):
                code = np.int64(window(data, at) & top)
                at += bits
                value = code - (code >> (n_value - 1) << n_value) if dense else number(code)
                value <<= shift
                acc[i] += value * weight
                total += value * value
                i += one
            squares[row] = total
            continue
        r = np.uint64(rice)
        low = (one << r) - one
        fixed = one + r + bits
        four = fixed << np.uint64(2)
        n_least = 4
        if n_value > _TABLE_BITS:
            n_least = k + 1
        else:
            for code in range(1 << n_value):
                value = number(code) << shift
                products[code] = value * weight
                lengths[code] = value * value
        while left:
            while left >= n_least:
                # Four at a time, if they are in one window, as is usual. Shifts are taken modulo
                # 64 (what the processor does): 64 zeros are no entry, but too many bits.
                w = window(data, at)
                z0 = trailing_zeros(w)
                v0 = w >> one >> (z0 & seven)
                w = w >> fixed >> (z0 & seven)
                z1 = trailing_zeros(w)
                v1 = w >> one >> (z1 & seven)
                w = w >> fixed >> (z1 & seven)
                z2 = trailing_zeros(w)
                v2 = w >> one >> (z2 & seven)
                w = w >> fixed >> (z2 & seven)
                z3 = trailing_zeros(w)
                v3 = w >> one >> (z3 & seven)
                n_read = z0 + z1 + z2 + z3 + four
                if n_read > WHOLE:
                    break
                i0 = i + (z0 << r) + (v0 & low)
                i1 = i0 + (z1 << r) + (v1 & low) + one
                i2 = i1 + (z2 << r) + (v2 & low) + one
                i3 = i2 + (z3 << r) + (v3 & low) + one
                if i3 >= stop:
                    return BEYOND
                at += n_read
                i = i3 + one
                left -= 4
                c0, c1 = v0 >> r & top, v1 >> r & top
                c2, c3 = v2 >> r & top, v3 >> r & top
                acc[i0] += products[c0]
                acc[i1] += products[c1]
                acc[i2] += products[c2]
                acc[i3] += products[c3]
                total += lengths[c0] + lengths[c1] + lengths[c2] + lengths[c3]
            if left == 0:
                break
            if at > end:
                return CUT_SHORT
            w = window(data, at)
            zeros = trailing_zeros(w)
            while zeros >= WHOLE:  # of a window that may have had no more
                i += WHOLE << r
                at += WHOLE
                if i >= stop:
                    return BEYOND
                if at > end:
                    return CUT_SHORT
                w = window(data, at)
                zeros = trailing_zeros(w)
            i += zeros << r
            at += zeros + one
            if at > end:
                return CUT_SHORT
            w = window(data, at)
            i += w & low
            at += r + bits
            if i >= stop:
                return BEYOND
            value = number(np.int64(w >> r & top)) << shift
            acc[i] += value * weight
            total += value * value
            i += one
            left -= 1
        squares[row] = total
    return np.int64(at) if at <= end else CUT_SHORT


def _close(acc: Any, total: int, gain: int, limit: int, bits: int, master: Any, sent: Any) -> None:
    """master += round(gain * acc / total, to `bits` bits), sent = round(master), both within limit.

    acc (int64) starts over; |acc| <= total << 16. master: int32, sent: int16. Exact: a quarter of
    1 / total more, a quotient is at least as much away from a half; below 2**27 a float is wrong
    by less than that, as long as total is at most 2**22. Beyond, it is off by one at most, and
    the remainder tells.
    """
    divisor = np.int64(2 * total)
    most = np.int64(limit) << bits
    half = np.int64(1) << bits >> 1
    at = 0
    if total <= _MOST_QUICK:
        factor = np.float64(np.int64(gain) << (bits + 1)) / np.float64(divisor)
        more = 0.5 / np.float64(divisor)
        while at + N_LANES <= len(acc):
            value = load(master, at) + rounded(acc, at, factor, more)
            value = within(value, in_lanes(most))
            store(master, at, value)
            # Of what is within limit << bits, this is within limit.
            store_short(sent, at, halved(value + in_lanes(half), in_lanes(bits)))
            at += N_LANES
    inverse = 1.0 / np.float64(divisor)
    for i in range(at, len(acc)):
        dividend = acc[i] * (np.int64(gain) << (bits + 1)) + total
        quotient = np.int64(np.floor(np.float64(dividend) * inverse))
        remainder = dividend - quotient * divisor
        quotient += np.int64(remainder >= divisor) - np.int64(remainder < 0)
        value = min(max(master[i] + quotient, -most), most)
        master[i] = value
        sent[i] = (value + half) >> bits
        acc[i] = 0


add_stream = _compiled(_add_stream)
close = _compiled(_close)


def warm_up() -> None:
    """Compile all of it now, for the types that are used: or load what has been before."""
    acc = np.zeros(1, np.int64)
    table = np.empty((0, 7), np.int64)
    add_stream(np.frombuffer(bytes(16), np.uint8), 0, table, acc, 1, np.empty(0, np.int64))
    close(acc, 1, 1, 1, 8, np.zeros(1, np.int32), np.zeros(1, np.int16))
