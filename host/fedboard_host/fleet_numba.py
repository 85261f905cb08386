# mypy: ignore-errors
"""A fleet's learning by rule "tifed", compiled by numba (extra `fast`): the same bits as fleet's.

A board at a time, a minibatch at a time. The first layer is fleet_lit_numba's. Arrays lie as in
Fleet's lanes, but int16; the small layers above the first are turned meanwhile to (n_out,
n_in + 1), as loops are compiled to run along long rows.

All sums are int32. A forward sum's true value fits (Spec.limit); parts of it may not, and wrap:
what is added up modulo 2**32 is right in the end all the same. So is an update's sum: deltas are
within int16, and a minibatch has MOST_SAMPLES at most.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from fedboard_host.fleet_lit_numba import find_lit, forward_first, turn, update_first
from fedboard_host.rows_numba import add_to, copy, subtract_shifted

MOST_SAMPLES = 500  # of a minibatch: 128 * 32767 * 500 < 2**31
# numba keeps these loops while this file stays the same. With them are compiled:
# fleet_lit_numba 7ad82a07, rows_numba 39bd4fbb
_compiled = numba.njit(cache=True, nogil=True)
_i32 = np.int32


@_compiled
def _dense(w: Any, x: Any, acc: Any) -> None:
    """acc = the sums of w (n_out, n_in + 1) for inputs x."""
    n = len(x)
    for k in range(len(acc)):
        row = w[k]
        total = _i32(row[n])  # bias
        for i in range(n):
            total = _i32(total + row[i] * x[i])
        acc[k] = total


@_compiled
def _update_dense(w: Any, x: Any, d: Any, shift: int, limit: int, acc: Any) -> None:
    """w (n_out, n_in + 1) -= the floored sums of x d: x (samples, n_in), d (samples, n_out)."""
    n = x.shape[1]
    sums = acc[: n + 1]
    for k in range(len(w)):
        sums[:] = 0
        for s in range(len(d)):
            own, e = x[s], d[s, k]
            if e:
                for i in range(n):
                    sums[i] += _i32(own[i] * e)
                sums[n] += e
        subtract_shifted(w[k], sums, shift, limit)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _activate(acc: Any, divisor: float, tanh: Any, bits: Any, slopes: Any) -> None:
    """acc = TIFeD's tanh of acc // divisor; slopes: the bits that deltas are shifted by."""
    for j in range(len(acc)):
        acc[j] = _i32(min(max(np.floor(acc[j] / divisor), -128.0), 128.0)) + 128
    for j in range(len(acc)):
        slopes[j] = bits[acc[j]]
        acc[j] = tanh[acc[j]]


@_compiled
def _errors_back(e: Any, feedback: Any, slopes: Any, acc: Any, d: Any) -> None:
    """d = e B, shifted, for B (n_out, units)."""
    acc[:] = 0
    for k in range(len(e)):
        row, own = feedback[k], e[k]
        for j in range(len(acc)):
            acc[j] += _i32(row[j] * own)
    for j in range(len(d)):
        d[j] = min(max(_i32(acc[j] >> slopes[j]), _i32(-32767)), _i32(32767))


@_compiled
def _largest_sum(d: Any, size: Any) -> int:
    """The most that some unit's deltas (samples, units) come to, signs aside."""
    size[:] = 0
    for s in range(len(d)):
        for j in range(len(size)):
            size[j] += abs(d[s, j])
    return size.max()


@numba.njit(inline="always")
def _part(flat: Any, at: int, rows: int, columns: int) -> Any:
    """A matrix in a flat array, contiguous, as fast loops want it."""
    return flat[at : at + rows * columns].reshape(rows, columns)


@_compiled
def _turn_above(lanes: Any, sizes: Any, above: Any, back: bool) -> None:
    """The layers above the first, of a board's lanes (n_params,), into `above`; or back."""
    at = first = (sizes[0] + 1) * sizes[1]
    for l in range(1, len(sizes) - 1):
        lane = _part(lanes, at, sizes[l] + 1, sizes[l + 1])
        whole = _part(above, at - first, sizes[l + 1], sizes[l] + 1)
        if back:
            lane[:] = whole.T
        else:
            whole[:] = lane.T
        at += lane.size


@_compiled
def _find_deltas(
    s: int, label: int, batch: int, sizes: Any, above: Any, feedback: Any, tanh: Any, bits: Any,
    acts: Any, deltas: Any, slopes: Any, e: Any, acc: Any,
) -> None:  # fmt: skip
    """Sample s of a minibatch: from its first layer's sums, in `acts`, to all layers' deltas."""
    last = len(sizes) - 2
    a = _part(acts, 0, batch, sizes[1])[s]
    _activate(a, 256.0 * sizes[0], tanh, bits, slopes[: sizes[1]])
    at = 0
    unit = sizes[1]
    for l in range(1, last + 1):
        wide = sizes[l + 1]
        out = _part(acts, unit * batch, batch, wide)[s]
        _dense(_part(above, at, wide, sizes[l] + 1), a, out)
        _activate(out, 256.0 * sizes[l], tanh, bits, slopes[unit : unit + wide])
        a = out
        at += (sizes[l] + 1) * wide
        unit += wide
    copy(e, a)
    e[label] -= 16
    unit -= len(e)
    d = _part(deltas, unit * batch, batch, len(e))[s]
    for k in range(len(e)):
        d[k] = e[k] >> slopes[unit + k]
    unit = 0
    for l in range(last):
        wide = sizes[l + 1]
        _errors_back(
            e, _part(feedback, unit * len(e), len(e), wide), slopes[unit : unit + wide],
            acc[:wide], _part(deltas, unit * batch, batch, wide)[s],
        )  # fmt: skip
        unit += wide


@_compiled
def _update_above(
    n: int, batch: int, sizes: Any, limits: Any, above: Any, acts: Any, deltas: Any, mask: int,
    shift: int, acc: Any,
) -> None:  # fmt: skip
    """A step of the layers above the first, of n samples."""
    at = 0
    unit = sizes[1]
    for l in range(1, len(sizes) - 1):
        wide = sizes[l + 1]
        if mask >> l & 1:
            inputs = _part(acts, (unit - sizes[l]) * batch, n, sizes[l])
            d = _part(deltas, unit * batch, n, wide)
            _update_dense(_part(above, at, wide, sizes[l] + 1), inputs, d, shift, limits[l], acc)
        at += (sizes[l] + 1) * wide
        unit += wide


@_compiled
def _reach(n: int, batch: int, sizes: Any, deltas: Any, mask: int, size: Any) -> int:
    """The most that some unit's deltas come to, in the layers that learn."""
    most = 0
    unit = 0
    for l in range(len(sizes) - 1):
        wide = sizes[l + 1]
        if mask >> l & 1:
            most = max(most, _largest_sum(_part(deltas, unit * batch, n, wide), size[:wide]))
        unit += wide
    return most


def _learn(
    start: Any, own: Any, x: Any, lengths: Any, y: Any, sizes: Any, limits: Any, feedback: Any,
    tanh: Any, bits: Any, c: int, batch: int, mask: int, shift: int,
) -> int:  # fmt: skip
    """As Fleet.learn(), from start to own int16 (boards, n_params); start may have one row for all.

    feedback int32: each hidden layer's B (n_out, units); tanh, bits int32: of -128 to 128; c: the
    background; a step is divided by 2**shift. Returns how far a parameter may have moved.
    """
    n_in, n_first = sizes[0], sizes[1]
    n_units = sizes[1:].sum()
    acts = np.empty(batch * n_units, np.int32)  # by layer (samples, units); so are the deltas
    deltas = np.empty(batch * n_units, np.int16)
    slopes = np.empty(n_units, np.int32)
    above = np.empty(
        own.shape[1] - (n_in + 1) * n_first, np.int32
    )  # the layers above the first, turned
    e = np.empty(sizes[-1], np.int32)
    starts = np.empty(batch + 1, np.int64)
    rows = np.empty(batch * n_in + 1, np.uint32)
    values = np.empty(batch * n_in + 1, np.int32)
    ends = np.empty(n_in, np.int64)
    who = np.empty(batch * n_in, np.uint32)
    turned = np.empty(batch * n_in, np.int32)
    acc = np.empty(max(sizes) + 1, np.int32)
    base = np.empty(max(sizes) + 1, np.int32)
    dark = np.empty(n_first, np.int32)
    totals = np.empty(n_first, np.int32)
    first_totals = np.empty(n_first, np.int32)
    c, shift = _i32(c), _i32(shift)
    travel = 0
    for b in range(len(own)):
        old = start[b % len(start)]
        w = _part(own[b], 0, n_in + 1, n_first)
        is_new = True
        source = _part(old, 0, n_in + 1, n_first)  # what w is, until its first update
        if b < len(start):
            first_totals[:] = 0
            for i in range(n_in):
                add_to(first_totals, source[i])
        totals[:] = first_totals
        _turn_above(old, sizes, above, False)
        moved = 0
        for begin in range(0, lengths[b], batch):
            n = min(batch, lengths[b] - begin)
            find_lit(x[b, begin : begin + n], c, starts, rows, values)
            sums = _part(acts, 0, n, n_first)
            forward_first(source, c, totals, starts[: n + 1], rows, values, sums)
            for s in range(n):
                _find_deltas(
                    s, y[b, begin + s], batch, sizes, above, feedback, tanh, bits, acts, deltas,
                    slopes, e, acc,
                )  # fmt: skip
            moved += (128 * _reach(n, batch, sizes, deltas, mask, base) >> shift) + 1
            _update_above(n, batch, sizes, limits, above, acts, deltas, mask, shift, acc)
            if mask & 1:
                turn(starts[: n + 1], rows, values, ends, who, turned)
                d = _part(deltas, 0, n, n_first)
                update_first(
                    source, is_new, w, c, totals, ends, who, turned, d, shift, limits[0],
                    begin + n < lengths[b], acc[:n_first], base[:n_first], dark,
                )  # fmt: skip
                source = w
                is_new = False
        if is_new:
            w[:] = source
        _turn_above(own[b], sizes, above, True)
        travel = max(travel, moved)
    return travel


learn = _compiled(_learn)


def warm_up() -> None:
    """Compile all of it now, for the types that are used: or load what has been before."""
    words = np.zeros((1, 4), np.int16)
    some = np.zeros(257, np.int32)
    one = np.ones(1, np.int64)
    learn(
        words, words.copy(), np.zeros((1, 1, 1), np.int8), one, one[None] - 1, np.array([1, 1, 1]),
        some[:2], some[:1], some, some, 0, 1, 3, 1,
    )  # fmt: skip
