"""Which of its samples a simulated board takes in a round, in learner.Learner.train()'s order."""

from __future__ import annotations

from binascii import crc32

import numpy as np
from numpy.typing import NDArray

from fedboard import prng
from fedboard.learner import LOCAL
from fedboard.order import Order
from fedboard_host.strategies import Work


def taken(
    rows: NDArray[np.intp], name: str, run: int, number: int, work: Work, local: bool = False
) -> NDArray[np.intp]:
    """Of board `name`'s rows (n,) those of round `number`; local: for its local layers alone."""
    n = len(rows)
    seed = prng.mix(run, crc32(name.encode()))
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
    return rows[np.concatenate(order)]


def in_order(n: int, seed: int, count: int) -> NDArray[np.intp]:
    """The first `count` numbers that order.Order(n, seed) gives."""
    order = Order(n, seed)
    first = order.next()
    stride = order.next() - first
    return (first + stride * np.arange(count)) % n
