"""Mergers that move a model by the mean of the boards' changes: see aggregate."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedboard import delta
from fedboard.model import Spec
from fedboard_host import aligned, decode
from fedboard_host.aggregate import Ints, Merger

MAX_GAIN = 8
MASTER_BITS = 8  # fractional bits that the host keeps of each parameter
AVERAGE_BITS = 16  # and of the running average
_WHOLE = 1000, 16  # all of the model goes down, exactly
_MOST_IN_FLOAT32 = (1 << 24) // (32767 + 65535)  # weights of parameters and their changes


class MeanMerger(Merger):
    """Weighted mean of the changes, added to a master with MASTER_BITS more bits than int16.

    average_shift > 0: result() is a running average with the factor 2**-average_shift. Its first
    rounds are a plain mean, so that it does not start cold.
    gain: the master moves by the mean change times this; more than 1 makes up for the entries that
    few boards sent, and for the mean of differing boards being a short step.
    down_permille < 1000: boards get only each layer's largest changes, in values of down_bits; the
    master holds the rest back for a later round.
    """

    def __init__(
        self,
        spec: Spec,
        average_shift: int = 0,
        down_permille: int = 1000,
        down_bits: int = 16,
        gain: int = 1,
    ) -> None:
        super().__init__(spec)
        self.gain = gain
        self.average_shift = average_shift
        self._down = down_permille, down_bits
        self._shares = self._down == _WHOLE  # in all rounds: boards have the goal, it is not copied
        self._sent: NDArray[np.int16] = np.zeros(spec.n_params, np.int16)  # what boards have
        self._master: NDArray[np.int32] = aligned.zeros(spec.n_params, np.int32)
        self._goal: NDArray[np.int16] = aligned.zeros(spec.n_params, np.int16)  # master, rounded
        self._average: Ints = np.zeros(spec.n_params if average_shift else 0, np.int64)
        self._n_merges = 0

    def start(self, params: array[int]) -> None:
        self.spec.check(params)
        self._goal[:] = params
        self._master[:] = self._goal
        self._master <<= MASTER_BITS
        if self.average_shift:
            self._average = self._for_average()
        self._sent = self._goal.copy()
        self._n_merges = 0

    def params(self) -> array[int]:
        return _to_array(self._sent)

    def result(self) -> array[int]:
        if not self.average_shift:
            return _to_array(self._goal)
        rounded = self._average + (1 << AVERAGE_BITS >> 1) >> AVERAGE_BITS
        return _to_array(np.clip(rounded, -self._limits, self._limits))

    def state(self) -> dict[str, Ints]:
        return {
            **super().state(),
            "master": self._master.astype(np.int64),
            "average": self._average.copy() if self.average_shift else self._for_average(),
            "sent": self._sent.astype(np.int64),
            "n_merges": np.array([self._n_merges], np.int64),
        }

    def restore(self, state: Mapping[str, Ints]) -> None:
        super().restore(state)
        most = self._limits << MASTER_BITS
        self._master[:] = np.clip(self._checked(state, "master"), -most, most)
        average = self._checked(state, "average")
        if self.average_shift:
            self._average = average
        self._sent = self._checked(state, "sent").astype(np.int16)
        self._n_merges = int(state["n_merges"][0]) if "n_merges" in state else 0
        for l in range(self.spec.n_layers):
            self._round(self.spec.at(l), self.spec.at(l + 1))

    def _merge_layer(self, at: int, end: int, acc: Ints, total: int) -> None:
        limit = int(self._limits[at])  # all of a layer's parameters have the same
        master = self._master[at:end]
        compiled = decode.compiled_sums()
        if compiled is not None and not self.privacy.noise:  # which may be beyond what it takes
            goal = self._goal[at:end]
            compiled.close(acc, total, self.gain, limit, MASTER_BITS, master, goal)
            return
        acc *= self.gain << MASTER_BITS + 1  # twice: rounded to nearest, halves up
        acc += total
        acc //= 2 * total
        acc += master
        np.clip(acc, -limit << MASTER_BITS, limit << MASTER_BITS, out=master)
        acc[:] = 0
        self._round(at, end)

    def _round(self, at: int, end: int) -> None:
        """Let the goal follow the master, in this layer."""
        limit = int(self._limits[at])
        rounded = self._master[at:end] + (1 << MASTER_BITS >> 1)
        rounded >>= MASTER_BITS
        self._goal[at:end] = np.clip(rounded, -limit, limit, out=rounded)

    def _for_average(self) -> Ints:
        """The master, with as many bits as the running average."""
        return self._master.astype(np.int64) << (AVERAGE_BITS - MASTER_BITS)

    def _after(self) -> None:
        self._n_merges += 1
        if self.average_shift:
            scaled = self._for_average()
            scaled -= self._average
            scaled //= min(self._n_merges, 1 << self.average_shift)
            self._average += scaled
        if self._shares:
            self._sent = self._goal
        elif self._down == _WHOLE:
            self._sent[:] = self._goal
        else:
            sent, goal = _to_array(self._sent), _to_array(self._goal)
            self._sent[:] = delta.toward(self.spec, sent, goal, *self._down)


class TruncatedMerger(Merger):
    """TIFeD's: the plain mean of the boards' parameters, truncated toward zero. Equal weights.

    The published arithmetic has no clip. With a rule that compares boards there is one here, too.
    """

    clips = False

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self._params = np.zeros(spec.n_params, np.float32)  # integers; floats divide faster

    def weight(self, n_samples: int) -> int:
        return 1

    def start(self, params: array[int]) -> None:
        self.spec.check(params)
        self._params = np.array(params, np.float32)

    def params(self) -> array[int]:
        return _to_array(self._params)

    def state(self) -> dict[str, Ints]:
        return {**super().state(), "params": self._params.astype(np.int64)}

    def restore(self, state: Mapping[str, Ints]) -> None:
        super().restore(state)
        self._params = self._checked(state, "params").astype(np.float32)

    def _merge_layer(self, at: int, end: int, acc: Ints, total: int) -> None:
        # Exact: a sum of parameters is below 2**24 (2**53), and total is too small for a quotient
        # within the limits to round up to an integer.
        few = total <= _MOST_IN_FLOAT32
        params = self._params[at:end]
        mean = params if few else params.astype(np.float64)
        mean *= total
        mean += acc.astype(mean.dtype)
        mean /= total
        np.trunc(mean, out=mean)
        limit = int(self._limits[at])  # all of a layer's parameters have the same
        np.clip(mean, -limit, limit, out=params)
        acc[:] = 0


def _to_array(values: NDArray[np.generic]) -> array[int]:
    whole = array("h")
    whole.frombytes(values.astype("<i2", copy=False).view(np.uint8).data)
    return whole
