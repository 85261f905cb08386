"""Which of its samples a simulated board takes in a round, in learner.Learner.train()'s order."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedboard import prng
from fedboard.learner import LOCAL
from fedboard.order import Order
from fedboard_host.dataset import Set
from fedboard_host.fleet_rules import Classes
from fedboard_host.fleet_squeeze import Features
from fedboard_host.strategies import Work

Rows = NDArray[np.intp]


def seed_of(name: str, run: int) -> int:
    """What board `name`'s order follows from."""
    return prng.mix(run, crc32(name.encode()))


def drawn(
    samples: Set, rows: Sequence[Rows], seeds: Sequence[int], number: int, work: Work,
    local: bool = False,
) -> tuple[Features, Classes, NDArray[np.int64]]:  # fmt: skip
    """What boards with these rows learn from in round `number`: x, y, how many of each."""
    taken = [_taken(own, seed, number, work, local) for own, seed in zip(rows, seeds, strict=True)]
    lengths = np.array([len(each) for each in taken])
    at = np.zeros((len(taken), lengths.max()), np.intp)
    for i, each in enumerate(taken):
        at[i, : len(each)] = each
    return samples.x[at], samples.y[at], lengths


def _taken(rows: Rows, seed: int, number: int, work: Work, local: bool) -> Rows:
    """Of a board's rows (n,) those of round `number`; local: for its local layers alone."""
    n = len(rows)
    streams = local or (work.stream and work.n_max)
    per_pass = n if streams or not work.n_max else min(work.n_max, n)
    count = work.epochs * per_pass
    if streams:
        count = work.n_local if local else work.n_max
    order = []
    for turn, first in enumerate(range(0, count, per_pass)):
        if local:
            mixed = prng.mix(prng.mix(seed, number, LOCAL), turn)
        else:
            mixed = prng.mix(seed, number, turn)
        order.append(in_order(n, mixed, min(per_pass, count - first)))
    return rows[order[0] if len(order) == 1 else np.concatenate(order)]


def in_order(n: int, seed: int, count: int) -> Rows:
    """The first `count` numbers that order.Order(n, seed) gives."""
    order = Order(n, seed)
    first = order.next()
    stride = order.next() - first
    return (first + stride * np.arange(count)) % n
