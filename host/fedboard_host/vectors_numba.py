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
_REAL = ir.DoubleType()
_UNITS = 3 << 51  # a float so large has no bits behind the point, and the last ones are a number's


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


def _pointer(context: Any, builder: Any, kind: Any, array: Any, at: Any, to: Any) -> Any:
    """To array[at], as a pointer to something else."""
    made = context.make_array(kind)(context, builder, array)
    return builder.bitcast(builder.gep(made.data, [at]), to.as_pointer())


def _in_all(builder: Any, x: Any, kind: Vector) -> Any:
    return _spread(builder, x, kind.llvm)


def _spread(builder: Any, x: Any, kind: ir.VectorType) -> Any:
    undefined = ir.Constant(kind, ir.Undefined)
    one = builder.insert_element(undefined, x, ir.Constant(_INT, 0))
    zeros = ir.Constant(ir.VectorType(_INT, kind.count), [0] * kind.count)
    return builder.shuffle_vector(one, undefined, zeros)


@intrinsic
def in_lanes(typing_context: Any, x: Any) -> Any:
    """The low 32 bits of a number, in all lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _in_all(builder, builder.trunc(arguments[0], _INT), lanes)

    return lanes(types.int64), generate


@intrinsic
def in_pairs(typing_context: Any, x: Any) -> Any:
    """A number, in all pairs of lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _in_all(builder, arguments[0], pairs)

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
def rounded(typing_context: Any, array: Any, at: Any, factor: Any, more: Any) -> Any:
    """16 int64 times `factor` plus `more`, to the nearest: signed lanes. In the array zeros remain.

    Floats of 64 bits: factor, more. No result may be halfway between two, or beyond 2**31.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, factor, more = arguments
        numbers, reals = (ir.VectorType(kind, N_LANES) for kind in (_LONG, _REAL))
        where = _pointer(context, builder, signature.args[0], array, at, numbers)
        x = builder.sitofp(builder.load(where, align=8), reals)
        builder.store(ir.Constant(numbers, [0] * N_LANES), where, align=8)
        x = builder.fmul(x, _spread(builder, factor, reals))
        x = builder.fadd(x, _spread(builder, more, reals))
        x = builder.fadd(x, ir.Constant(reals, [_UNITS] * N_LANES))
        return builder.trunc(builder.bitcast(x, numbers), lanes.llvm)

    return lanes(array, types.int64, types.float64, types.float64), generate


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
def load(typing_context: Any, array: Any, at: Any) -> Any:
    """16 numbers of an array of 32 bits each."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where = _pointer(context, builder, signature.args[0], *arguments, lanes.llvm)
        return builder.load(where, align=4)

    return lanes(array, types.int64), generate


@intrinsic
def store(typing_context: Any, array: Any, at: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, x = arguments
        where = _pointer(context, builder, signature.args[0], array, at, lanes.llvm)
        builder.store(x, where, align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, lanes), generate


@intrinsic
def store_short(typing_context: Any, array: Any, at: Any, x: Any) -> Any:
    """The low 16 bits of each lane, into an array of such numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, x = arguments
        short = ir.VectorType(ir.IntType(16), N_LANES)
        where = _pointer(context, builder, signature.args[0], array, at, short)
        builder.store(builder.trunc(x, short), where, align=2)
        return context.get_dummy_value()

    return types.void(array, types.int64, lanes), generate


@intrinsic
def gather(typing_context: Any, data: Any, at: Any) -> Any:
    """Eight bytes each, of an array of bytes, from byte at[pair] on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        base = _in_all(builder, builder.ptrtoint(array.data, _LONG), pairs)
        n = pairs.llvm.count
        pointers = ir.VectorType(ir.IntType(8).as_pointer(), n)
        mask = ir.VectorType(_BIT, n)
        of_pairs = ir.FunctionType(pairs.llvm, [pointers, _INT, mask, pairs.llvm])
        name = "llvm.masked.gather.v8i64.v8p0"
        return builder.call(builder.module.declare_intrinsic(name, (), of_pairs), [
            builder.inttoptr(builder.add(base, arguments[1]), pointers), ir.Constant(_INT, 1),
            ir.Constant(mask, [1] * n), ir.Constant(pairs.llvm, ir.Undefined),
        ])  # fmt: skip

    return pairs(data, pairs), generate


@intrinsic
def add_each(typing_context: Any, sums: Any, at: Any, work: Any, places: Any, values: Any) -> Any:
    """sums[at + work[places + i]] += work[values + i] for 16 i, whether places differ or not.

    sums: int64. work: 32 bits each; places are unsigned, values signed.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, at, work, places, values = arguments
        base = _pointer(context, builder, signature.args[0], sums, at, _LONG)
        where = _pointer(context, builder, signature.args[2], work, places, _INT)
        what = _pointer(context, builder, signature.args[2], work, values, _INT)
        for i in range(N_LANES):
            lane = ir.Constant(_LONG, i)
            place = builder.zext(builder.load(builder.gep(where, [lane])), _LONG)
            value = builder.sext(builder.load(builder.gep(what, [lane])), _LONG)
            entry = builder.gep(base, [place])
            builder.store(builder.add(builder.load(entry), value), entry)
        return context.get_dummy_value()

    return types.void(sums, types.int64, work, types.int64, types.int64), generate
