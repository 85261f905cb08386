"""A Fleet's boards in loops that numba compiles (extra `fast`): the same bits in half the time.

    use_installed()             once, before fleets are made
    Compiled(rule, boards)      suits(...) -> learn(...) -> words, travel, summed_changes()

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

_MOST_LIT = 0.7  # of the inputs, above which NumPy's products are faster

_wanted = False
_loops: Any = None  # the module fleet_numba, once it is used
_sum_changes: Any = None  # fleet_sum_numba's


def use_installed() -> None:
    """use_compiled() where numba is installed, unless FEDBOARD_NUMBA=0 is in the environment.

    It takes a second, or ten when numba compiles for the first time: not before a fleet wants it.
    """
    global _wanted
    _wanted = os.environ.get("FEDBOARD_NUMBA") != "0"


def use_compiled(wanted: bool = True) -> bool:
    """Fleets made from now on take the compiled loops, or NumPy again. Returns which."""
    global _wanted
    _wanted = wanted
    return is_compiled()


def is_compiled() -> bool:
    return found() is not None


def found() -> Any:
    """The module fleet_numba; None while loops are not compiled."""
    global _wanted, _loops, _sum_changes
    if _wanted and _loops is None:
        # It may be missing, find no folder to cache in, or be too old or new: then NumPy learns.
        with contextlib.suppress(Exception):
            loops: Any = importlib.import_module("fedboard_host.fleet_numba")
            loops.warm_up()
            sums: Any = importlib.import_module("fedboard_host.fleet_sum_numba")
            sums.warm_up()
            _loops, _sum_changes = loops, sums.sum_changes
        _wanted = _loops is not None
    return _loops if _wanted else None


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

    def summed_changes(self, start: NDArray[np.int16]) -> NDArray[np.int64]:
        """How far all boards are from `start` (n_params,), added up; in model.Spec's order.

        At most 32,768 boards.
        """
        sums = np.empty(len(start), np.int64)
        _sum_changes(start, self.words, self._sizes, sums)
        return sums


def make(rule: FleetRule, boards: int, clamped: bool) -> Compiled | None:
    """None: there is no such loop for them, or numba is not used."""
    if rule.spec.rule != "tifed" or not clamped:
        return None
    loops = found()
    return None if loops is None else Compiled(rule, boards, loops)


def _background(x: NDArray[np.int8]) -> int:
    """The commonest value of a board's first sample."""
    return int(np.bincount(x[0].astype(np.intp) + 128, minlength=256).argmax()) - 128


_TANH = TANH.astype(np.int32)
_BITS = -np.log2(SLOPE).astype(np.int32)  # deltas are shifted by
