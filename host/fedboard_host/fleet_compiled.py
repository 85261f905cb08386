"""A Fleet's boards in loops that numba compiles (extra `fast`): the same bits in half the time.

    use_installed()             once, before fleets are made: see decode.use_installed
    Compiled(rule, boards)      suits(...) -> learn(...) -> words, travel, summed()

It is for rule "tifed" and inputs that are mostly one value; all else stays with NumPy's products,
which are faster then.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedboard_host.fleet_rules import SLOPE, TANH, Classes, FleetRule, Step

_MOST_LIT = 0.35  # of a sample's inputs, above which BLAS is faster

_loops: Any = None  # the module fleet_numba, once it is used


def use_installed() -> None:
    """use_compiled() where numba is installed, unless FEDBOARD_NUMBA=0 is in the environment."""
    if os.environ.get("FEDBOARD_NUMBA") != "0":
        use_compiled()


def use_compiled(wanted: bool = True) -> bool:
    """Fleets made from now on take the compiled loops, or NumPy again. Returns which.

    It takes a second, or ten when numba compiles for the first time.
    """
    global _loops
    _loops = None
    if wanted:
        # It may be missing, find no folder to cache in, or be too old or new: then NumPy learns.
        with contextlib.suppress(Exception):
            loops: Any = importlib.import_module("fedboard_host.fleet_numba")
            loops.warm_up()
            _loops = loops
    return _loops is not None


class Compiled:
    """words: int16 (boards, n_params) in the lanes' order, what boards have learned.

    travel: none of them has moved further.
    """

    def __init__(self, rule: FleetRule, boards: int, loops: Any) -> None:
        spec = rule.spec
        self._loops = loops
        self._sizes = np.array(spec.sizes)
        self._limits = np.array([spec.limit(l) for l in range(spec.n_layers)], np.int32)
        feedback = [np.empty(0, np.float32), *(b.ravel() for b in rule.feedback())]
        self._feedback = np.concatenate(feedback).astype(np.int32)
        self.words: NDArray[np.int16] = np.empty((boards, spec.n_params), np.int16)
        self._total = np.empty(spec.n_params, np.int32)
        self.travel = 0

    def suits(self, x: NDArray[np.int8], y: Classes, batch: int, step: Step) -> bool:
        """It can learn so, and it pays."""
        if step.divisor > 1 or step.half or batch > self._loops.MOST_SAMPLES:
            return False
        if not y.size or not 0 <= y.min() <= y.max() < self._sizes[-1]:
            return False  # no loop looks after its indices
        some = x[0]
        return bool(np.count_nonzero(some != _background(some)) <= _MOST_LIT * some.size)

    def learn(
        self, start: NDArray[np.int16], x: NDArray[np.int8], y: Classes, batch: int, mask: int,
        step: Step, lengths: NDArray[np.int64] | None,
    ) -> None:  # fmt: skip
        """As Fleet.learn(). start: what boards have, (boards, n_params) or (1, n_params)."""
        n = x.shape[1]
        self.travel = self._loops.learn(
            start, self.words, np.ascontiguousarray(x),
            np.full(len(x), n) if lengths is None else np.minimum(lengths, n),
            np.ascontiguousarray(y, np.int64),
            self._sizes, self._limits, self._feedback, _TANH, _BITS, _background(x[0]),
            min(batch, n), mask, round(-math.log2(step.scale)),
        )  # fmt: skip

    def summed(self) -> NDArray[np.int32]:
        """All boards' words added up, (n_params,); at most 65,536 boards."""
        self._loops.add_up(self.words, self._total)
        return self._total


def make(rule: FleetRule, boards: int, clamped: bool) -> Compiled | None:
    """None: there is no such loop for them, or numba is not used."""
    if _loops is None or rule.spec.rule != "tifed" or not clamped:
        return None
    return Compiled(rule, boards, _loops)


def _background(x: NDArray[np.int8]) -> int:
    """The commonest value of a board's first sample."""
    return int(np.bincount(x[0].astype(np.intp) + 128, minlength=256).argmax()) - 128


_TANH = TANH.astype(np.int32)
_BITS = -np.log2(SLOPE).astype(np.int32)  # deltas are shifted by
