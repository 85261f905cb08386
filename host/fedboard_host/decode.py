"""Updates into NumPy arrays: the same bits as fedboard.sparse.Decoder reads, all of a part at once.

    parse_update(spec, layers, meta, data) -> [(layer, indices, values)]      as fedboard.update's
    add(acc, indices, values, weight)                                         acc[i] += weight * v

A gap's zeros end where the next 1 is, and what follows is of fixed width: so only the ends are
looked for one by one (bytes.find), everything else is one NumPy operation for all entries. Where
numba is installed (extra `fast`) a compiled loop takes over once so many updates have come that
compiling pays. Either accepts what the board-side Decoder accepts, and nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from array import array
from collections.abc import Callable
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from fedboard import WireError, sparse
from fedboard.model import Spec, unpack_spec

Numbers = NDArray[Any]  # integers, of the least type that is at hand
Integers = Union["array[int]", NDArray[Any]]
# (data, first bit, n, k, r, bits, indices, values): the bit behind the part, or an error below 0.
Reader = Callable[[NDArray[np.uint8], int, int, int, int, int, Numbers, Numbers], int]

CUT_SHORT = -1
BEYOND = -2
WORTH_COMPILING = 2000  # updates
_ALIGNED = {8: "<i1", 16: "<i2"}  # dense values that are whole bytes

_n_parsed = 0
_fast: Any = None  # the module decode_numba, once it is used


def parse_update(
    spec: Spec, layers: int, meta: bytes, data: bytes
) -> list[tuple[int, Numbers, Numbers]]:
    """What an update says: (layer, indices, values) for each of its layers.

    Indices count from the layer's first parameter and rise; values have the scale applied. Raises
    WireError for anything but a whole update of just these layers.
    """
    if meta[:1] != bytes([layers]):
        sparse.unpack_meta(spec, meta)
        raise WireError(f"update of layers {meta[:1].hex()} where {layers:02x} were trained")
    parts, rices, least, most = _head(spec.pack(), meta)
    if not least <= len(data) <= most:
        raise WireError(f"update of {len(data)} bytes: its head says otherwise")
    read = _reader()
    stream = np.frombuffer(data, np.uint8)
    at = 0
    found: list[tuple[int, Numbers, Numbers]] = []
    for part, r in zip(parts, rices, strict=True):
        if part.dense:
            indices, values = _all(part.n), _dense(stream, at, part)
            at += part.n * part.bits
        else:
            indices, values = np.empty(part.k, np.int32), np.empty(part.k, np.int32)
            at = read(stream, at, part.n, part.k, r, part.bits, indices, values)
            if at == BEYOND:
                raise WireError(f"index beyond the {part.n} parameters of layer {part.layer}")
            if at == CUT_SHORT:
                raise WireError(f"update that is cut short in layer {part.layer}")
        found.append((part.layer, indices, values << part.shift if part.shift else values))
    if (at + 7) // 8 != len(data) or (at & 7 and data[-1] >> (at & 7)):
        raise WireError("more bits than the update's head announced")
    return found


@functools.lru_cache(maxsize=256)
def _head(spec_bytes: bytes, meta: bytes) -> tuple[list[sparse.Part], list[int], int, int]:
    """(parts, the Rice parameter of each or -1, least and most bytes): boards' heads are alike."""
    parts = sparse.unpack_meta(unpack_spec(spec_bytes), meta)
    rices = [sparse.rice_parameter(p.n, p.k) if 0 < p.k < p.n else -1 for p in parts]
    return parts, rices, sparse.min_bytes(parts), sparse.max_bytes(parts)


@functools.lru_cache(maxsize=32)
def _all(n: int) -> Numbers:
    """0 to n - 1, shared by all dense updates."""
    indices = np.arange(n, dtype=np.int32)
    indices.flags.writeable = False
    return indices


def add(acc: NDArray[np.int64], indices: Integers, values: Integers, weight: int) -> None:
    """acc[i] += weight * v, exactly. Indices rise: as many as acc has are all of them."""
    whole = len(indices) == len(acc)
    if _fast is not None:
        if whole:
            _fast.add_all(acc, np.asarray(values), weight)
        else:
            _fast.add_some(acc, np.asarray(indices), np.asarray(values), weight)
        return
    products = np.asarray(values, dtype=np.int64) * weight
    if whole:
        acc += products
    else:
        acc[np.asarray(indices, dtype=np.intp)] += products


def _reader() -> Reader:
    global _n_parsed
    _n_parsed += 1
    if _n_parsed == WORTH_COMPILING and _fast is None:
        use_compiled()
    return read if _fast is None else _fast.read


def use_compiled(wanted: bool = True) -> bool:
    """Take the compiled loops, or NumPy again. Returns whether they are in use."""
    global _fast
    _fast = None
    if wanted:
        with contextlib.suppress(ImportError):
            _fast = importlib.import_module("fedboard_host.decode_numba")
    return _fast is not None


def read(
    stream: NDArray[np.uint8],
    at: int,
    n: int,
    k: int,
    r: int,
    bits: int,
    indices: Numbers,
    values: Numbers,
) -> int:
    """One sparse part from bit `at` on, in NumPy: see Reader. r < 0: all n entries, no gaps."""
    if r < 0:
        indices[:] = np.arange(k)
        starts = np.arange(at, at + k * bits, bits)
        at += k * bits
    else:
        ends = _ends(stream, at, k, 1 + r + bits)
        if len(ends) < k:
            return CUT_SHORT
        zeros = np.diff(ends, prepend=at - 1 - r - bits) - 1 - r - bits
        gaps = (zeros << r) + _fields(stream, ends + 1, r)
        places = np.cumsum(gaps + 1) - 1
        if places[-1] >= n:
            return BEYOND
        indices[:] = places
        starts = ends + 1 + r
        at = int(starts[-1]) + bits
    if at > 8 * len(stream):
        return CUT_SHORT
    codes = _fields(stream, starts, bits)
    magnitudes = (codes >> 1) + 1
    values[:] = np.where(codes & 1, -magnitudes, magnitudes)
    return at


def _ends(stream: NDArray[np.uint8], at: int, k: int, fixed: int) -> NDArray[np.int64]:
    """Where each of k entries has the 1 that ends its zeros; fewer if the stream ends before."""
    bits = np.unpackbits(stream, bitorder="little").tobytes()
    find = bits.find
    ends = []
    for _ in range(k):
        at = find(1, at)
        if at < 0:
            break
        ends.append(at)
        at += fixed
    return np.array(ends, np.int64)


def _fields(stream: NDArray[np.uint8], starts: NDArray[Any], width: int) -> NDArray[np.int64]:
    """The numbers of `width` bits (at most 24) that start at these bits; zeros behind the end."""
    n = len(stream)
    # The 32 bits from each byte on: overlapping views of one buffer, no copies.
    words: NDArray[Any] = np.ndarray((n + 1,), "<u4", stream.tobytes() + bytes(4), strides=(1,))
    found: NDArray[np.int64] = words[np.minimum(starts >> 3, n)].astype(np.int64)
    found = found >> (starts & 7) & ((1 << width) - 1)
    return found


def _dense(stream: NDArray[np.uint8], at: int, part: sparse.Part) -> Numbers:
    """All n values of a part, two's complement."""
    if at + part.n * part.bits > 8 * len(stream):
        raise WireError(f"update that is cut short in layer {part.layer}")
    if part.bits in _ALIGNED and not at & 7:
        size = part.n * part.bits // 8
        values: Numbers = stream[at >> 3 : (at >> 3) + size].view(_ALIGNED[part.bits])
        return values.astype(np.int32) if part.shift else values
    if part.bits == 4 and not at & 7:
        pairs = stream[at >> 3 : (at + 4 * part.n + 7) >> 3]
        halves = np.empty(2 * len(pairs), np.uint8)
        halves[::2] = pairs << 4
        halves[1::2] = pairs & 0xF0
        return (halves[: part.n].view(np.int8) >> 4).astype(np.int32)
    codes = _fields(stream, np.arange(at, at + part.n * part.bits, part.bits), part.bits)
    return (codes - (codes >> part.bits - 1 << part.bits)).astype(np.int32)
