"""Federated averaging in floating point, by true backpropagation: what integers are compared with.

The same network, workers, buffers and merges, and the same int8 features, divided by 128. ReLU and
softmax, minibatch SGD in float32; the host averages in float64. `average`: as MeanMerger's running
average, of which the first rounds are a plain mean. Bytes are those of dense float32 parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedboard import prng
from fedboard.model import Spec
from fedboard_host.dataset import Set
from fedboard_host.experiments.images import BATCH
from fedboard_host.fleet_float import FloatFleet, start_images
from fedboard_host.fleet_order import in_order

UNIT = 128  # of the features
WEIGHT_UNIT = 4096  # of the start values, which are the integer rule's
_JUDGED = 2000


class FloatFederation:
    """rows: as FleetFederation's, but of equal length. round() is one epoch and a merge."""

    def __init__(
        self, sizes: Sequence[int], samples: Set, rows: list[NDArray[np.intp]], rate: float,
        seed: int, average_shift: int = 0, batch: int = BATCH,
    ) -> None:  # fmt: skip
        self.rows = rows
        self.number = 0
        self._samples = samples
        self._seed = seed
        self._average_shift = average_shift
        self._batch = batch
        self._fleet = FloatFleet(Spec(sizes, seed=seed), len(rows), "softmax", "relu")
        self._rates = self._fleet.rates(rate)
        self.params = start_images(sizes, (seed,))[0] / WEIGHT_UNIT
        self.result = self.params.copy()

    @property
    def bytes_a_round(self) -> int:
        """Of all workers' updates."""
        return 4 * len(self.params) * len(self.rows)

    def round(self) -> None:
        self.number += 1
        fleet = self._fleet
        fleet.params[:] = self.params
        order = np.stack([
            rows[in_order(len(rows), prng.mix(self._seed, self.number, w), len(rows))]
            for w, rows in enumerate(self.rows)
        ])  # fmt: skip
        for at in range(0, order.shape[1], self._batch):
            chosen = order[:, at : at + self._batch]
            x = self._samples.x[chosen] * np.float32(1 / UNIT)
            fleet.learn(x, self._samples.y[chosen], self._rates)
        self.params = fleet.params.mean(axis=0, dtype=np.float64)
        n = min(self.number, 1 << self._average_shift)
        self.result += (self.params - self.result) / n


def accuracy(sizes: Sequence[int], params: NDArray[np.float64], samples: Set) -> float:
    """The share of samples that the network classifies right."""
    fleet = FloatFleet(Spec(sizes), 1, "softmax", "relu")
    fleet.params[:] = params
    n_correct = 0
    for at in range(0, len(samples), _JUDGED):
        x = samples.x[None, at : at + _JUDGED] * np.float32(1 / UNIT)
        found = fleet.predict(x)[0].argmax(axis=1)
        n_correct += int((found == samples.y[at : at + _JUDGED]).sum())
    return n_correct / len(samples)
