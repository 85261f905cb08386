"""Inputs of a first layer that all of a board's samples agree in, such as a picture's dark border.

While a board learns such samples, the weights of these inputs all move alike: input i is always c,
so each step moves W[i, j] by the same floor(c * sum of d[j]). A SqueezedLayer leaves them out, and
keeps what is theirs in common:

    merged[j] = c * sum of their W[., j], a part of each forward sum       moved[j], so far

finish() then writes all back. The same bits, a third less work on MNIST. But no weight may meet its
limit meanwhile, as it would go its own way from there: then TooFar, and the layer learns in full.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedboard_host.fleet_layer import Layer, floored
from fedboard_host.fleet_rules import Floats, Reals, Step

Features = NDArray[np.int8]

_WORTH = 0.85  # of the inputs that are kept at most


class TooFar(Exception):
    """A weight that was left out may have met its limit: nothing is written."""


def squeeze(full: Layer, x: Features) -> SqueezedLayer | None:
    """For x (boards, samples, n_in) of a large layer, if it is worth it."""
    if not full.is_large:
        return None
    first = x[:, 0]
    same = (x == x[:, :1]).all(axis=1)
    values = np.zeros(len(x), np.int64)
    for b in range(len(x)):
        counts = np.bincount(first[b][same[b]].astype(np.int64) + 128, minlength=256)
        values[b] = int(counts.argmax()) - 128
    same &= first == values[:, None]
    n_left = int(same.sum(axis=1).min())
    if full.n_in - n_left > _WORTH * full.n_in:
        return None
    # As many for each board: where there are more, some are kept after all.
    order = np.argsort(same, axis=1, kind="stable")
    kept, left = order[:, : full.n_in - n_left], order[:, full.n_in - n_left :]
    return SqueezedLayer(full, kept, left, values)


class SqueezedLayer(Layer):
    """kept, left: input numbers (boards, ...); values (boards,): what the inputs left out are."""

    def __init__(
        self,
        full: Layer,
        kept: NDArray[np.intp],
        left: NDArray[np.intp],
        values: NDArray[np.int64],
    ) -> None:
        self._full = full
        self._kept = kept
        self._left = left
        self._values = values.astype(np.float64)[:, None]
        boards, n_left = left.shape
        n_out = full.w.shape[2]
        buffers = full.squeezed
        w = buffers.get("w", (boards, kept.shape[1] + 1, n_out), np.float32)
        mine = buffers.get("left", (n_left, n_out), np.float32)
        self._merged: Reals = np.empty((boards, n_out))
        self._room: Reals = np.full((boards, n_out), np.inf)
        for b in range(boards):
            np.take(full.w[b], kept[b], axis=0, out=w[b, :-1], mode="clip")
            w[b, -1] = full.w[b, -1]
            np.take(full.w[b], left[b], axis=0, out=mine, mode="clip")
            largest = np.maximum(mine.max(axis=0), -mine.min(axis=0))
            exact = float(largest.max()) * n_left < 1 << 24
            self._merged[b] = mine.sum(axis=0, dtype=np.float32 if exact else np.float64)
            if full.limit:
                self._room[b] = full.limit - largest
        self._merged *= self._values
        self._moved: Reals = np.zeros((boards, n_out))
        self._n_left = n_left
        super().__init__(w, full.bias_input, full.limit, buffers)
        self.pieces = full.pieces

    def gather(self, x: Features) -> Features:
        """Of samples (boards, samples, n_in) the inputs that are kept."""
        return np.stack([own[:, kept] for own, kept in zip(x, self._kept, strict=True)])

    def forward(self, source: NDArray[np.generic]) -> Reals:
        out = super().forward(source)
        out += self._merged[:, None]
        return out

    def update(self, d: Floats, step: Step) -> None:
        super().update(d, step)
        sums: Reals = d.sum(axis=1, dtype=np.float64) * (self._values * step.scale) + step.half
        floored(sums, step)
        self._moved += sums
        self._merged -= sums * (self._values * self._n_left)
        if (np.abs(self._moved) > self._room).any():
            raise TooFar

    def finish(self) -> None:
        """Write all weights back into the full layer."""
        self._full.pieces = self.pieces
        for b in range(len(self.w)):
            own = self._full.w[b]
            own[self._kept[b]] = self.w[b, :-1]
            own[-1] = self.w[b, -1]
            own[self._left[b]] -= self._moved[b].astype(np.float32)
