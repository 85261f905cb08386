# mypy: ignore-errors
"""decode's loops, compiled by numba (extra `fast`): the same results, and the same errors."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

CUT_SHORT = -1
BEYOND = -2
_compiled = numba.njit(cache=True, nogil=True)


@intrinsic
def _trailing_zeros(typing_context: Any, x: Any) -> Any:
    """Of a uint64 that is not 0: one instruction, where a loop would guess wrong at every entry."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


def _read(words: Any, n_bits: int, table: Any, starts: Any, indices: Any, values: Any) -> int:
    """All parts of a stream: see decode.Reader. words[i]: the 64 bits from byte i on."""
    at = np.int64(0)
    out = 0
    for row in range(len(table)):
        n, k, r, bits, dense = table[row]
        starts[row] = at
        if dense:
            at += n * bits
            continue
        low = (np.uint64(1) << np.uint64(max(r, 0))) - np.uint64(1)
        top = (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
        fixed = max(r, 0) + bits
        index = np.int64(-1)
        for _ in range(k):
            index += 1
            if at > n_bits:
                return CUT_SHORT
            window = words[at >> 3] >> np.uint64(at & 7)
            left = 64 - (at & 7)
            if r >= 0:
                while window == 0:
                    index += left << r
                    at += left
                    if at > n_bits or index >= n:
                        return CUT_SHORT if at > n_bits else BEYOND
                    window = words[at >> 3] >> np.uint64(at & 7)
                    left = 64 - (at & 7)
                zeros = np.int64(_trailing_zeros(window))
                index += zeros << r
                at += zeros + 1
                if zeros + 1 + fixed <= left:
                    window = window >> np.uint64(zeros) >> np.uint64(1)
                elif at <= n_bits:
                    window = words[at >> 3] >> np.uint64(at & 7)
                index += np.int64(window & low)
                window = window >> np.uint64(r)
            if index >= n:
                return BEYOND
            at += fixed
            code = np.int64(window & top)
            sign = -(code & 1)
            indices[out] = index
            values[out] = (((code >> 1) + 1) ^ sign) - sign
            out += 1
    return int(at) if at <= n_bits else CUT_SHORT


def _add_all(acc: Any, values: Any, weight: int) -> None:
    for i in range(len(values)):
        acc[i] += np.int64(values[i]) * weight


def _add_some(acc: Any, indices: Any, values: Any, weight: int) -> None:
    for i in range(len(indices)):
        acc[indices[i]] += np.int64(values[i]) * weight


def _squares(values: Any) -> int:
    total = np.int64(0)
    for i in range(len(values)):
        total += np.int64(values[i]) * np.int64(values[i])
    return int(total)


read = _compiled(_read)
add_all = _compiled(_add_all)
add_some = _compiled(_add_some)
squares = _compiled(_squares)
