"""Differential privacy for what a board sends: clipped changes, and integer noise on their sum.

    each update   cut to the norm `clip` over all layers (see clip.cut), each counts once
    their sum     + Z, of each parameter alike: discrete Gaussian of variance ceil((noise clip)**2)
    epsilon       of all rounds so far, at `delta`: dp-accounting's, an upper bound

What one board (or home) sent in a round, or zeros in its place, moves the sum by `clip` at most.
The model moves by (sum + noise) / n, with the true n, which is taken as known: protected is what a
board sent, not whether it took part. The discrete Gaussian is exact, drawn with integers only, and
as private as the continuous one (Canonne, Kamath and Steinke, "The Discrete Gaussian for
Differential Privacy", 2020): nothing leaks through the last bits of floats. That boards are
selected by lot is not credited.
"""

from __future__ import annotations

import importlib
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedboard import DataError
from fedboard_host.clip import Ints

Bits = Callable[[int], int]  # k -> k random bits

DELTA = 1e-5
MAX_CLIP = 1 << 24
LEAST_NOISE = 0.01  # less hides nothing
MAX_NOISE = 1000.0
_SPENT_UNITS = 10**9  # of 1 / noise**2, rounded up


@dataclass(frozen=True)
class Privacy:
    """noise: standard deviation in units of clip, 0: none. clip: in the parameters' units."""

    noise: float = 0.0
    clip: int = 0

    def __post_init__(self) -> None:
        if self.noise and not LEAST_NOISE <= self.noise <= MAX_NOISE:
            raise DataError(f"noise = {self.noise}: use 0, or {LEAST_NOISE:g} to {MAX_NOISE:g}")
        if self.noise and not 1 <= self.clip <= MAX_CLIP:
            raise DataError(
                f"noise needs clip_norm, the longest change that counts in full: 1 to {MAX_CLIP}, "
                f"not {self.clip}"
            )
        if self.clip and not self.noise:
            raise DataError("clip_norm is for noise = ...: the usual norm clip adapts by itself")

    @property
    def variance(self) -> int:
        return math.ceil((self.noise * self.clip) ** 2)

    @property
    def spent(self) -> int:
        """What a round costs, in 1 / 10**9 of a round with noise = 1; they add up."""
        return math.ceil(_SPENT_UNITS / self.noise**2)

    def draw(self, n: int, bits: Bits) -> Ints:
        """n parameters' noise."""
        variance = self.variance
        return np.array([discrete_gaussian(variance, bits) for _ in range(n)], np.int64)


def epsilon(spent: int, delta: float = DELTA) -> float:
    """Of rounds that together have cost so much. Raises DataError without dp-accounting."""
    if not spent:
        return 0.0
    accounting: Any = _accounting()
    accountant = accounting.rdp.RdpAccountant()
    accountant.compose(accounting.GaussianDpEvent(math.sqrt(_SPENT_UNITS / spent)))
    return float(accountant.get_epsilon(delta))


def _accounting() -> Any:
    try:
        module = importlib.import_module("dp_accounting")
        importlib.import_module("dp_accounting.rdp")
    except ImportError:
        raise DataError("noise needs its accountant: pip install 'fedboard[dp]'") from None
    return module


def system_bits() -> Bits:
    return random.SystemRandom().getrandbits


def seeded_bits(seed: int) -> Bits:
    """For simulations: whoever knows the seed can subtract the noise."""
    return random.Random(seed).getrandbits


def discrete_gaussian(variance: int, bits: Bits) -> int:
    """P(y) ~ exp(-y**2 / (2 variance)) over all integers, variance > 0 (algorithm 3)."""
    t = math.isqrt(variance) + 1
    while True:
        y = discrete_laplace(t, bits)
        if _bernoulli_exp((abs(y) * t - variance) ** 2, 2 * variance * t * t, bits):
            return y


def discrete_laplace(t: int, bits: Bits) -> int:
    """P(y) ~ exp(-|y| / t) (algorithm 2)."""
    while True:
        u = _below(t, bits)
        if not _bernoulli_exp(u, t, bits):
            continue
        v = 0
        while _bernoulli_exp(1, 1, bits):
            v += 1
        y = u + t * v
        negative = bits(1)
        if not (negative and y == 0):
            return -y if negative else y


def _bernoulli_exp(a: int, b: int, bits: Bits) -> bool:
    """True with probability exp(-a / b), a >= 0, b > 0 (algorithm 1)."""
    while a > b:
        if not _bernoulli_exp(1, 1, bits):
            return False
        a -= b
    k = 1
    while _below(b * k, bits) < a:  # with probability a / (b k)
        k += 1
    return k & 1 == 1


def _below(n: int, bits: Bits) -> int:
    """Uniform in [0, n)."""
    k = n.bit_length()
    while True:
        value = bits(k)
        if value < n:
            return value
