"""A strict make-believe `ulab` on NumPy, for CI, where no real one can be had.

It has what kernels_ulab and kernels_float_ulab may use, and does it as ulab 6.12 does on a
CircuitPython board: integers wrap, floats have 32 bits, Python gets floats with 30. What ulab lacks
is lacking here; what goes wrong there in silence (a view that dangles, a cast out of range, an
int16 less a float) raises, or comes out as wrong as there.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
from array import array
from collections.abc import Iterator
from typing import Any

import numpy

_CODES = {
    "B": numpy.uint8,
    "b": numpy.int8,
    "H": numpy.uint16,
    "h": numpy.int16,
    "f": numpy.float32,
}
# What two different integer types make: the wider one, and int16 of two signs.
_MIXED = {
    frozenset("Bb"): "h", frozenset("BH"): "H", frozenset("Bh"): "h", frozenset("bH"): "h",
    frozenset("bh"): "h", frozenset("Hh"): "f",
}  # fmt: skip


def _code(a: numpy.ndarray[Any, Any]) -> str:
    return next(code for code, dtype in _CODES.items() if a.dtype == dtype)


class ndarray:
    """ulab's array: 1 or 2 dimensions. `dangles`: it owns no memory of its own to keep alive."""

    def __init__(self, a: numpy.ndarray[Any, Any]) -> None:
        assert 1 <= a.ndim <= 2
        self._a = a

    @property
    def shape(self) -> tuple[int, ...]:
        return self._a.shape

    def reshape(self, shape: tuple[int, ...]) -> ndarray:
        assert self._a.flags.c_contiguous, "ulab reshapes dense arrays only"
        return ndarray(self._a.reshape(shape))

    def flatten(self) -> ndarray:
        return ndarray(self._a.flatten())

    def tolist(self) -> list[Any]:
        """Floats lose their two lowest bits on the way into a Python object."""
        if self._a.dtype != numpy.float32:
            return list(self._a.tolist())
        kept = (self._a.view(numpy.uint32) & numpy.uint32(0xFFFFFFFC)).view(numpy.float32)
        return list(kept.tolist())

    def __getitem__(self, key: Any) -> Any:
        found = self._a[key]
        assert isinstance(found, numpy.ndarray), "reading single elements allocates: use tolist()"
        return ndarray(found)

    def __setitem__(self, key: Any, value: Any) -> None:
        target = self._a[key]
        source = value._a
        assert target.shape == source.shape
        if target.dtype != numpy.float32:
            range_ = numpy.iinfo(target.dtype)
            fits = (source >= range_.min) & (source <= range_.max) & (source == source.round())
            assert fits.all(), "a C cast of such a number is undefined"
        target[...] = source.astype(target.dtype)

    def _operate(self, other: Any, name: str) -> ndarray:
        mine, its = self._a, _operand(other)
        kinds = {_code(mine), _code(its)}
        result = (
            kinds.pop() if len(kinds) == 1 else "f" if "f" in kinds else _MIXED[frozenset(kinds)]
        )
        if result == "f":
            if name == "subtract" and mine.dtype == numpy.int16:
                mine = mine.view(numpy.uint16)  # ulab's mistake
            mine, its = mine.astype(numpy.float32), its.astype(numpy.float32)
            return ndarray(getattr(numpy, name)(mine, its))
        wide = getattr(numpy, name)(mine.astype(numpy.int64), its.astype(numpy.int64))
        return ndarray(wide.astype(_CODES[result]))  # wraps

    def __add__(self, other: Any) -> ndarray:
        return self._operate(other, "add")

    __radd__ = __add__

    def __sub__(self, other: Any) -> ndarray:
        return self._operate(other, "subtract")

    def __mul__(self, other: Any) -> ndarray:
        return self._operate(other, "multiply")

    __rmul__ = __mul__


def _operand(value: Any) -> numpy.ndarray[Any, Any]:
    if isinstance(value, ndarray):
        return value._a
    if isinstance(value, float):
        single = numpy.array([value], numpy.float32)
        bits = single.view(numpy.uint32) & numpy.uint32(3)
        assert float(single[0]) == value, f"{value} is no float of 32 bits"
        assert not bits[0], f"{value} is no float of 30 bits"
        return single
    assert isinstance(value, int)
    assert -32768 <= value <= 65535
    small = "B" if 0 <= value < 256 else "b" if -128 <= value < 0 else "H" if value > 0 else "h"
    return numpy.array([value], _CODES[small])


def frombuffer(buffer: Any, *, dtype: Any) -> ndarray:
    """Of a whole buffer only: others dangle once the garbage is collected."""
    assert isinstance(buffer, (array, bytearray)), "a view of a view would dangle"
    return ndarray(numpy.frombuffer(buffer, dtype))


def dot(a: ndarray, b: ndarray) -> ndarray:
    """Always floats; sums from left to right, each rounded to 32 bits."""
    assert a._a.ndim == b._a.ndim == 2
    assert a.shape[1] == b.shape[0]
    mine, its = a._a.astype(numpy.float32), b._a.astype(numpy.float32)
    total = numpy.zeros((mine.shape[0], its.shape[1]), numpy.float32)
    for k in range(mine.shape[1]):
        total = total + mine[:, k : k + 1] * its[k : k + 1, :]
    return ndarray(total)


def floor(a: ndarray) -> ndarray:
    assert a._a.dtype == numpy.float32
    return ndarray(numpy.floor(a._a))


def clip(a: ndarray, low: float, high: float) -> ndarray:
    assert a._a.dtype == numpy.float32, "clip makes int16 of int8"
    return ndarray(numpy.clip(a._a, _operand(low)[0], _operand(high)[0]))


@contextlib.contextmanager
def installed(name: str = "kernels_ulab") -> Iterator[Any]:
    """That module of fedboard_device, imported on this ulab."""
    module = types.ModuleType("ulab")
    made = types.SimpleNamespace(
        ndarray=ndarray, frombuffer=frombuffer, dot=dot, floor=floor, clip=clip,
        uint8=numpy.uint8, int8=numpy.int8, uint16=numpy.uint16, int16=numpy.int16,
        float=numpy.float32,
    )  # fmt: skip
    module.numpy = made  # type: ignore[attr-defined]
    backend = "fedboard_device." + name
    before = {each: sys.modules.pop(each, None) for each in ("ulab", backend)}
    sys.modules["ulab"] = module
    try:
        yield importlib.import_module(backend)
    finally:
        for each, was in before.items():
            sys.modules.pop(each, None)
            if was is not None:
                sys.modules[each] = was
        package = sys.modules.get("fedboard_device")
        if hasattr(package, name):
            delattr(package, name)
