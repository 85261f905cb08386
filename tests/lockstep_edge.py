"""Adds up updates where the page behind the sums may not be touched: it ends by a signal if it is.

Five updates are good, one is not: after 57 entries its next index is beyond the model.
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


def guarded(n):
    """n sums that end where a page does; the next page may not be read."""
    pages = mmap.mmap(-1, 2 * PAGE)
    behind = ctypes.addressof(ctypes.c_char.from_buffer(pages)) + PAGE
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(behind), PAGE, 0) == 0
    return np.frombuffer(pages, np.int64, n, PAGE - 8 * n)


def main():
    assert decode.use_compiled()
    decode._steps = importlib.import_module("fedboard_host.lockstep_numba")
    n = SPEC.n_params
    part = sparse.Part(0, 0, n, n - 1, 4)
    good = delta.encode([(part, range(n - 1), [1] * (n - 1))])
    begin = 5 * 57  # bits: no zeros, a 1, a value of four
    gap = (1 << 20) - 1 << begin
    bad = (int.from_bytes(good, "little") & ~gap).to_bytes(len(good), "little")
    acc = guarded(n)
    wires = [(1, 1, sparse.pack_meta([part]), data) for data in [good] * 5 + [bad]]
    refused = decode.Decoder(SPEC).add_all(acc, wires)[1]
    assert list(refused) == [5]
    assert acc.tolist() == [5] * (n - 1) + [0]


main()
