"""How many of the held out samples a model of integers classifies right: judge.Judge, in bulk."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedboard.model import Spec
from fedboard_host.dataset import Set
from fedboard_host.fleet import Fleet

_JUDGED = 500  # samples at a time


class FleetJudge:
    """judge(params) -> the share of these samples that a model classifies right."""

    def __init__(self, spec: Spec, samples: Set, clamped: bool = True) -> None:
        self._fleet = Fleet(spec, 1, clamped)
        self._samples = samples

    def __call__(self, params: NDArray[np.generic]) -> float:
        self._fleet.load(self._fleet.pack(params))
        n_correct = 0
        for at in range(0, len(self._samples), _JUDGED):
            found = self._fleet.predict(self._samples.x[None, at : at + _JUDGED])[0]
            n_correct += int((found == self._samples.y[at : at + _JUDGED]).sum())
        return n_correct / len(self._samples)
