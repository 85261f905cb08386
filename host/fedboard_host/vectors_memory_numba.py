# mypy: ignore-errors
"""Vectors of vectors_numba in memory: loaded and stored, gathered, added to sums."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fedboard_host.vectors_numba import N_LANES, lanes, pairs, spread

_BIT, _INT, _LONG = ir.IntType(1), ir.IntType(32), ir.IntType(64)
_REAL = ir.DoubleType()
_UNITS = 3 << 51  # a float so large has no bits behind the point, and the last ones are a number's
# Of what lies here is compiled with it: vectors_numba 36becedc


def _pointer(context: Any, builder: Any, kind: Any, array: Any, at: Any, to: Any) -> Any:
    """To array[at], as a pointer to something else."""
    made = context.make_array(kind)(context, builder, array)
    return builder.bitcast(builder.gep(made.data, [at]), to.as_pointer())


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
        add = ir.FunctionType(reals, [reals] * 3)
        multiply_add = builder.module.declare_intrinsic(f"llvm.fmuladd.v{N_LANES}f64", (), add)
        of_all = [spread(builder, each, reals) for each in (factor, more)]
        x = builder.call(multiply_add, [x, *of_all])
        x = builder.fadd(x, ir.Constant(reals, [_UNITS] * N_LANES))
        return builder.trunc(builder.bitcast(x, numbers), lanes.llvm)

    return lanes(array, types.int64, types.float64, types.float64), generate


@intrinsic
def gather(typing_context: Any, data: Any, at: Any) -> Any:
    """Eight bytes each, of an array of bytes, from byte at[pair] on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        base = spread(builder, builder.ptrtoint(array.data, _LONG), pairs.llvm)
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


@intrinsic(prefer_literal=True)
def add_each(
    typing_context: Any, sums: Any, at: Any, work: Any, places: Any, values: Any, n: Any
) -> Any:
    """sums[at + work[places + i]] += work[values + i] for n i, whether places differ or not.

    sums: int64. work: 32 bits each; places are unsigned, values signed. n: a constant.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, at, work, places, values, _ = arguments
        base = _pointer(context, builder, signature.args[0], sums, at, _LONG)
        where = _pointer(context, builder, signature.args[2], work, places, _INT)
        what = _pointer(context, builder, signature.args[2], work, values, _INT)
        for i in range(n.literal_value):
            lane = ir.Constant(_LONG, i)
            place = builder.zext(builder.load(builder.gep(where, [lane])), _LONG)
            value = builder.sext(builder.load(builder.gep(what, [lane])), _LONG)
            entry = builder.gep(base, [place])
            builder.store(builder.add(builder.load(entry), value), entry)
        return context.get_dummy_value()

    numbers = types.int64
    return types.void(sums, numbers, work, numbers, numbers, n), generate
