"""One layer of a Fleet's boards: its products through BLAS in floating point, exact all the same.

Of a sum of integers every partial sum, in any order, is an integer too; below 2**24 float32 holds
all of those, below 2**53 float64 does. So the faster float32 is taken wherever a bound says so:

    update    |sum x d| <= 128 sum |d|
    forward   |sum w x| <= |w| |x| (Cauchy and Schwarz; of any subset of the terms): cut into
              pieces of the inputs until each piece is below, the pieces are added in int32

What stays above is computed in float64: int32, which the network's limits keep to, fits it easily.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedboard_host.fleet_rules import Buffers, Floats, Reals, Step

_EXACT = float(1 << 24)
_MOST_PIECES = 32
_LEAST_PIECE = 12  # inputs
_PATIENCE = 16  # steps in float64 before float32 is tried again
_LARGE = 1 << 14  # parameters of a layer, from which on boards are done one by one: see `_turns`


class Layer:
    """w: float32 (boards, n_in + 1, n_out), changed in place; its last row are the biases.

    limit: of |w|; 0: none. pieces: that a forward product is cut into, to be exact in float32.
    """

    def __init__(
        self, w: Floats, bias_input: int, limit: int, buffers: Buffers | None = None
    ) -> None:
        self.w = w
        self.bias_input = bias_input
        self.limit = limit
        self.n_in = w.shape[1] - 1
        # Buffers of one board stay in the cache; small layers save calls by going all at once.
        boards = len(w)
        self.is_large = w[0].size >= _LARGE
        self._turns = [slice(b, b + 1) for b in range(boards)] if self.is_large else [slice(boards)]
        self.pieces = 1
        self._buffers = buffers or Buffers()
        self.squeezed = Buffers()  # of its SqueezedLayers, which come and go
        self._x: Floats = np.empty((0, 0, 0), np.float32)  # the batch; below it a row of ones
        self._wide: Reals = np.empty((0, 0, 0))  # w in float64, if it is needed
        self.touched()

    def touched(self) -> None:
        """Somebody else wrote into `w`."""
        self._is_wide = False  # _wide is up to date
        self._wait = 0  # steps until float32 is tried again
        self._peak = float("inf")  # no |w| is above

    def forward(self, source: NDArray[np.generic]) -> Reals:
        """The sums (boards, samples, n_out) for inputs (boards, samples, n_in), which it keeps.

        They are good until the next forward().
        """
        shape = source.shape[0], source.shape[1] + 1, self.n_in + 1
        if self._x.shape != shape:
            self._x = self._buffers.get("x", shape, np.float32)
            self._x[:, -1] = 1
            self._x[:, :-1, -1] = self.bias_input
        x = self._x[:, :-1]
        x[:, :, :-1] = source
        out = self._buffers.get("out", (*x.shape[:2], self.w.shape[2]), np.float64)
        if self._is_narrow(x):
            for turn in self._turns:
                self._narrow(x[turn], self.w[turn], out[turn])
            return out
        if not self._is_wide:
            self._wide = self._buffers.get("wide", self.w.shape, np.float64)
            self._wide[:] = self.w
            self._is_wide = True
        for turn in self._turns:
            np.matmul(x[turn].astype(np.float64), self._wide[turn], out=out[turn])
        return out

    def _is_narrow(self, x: Floats) -> bool:
        """Cut into `_pieces`, float32 is exact for x @ w."""
        while not self._wait:
            reach = max(_reach(*factors) for factors in self._cut(x, self.w))
            if reach < 1:
                return True
            # A piece of half the inputs reaches about half as far, or somewhat further.
            pieces = max(self.pieces + 1, int(self.pieces * reach * 1.1))
            if pieces <= min(_MOST_PIECES, self.n_in // _LEAST_PIECE):
                self.pieces = pieces
            else:
                self._wait = _PATIENCE
        self._wait -= 1
        return False

    def _cut(self, x: Floats, w: Floats) -> list[tuple[Floats, Floats]]:
        """Factors (boards, pieces, samples, k), (boards, pieces, k, n_out) of products to add."""
        n = self.pieces
        if n == 1:
            return [(x[:, None], w[:, None])]
        k = self.n_in // n
        end = n * k
        x_pieces = x[:, :, :end].reshape(*x.shape[:2], n, k).transpose(0, 2, 1, 3)
        w_pieces = w[:, :end].reshape(len(w), n, k, -1)
        return [(x_pieces, w_pieces), (x[:, None, :, end:], w[:, None, end:])]

    def _narrow(self, x: Floats, w: Floats, out: Reals) -> None:
        (x_pieces, w_pieces), *rest = self._cut(x, w)
        shape = *x_pieces.shape[:3], w.shape[2]
        products = self._buffers.get("products", shape, np.float32)
        np.matmul(x_pieces, w_pieces, out=products)
        if not rest:
            out[:] = products[:, 0]
            return
        # NumPy adds integers four times as fast as it adds float32 to float64.
        kind: type = np.int32 if self.limit else np.int64
        integers = self._buffers.get("integers", shape, kind)
        np.copyto(integers, products, casting="unsafe")
        np.add(integers.sum(axis=1, dtype=kind), (rest[0][0] @ rest[0][1])[:, 0], out=out)

    def backward(self, d: Floats) -> NDArray[np.floating]:
        """The sums (boards, samples, n_in) of W d for deltas (boards, samples, n_out)."""
        reach = float(np.abs(d).sum(axis=2).max()) * float(np.abs(self.w).max())
        kind: type = np.float32 if 1.01 * reach < _EXACT else np.float64
        columns = self.w[:, :-1].transpose(0, 2, 1)
        sums = self._buffers.get(f"back {kind.__name__}", (*d.shape[:2], self.n_in), kind)
        return np.matmul(d.astype(kind, copy=False), columns.astype(kind, copy=False), out=sums)

    def update(self, d: Floats, step: Step) -> None:
        """w -= the batch's sums of x d, as `step` divides and rounds them; then clamped.

        d: (boards, samples, n_out) integers of at most 32767; without a limit at most 2**24.
        """
        size = np.abs(d, out=self._buffers.get("size", d.shape, np.float32))
        reach = 128.01 * float(size.sum(axis=1).max())  # these sums may be rounded a little
        if reach == 0:
            return
        change = reach * step.scale / step.divisor + 1
        narrow = reach + step.half / step.scale < _EXACT and change < _EXACT
        x = self._x if step.half else self._x[:, :-1]
        kind: type = np.float32 if narrow else np.float64
        shape = len(d), x.shape[1], d.shape[2]
        deltas = self._buffers.get(f"deltas {kind.__name__}", shape, kind)
        np.multiply(d, kind(step.scale), out=deltas[:, : d.shape[1]])
        deltas[:, d.shape[1] :] = step.half  # meets the row of ones, so half is added to each sum
        for turn in self._turns:
            w = self.w[turn]
            sums = self._buffers.get(f"sums {kind.__name__}", w.shape, kind)
            columns: NDArray[Any] = x[turn].astype(kind, copy=False).transpose(0, 2, 1)
            floored(np.matmul(columns, deltas[turn], out=sums), step)
            if narrow:
                w -= sums
            else:
                wide = w - sums
                if self.limit:
                    np.clip(wide, -self.limit, self.limit, out=wide)
                w[:] = wide
        self._is_wide = False
        self._clamp(change)

    def _clamp(self, change: float) -> None:
        """Clamp if a weight may have left the limits: it is known how far the last step went."""
        if not self.limit:
            return
        self._peak += change
        if self._peak > self.limit:
            np.clip(self.w, -self.limit, self.limit, out=self.w)
            self._peak = float(max(self.w.max(), -self.w.min()))


def _reach(x: Floats, w: Floats) -> float:
    """How far x @ w may go at most, as a share of what float32 holds exactly."""
    largest_x = float(np.einsum("bpsk,bpsk->bps", x, x).max())
    largest_w = float(np.einsum("bpkj,bpkj->bpj", w, w).max())
    return 1.01 * math.sqrt(largest_x * largest_w) / _EXACT  # both sums are rounded a little


def floored(sums: NDArray[np.floating], step: Step) -> NDArray[np.floating]:
    """What w moves by, of sums with `scale` and `half` in them; in place."""
    if step.divisor > 1:
        sums /= step.divisor
    np.floor(sums, out=sums)
    return sums
