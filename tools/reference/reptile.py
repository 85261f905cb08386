"""Meta-learning in integers once more: the order of samples, the outer step, a few shots."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from reference import prng
from reference.learning import Net

Ints = NDArray[np.int64]

ONE = 4096  # of a step's size
JITTER = 512  # the label of its random stream


def order(n: int, seed: int) -> list[int]:
    """One pass over n samples: multiples of a stride without a factor in common with n."""
    words = prng.stream(seed)
    start = prng.below(words, min(n, 2**14))
    stride = max(1, 5 * n // 8 - prng.below(words, max(1, min(n // 4, 2**14))))
    while math.gcd(stride, n) > 1:
        stride += 1
    return [(start + stride * k) % n for k in range(1, n + 1)]


def linear(first: int, last: int, t: int, n: int) -> int:
    """A straight line from `first` at 0 to `last` at n and beyond, rounded down toward -inf."""
    return last + math.floor((first - last) * (n - min(t, n)) / n)


def step(phi: Ints, tuned: Ints, rest: Ints, alpha: int, limit: int) -> tuple[Ints, Ints]:
    """(phi + alpha/ONE (tuned - phi), what of it does not show yet, in 1/ONE)."""
    exact = phi * ONE + rest + alpha * (tuned - phi)
    moved, owed = exact // ONE, exact % ONE
    beyond = np.abs(moved) > limit
    return np.clip(moved, -limit, limit), np.where(beyond, 0, owed)


def jitter(x: Ints, amount: int, words: Iterator[int]) -> Ints:
    """Inputs as they are learned: a number from -amount to amount added to each. 0: as they are."""
    if not amount:
        return x
    noise = [prng.below(words, 2 * amount + 1) - amount for _ in range(x.size)]
    blurred: Ints = np.clip(x + np.reshape(noise, x.shape), -127, 127)
    return blurred


def jitter_words(seed: int, round_: int) -> Iterator[int]:
    """Where a task's jitter comes from."""
    return prng.stream(prng.mix(seed, round_, JITTER))


def adapt(
    net: Net, x: Ints, labels: Ints, rate: int, n: int, local: list[int], n_local: int, seed: int,
    amount: int = 0,
) -> None:  # fmt: skip
    """n_local samples teach the layers `local` alone, then n all of them, pass after pass."""
    words = jitter_words(seed, 0)
    for layers, count, base in ((local, n_local, seed), (range(net.last + 1), n, seed + 1)):
        taken: list[int] = []
        while len(taken) < count:
            taken += order(len(x), prng.mix(base, len(taken) // len(x)))
        for i in taken[:count]:
            net.step(jitter(x[i : i + 1], amount, words), labels[i : i + 1], layers, rate)
