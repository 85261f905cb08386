"""Adds up updates where the pages behind the sums, and behind the streams, may not be touched.

It ends by a signal if one is. Five updates are good, one is not: after 57 entries its next index is
beyond the model. And once more: it is the last one, and there is no end of its gap.
"""

from __future__ import annotations

import ctypes
import importlib
import mmap

import numpy as np

from fedboard import delta, sparse
from fedboard.model import Spec
from fedboard_host import decode

SPEC = Spec((30, 2), seed=3)
PAGE = mmap.PAGESIZE


def guarded(n, kind=np.int64):
    """n numbers that end where a page does; the next page may not be read."""
    n_bytes = n * np.dtype(kind).itemsize
    size = -(-n_bytes // PAGE) * PAGE
    pages = mmap.mmap(-1, size + PAGE)
    behind = ctypes.addressof(ctypes.c_char.from_buffer(pages)) + size
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(behind), PAGE, 0) == 0
    return np.frombuffer(pages, kind, n, size - n_bytes)


class AtTheEdge:
    """lockstep_numba, with the streams where a page ends."""

    def __init__(self):
        self._steps = importlib.import_module("fedboard_host.lockstep_numba")
        self.N_LANES, self.N_WORK = self._steps.N_LANES, self._steps.N_WORK

    def add_streams(self, data, *more):
        moved = guarded(len(data), np.uint8)
        moved[:] = data
        moved.flags.writeable = False  # as it was: compiled already
        return self._steps.add_streams(moved, *more)


def main():
    assert decode.use_compiled()
    decode._steps = AtTheEdge()
    n = SPEC.n_params
    part = sparse.Part(0, 0, n, n - 1, 4)
    good = delta.encode([(part, range(n - 1), [1] * (n - 1))])
    begin = 5 * 57  # bits: no zeros, a 1, a value of four
    gap = (1 << 20) - 1 << begin
    bad = (int.from_bytes(good, "little") & ~gap).to_bytes(len(good), "little")
    endless = good[: begin // 8] + bytes(sparse.max_bytes([part]) - begin // 8)
    for last in bad, endless:
        acc = guarded(n)
        wires = [(1, 1, sparse.pack_meta([part]), data) for data in [good] * 5 + [last]]
        refused = decode.Decoder(SPEC).add_all(acc, wires)[1]
        assert list(refused) == [5]
        assert acc.tolist() == [5] * (n - 1) + [0]


main()
