"""Many boards of one integer network, vectorised: the same bits as fedboard.dfa.Network, in bulk.

A Fleet is a block of boards that take the same steps at once, each with its own parameters and
samples. Its parameters lie in `lanes`, float32 (boards, n_params) that hold integers: by layer
(n_in + 1, n_out), the weights transposed and the biases as the last row, which a constant input
multiplies. pack() and unpack() turn them into the order of model.Spec and back.

Products run through BLAS, and are exact: of a sum of integers, every partial sum in any order is
an integer too, and below 2**24 float32 holds all of those, below 2**53 float64 does. An update
sum is bounded by 128 sum |d| and runs in float32 if that stays below; a forward sum by |w| |x|
(Cauchy and Schwarz, for every subset of the terms), or else by int32, and runs in float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedboard import StateError
from fedboard.model import Spec
from fedboard_host import fleet_rules
from fedboard_host.fleet_rules import Classes, Reals, Step

Floats = NDArray[np.float32]
Words = NDArray[np.int16]
Features = NDArray[np.int8]

_EXACT = float(1 << 24)
_BLOCK_PARAMS = 1 << 17  # of a block of boards: about what a core's cache holds
_PATIENCE = 16  # steps in float64 before float32 is tried again


def boards_in_a_block(spec: Spec) -> int:
    """How many boards one Fleet best has."""
    return max(1, _BLOCK_PARAMS // spec.n_params)


class Fleet:
    """`boards` networks. clamped=False: as TIFeD's published code, without any clamps."""

    def __init__(self, spec: Spec, boards: int, clamped: bool = True) -> None:
        self.spec = spec
        self.boards = boards
        self.rule = fleet_rules.make(spec, clamped)
        self.lanes: Floats = np.zeros((boards, spec.n_params), np.float32)
        self._feedback = self.rule.feedback()
        self._layers = [_Layer(spec, l, self, clamped) for l in range(spec.n_layers)]
        self._order = _lane_order(spec)

    def load(self, lanes: NDArray[np.generic]) -> None:
        """All boards' lanes = `lanes`, (n_params,) or (boards, n_params)."""
        self.lanes[:] = lanes
        self.touched()

    def touched(self) -> None:
        """Somebody else wrote into `lanes`."""
        for layer in self._layers:
            layer.touched()

    def pack(self, params: NDArray[np.generic]) -> NDArray[np.generic]:
        """Parameters (..., n_params) in the order of the lanes."""
        return np.take(params, self._order, axis=-1)

    def unpack(self, lanes: NDArray[np.generic]) -> NDArray[np.generic]:
        """Lanes (..., n_params) in model.Spec's order."""
        params = np.empty_like(lanes)
        params[..., self._order] = lanes
        return params

    def learn(
        self,
        x: Features,
        y: Classes,
        batch: int = 1,
        layers: int = 0,
        rate: int = 0,
        lengths: NDArray[np.int64] | None = None,
    ) -> None:
        """Each board learns its row of samples in order, `batch` a step (the last may have less).

        x int8 (boards, samples, n_in), y (boards, samples); lengths (boards,): a row's samples
        that count, the others are padding. layers: mask, 0: all. rate: 0: the rule's own.
        """
        n = x.shape[1]
        if x.shape != (self.boards, n, self.spec.sizes[0]) or y.shape != x.shape[:2]:
            raise StateError(f"x {x.shape} and y {y.shape} are not {self.boards} boards' samples")
        mask = layers or (1 << self.spec.n_layers) - 1
        steps = [self.rule.step(rate, l) for l in range(self.spec.n_layers)]
        for at in range(0, n, batch):
            end = min(n, at + batch)
            live = None
            if lengths is not None and (lengths < end).any():
                live = (np.arange(at, end) < lengths[:, None]).astype(np.float64)
                if not live.any():
                    break
            self._learn(x[:, at:end], y[:, at:end], mask, steps, live)

    def predict(self, x: Features) -> Classes:
        """Classes (boards, samples) for x (boards or 1, samples, n_in); the first of equals."""
        found: Classes = self._forward(x)[0].argmax(axis=2)
        return found

    def _forward(self, x: Features) -> tuple[Reals, list[Reals]]:
        """(logits, every layer's slopes)."""
        last = self.spec.n_layers - 1
        slopes = []
        source: Features | Reals = x
        for l in range(last):
            acc = self._layers[l].forward(source)
            source, slope = self.rule.activate(acc, l)
            slopes.append(slope)
        out, slope = self.rule.output(self._layers[last].forward(source))
        return out, [*slopes, slope]

    def _learn(
        self, x: Features, y: Classes, mask: int, steps: list[Step], live: Reals | None
    ) -> None:
        out, slopes = self._forward(x)
        e, d = self.rule.errors(out, y, slopes[-1])
        if live is not None:
            e *= live[:, :, None]
            d = d if d is e else d * live[:, :, None]
        last = self.spec.n_layers - 1
        for l in range(last + 1):
            if mask >> l & 1:
                deltas = d if l == last else self.rule.spread(e, self._feedback[l], slopes[l])
                self._layers[l].update(deltas, steps[l])


class _Layer:
    """One layer of all boards. `w` views the lanes: (boards, n_in + 1, n_out), biases last."""

    def __init__(self, spec: Spec, l: int, fleet: Fleet, clamped: bool) -> None:
        n_in, n_out = spec.shape(l)
        self._n_in = n_in
        self._bias_input = fleet.rule.bias_input(l)
        lanes = fleet.lanes[:, spec.at(l) : spec.at(l + 1)]
        self.w: Floats = lanes.reshape(fleet.boards, n_in + 1, n_out)
        self._limit = spec.limit(l) if clamped else 0
        self._sums: Floats = np.empty_like(self.w)
        self._x: Floats = np.empty((0, 0, 0), np.float32)  # the batch, a row of ones behind
        self._rows = 0
        self._largest_x = 0.0  # its largest row's norm, squared
        self._wide: Reals | None = None  # w in float64, if that is up to date
        self._wait = 0  # steps until float32 is tried again
        self._peak = float("inf")  # no |w| is above

    def touched(self) -> None:
        self._wide = None
        self._wait = 0
        self._peak = float("inf")

    def forward(self, source: NDArray[np.generic]) -> Reals:
        """The sums (boards, samples, n_out) for inputs (boards or 1, samples, n_in), remembered."""
        shape = source.shape[0], source.shape[1] + 1, self._n_in + 1
        if self._x.shape != shape:
            self._x = np.ones(shape, np.float32)
            self._x[:, :-1, -1] = self._bias_input
            self._rows = source.shape[1]
        x = self._x[:, :-1]
        x[:, :, :-1] = source
        if self._is_narrow(x):
            return (x @ self.w).astype(np.float64)
        if self._wide is None:
            self._wide = self.w.astype(np.float64)
        return x.astype(np.float64) @ self._wide

    def _is_narrow(self, x: Floats) -> bool:
        """float32 is exact for x @ w."""
        if self._wait:
            self._wait -= 1
            return False
        largest_x = float(np.einsum("bsi,bsi->bs", x, x).max())
        largest_w = float(np.einsum("bij,bij->bj", self.w, self.w).max())
        narrow = 1.01 * largest_x * largest_w < _EXACT * _EXACT  # these two sums are rounded
        if not narrow:
            self._wait = _PATIENCE
        return narrow

    def update(self, d: Reals, step: Step) -> None:
        """w -= the batch's sums of x d, as `step` divides and rounds them; then clamped."""
        reach = 128 * float(np.abs(d).sum(axis=1).max())
        if reach == 0:
            return
        change = reach * step.scale / step.divisor + 1
        exact = (reach + step.half / step.scale < _EXACT) and change < _EXACT
        if exact:
            self._subtract(self._batch_sums(d, step, np.float32), step)
        else:
            wide = self.w - self._floored(self._batch_sums(d, step, np.float64), step)
            if self._limit:
                np.clip(wide, -self._limit, self._limit, out=wide)
            self.w[:] = wide
        self._wide = None
        self._clamp(change)

    def _batch_sums(self, d: Reals, step: Step, dtype: type) -> NDArray[np.floating]:
        x = self._x if step.half else self._x[:, :-1]
        deltas: NDArray[np.floating] = np.empty((d.shape[0], x.shape[1], d.shape[2]), dtype)
        np.multiply(d, step.scale, out=deltas[:, : d.shape[1]], casting="same_kind")
        deltas[:, d.shape[1] :] = step.half  # meets the row of ones, so half is added to each sum
        columns = x.astype(dtype, copy=False).transpose(0, 2, 1)
        sums: NDArray[np.floating]
        sums = np.matmul(columns, deltas, out=self._sums if dtype is np.float32 else None)
        return sums

    def _floored(self, sums: NDArray[np.floating], step: Step) -> NDArray[np.floating]:
        if step.divisor > 1:
            sums /= step.divisor
        np.floor(sums, out=sums)
        return sums

    def _subtract(self, sums: NDArray[np.floating], step: Step) -> None:
        self.w -= self._floored(sums, step)

    def _clamp(self, change: float) -> None:
        """Clamp if a weight may have left the limits: it is known how far the last step went."""
        if not self._limit:
            return
        self._peak += change
        if self._peak > self._limit:
            np.clip(self.w, -self._limit, self._limit, out=self.w)
            self._peak = float(max(self.w.max(), -self.w.min()))


def _lane_order(spec: Spec) -> NDArray[np.intp]:
    """Where each place in the lanes comes from."""
    order = []
    for l in range(spec.n_layers):
        n_in, n_out = spec.shape(l)
        at = np.arange(spec.at(l), spec.at(l + 1))
        weights = at[: n_in * n_out].reshape(n_out, n_in).T
        order += [weights.ravel(), at[n_in * n_out :]]
    return np.concatenate(order)
