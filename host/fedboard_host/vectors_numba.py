# mypy: ignore-errors
"""Vectors of 512 bits in loops that numba compiles: numba itself has none.

    lanes    16 numbers of 32 bits, unsigned: + - * & | ^ << >> lane by lane
    pairs    the same bits as 8 numbers of 64
    flags    16 yes or no: |

What they become is LLVM's affair: single instructions where a processor has AVX-512, several
elsewhere. A shift by a number's width or more gives anything.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model

N_LANES = 16
_BIT, _INT, _LONG = ir.IntType(1), ir.IntType(32), ir.IntType(64)


class Vector(types.Type):
    def __init__(self, n: int, bits: int) -> None:
        super().__init__(name=f"{n} x {bits} bits")
        self.llvm = ir.VectorType(ir.IntType(bits), n)


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, kind.llvm)


lanes = Vector(N_LANES, 32)
pairs = Vector(N_LANES // 2, 64)
flags = Vector(N_LANES, 1)


def spread(builder: Any, x: Any, kind: ir.VectorType) -> Any:
    """x in all of a vector."""
    undefined = ir.Constant(kind, ir.Undefined)
    one = builder.insert_element(undefined, x, ir.Constant(_INT, 0))
    zeros = ir.Constant(ir.VectorType(_INT, kind.count), [0] * kind.count)
    return builder.shuffle_vector(one, undefined, zeros)


@intrinsic
def in_lanes(typing_context: Any, x: Any) -> Any:
    """The low 32 bits of a number, in all lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return spread(builder, builder.trunc(arguments[0], _INT), lanes.llvm)

    return lanes(types.int64), generate


@intrinsic
def in_pairs(typing_context: Any, x: Any) -> Any:
    """A number, in all pairs of lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return spread(builder, arguments[0], pairs.llvm)

    return pairs(types.int64), generate


def _cast(kind: Vector) -> Any:
    @intrinsic
    def cast(typing_context: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], kind.llvm)

        return kind(x), generate

    return cast


as_lanes = _cast(lanes)
as_pairs = _cast(pairs)


def _lane_by_lane(operation: str) -> Any:
    @intrinsic
    def compute(typing_context: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, operation)(*arguments)

        return a(a, b), generate

    return compute


def _define(sign: Any, operation: str) -> None:
    compute = _lane_by_lane(operation)

    @overload(sign)
    def of_vectors(a, b):  # numba compares annotations, too: there are none
        if isinstance(a, Vector) and a == b:
            return lambda a, b: compute(a, b)
        return None


for _sign, _operation in (
    (operator.add, "add"), (operator.sub, "sub"), (operator.mul, "mul"), (operator.and_, "and_"),
    (operator.or_, "or_"), (operator.xor, "xor"), (operator.lshift, "shl"),
    (operator.rshift, "lshr"),
):  # fmt: skip
    _define(_sign, _operation)


@intrinsic
def ones(typing_context: Any, x: Any) -> Any:
    """How many bits of each lane are 1."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        of_lanes = ir.FunctionType(lanes.llvm, [lanes.llvm])
        count = builder.module.declare_intrinsic("llvm.ctpop.v16i32", (), of_lanes)
        return builder.call(count, arguments)

    return lanes(x), generate


@intrinsic
def negative_where(typing_context: Any, bits: Any, x: Any) -> Any:
    """-x in the lanes in which bits is not 0, x in the others."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits, x = arguments
        zero = ir.Constant(lanes.llvm, [0] * N_LANES)
        return builder.select(builder.icmp_unsigned("!=", bits, zero), builder.sub(zero, x), x)

    return lanes(bits, x), generate


@intrinsic
def within(typing_context: Any, x: Any, most: Any) -> Any:
    """Signed lanes, none beyond -most or most."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, most = arguments
        least = builder.sub(ir.Constant(lanes.llvm, [0] * N_LANES), most)
        x = builder.select(builder.icmp_signed("<", x, most), x, most)
        return builder.select(builder.icmp_signed(">", x, least), x, least)

    return lanes(x, most), generate


@intrinsic
def halved(typing_context: Any, x: Any, times: Any) -> Any:
    """Signed lanes by 2**times, toward minus infinity."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ashr(*arguments)

    return lanes(x, times), generate


@intrinsic
def larger(typing_context: Any, a: Any, b: Any) -> Any:
    """Of two numbers, in each lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b = arguments
        return builder.select(builder.icmp_unsigned(">", a, b), a, b)

    return lanes(a, b), generate


@intrinsic
def above(typing_context: Any, a: Any, b: Any) -> Any:
    """Which lanes of a are larger than those of b."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.icmp_unsigned(">", *arguments)

    return flags(a, b), generate


@intrinsic
def any_of(typing_context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = ir.IntType(N_LANES)
        bits = builder.bitcast(arguments[0], number)
        return builder.icmp_unsigned("!=", bits, ir.Constant(number, 0))

    return types.boolean(x), generate


@intrinsic
def funnel(typing_context: Any, behind: Any, words: Any, n: Any) -> Any:
    """Each number from bit n of `words` on, and then of what is behind. n: modulo its width."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = words.llvm
        name = f"llvm.fshr.v{kind.count}i{kind.element.width}"
        shift = builder.module.declare_intrinsic(name, (), ir.FunctionType(kind, [kind] * 3))
        return builder.call(shift, arguments)

    return words(behind, words, n), generate


@intrinsic
def chosen(typing_context: Any, bits: Any, a: Any, b: Any) -> Any:
    """Pairs: a's where bits is not 0, b's elsewhere."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits, a, b = arguments
        zero = ir.Constant(pairs.llvm, [0] * pairs.llvm.count)
        return builder.select(builder.icmp_unsigned("!=", bits, zero), a, b)

    return pairs(bits, a, b), generate
