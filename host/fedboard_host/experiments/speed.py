"""How much faster the fleet is than a plain loop (see plain), and what bounds it.

Slices of both, in turn; the medians. The fleet's is a buffer of all workers, merges and all; the
plain loop's a minibatch, and its share of a merge. One thread each; processor time, which other
programs disturb least.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from fedboard_host.experiments import images, plain
from fedboard_host.experiments.common import Row
from fedboard_host.experiments.images import BATCH, EPOCHS, Course, Pictures
from fedboard_host.fleet import Fleet
from fedboard_host.fleet_rounds import FleetFederation

# (pictures, merge, course) -> (a variant's name, its federation of one thread)
Make = Callable[[Pictures, str, Course], tuple[str, FleetFederation]]

RATE = 2048  # 1 / eta
_SLICES = 40


def measure(name: str, pictures: Pictures, make: Make) -> list[Row]:
    """Rows of an experiment `name`: federations merged per epoch and per buffer."""
    course = images.course(len(pictures.train), 1, pictures.passes)
    n = course.size * EPOCHS
    rows = []
    fleet_us = {}
    for merge in ("epoch", "buffer"):
        variant, federation = make(pictures, merge, course)
        rounds = EPOCHS if merge == "epoch" else 1
        fleet_us[merge], plain_us, same = _compare(pictures, federation, course, rounds)
        figures = {
            "parameters that the plain loop has the same": same,
            "µs a sample, fleet": fleet_us[merge],
            "µs a sample, plain loop": plain_us,
            "s for the whole run, fleet": fleet_us[merge] * n / 1e6,
            "s for the whole run, plain loop, extrapolated": plain_us * n / 1e6,
            "times faster": plain_us / fleet_us[merge],
        }
        rows += [Row(name, f"speed: {variant}", 1, key, None, v) for key, v in figures.items()]
    products_us, floors_us = _least(pictures, course)
    figures = {
        # A round is an epoch of a buffer for the one, all of them for the other.
        "to begin and merge a round of an epoch":
            (fleet_us["epoch"] - fleet_us["buffer"]) * EPOCHS / (EPOCHS - 1),
        "the first layer's two products, in float32": products_us,
        "to floor and subtract its updates": floors_us,
    }  # fmt: skip
    return rows + [
        Row(name, "speed: what bounds it", 1, f"µs a sample, {key}", None, value)
        for key, value in figures.items()
    ]


def _compare(
    pictures: Pictures, federation: FleetFederation, course: Course, rounds: int
) -> tuple[float, float, float]:
    """(µs a sample of the fleet, of the plain loop, share of parameters that are the same)."""
    spec = federation.spec
    x, y = pictures.train.x[:BATCH], pictures.train.y[:BATCH]
    check = Fleet(spec, 1)
    feedback = check.rule.feedback()[0].T.astype(np.int64)
    fleet_s, plain_s, same = [], [], []
    for rows in course[:_SLICES]:
        federation.rows = list(rows)
        start = time.process_time()
        n_samples = sum(federation.round().n_samples for _ in range(rounds))
        fleet_s.append((time.process_time() - start) / n_samples)
        params = federation.params
        check.load(check.pack(params))
        start = time.process_time()
        plain.merge([params.copy() for _ in rows])
        a_merge = (time.process_time() - start) * rounds / n_samples
        start = time.process_time()
        plain.learn(spec, params, feedback, x.astype(np.int64), y, BATCH, RATE)
        plain_s.append((time.process_time() - start) / BATCH + a_merge)
        check.learn(x[None], y[None], BATCH, 0, RATE)
        same.append(float((check.unpack(check.lanes)[0] == params).mean()))
    return 1e6 * float(np.median(fleet_s)), 1e6 * float(np.median(plain_s)), min(same)


def _least(pictures: Pictures, course: Course) -> tuple[float, float]:
    """µs a sample of the first layer's work that no bookkeeping can save: (products, floors)."""
    samples = pictures.train.x[course[0].ravel()]
    n_kept = int((samples != samples[0]).any(axis=0).sum())  # see fleet_squeeze
    boards, n_out = course.shape[1], pictures.sizes[1]
    x = np.ones((boards, BATCH, n_kept), np.float32)
    w = np.ones((boards, n_kept, n_out), np.float32)
    d = np.ones((boards, BATCH, n_out), np.float32)
    sums = np.empty((n_kept, n_out), np.float32)
    products_s, floors_s = [], []
    for _ in range(_SLICES):
        start = time.process_time()
        np.matmul(x, w)
        for b in range(boards):
            np.matmul(x[b].T, d[b], out=sums)
        middle = time.process_time()
        for b in range(boards):
            np.floor(sums, out=sums)
            w[b] -= sums
        products_s.append(middle - start)
        floors_s.append(time.process_time() - middle)
    n = boards * BATCH / 1e6
    return float(np.median(products_s)) / n, float(np.median(floors_s)) / n
