# mypy: ignore-errors
"""A fleet's learning by rule "tifed", compiled by numba (extra `fast`): the same bits as fleet's.

A board at a time, a minibatch at a time. The first layer's inputs are mostly one value c, such as a
picture's background: with x = c + p, of which few p are not 0 ("lit"),

    forward   sum_i W[i] x[i] = c * sum_i W[i]  +  the lit W[i] p[i]        sums over all i are kept
    update    sum_s x[i, s] d[s] = c * sum_s d[s]  +  the lit p[i, s] d[s]

so only what is lit is multiplied. Arrays lie as in Fleet's lanes, but int16; the small layers above
the first are turned meanwhile to (n_out, n_in + 1), as loops are compiled to run along long rows.

All sums are int32. A forward sum's true value fits (Spec.limit); parts of it may not, and wrap:
what is added up modulo 2**32 is right in the end all the same. So is an update's sum: deltas are
within int16, and a minibatch has MOST_SAMPLES at most.

All is in one file, as what numba keeps of a function is made anew when its own file changes only.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

MOST_SAMPLES = 500  # of a minibatch: 128 * 32767 * 500 < 2**31
_compiled = numba.njit(cache=True, nogil=True)
_i32 = np.int32


@_compiled
def find_lit(x: Any, c: int, starts: Any, rows: Any, values: Any) -> None:
    """Of samples x (samples, n_in): the lit inputs of sample s at starts[s] to starts[s + 1]."""
    n = 0
    n_eights = x.shape[1] >> 3
    dark = np.uint64(c & 255) * np.uint64(0x0101010101010101)
    for s in range(x.shape[0]):
        starts[s] = n
        own = x[s]
        eights = own[: 8 * n_eights].view(np.uint64)
        for k in range(n_eights + 1):
            if k < n_eights and eights[k] == dark:  # as most are
                continue
            for i in range(8 * k, min(8 * k + 8, len(own))):
                p = _i32(own[i]) - c
                rows[n] = i
                values[n] = p
                n += p != 0
    starts[x.shape[0]] = n


@_compiled
def turn(starts: Any, rows: Any, values: Any, ends: Any, who: Any, turned: Any) -> None:
    """The same by inputs: the samples that light input i end at ends[i]."""
    ends[:] = 0
    for k in range(starts[-1]):
        ends[rows[k]] += 1
    total = 0
    for i in range(len(ends)):
        n = ends[i]
        ends[i] = total
        total += n
    for s in range(len(starts) - 1):
        for k in range(starts[s], starts[s + 1]):
            at = ends[rows[k]]
            who[at] = s
            turned[at] = values[k]
            ends[rows[k]] = at + 1


@_compiled
def _add_rows(acc: Any, w: Any, which: Any, p: Any, k: int, end: int) -> None:
    """acc += p[k] * w[which[k]] and so on, up to `end`: four rows at a time."""
    while k + 4 <= end:
        w0, w1, w2, w3 = w[which[k]], w[which[k + 1]], w[which[k + 2]], w[which[k + 3]]
        p0, p1, p2, p3 = p[k], p[k + 1], p[k + 2], p[k + 3]
        for j in range(len(acc)):
            acc[j] += (
                _i32(w0[j] * p0) + _i32(w1[j] * p1)
                + _i32(w2[j] * p2) + _i32(w3[j] * p3)
            )  # fmt: skip
        k += 4
    while k < end:
        w0, p0 = w[which[k]], p[k]
        for j in range(len(acc)):
            acc[j] += _i32(w0[j] * p0)
        k += 1


@_compiled
def forward_first(
    w: Any, c: int, totals: Any, starts: Any, rows: Any, values: Any, acc: Any
) -> None:
    """acc (samples, n_out) = the sums of w (n_in + 1, n_out); totals: its sums over all inputs."""
    bias = w[-1]
    for s in range(len(starts) - 1):
        own = acc[s]
        for j in range(len(own)):
            own[j] = bias[j] + c * totals[j]
        _add_rows(own, w, rows, values, starts[s], starts[s + 1])


@_compiled
def _copy(w: Any, source: Any) -> None:
    for j in range(len(w)):
        w[j] = source[j]


@_compiled
def _subtract(w: Any, change: Any, limit: int) -> None:
    for j in range(len(w)):
        w[j] = min(max(_i32(w[j] - change[j]), -limit), limit)


@_compiled
def _subtract_shifted(w: Any, sums: Any, shift: int, limit: int) -> None:
    for j in range(len(w)):
        w[j] = min(max(_i32(w[j] - (sums[j] >> shift)), -limit), limit)


@_compiled
def _add_to(total: Any, w: Any) -> None:
    for j in range(len(w)):
        total[j] += w[j]


@_compiled
def update_first(
    source: Any, is_new: bool, w: Any, c: int, totals: Any, ends: Any, who: Any, p: Any, d: Any,
    shift: int, limit: int, goes_on: bool, acc: Any, base: Any, dark: Any,
) -> None:  # fmt: skip
    """w (n_in + 1, n_out) = source - the floored sums of x d; is_new: w is another.

    totals: the sums of w over all inputs, if it goes_on and they are asked for once more.
    """
    base[:] = 0
    for s in range(len(d)):
        _add_to(base, d[s])
    _copy(w[-1], source[-1])
    _subtract_shifted(w[-1], base, shift, limit)
    for j in range(len(base)):
        base[j] *= c
        dark[j] = base[j] >> shift
        totals[j] = 0
    k = 0
    for i in range(len(ends)):
        if is_new:
            _copy(w[i], source[i])
        if k == ends[i]:
            _subtract(w[i], dark, limit)
        else:
            _copy(acc, base)
            _add_rows(acc, d, who, p, k, ends[i])
            _subtract_shifted(w[i], acc, shift, limit)
            k = ends[i]
        if goes_on:
            _add_to(totals, w[i])


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
        _subtract_shifted(w[k], sums, shift, limit)


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
    _copy(e, a)
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
                _add_to(first_totals, source[i])
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
