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
_ROOM = 0.8  # of float32's, that is used at first: the next steps then fit, too
_PATIENCE = 16  # steps in float64 before float32 is tried again
_LARGE = 1 << 14  # parameters of a layer, from which on boards are done one by one: see `_turns`


class Layer:
    """w: float32 (boards, n_in + 1, n_out), changed in place; its last row are the biases.

    limit: of |w|; 0: none. pieces: that a forward product is cut into, to be exact in float32.
    """

    def __init__(
        self, w: Floats, bias_input: int, limit: int, buffers: Buffers | None = None
    ) -> None:
        self.w = self._own = w
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
        self._peak = math.inf  # no |w| is above
        self._lengths: list[Reals] = []  # of all columns' pieces, when they were last measured
        self._drift: Any = 0.0  # (boards, n_out): no column's w has moved further since then
        self.travel = 0.0  # nor any w since touched()

    def survey(self, w: Floats, pieces: int) -> None:
        """After touched(): `w` has all values that self.w has, but perhaps each of them once."""
        self.pieces = pieces
        self._peak = float(max(w.max(), -w.min()))
        self._measure(w)

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
            self._narrow(x, out)
            return out
        if not self._is_wide:
            self._wide = self._buffers.get("wide", self.w.shape, np.float64)
            self._wide[:] = self.w
            self._is_wide = True
        for turn in self._turns:
            np.matmul(x[turn].astype(np.float64), self._wide[turn], out=out[turn])
        return out

    def _is_narrow(self, x: Floats) -> bool:
        """Cut into `pieces`, float32 is exact for x @ w."""
        if self._wait:
            self._wait -= 1
            return False
        most = 128 * math.sqrt(max(self.n_in // self.pieces, self.pieces) + 1)  # of an int8 piece
        if self._lengths and most * self._longest() < _EXACT:
            return True
        while True:
            largest = max(float(_lengths(part, "bpsk,bpsk->bps").max()) for part in self._cut_x(x))
            if self._lengths and largest * self._longest() < _EXACT:
                return True
            self._measure(self.w)  # they may be less than what was known
            reach = largest * self._longest() / _EXACT
            if reach < _ROOM:
                return True
            # A piece of half the inputs reaches about half as far, or somewhat further.
            pieces = max(self.pieces + 1, int(self.pieces * reach * 1.1))
            if pieces > min(_MOST_PIECES, self.n_in // _LEAST_PIECE):
                if reach < 1:
                    return True
                self._wait = _PATIENCE - 1
                return False
            self.pieces = pieces
            self._lengths = []

    def _measure(self, w: Floats) -> None:
        self._lengths = [_lengths(part, "bpkj,bpkj->bpj") for part in self._cut_w(w)]
        self._drift = 0.0

    def _longest(self) -> float:
        """No column's piece is longer now."""
        drift = self._drift * math.sqrt(max(self.n_in // self.pieces, self.pieces) + 1)
        if isinstance(drift, np.ndarray):
            drift = drift[:, None]
        return max(float((known + drift).max()) for known in self._lengths)

    def _cut_x(self, x: Floats) -> list[Floats]:
        """`pieces` of equal length (boards, pieces, samples, k), and the rest like one of them."""
        n = self.pieces
        if n == 1:
            return [x[:, None]]
        end = self.n_in // n * n
        even = x[:, :, :end].reshape(*x.shape[:2], n, end // n).transpose(0, 2, 1, 3)
        return [even, x[:, None, :, end:]]

    def _cut_w(self, w: Floats) -> list[Floats]:
        """As _cut_x: (boards, pieces, k, n_out)."""
        n = self.pieces
        if n == 1:
            return [w[:, None]]
        end = self.n_in // n * n
        return [w[:, :end].reshape(len(w), n, end // n, -1), w[:, None, end:]]

    def _narrow(self, x: Floats, out: Reals) -> None:
        (x_pieces, *x_rest), (w_pieces, *w_rest) = self._cut_x(x), self._cut_w(self.w)
        sums = self._buffers.get("sums", (len(x), 1, *out.shape[1:]), np.float32)
        if not x_rest:
            np.matmul(x_pieces, w_pieces, out=sums)
            out[:] = sums[:, 0]
            return
        np.matmul(x_rest[0], w_rest[0], out=sums)
        # NumPy adds integers four times as fast as it adds float32 to float64.
        kind: type = np.int32 if self.limit else np.int64
        totals = self._buffers.get("totals", out.shape, kind)
        shape = *x_pieces[self._turns[0]].shape[:3], out.shape[2]
        products = self._buffers.get("products", shape, np.float32)
        integers = self._buffers.get("integers", shape, kind)
        for turn in self._turns:
            np.matmul(x_pieces[turn], w_pieces[turn], out=products)
            np.copyto(integers, products, casting="unsafe")
            np.add.reduce(integers, axis=1, out=totals[turn])
        np.add(totals, sums[:, 0], out=out)

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
        sizes = 128.01 * size.sum(axis=1)  # these sums may be rounded a little
        reach = float(sizes.max())
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
        columns: NDArray[Any] = x.astype(kind, copy=False).transpose(0, 2, 1)
        name = f"sums {kind.__name__}"
        sums = self._buffers.get(name, self.w[self._turns[0]].shape, kind)
        for turn in self._turns:
            floored(np.matmul(columns[turn], deltas[turn], out=sums), step)
            if narrow:
                np.subtract(self.w[turn], sums, out=self._own[turn])
            else:
                wide = self.w[turn] - sums
                if self.limit:
                    np.clip(wide, -self.limit, self.limit, out=wide)
                self._own[turn] = wide
        self.w = self._own
        self._is_wide = False
        self.travel += change
        self._drift = self._drift + (sizes * (step.scale / step.divisor) + 1)
        self._clamp(change)

    def _clamp(self, change: float) -> None:
        """Clamp if a weight may have left the limits: it is known how far the last step went."""
        if not self.limit:
            return
        self._peak += change
        if self._peak > self.limit:
            np.clip(self.w, -self.limit, self.limit, out=self.w)
            self._peak = float(max(self.w.max(), -self.w.min()))


def _lengths(part: Floats, sums: str) -> Reals:
    """Euclidean lengths, or a little more: float32 may round them."""
    lengths: Reals = 1.01 * np.sqrt(np.einsum(sums, part, part))
    return lengths


def floored(sums: NDArray[np.floating], step: Step) -> NDArray[np.floating]:
    """What w moves by, of sums with `scale` and `half` in them; in place."""
    if step.divisor > 1:
        sums /= step.divisor
    np.floor(sums, out=sums)
    return sums
