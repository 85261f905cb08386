"""decode's loops, compiled by numba (extra `fast`): the same results, and the same errors."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

CUT_SHORT = -1
BEYOND = -2


def _read(
    stream: Any, at: int, n: int, k: int, r: int, bits: int, indices: Any, values: Any
) -> int:
    n_bytes = len(stream)
    byte = at >> 3
    acc = np.int64(0)  # bits that are loaded and not used; never more than 56 of them
    loaded = np.int64(0)
    if at & 7:
        acc = np.int64(stream[byte] >> (at & 7)) if byte < n_bytes else np.int64(0)
        loaded = np.int64(8 - (at & 7))
        byte += 1
    need = bits if r < 0 else 1 + r + bits
    low = (np.int64(1) << max(r, 0)) - 1
    top = (np.int64(1) << bits) - 1
    index = np.int64(-1)
    for i in range(k):
        index += 1
        if r >= 0:
            while acc == 0:
                index += loaded << r
                if byte >= n_bytes:
                    return CUT_SHORT
                acc = np.int64(stream[byte])
                byte += 1
                loaded = np.int64(8)
            while acc & 1 == 0:
                acc >>= 1
                loaded -= 1
                index += 1 << r
        while loaded < need:
            if byte >= n_bytes:
                return CUT_SHORT
            acc |= np.int64(stream[byte]) << loaded
            byte += 1
            loaded += 8
        if r >= 0:
            index += acc >> 1 & low
            acc >>= 1 + r
        if index >= n:
            return BEYOND
        code = acc & top
        acc >>= bits
        loaded -= need
        indices[i] = index
        values[i] = -1 - (code >> 1) if code & 1 else 1 + (code >> 1)
    return int(8 * byte - loaded)


def _add_all(acc: Any, values: Any, weight: int) -> None:
    for i in range(len(values)):
        acc[i] += np.int64(values[i]) * weight


def _add_some(acc: Any, indices: Any, values: Any, weight: int) -> None:
    for i in range(len(indices)):
        acc[indices[i]] += np.int64(values[i]) * weight


_compiled = numba.njit(cache=True, nogil=True)
read = _compiled(_read)
add_all = _compiled(_add_all)
add_some = _compiled(_add_some)
