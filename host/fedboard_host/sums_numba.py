# mypy: ignore-errors
"""Compiled by numba (extra `fast`): from an update's bits straight into the sums, and out of them.

    add_stream(data, n_bits, table, acc, weight, squares)    as decode.read, then decode.add
    close(acc, total, gain, limit, master, sent)             a layer's end of round

Nothing is written in between: what a sparse entry costs is to find where it ends, and one addition.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

CUT_SHORT = -1
BEYOND = -2
_WHOLE = np.uint64(57)  # bits that are there at least where 8 bytes are read at any bit
_TABLE_BITS = 8  # values of so many bits are looked up
_compiled = numba.njit(cache=True, nogil=True)


@intrinsic
def _trailing_zeros(typing_context: Any, x: Any) -> Any:
    """Of a uint64; 64 of 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@intrinsic
def _eight_bytes(typing_context: Any, data: Any, at: Any) -> Any:
    """Those from byte `at` on, of an array of bytes, as a number: the lowest comes first."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        where = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(where, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(data, types.uint64), generate


@numba.njit(inline="always")
def _window(data: Any, at: Any) -> Any:
    """The bits from bit `at` on, _WHOLE of them at least."""
    return _eight_bytes(data, at >> np.uint64(3)) >> (at & np.uint64(7))


@numba.njit(inline="always")
def _number(code: Any) -> Any:
    sign = -(code & 1)
    return (((code >> 1) + 1) ^ sign) - sign


def _add_stream(data: Any, n_bits: int, table: Any, acc: Any, weight: int, squares: Any) -> int:
    """acc += weight * change; squares: of each part's values, summed.

    data: uint8, the stream and 16 zeros. Returns what a decode.Reader does. After an error some of
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
                code = np.int64(_window(data, at) & top)
                at += bits
                value = code - (code >> (n_value - 1) << n_value) if dense else _number(code)
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
                value = _number(code) << shift
                products[code] = value * weight
                lengths[code] = value * value
        while left:
            while left >= n_least:
                # Four at a time, if they are in one window, as is usual. Shifts are taken modulo
                # 64 (what the processor does): 64 zeros are no entry, but too many bits.
                w = _window(data, at)
                z0 = _trailing_zeros(w)
                v0 = w >> one >> (z0 & seven)
                w = w >> fixed >> (z0 & seven)
                z1 = _trailing_zeros(w)
                v1 = w >> one >> (z1 & seven)
                w = w >> fixed >> (z1 & seven)
                z2 = _trailing_zeros(w)
                v2 = w >> one >> (z2 & seven)
                w = w >> fixed >> (z2 & seven)
                z3 = _trailing_zeros(w)
                v3 = w >> one >> (z3 & seven)
                n_read = z0 + z1 + z2 + z3 + four
                if n_read > _WHOLE:
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
            w = _window(data, at)
            zeros = _trailing_zeros(w)
            while zeros >= _WHOLE:  # of a window that may have had no more
                i += _WHOLE << r
                at += _WHOLE
                if i >= stop:
                    return BEYOND
                if at > end:
                    return CUT_SHORT
                w = _window(data, at)
                zeros = _trailing_zeros(w)
            i += zeros << r
            at += zeros + one
            if at > end:
                return CUT_SHORT
            w = _window(data, at)
            i += w & low
            at += r + bits
            if i >= stop:
                return BEYOND
            value = _number(np.int64(w >> r & top)) << shift
            acc[i] += value * weight
            total += value * value
            i += one
            left -= 1
        squares[row] = total
    return np.int64(at) if at <= end else CUT_SHORT


def _close(acc: Any, total: int, gain: int, limit: int, master: Any, sent: Any) -> None:
    """master += round(gain * acc / total, to MASTER_BITS), sent = round(master), both within limit.

    acc starts over. Exact: a float's quotient is off by one at most, and the remainder tells.
    """
    divisor = np.int64(2 * total)
    inverse = 1.0 / np.float64(divisor)
    most = np.int64(limit) << 8
    for i in range(len(acc)):
        dividend = acc[i] * np.int64(gain << 9) + total
        quotient = np.int64(np.floor(np.float64(dividend) * inverse))
        remainder = dividend - quotient * divisor
        quotient += np.int64(remainder >= divisor) - np.int64(remainder < 0)
        value = min(max(master[i] + quotient, -most), most)
        master[i] = value
        sent[i] = min(max((value + 128) >> 8, -limit), limit)
        acc[i] = 0


add_stream = _compiled(_add_stream)
close = _compiled(_close)


def warm_up() -> None:
    """Compile all of it now, for the types that are used: or load what has been before."""
    acc = np.zeros(1, np.int64)
    table = np.empty((0, 7), np.int64)
    add_stream(np.frombuffer(bytes(16), np.uint8), 0, table, acc, 1, np.empty(0, np.int64))
    close(acc, 1, 1, 1, np.zeros(1, np.int64), np.zeros(1, np.int16))
