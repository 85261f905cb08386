# mypy: ignore-errors
"""Sixteen updates at once, compiled by numba (extra `fast`): a lane of a vector each.

    add_streams(data, begins, sizes, tables, weights, acc, squares, work)

Where an entry of a stream ends is known only when it has been read. So one stream keeps a processor
waiting; of sixteen it reads four entries each, and adds up the last four meanwhile. Each lane keeps
two words of 64 bits, and asks for the third a step before it is needed: nobody waits for memory. As
the streams advance together, the sums that are being added to stay in the nearest cache. Whatever
does not fit a window of 64 bits (a long gap, the last entries) is read one entry at a time.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import binding

from fedboard_host.bits_numba import WHOLE, number, trailing_zeros, window
from fedboard_host.vectors_memory_numba import add_each, gather, load, store
from fedboard_host.vectors_numba import (
    N_LANES,
    above,
    any_of,
    as_lanes,
    as_pairs,
    chosen,
    funnel,
    in_lanes,
    in_pairs,
    larger,
    negative_where,
    ones,
)

N_WORK = 15 * N_LANES  # numbers of 32 bits, of each lane these:
_PLACES = 0  # of the last step's four entries
_VALUES = 4 * N_LANES  # times scale
_AT = 8 * N_LANES  # the next bit, of the stream
_PLACE = 9 * N_LANES  # the next index that there can be
_RICE = 10 * N_LANES
_SCALE = 11 * N_LANES  # weight << shift
_TOTAL = 12 * N_LANES  # the squares of values, before the shift
_NOWHERE = 13 * N_LANES  # 0 to 15
_BEGIN = 14 * N_LANES  # the stream's first byte
_FEW = 10  # lanes
# numba keeps these loops while this file stays the same. With them are compiled:
# bits_numba 06dd22b6, vectors_numba 36becedc, vectors_memory_numba 39fea8d4
_compiled = numba.njit(cache=True, nogil=True)
_inlined = numba.njit(inline="always")


@_inlined
def _low_halves(low, high):
    """The low 32 bits of 16 windows: the even lanes' are in `low`, the odd ones' in `high`."""
    half = in_pairs(32)
    return as_lanes((low & in_pairs(0xFFFFFFFF)) | (high << half))


@_inlined
def _words(data, begin, at, n):
    """Even lanes' and odd lanes': 64 bits of each stream, n bytes behind those with bit `at`."""
    whole = in_pairs(0x1FFFFFF8)
    even = (as_pairs(at) >> in_pairs(3)) & whole
    odd = (as_pairs(at) >> in_pairs(35)) & whole
    first_even = (as_pairs(begin) & in_pairs(0xFFFFFFFF)) + in_pairs(n)
    first_odd = (as_pairs(begin) >> in_pairs(32)) + in_pairs(n)
    return gather(data, first_even + even), gather(data, first_odd + odd)


@_inlined
def _entry(w):
    """(a gap's zeros and the 1 behind them; what follows, and then these). Without a 1: 32, 0."""
    n = ones(w ^ (w - in_lanes(1)))
    return n, funnel(w, w, n)


@_inlined
def _add(acc, at, more_at, work, n_lanes):
    """Add what has been kept: an entry of each stream, and three more."""
    add_each(acc, at, work, _PLACES, _VALUES, n_lanes)
    for i in range(1, 4):
        add_each(acc, more_at + i, work, _PLACES + i * N_LANES, _VALUES + i * N_LANES, n_lanes)


@_inlined
def _keep(work, i, place, value):
    store(work, _PLACES + i * N_LANES, place)
    store(work, _VALUES + i * N_LANES, value)


@_inlined
def _keep_nothing(work):
    """Zeros, that is: they are added to the first parameters, each lane's to another."""
    for i in range(4):
        _keep(work, i, load(work, _NOWHERE), in_lanes(0))


@_inlined
def _steps(data, acc, work, n_lanes, todo, stop, bits):
    """Read todo entries of each stream at most, and stop where it is not simple. How many it was.

    A place is counted without the run's entries before it: these are as many in all lanes.
    """
    rice, scale = load(work, _RICE), load(work, _SCALE)
    at, place, total = load(work, _AT), load(work, _PLACE), load(work, _TOTAL)
    one = in_lanes(1)
    fixed = rice + in_lanes(bits)
    two_fixed = fixed + fixed
    four_fixed = two_fixed + two_fixed
    most_of_one = in_lanes(32) - fixed  # bits of an entry's zeros and the 1 behind them
    most = in_lanes(32) - two_fixed  # of two entries'
    no_gap = in_lanes(0) - (one << rice)  # all but the low bits; and less the 1 behind the zeros
    sign = one << rice
    value_at = rice + one
    top = in_lanes((1 << (bits - 1)) - 1)
    half, even_bit, odd_bit = in_pairs(32), in_pairs(64), in_pairs(64 << 32)
    begin = load(work, _BEGIN)
    even, odd = _words(data, begin, at, 0)
    next_even, next_odd = _words(data, begin, at, 8)
    n = kept_at = more_at = 0
    _keep_nothing(work)
    while n + 4 <= todo:
        third_even, third_odd = _words(data, begin, at, 16)
        low = funnel(next_even, even, as_pairs(at))
        high = funnel(next_odd, odd, as_pairs(at) >> half)
        w = _low_halves(low, high)
        zeros0, w0 = _entry(w)
        zeros1, w1 = _entry(w0 >> fixed)
        zeros = zeros0 + zeros1
        two = as_pairs(zeros + two_fixed)
        low, high = funnel(low, low, two), funnel(high, high, two >> half)
        w = _low_halves(low, high)
        zeros2, w2 = _entry(w)
        zeros3, w3 = _entry(w2 >> fixed)
        more = zeros2 + zeros3
        place0 = place + (zeros0 << rice) + (w0 | no_gap)
        place1 = place0 + (zeros1 << rice) + (w1 | no_gap)
        place2 = place1 + (zeros2 << rice) + (w2 | no_gap)
        place3 = place2 + (zeros3 << rice) + (w3 | no_gap)
        _add(acc, kept_at, more_at, work, n_lanes)
        kept_at, more_at = n, 0
        is_long = above(larger(zeros, more), most)
        is_four = not any_of(is_long | above(place3, in_lanes(stop - n - 4)))
        if not is_four:
            _keep_nothing(work)
            if any_of(above(zeros0, most_of_one) | above(place0, in_lanes(stop - n - 1))):
                kept_at = 0  # the first parameters are there, whatever n is
                break
        size = ((w0 >> value_at) & top) + one
        total = total + size * size
        _keep(work, 0, place0, negative_where(w0 & sign, size * scale))
        if not is_four:
            at = at + zeros0 + fixed
            even, odd = _words(data, begin, at, 0)
            next_even, next_odd = _words(data, begin, at, 8)
            place = place0
            n += 1
            continue
        size1 = ((w1 >> value_at) & top) + one
        size2 = ((w2 >> value_at) & top) + one
        size3 = ((w3 >> value_at) & top) + one
        total = total + size1 * size1 + size2 * size2 + size3 * size3
        _keep(work, 1, place1, negative_where(w1 & sign, size1 * scale))
        _keep(work, 2, place2, negative_where(w2 & sign, size2 * scale))
        _keep(work, 3, place3, negative_where(w3 & sign, size3 * scale))
        more_at = n
        was_at, at = at, at + zeros + more + four_fixed
        # 64 bits further at most: in the same word, or the next.
        moved = as_pairs(was_at ^ at)
        by_even, by_odd = moved & even_bit, moved & odd_bit
        even, next_even = chosen(by_even, next_even, even), chosen(by_even, third_even, next_even)
        odd, next_odd = chosen(by_odd, next_odd, odd), chosen(by_odd, third_odd, next_odd)
        place = place3
        n += 4
    _add(acc, kept_at, more_at, work, n_lanes)
    store(work, _AT, at)
    store(work, _PLACE, place + in_lanes(n))
    store(work, _TOTAL, total)
    return n


@_compiled
def _run(data, acc, work, todo, stop, bits):
    return _steps(data, acc, work, N_LANES, todo, stop, bits)


@_compiled
def _run_few(data, acc, work, todo, stop, bits):
    """Without idle lanes' additions. A loop over lanes saves nothing: it is not unrolled."""
    return _steps(data, acc, work, _FEW, todo, stop, bits)


@_compiled
def _read_one(data, acc, work, lane, bits, stop):
    """One entry of a stream, whatever it is. False: its index is beyond."""
    one, rice = np.uint64(1), np.uint64(work[_RICE + lane])
    begin = np.uint64(work[_BEGIN + lane]) << np.uint64(3)
    at, place = begin + np.uint64(work[_AT + lane]), np.uint64(work[_PLACE + lane])
    w = window(data, at)
    zeros = trailing_zeros(w)
    while zeros >= WHOLE:  # of a window that may have had no more
        place += WHOLE << rice
        at += WHOLE
        if place >= np.uint64(stop):
            return False
        w = window(data, at)
        zeros = trailing_zeros(w)
    at += zeros + one
    w = window(data, at)
    place += (zeros << rice) + (w & ((one << rice) - one))
    if place >= np.uint64(stop):
        return False
    value = number(np.int64((w >> rice) & ((one << np.uint64(bits)) - one)))
    acc[place] += value * np.int64(np.int32(work[_SCALE + lane]))
    work[_TOTAL + lane] += np.uint32(value * value)
    work[_AT + lane] = at + rice + np.uint64(bits) - begin
    work[_PLACE + lane] = place + one
    return True


def _add_streams(data, begins, sizes, tables, weights, acc, squares, work):
    """acc += weight * change, of N_LANES updates; squares[lane, part]: of its values, summed.

    Of fewer updates, as many as squares has rows; then some are given to more lanes than one, and
    only the first are added. data: uint8, the streams, lane i's from byte begins[i] on,
    sizes[i] of them, and behind it all as many bytes as the longest stream that there can
    be, and 32. tables: each update's Head.table, all of one Head.kind, and no weight above
    Head.max_weight. work: uint32, N_WORK.
    False: an update is malformed, and some of the changes are in acc: the same call with -weights
    takes just these off again.
    """
    n_lanes = len(squares)
    left = np.empty(N_LANES, np.int64)
    for lane in range(N_LANES):
        work[_AT + lane] = 0
        work[_BEGIN + lane] = begins[lane]
        work[_NOWHERE + lane] = lane
    for part in range(tables.shape[1]):
        n, _, _, bits, _, _, start = tables[0, part]
        stop = start + n
        for lane in range(N_LANES):
            left[lane] = tables[lane, part, 1]
            work[_RICE + lane] = max(tables[lane, part, 2], 0)
            work[_SCALE + lane] = weights[lane] << tables[lane, part, 4]
            work[_PLACE + lane] = start
            work[_TOTAL + lane] = 0
        while left.max():
            if n_lanes > _FEW:
                n_read = _run(data, acc, work, left.min(), stop, bits)
            else:
                n_read = _run_few(data, acc, work, left.min(), stop, bits)
            for lane in range(N_LANES):
                left[lane] -= n_read
                if left[lane]:
                    if not _read_one(data, acc, work, lane, bits, stop):
                        return False
                    left[lane] -= 1
        for lane in range(n_lanes):
            shift = tables[lane, part, 4]
            squares[lane, part] = np.int64(work[_TOTAL + lane]) << (2 * shift)
    for lane in range(n_lanes):
        if not _is_the_end(data, begins[lane], sizes[lane], np.int64(work[_AT + lane])):
            return False
    return True


@_compiled
def _is_the_end(data, begin, size, n_bits):
    """Behind so many bits there are only the zeros that fill the last byte."""
    if (n_bits + 7) >> 3 != size:
        return False
    return n_bits & 7 == 0 or data[begin + size - 1] >> (n_bits & 7) == 0


add_streams = _compiled(_add_streams)


def is_fast() -> bool:
    """This processor counts bits in vectors: where it does not, sums_numba is faster."""
    return bool(binding.get_host_cpu_features().get("avx512vpopcntdq"))


def warm_up() -> None:
    """Compile all of it now, for the types that are used: or load what has been before."""
    none = np.zeros(N_LANES, np.int64)
    tables = np.empty((N_LANES, 0, 7), np.int64)
    squares = np.empty((N_LANES, 0), np.int64)
    work = np.zeros(N_WORK, np.uint32)
    data = np.frombuffer(bytes(64), np.uint8)  # which is read-only, as bytes are
    add_streams(data, none, none, tables, none, none, squares, work)
