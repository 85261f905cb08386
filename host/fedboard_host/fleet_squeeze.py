"""Inputs of a first layer that all boards' samples agree in, such as a picture's dark border.

While boards learn such samples, a board's weights of these inputs all move alike: input i is always
c, so each step moves W[i, j] by the same floor(c * sum of d[j]). A SqueezedLayer leaves them out,
and keeps what is theirs in common:

    merged[j] = c * sum of their W[., j], a part of each forward sum       moved[j], so far

finish() then writes all back, and summed() adds all boards up without that. The same bits, a third
less work on MNIST. But no weight may meet its limit meanwhile, as it would go its own way from
there: then TooFar, and the layer learns in full.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from fedboard_host.fleet_layer import Layer, floored
from fedboard_host.fleet_rules import Floats, Reals, Step

Features = NDArray[np.int8]

_WORTH = 0.85  # of the inputs that are kept at most


@cache
def _mixed(n: int) -> NDArray[np.intp]:
    """0 to n - 1, neighbours far apart: so all pieces get some of the large weights' clusters."""
    return np.argsort(np.arange(n) * 0.618034 % 1)


class TooFar(Exception):
    """A weight that was left out may have met its limit: nothing is written."""


def squeeze(full: Layer, start: Floats, x: Features) -> SqueezedLayer | None:
    """For x (boards, samples, n_in) of a large layer, if it is worth it.

    start: what the layer's weights are, (boards, n_in + 1, n_out); or (1, ...) if all boards'
    are the same, whatever `full` has.
    """
    if not full.is_large:
        return None
    first = x[0, 0]
    same = (x == first).all(axis=(0, 1))
    value = int(np.bincount(first[same].astype(np.int64) + 128, minlength=256).argmax()) - 128
    is_left = same & (first == value)
    if len(first) - is_left.sum() > _WORTH * len(first):
        return None
    return SqueezedLayer(full, start, is_left, value)


class SqueezedLayer(Layer):
    """is_left (n_in,): the inputs left out, which are always `value`. `full` is not changed yet."""

    def __init__(self, full: Layer, start: Floats, is_left: NDArray[np.bool_], value: int) -> None:
        self._start = start
        kept = np.flatnonzero(~is_left)
        self._kept = np.append(kept[_mixed(len(kept))], full.n_in)  # and the biases
        self._left = np.flatnonzero(is_left)
        self._value = float(value)
        boards, n_out = full.w.shape[0], full.w.shape[2]
        buffers = full.squeezed
        own = buffers.get("w", (boards, len(self._kept), n_out), np.float32)
        kept_w = np.take(start, self._kept, axis=1)
        left = np.take(start, self._left, axis=1)
        largest = np.maximum(left.max(axis=1), -left.min(axis=1))
        exact = float(largest.max()) * left.shape[1] < 1 << 24
        sums = left.sum(axis=1, dtype=np.float32 if exact else np.float64)
        self._merged: Reals = np.empty((boards, n_out))
        self._merged[:] = sums * self._value
        self._room = full.limit - largest if full.limit else np.full_like(largest, np.inf)
        self._moved: Reals = np.zeros((boards, n_out))
        super().__init__(own, full.bias_input, full.limit, buffers)
        self.w = np.broadcast_to(kept_w, own.shape)  # until the first update()
        self.survey(kept_w, full.pieces)

    def gather(self, x: Features) -> Features:
        """Of samples (boards, samples, n_in) the inputs that are kept."""
        return np.take(x, self._kept[:-1], axis=2)

    def forward(self, source: NDArray[np.generic]) -> Reals:
        out = super().forward(source)
        out += self._merged[:, None]
        return out

    def update(self, d: Floats, step: Step) -> None:
        super().update(d, step)
        sums: Reals = d.sum(axis=1, dtype=np.float64) * (self._value * step.scale) + step.half
        floored(sums, step)
        self._moved += sums
        self._merged -= sums * (self._value * len(self._left))
        if (np.abs(self._moved) > self._room).any():
            raise TooFar

    def finish(self, full: Floats) -> None:
        """Write all weights into the full layer's."""
        full[:, self._kept] = self.w
        full[:, self._left] = self._start[:, self._left] - self._moved[:, None].astype(np.float32)

    def summed(self, out: Floats) -> None:
        """All boards' weights added up, into out (n_in + 1, n_out)."""
        total = self._buffers.get("total", self.w.shape[1:], np.float32)
        out[self._kept] = np.add.reduce(self.w, axis=0, out=total)
        copies = len(self.w) if len(self._start) == 1 else 1
        left = self._start[:, self._left].sum(axis=0)
        out[self._left] = left * np.float32(copies) - self._moved.sum(axis=0).astype(np.float32)
