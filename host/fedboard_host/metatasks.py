"""The tasks of the demo of meta-learning: waves, and handwriting under names of each board's own.

deal(task, n, seed) gives the samples of n boards; with is_new of new ones, whose tasks, and whose
handwriting, nobody else has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fedboard import prng
from fedboard_host import digits
from fedboard_host.dataset import Set, targets

N_WAYS = 5
_DEAL, _NEW, _ROWS = 7, 8, 9  # labels of what follows from the seed; see also metademo


def deal(task: str, n: int, seed: int, is_new: bool = False) -> list[Set]:
    """The samples of n boards; new boards' tasks, and their handwriting, are nobody else's."""
    label = _NEW if is_new else _DEAL
    rngs = [prng.Xorshift(prng.mix(seed, label, b)) for b in range(n)]
    if task == "sine":
        return [_wave(rng) for rng in rngs]
    everything = digits.load()
    pools = []
    for digit in range(digits.N_CLASSES):
        rows = np.flatnonzero(everything.y == digit).tolist()
        prng.Xorshift(prng.mix(seed, _ROWS, digit)).shuffle(rows)
        n_new = len(rows) // 4
        pools.append(rows[:n_new] if is_new else rows[n_new:])
    return [_renamed(everything, pools, rng, 25 if is_new else 15) for rng in rngs]


def _wave(rng: prng.Xorshift) -> Set:
    """y = amplitude sin(x / 25 + phase) at 50 places of -122 to 123: 1.6 periods."""
    amplitude = 0.1 + 4.9 * rng.below(16384) / 16384
    phase = 2 * math.pi * rng.below(16384) / 16384
    x = np.arange(-122, 124, 5)
    y = amplitude * np.sin(x / 25 + phase)
    return Set(x[:, None].astype(np.int8), targets(y[:, None]))


def _renamed(
    everything: Set, pools: Sequence[Sequence[int]], rng: prng.Xorshift, n_each: int
) -> Set:
    """n_each samples of each of some digits, which this board calls 0, 1, 2, ..."""
    names = list(range(digits.N_CLASSES))
    rng.shuffle(names)
    rows: list[int] = []
    for digit in names[:N_WAYS]:
        pool = list(pools[digit])
        rng.shuffle(pool)
        rows += pool[:n_each]
    return Set(everything.x[rows], np.repeat(np.arange(N_WAYS), n_each))
