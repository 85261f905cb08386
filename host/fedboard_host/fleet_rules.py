"""The learning rules over whole batches of many boards: fedboard.rules in NumPy, the same integers.

Arrays have the shape (boards, samples, units) and are float64 that hold integers. All values here
stay far below 2**53 (the largest, a hidden layer's fed back errors, below 2**40), so every sum and
product is exact, and floor() of a quotient is that of the integers.

    hidden layer   activate(acc, l) -> (a, slope)      spread(e, B, slope) -> deltas
    last layer     output(acc) -> (out, slope)         errors(out, labels, slope) -> (e, deltas)

shared keeps TIFeD's hidden activations negated, to fit int8, and negates what they meet. Here they
have their own sign: the products are the same. What a batch's sums are divided by: see `Step`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedboard import kernels, rules
from fedboard.dfa import Network
from fedboard.model import Spec, new_params

Reals = NDArray[np.float64]
Classes = NDArray[np.int64]
Sloped = tuple[Reals, Reals]

LARGEST_DELTA = 32767


@dataclass(frozen=True, slots=True)
class Step:
    """W -= floor(sum * scale / divisor + half): scale is a power of two, so it loses nothing."""

    scale: float
    divisor: int
    half: float


class FleetRule:
    """clamped=False: deltas are not held within int16, as in TIFeD's published code."""

    def __init__(self, spec: Spec, clamped: bool = True) -> None:
        self.spec = spec
        self._largest_delta = LARGEST_DELTA if clamped else 1 << 40
        self._rule = rules.make(spec)
        self._onehot = np.eye(spec.sizes[-1])

    @property
    def default_rate(self) -> int:
        return self._rule.default_rate

    def bias_input(self, l: int) -> int:
        return abs(self._rule.bias_input(l))

    def feedback(self) -> list[Reals]:
        """B (n_hidden, n_out) of each hidden layer: the very ones that a board makes."""
        net = Network(self.spec, new_params(self.spec))
        n_out = self.spec.sizes[-1]
        return [np.array(b, np.float64).reshape(-1, n_out) for b in net._b]

    def step(self, rate: int, l: int) -> Step:
        """The update of layer l at this rate (0: the rule's own)."""
        raise NotImplementedError

    def activate(self, acc: Reals, l: int) -> Sloped:
        raise NotImplementedError

    def output(self, acc: Reals) -> Sloped:
        raise NotImplementedError

    def errors(self, out: Reals, labels: Classes, slope: Reals) -> Sloped:
        raise NotImplementedError

    def spread(self, e: Reals, feedback: Reals, slope: Reals) -> Reals:
        raise NotImplementedError

    def _layer_rate(self, rate: int, l: int) -> int:
        return self._rule.layer_rate(rate or self.default_rate, l < self.spec.n_layers - 1)


class TifedFleet(FleetRule):
    def step(self, rate: int, l: int) -> Step:
        divisor = self._layer_rate(rate, l)
        if divisor & (divisor - 1) == 0:
            return Step(1 / divisor, 1, 0)
        return Step(1, divisor, 0)

    def activate(self, acc: Reals, l: int) -> Sloped:
        v = acc / (256 * self.spec.sizes[l])
        np.floor(v, out=v)
        i = np.clip(v, -128, 128, out=v).astype(np.intp)  # from -128: tables are made to be so read
        return _TANH.take(i, mode="wrap"), _INVERSE_SLOPE.take(i, mode="wrap")

    def output(self, acc: Reals) -> Sloped:
        return self.activate(acc, self.spec.n_layers - 1)

    def errors(self, out: Reals, labels: Classes, slope: Reals) -> Sloped:
        e = out - 16 * self._onehot[labels]
        return e, np.floor(e / slope)

    def spread(self, e: Reals, feedback: Reals, slope: Reals) -> Reals:
        d = e @ feedback.T
        d /= slope
        np.floor(d, out=d)
        return np.clip(d, -self._largest_delta, self._largest_delta, out=d)


class FedboardFleet(FleetRule):
    def step(self, rate: int, l: int) -> Step:
        shift = self._layer_rate(rate, l)
        return Step(0.5**shift, 1, 0.5 if shift else 0)

    def activate(self, acc: Reals, l: int) -> Sloped:
        a = np.floor(acc * (1 / (1 << kernels.WEIGHT_BITS)))
        slope = (a > 0) & (a < 127)
        return np.clip(a, 0, 127, out=a), slope.astype(np.float64)

    def output(self, acc: Reals) -> Sloped:
        out = np.floor(acc * (1 / (1 << kernels.WEIGHT_BITS)))
        return out, out  # the last layer has no slopes

    def errors(self, out: Reals, labels: Classes, slope: Reals) -> Sloped:
        below = np.floor((out.max(axis=2, keepdims=True) - out) * 0.25)
        powers = _POWERS[np.minimum(below, len(_POWERS) - 1).astype(np.intp)]
        e = np.floor(128 * powers / powers.sum(axis=2, keepdims=True))
        right = self._onehot[labels]
        e *= (e >= kernels.DEAD_ZONE) * (1 - right)
        e -= e.sum(axis=2, keepdims=True) * right
        return e, e

    def spread(self, e: Reals, feedback: Reals, slope: Reals) -> Reals:
        d = e @ feedback.T
        d *= slope
        return np.clip(d, -self._largest_delta, self._largest_delta, out=d)


def make(spec: Spec, clamped: bool = True) -> FleetRule:
    return (TifedFleet if spec.rule == "tifed" else FedboardFleet)(spec, clamped)


def _tanh() -> tuple[Reals, Reals]:
    """kernels.activate_tanh of v = -128..128, and its inverse slopes; negative v from the end."""
    v = np.concatenate([np.arange(129), np.arange(-128, 0)])
    pieces = [v >= 128, v >= 75, v >= 32, v >= -31, v >= -74, v >= -127]
    value = np.select(pieces, [128, v // 4 + 88, v + 32, 2 * v, v - 32, v // 4 - 88], -127)
    slope = np.select(pieces, [128, 8, 2, 1, 2, 8], 128)
    return value.astype(np.float64), slope.astype(np.float64)


_TANH, _INVERSE_SLOPE = _tanh()
# The softmax's powers 4096 * 2**(-i / 16), as far as they are not 0.
_POWERS = np.array([kernels.EXP2[i & 15] >> (i >> 4) for i in range(208)] + [0], np.float64)
