"""TIFeD's learning step as one would first write it: a worker, a sample and a layer at a time.

Plain NumPy in its own integers (int64), with no regard to speed: what Fleet is timed against, and
an independent check of its integers. Parameters as model.Spec lays them out; one hidden layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedboard.model import Spec

Ints = NDArray[np.int64]


def learn(
    spec: Spec, params: Ints, feedback: Ints, x: Ints, y: Ints, batch: int, lr_inv: int
) -> None:
    """One worker learns x (samples, n_in), y (samples,) in order; `params` change in place."""
    layers = []
    for l in range(2):
        n_in, n_out = spec.shape(l)
        own = params[spec.at(l) : spec.at(l + 1)]
        layers.append((own[: n_in * n_out].reshape(n_out, n_in), own[n_in * n_out :]))
    for start in range(0, len(y), batch):
        sums = [(np.zeros_like(w), np.zeros_like(b)) for w, b in layers]
        for sample, label in zip(x[start : start + batch], y[start : start + batch], strict=True):
            inputs, slopes = [sample], []
            for w, b in layers:
                a, slope = _tanh((w @ inputs[-1] + b) // (256 * w.shape[1]))
                inputs.append(a)
                slopes.append(slope)
            e = inputs[-1].copy()
            e[label] -= 16
            hidden = np.clip(feedback @ e // slopes[0], -32767, 32767)
            for l, d in enumerate((hidden, e // slopes[1])):
                weights, biases = sums[l]
                weights += np.outer(d, inputs[l])
                biases += d
        for l, (w, b) in enumerate(layers):
            for own, total in zip((w, b), sums[l], strict=True):
                own -= total // lr_inv
                np.clip(own, -spec.limit(l), spec.limit(l), out=own)


def merge(workers: Sequence[Ints]) -> Ints:
    """The workers' mean, truncated toward zero."""
    mean: Ints = np.trunc(np.mean(workers, axis=0)).astype(np.int64)
    return mean


def _tanh(v: Ints) -> tuple[Ints, Ints]:
    """TIFeD's activation by pieces, and its inverse slopes."""
    pieces = [v >= 128, v >= 75, v >= 32, v >= -31, v >= -74, v >= -127]
    value = np.select(pieces, [128, v // 4 + 88, v + 32, 2 * v, v - 32, v // 4 - 88], -127)
    return value.astype(np.int64), np.select(pieces, [128, 8, 2, 1, 2, 8], 128).astype(np.int64)
