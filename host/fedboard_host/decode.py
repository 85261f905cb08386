"""Updates into NumPy arrays: the same bits as fedboard.sparse.Decoder reads, many at a time.

    Decoder(spec).parse(layers, meta, data) -> [(layer, indices, values)]
    Decoder(spec).add_to(acc, weight, layers, meta, data) -> [(layer, squares(its values))]
    Decoder(spec).add_all(acc, updates)            add_to() of many, faster
    add(acc, indices, values, weight)              acc[i] += weight * v; returns squares(values)
    squares(values)                                the sum of v * v

A gap's zeros end where the next 1 is, and what follows is of fixed width: so only the ends are
looked for one by one (bytes.find), everything else is one NumPy operation for all entries. Where
numba is installed (extra `fast`) compiled loops may take over (use_installed()); then add_to()
makes sums of a sparse update's bits without a list of changes in between. All of them accept what
the boards' Decoder accepts, and nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from fedboard import WireError, sparse
from fedboard.model import Spec
from fedboard_host import decode_numpy
from fedboard_host.beside import Beside, n_threads
from fedboard_host.decode_numpy import BEYOND, CUT_SHORT, Numbers, fields
from fedboard_host.head import Head
from fedboard_host.lockstep import LEAST, Added, Heads, Lockstep, Wire

Integers = Union["array[int]", NDArray[Any]]

_MAX_HEADS = 256
_PADDING = bytes(8)
_MORE_PADDING = bytes(16)
_BLOCK = 1 << 15  # numbers at once: what is computed on the way stays in the processor's cache
_ALIGNED = {8: "<i1", 16: "<i2"}  # dense values that are whole bytes

_fast: Any = None  # the module decode_numba, once it is used
_sums: Any = None  # and sums_numba
_steps: Any = None  # and lockstep_numba, where it is faster


class Decoder:
    """Reads updates of one model."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._heads: dict[bytes, Head] = {}
        self._lockstep = Lockstep()

    def parse(self, layers: int, meta: bytes, data: bytes) -> list[tuple[int, Numbers, Numbers]]:
        """What an update says: (layer, indices, values) for each of its layers.

        Indices count from the layer's first parameter and rise; values have the scale applied.
        Raises WireError for anything but a whole update of just these layers.
        """
        head = self._head(layers, meta, len(data))
        words: Numbers = np.ndarray((len(data) + 1,), "<u8", data + _PADDING, strides=(1,))
        starts = np.empty(len(head.table), np.int64)
        indices, values = np.empty((2, head.n_sparse), np.int32)
        reader = decode_numpy.read if _fast is None else _fast.read
        _check_end(reader(words, 8 * len(data), head.table, starts, indices, values), data)
        found: list[tuple[int, Numbers, Numbers]] = []
        at = 0
        for row, part in enumerate(head.parts):
            if part.dense:
                mine = _dense(data, words, int(starts[row]), part)
                found.append((part.layer, _all(part.n), mine << part.shift if part.shift else mine))
                continue
            end = at + part.k
            found.append((part.layer, indices[at:end], values[at:end]))
            at = end
        return found

    def add_to(
        self, acc: NDArray[np.int64], weight: int, layers: int, meta: bytes, data: bytes
    ) -> Iterable[tuple[int, int]] | None:
        """acc[i] += weight * change, of the whole model; returns each layer's squares().

        None: nothing was done, parse() is the way (loops are not compiled, or all is dense).
        Raises WireError as parse() does; acc is then as it was.
        """
        head = self._head(layers, meta, len(data))
        squares = _add_one(acc, weight, head, data)
        return None if squares is None else zip(head.layers, squares.tolist(), strict=True)

    def add_all(
        self, acc: NDArray[np.int64], updates: Sequence[Wire], beside: Beside | None = None
    ) -> tuple[list[Added], dict[int, WireError], list[int]]:
        """add_to() of each update, not in their order; and why some are refused.

        The last are for parse(): nothing was done. beside: what several threads may add to, too.
        """
        weights, masks, metas, streams = zip(*updates, strict=True)
        refused: dict[int, WireError] = {}
        heads = self._find_heads(masks, metas, streams, refused)
        added: list[Added] = []
        left: list[int] = []

        def add_each(heads: Heads) -> None:
            for head, members in heads.items():
                for i in members:
                    try:
                        squares = _add_one(acc, weights[i], head, streams[i])
                    except WireError as error:
                        refused[i] = error
                        continue
                    if squares is None:
                        left.append(i)
                    else:
                        added.append(Added([i], head.layers, squares[np.newaxis]))

        if _steps is not None and len(updates) >= LEAST:
            together = self._lockstep.add(_steps, acc, weights, streams, heads, beside, add_each)
            added.extend(together)
        add_each(heads)
        return added, refused, left

    def _find_heads(
        self, masks: Sequence[int], metas: Sequence[bytes], streams: Sequence[bytes],
        refused: dict[int, WireError],
    ) -> Heads:  # fmt: skip
        """Which updates have which head, if there is nothing to refuse."""
        alike: dict[tuple[int, bytes], list[int]] = {}
        for i, key in enumerate(zip(masks, metas, strict=True)):
            alike.setdefault(key, []).append(i)
        heads: Heads = {}
        for (layers, meta), members in alike.items():
            sizes = [len(streams[i]) for i in members]
            try:
                head = self._head(layers, meta, min(sizes))
                self._head(layers, meta, max(sizes))
                heads[head] = members
                continue
            except WireError:  # not all of them need be wrong
                pass
            for i in members:
                try:
                    heads.setdefault(self._head(layers, meta, len(streams[i])), []).append(i)
                except WireError as error:
                    refused[i] = error
        return heads

    def _head(self, layers: int, meta: bytes, n_bytes: int) -> Head:
        """What meta says, if these layers and this length go with it. Raises WireError."""
        head = self._heads.get(meta) or self._learn(meta)
        if meta[0] != layers:
            raise WireError(f"update of layers 0x{meta[0]:02x} where 0x{layers:02x} were trained")
        if not head.least <= n_bytes <= head.most:
            raise WireError(f"update of {n_bytes} bytes: its head says otherwise")
        return head

    def _learn(self, meta: bytes) -> Head:
        head = Head(self._spec, meta)
        if len(self._heads) >= _MAX_HEADS:
            self._heads.clear()
        self._heads[meta] = head
        return head


def _add_one(
    acc: NDArray[np.int64], weight: int, head: Head, data: bytes
) -> NDArray[np.int64] | None:
    """The squares of each part; see Decoder.add_to()."""
    if _sums is None or not head.n_sparse:
        return None
    stream = np.frombuffer(data + _MORE_PADDING, np.uint8)
    found = np.zeros(len(head.parts), np.int64)
    end = _sums.add_stream(stream, 8 * len(data), head.table, acc, weight, found)
    try:
        _check_end(end, data)
    except WireError:
        _sums.add_stream(stream, 8 * len(data), head.table, acc, -weight, found)
        raise
    return found


def _check_end(end: int, data: bytes) -> None:
    """What a Reader returned: the bit behind the last part. Raises WireError."""
    if end == BEYOND:
        raise WireError("update with an index beyond its layer's parameters")
    if end == CUT_SHORT:
        raise WireError("update that is cut short")
    if (end + 7) // 8 != len(data) or (end & 7 and data[-1] >> (end & 7)):
        raise WireError("more bits than the update's head announced")


@functools.lru_cache(maxsize=32)
def _all(n: int) -> Numbers:
    """0 to n - 1, shared by all dense updates."""
    indices = np.arange(n, dtype=np.int32)
    indices.flags.writeable = False
    return indices


def add(acc: NDArray[np.int64], indices: Integers, values: Integers, weight: int) -> int:
    """acc[i] += weight * v, exactly. Indices rise: as many as acc has are all of them.

    Returns squares(values), which costs little more beside.
    """
    whole = len(indices) == len(acc)
    if _fast is not None:
        if whole:
            return int(_fast.add_all(acc, np.asarray(values), weight))
        total = int(_fast.add_some(acc, np.asarray(indices), np.asarray(values), weight))
        if total < 0:
            raise IndexError(f"an index beyond {len(acc)} parameters")
        return total
    if whole:
        return _add_whole(acc, np.asarray(values), weight)
    acc[np.asarray(indices, dtype=np.intp)] += np.asarray(values, dtype=np.int64) * weight
    return squares(values)


def _add_whole(acc: NDArray[np.int64], values: Numbers, weight: int) -> int:
    """add() to all of acc. The system hands out large arrays anew each time, page by page."""
    size = min(len(acc), _BLOCK)
    products, real = np.empty(size, np.int64), np.empty(size, np.float64)
    total = 0
    for at in range(0, len(acc), size):
        some = values[at : at + size]
        p, r = products[: len(some)], real[: len(some)]
        p[:] = some
        p *= weight
        acc[at : at + size] += p
        r[:] = some
        total += int(np.dot(r, r))
    return total


def squares(values: Integers) -> int:
    """The sum of the squares of at most 2**20 values within ±2**16: exact, as it is below 2**53."""
    real = np.asarray(values, np.float64)
    return int(np.dot(real, real))


def use_installed() -> None:
    """use_compiled() where numba is installed, unless FEDBOARD_NUMBA=0 is in the environment.

    It takes a second, or some when numba compiles for the first time, and 130 MB: do it beside
    other things. Until it is done, and without numba, it is NumPy that decodes.
    """
    if os.environ.get("FEDBOARD_NUMBA") != "0":
        use_compiled()


def use_compiled(wanted: bool = True) -> bool:
    """Take the compiled loops, or NumPy again. Returns whether they are in use."""
    global _fast, _sums, _steps
    _fast = _sums = _steps = None
    if wanted:
        # It may be missing, find no folder to cache in, or be too old or new: then NumPy decodes.
        with contextlib.suppress(Exception):
            compiled: Any = importlib.import_module("fedboard_host.decode_numba")
            compiled.warm_up()
            sums: Any = importlib.import_module("fedboard_host.sums_numba")
            sums.warm_up()
            _fast, _sums = compiled, sums
            steps: Any = importlib.import_module("fedboard_host.lockstep_numba")
            if steps.is_fast():
                steps.warm_up()
                _steps = steps
    return is_compiled()


def is_compiled() -> bool:
    return _sums is not None


def n_adding() -> int:
    """How many threads may add up updates that wait together."""
    return 1 if _steps is None else n_threads()


def compiled_sums() -> Any:
    """The module sums_numba; None while loops are not compiled."""
    return _sums


def _dense(data: bytes, words: Numbers, at: int, part: sparse.Part) -> Numbers:
    """All n values of a part, two's complement."""
    size = (part.n * part.bits + 7) // 8
    if part.bits in _ALIGNED and not at & 7:
        values: Numbers = np.frombuffer(data, _ALIGNED[part.bits], part.n, at >> 3)
        return values.astype(np.int32) if part.shift else values
    if part.bits == 4 and not at & 7:
        pairs = np.frombuffer(data, np.uint8, size, at >> 3)
        halves = np.empty(2 * size, np.uint8)
        halves[::2] = pairs << 4
        halves[1::2] = pairs & 0xF0
        return (halves[: part.n].view(np.int8) >> 4).astype(np.int32)
    codes = fields(words, np.arange(at, at + part.n * part.bits, part.bits), part.bits)
    return (codes - (codes >> part.bits - 1 << part.bits)).astype(np.int32)
