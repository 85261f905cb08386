# mypy: ignore-errors
"""Reading bits in loops that numba compiles: what decode_, sums_ and lockstep_numba share."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

WHOLE = np.uint64(57)  # bits that are there at least where 8 bytes are read at any bit


@intrinsic
def trailing_zeros(typing_context: Any, x: Any) -> Any:
    """Of a uint64; 64 of 0. One instruction, where a loop would guess wrong at every entry."""

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
def window(data: Any, at: Any) -> Any:
    """The bits from bit `at` on, WHOLE of them at least."""
    return _eight_bytes(data, at >> np.uint64(3)) >> (at & np.uint64(7))


@numba.njit(inline="always")
def number(code: Any) -> Any:
    """What an entry's code stands for: sign, and magnitude - 1."""
    sign = -(code & 1)
    return (((code >> 1) + 1) ^ sign) - sign
