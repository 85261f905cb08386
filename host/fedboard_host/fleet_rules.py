"""The learning rules over whole batches of many boards: fedboard.rules in NumPy, the same integers.

Arrays have the shape (boards, samples, units) and hold integers: sums and what comes of them as
float64, exact up to 2**53, so that floor() of a quotient is that of the integers; the small rest as
float32, exact up to 2**24 (errors fed back, the largest, reach 144 * 627 * sqrt(n_out)). What the
functions return is good until they are called for the same layer again; deltas replace the slopes.

    hidden layer   activate(acc, l) -> (a, slope)      spread(e, B, slope) -> deltas, or gate(sums)
    last layer     output(acc) -> (out, slope)         errors(out, labels, slope) -> (e, deltas)

shared keeps TIFeD's hidden activations negated, to fit int8, and negates what they meet. Here they
have their own sign: the products are the same. What a batch's sums are divided by: see `Step`.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedboard import kernels, rules
from fedboard.model import Spec

Reals = NDArray[np.float64]
Classes = NDArray[np.int64]
Floats = NDArray[np.float32]

LARGEST_DELTA = 32767


@dataclass(frozen=True, slots=True)
class Step:
    """W -= floor(sum * scale / divisor + half): scale is a power of two, so it loses nothing."""

    scale: float
    divisor: int
    half: float


class Buffers:
    """Arrays that are used again and again: for small products new memory is what costs most."""

    def __init__(self) -> None:
        self._flat: dict[str, NDArray[Any]] = {}

    def get(self, name: str, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
        """An array of any content; the next one of this name has the same memory."""
        size = math.prod(shape)
        flat = self._flat.get(name)
        if flat is None or flat.size < size:
            flat = self._flat[name] = np.empty(size, dtype)
        return flat[:size].reshape(shape)


class FleetRule:
    """A slope here is what a delta is multiplied by. clamped=False: deltas may leave int16."""

    def __init__(self, spec: Spec, clamped: bool = True) -> None:
        self.spec = spec
        self._largest_delta = LARGEST_DELTA if clamped else 1 << 23
        self._rule = rules.make(spec, array("h"))
        self._onehot = np.eye(spec.sizes[-1], dtype=np.float32)
        self._buffers = Buffers()

    @property
    def default_rate(self) -> int:
        return self._rule.default_rate

    def bias_input(self, l: int) -> int:
        return abs(self._rule.bias_input(l))

    def feedback(self) -> list[Floats]:
        """B (n_out, n_hidden), transposed, of each hidden layer: the very ones a board makes.

        None at all where deltas come back through the weights.
        """
        n_out = self.spec.sizes[-1]
        made = [np.array(b, np.float32).reshape(-1, n_out).T for b in self._rule.feedback]
        return [np.ascontiguousarray(b) for b in made]

    def step(self, rate: int) -> Step:
        """An update at this rate (0: the rule's own)."""
        raise NotImplementedError

    def activate(self, acc: Reals, l: int) -> tuple[Floats, Floats]:
        raise NotImplementedError

    def output(self, acc: Reals) -> tuple[Reals, Floats]:
        raise NotImplementedError

    def errors(self, out: Reals, labels: Classes, slope: Floats) -> tuple[Floats, Floats]:
        raise NotImplementedError

    def spread(self, e: Floats, feedback: Floats, slope: Floats) -> Floats:
        raise NotImplementedError

    def gate(self, sums: NDArray[np.floating], slope: Floats) -> Floats:
        """Deltas of what comes back through the weights of the layer above; `sums` change."""
        raise NotImplementedError


class TifedFleet(FleetRule):
    def step(self, rate: int) -> Step:
        divisor = rate or self.default_rate
        if divisor & (divisor - 1) == 0:
            return Step(1 / divisor, 1, 0)
        return Step(1, divisor, 0)

    def activate(self, acc: Reals, l: int) -> tuple[Floats, Floats]:
        get = self._buffers.get
        v = np.divide(acc, 256 * self.spec.sizes[l], out=get("v", acc.shape, np.float64))
        np.floor(v, out=v)
        v += 128
        i = get("i", acc.shape, np.intp)
        np.copyto(i, v, casting="unsafe")
        a = np.take(TANH, i, mode="clip", out=get(f"a{l}", acc.shape, np.float32))
        return a, np.take(SLOPE, i, mode="clip", out=get(f"slope{l}", acc.shape, np.float32))

    def output(self, acc: Reals) -> tuple[Reals, Floats]:
        out, slope = self.activate(acc, self.spec.n_layers - 1)
        return out.astype(np.float64), slope

    def errors(self, out: Reals, labels: Classes, slope: Floats) -> tuple[Floats, Floats]:
        e = out.astype(np.float32) - 16 * self._onehot[labels]
        return e, np.floor(e * slope)

    def spread(self, e: Floats, feedback: Floats, slope: Floats) -> Floats:
        d = slope
        d *= np.matmul(e, feedback, out=self._buffers.get("sums", slope.shape, np.float32))
        np.floor(d, out=d)
        return np.clip(d, -self._largest_delta, self._largest_delta, out=d)


class FedboardFleet(FleetRule):
    def step(self, rate: int) -> Step:
        shift = rate or self.default_rate
        return Step(0.5**shift, 1, 0.5 if shift else 0)

    def activate(self, acc: Reals, l: int) -> tuple[Floats, Floats]:
        v = self._buffers.get("v", acc.shape, np.float64)
        np.multiply(acc, 1 / (1 << kernels.WEIGHT_BITS), out=v)
        np.floor(v, out=v)
        a = np.clip(v, 0, 127, out=self._buffers.get(f"a{l}", acc.shape, np.float32))
        slope = self._buffers.get(f"slope{l}", acc.shape, np.float32)
        return a, np.multiply(a > 0, a < 127, out=slope)

    def output(self, acc: Reals) -> tuple[Reals, Floats]:
        out = np.floor(acc * (1 / (1 << kernels.WEIGHT_BITS)))
        return out, np.empty(0, np.float32)  # the last layer has no slopes

    def errors(self, out: Reals, labels: Classes, slope: Floats) -> tuple[Floats, Floats]:
        below = np.floor((out.max(axis=2, keepdims=True) - out) * 0.25)
        powers = _POWERS[np.minimum(below, len(_POWERS) - 1).astype(np.intp)]
        e = np.floor(128 * powers / powers.sum(axis=2, keepdims=True)).astype(np.float32)
        right = self._onehot[labels]
        e *= (e >= kernels.DEAD_ZONE) * (1 - right)
        e -= e.sum(axis=2, keepdims=True) * right
        return e, e

    def gate(self, sums: NDArray[np.floating], slope: Floats) -> Floats:
        most = kernels.LARGEST_BACK // (sums.shape[2] + 1)
        sums *= 0.5**kernels.BACK_BITS
        sums += 0.5
        np.floor(sums, out=sums)
        np.clip(sums, -most, most, out=sums)
        d: Floats = np.multiply(sums, slope, out=slope, casting="unsafe")
        return d


def make(spec: Spec, clamped: bool = True) -> FleetRule:
    return (TifedFleet if spec.rule == "tifed" else FedboardFleet)(spec, clamped)


def _tanh() -> tuple[Floats, Floats]:
    """kernels.activate_tanh of v = -128..128, and its slopes; beyond them it is the same."""
    v = np.arange(-128, 129)
    pieces = [v >= 128, v >= 75, v >= 32, v >= -31, v >= -74, v >= -127]
    value = np.select(pieces, [128, v // 4 + 88, v + 32, 2 * v, v - 32, v // 4 - 88], -127)
    inverse = np.select(pieces, [128, 8, 2, 1, 2, 8], 128)  # powers of two: 1 / it is exact
    return value.astype(np.float32), (1 / inverse).astype(np.float32)


TANH, SLOPE = _tanh()
# The softmax's powers 4096 * 2**(-i / 16), as far as they are not 0.
_POWERS = np.array([kernels.EXP2[i & 15] >> (i >> 4) for i in range(208)] + [0], np.float64)
