"""What an update's meta says: boards' are often alike, so decode.Decoder keeps them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedboard import sparse
from fedboard.model import Spec

MAX_FIXED = 10  # bits of an entry behind its gap's 1; of more, four do not fit 57 bits
_LEAST_PARAMS = 32


class Head:
    """table: each part's n, k, r (-1: no gaps), bits, shift, dense, at. WireError: not a meta."""

    def __init__(self, spec: Spec, meta: bytes) -> None:
        self.parts = sparse.unpack_meta(spec, meta)
        self.layers = [p.layer for p in self.parts]
        self.least = sparse.min_bytes(self.parts)
        self.most = sparse.max_bytes(self.parts)
        self.n_sparse = sum(p.k for p in self.parts if not p.dense)
        self.table = np.array(
            [
                (
                    p.n,
                    p.k,
                    sparse.rice_parameter(p.n, p.k) if 0 < p.k < p.n else -1,
                    p.bits,
                    p.shift,
                    p.dense,
                    p.at,
                )
                for p in self.parts
            ],
            np.int64,
        ).reshape(-1, 7)
        self.kind = self._kind(spec, meta)
        self._lanes = self.table[:0]
        self.max_weight = ((1 << 31) - 1) // max((1 << p.bits - 1 << p.shift for p in self.parts),
                                                 default=1)  # fmt: skip

    def _kind(self, spec: Spec, meta: bytes) -> bytes:
        """Updates of one kind may be read in lockstep (lockstep_numba); empty: this one may not.

        max_weight: of an update in lockstep. Values times weight, and the sum of values' squares
        before the shift, then fit 32 bits.
        """
        if not self.n_sparse or spec.n_params < _LEAST_PARAMS:
            return b""
        for _, k, r, bits, _, dense, _ in self.table.tolist():
            is_long = r < 0 or r + bits > MAX_FIXED or k << 2 * (bits - 1) >= 1 << 32
            if dense or (k and is_long):
                return b""
        return bytes([meta[0], *(p.bits for p in self.parts)])

    def lanes(self, n: int) -> NDArray[np.int64]:
        """The table, n times."""
        if len(self._lanes) != n:
            self._lanes = np.repeat(self.table[np.newaxis], n, axis=0)
        return self._lanes
