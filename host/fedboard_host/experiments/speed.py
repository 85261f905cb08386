"""How much faster the fleet is than a plain loop (see plain), and what bounds it.

Slices of all, in turn; the medians. The fleet's is a buffer of all workers, merges and all: by
NumPy's products, and where numba is installed by compiled loops. The plain loop's is a minibatch,
and its share of a merge. One thread each; processor time, which other programs disturb least.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fedboard_host import fleet_compiled
from fedboard_host.experiments import images, plain
from fedboard_host.experiments.common import Row
from fedboard_host.experiments.images import BATCH, EPOCHS, Course, Pictures
from fedboard_host.fleet import Fleet
from fedboard_host.fleet_rounds import FleetFederation
from fedboard_host.selection import Ints

# (pictures, merge, course) -> (a variant's name, its federation of one thread)
Make = Callable[[Pictures, str, Course], tuple[str, FleetFederation]]

RATE = 2048  # 1 / eta
NUMPY, NUMBA = "speed", "speed with numba"
_SLICES = 40


@dataclass
class _Way:
    """A fleet to be timed: seconds a sample, and shares of parameters that are the plain loop's."""

    compiled: bool
    federation: FleetFederation
    check: Fleet
    seconds: list[float] = field(default_factory=list)
    same: list[float] = field(default_factory=list)

    @property
    def us(self) -> float:
        return 1e6 * float(np.median(self.seconds))


def measure(name: str, pictures: Pictures, make: Make) -> list[Row]:
    """Rows of an experiment `name`: federations merged per epoch and per buffer."""
    titles = (NUMPY, NUMBA) if fleet_compiled.is_compiled() else (NUMPY,)
    course = images.course(len(pictures.train), 1, pictures.passes)
    n = course.size * EPOCHS
    rows = []
    fleet_us = {}
    for merge in ("epoch", "buffer"):
        ways = {}
        for title in titles:
            fleet_compiled.use_compiled(title == NUMBA)
            variant, federation = make(pictures, merge, course)
            ways[title] = _Way(title == NUMBA, federation, Fleet(federation.spec, 1))
        plain_us = _compare(
            pictures, list(ways.values()), course, EPOCHS if merge == "epoch" else 1
        )
        for title, way in ways.items():
            fleet_us[title, merge] = way.us
            figures = {
                "parameters that the plain loop has the same": min(way.same),
                "µs a sample, fleet": way.us,
                "µs a sample, plain loop": plain_us,
                "s for the whole run, fleet": way.us * n / 1e6,
                "s for the whole run, plain loop, extrapolated": plain_us * n / 1e6,
                "times faster": plain_us / way.us,
            }
            rows += [
                Row(name, f"{title}: {variant}", 1, key, None, v) for key, v in figures.items()
            ]
    fleet_compiled.use_compiled(NUMBA in titles)
    for title in titles:
        parts = _loops(pictures, course) if title == NUMBA else _products(pictures, course)
        # A round is an epoch of a buffer for the one, all of them for the other.
        a_round = (fleet_us[title, "epoch"] - fleet_us[title, "buffer"]) * EPOCHS / (EPOCHS - 1)
        parts = {"to begin and merge a round of an epoch": a_round, **parts}
        rows += [
            Row(name, f"{title}: what bounds it", 1, f"µs a sample, {key}", None, value)
            for key, value in parts.items()
        ]
    return rows


def _compare(pictures: Pictures, ways: list[_Way], course: Course, rounds: int) -> float:
    """Time all, in turn. Returns µs a sample of the plain loop."""
    spec = ways[0].federation.spec
    x, y = pictures.train.x[:BATCH], pictures.train.y[:BATCH]
    feedback = ways[0].check.rule.feedback()[0].T.astype(np.int64)
    seconds = []
    for rows in course[:_SLICES]:
        for way in ways:
            fleet_compiled.use_compiled(way.compiled)
            way.federation.rows = list(rows)
            start = time.process_time()
            n_samples = sum(way.federation.round().n_samples for _ in range(rounds))
            way.seconds.append((time.process_time() - start) / n_samples)
        params: Ints = ways[0].federation.params
        for way in ways:
            way.check.load(way.check.pack(params))
            way.check.learn(x[None], y[None], BATCH, 0, RATE)
        start = time.process_time()
        plain.merge([params.copy() for _ in rows])
        a_merge = (time.process_time() - start) * rounds / n_samples
        start = time.process_time()
        plain.learn(spec, params, feedback, x.astype(np.int64), y, BATCH, RATE)
        seconds.append((time.process_time() - start) / BATCH + a_merge)
        for way in ways:
            way.same.append(float((way.check.unpack(way.check.lanes)[0] == params).mean()))
    return 1e6 * float(np.median(seconds))


def _products(pictures: Pictures, course: Course) -> dict[str, float]:
    """µs a sample of the first layer's work that no bookkeeping can save."""
    samples = pictures.train.x[course[0].ravel()]
    n_kept = int((samples != samples[0]).any(axis=0).sum())  # see fleet_squeeze
    boards, n_out = course.shape[1], pictures.sizes[1]
    x = np.ones((boards, BATCH, n_kept), np.float32)
    w = np.ones((boards, n_kept, n_out), np.float32)
    d = np.ones((boards, BATCH, n_out), np.float32)
    sums = np.empty((n_kept, n_out), np.float32)

    def multiply() -> None:
        np.matmul(x, w)
        for b in range(boards):
            np.matmul(x[b].T, d[b], out=sums)

    def subtract() -> None:
        for b in range(boards):
            np.floor(sums, out=sums)
            w[b] -= sums

    return {
        "the first layer's two products, in float32": _us(multiply, boards * BATCH),
        "to floor and subtract its updates": _us(subtract, boards * BATCH),
    }


def _loops(pictures: Pictures, course: Course) -> dict[str, float]:
    """The same of the compiled loops: see fleet_lit_numba."""
    loops = fleet_compiled.found()
    n_in, n_out = pictures.sizes[:2]
    x = pictures.train.x[course[0, 0, :BATCH]]
    c = np.int32(np.bincount(x[0].astype(np.intp) + 128).argmax() - 128)
    w = np.zeros((n_in + 1, n_out), np.int16)
    d = np.ones((BATCH, n_out), np.int16)
    starts, ends = np.empty(BATCH + 1, np.int64), np.empty(n_in, np.int64)
    rows, who = np.empty((2, x.size + 1), np.uint32)
    values, turned = np.empty((2, x.size + 1), np.int32)
    acc, base, dark, totals = np.zeros((4, n_out), np.int32)
    sums = np.empty((BATCH, n_out), np.int32)
    shift, limit = np.int32(11), np.int32(20_000)

    def find() -> None:
        loops.find_lit(x, c, starts, rows, values)
        loops.turn(starts, rows, values, ends, who, turned)

    def forward() -> None:
        loops.forward_first(w, c, totals, starts, rows, values, sums)

    def update() -> None:
        loops.update_first(
            w, False, w, c, totals, ends, who, turned, d, shift, limit, True, acc, base, dark
        )

    return {
        "to find what is lit": _us(find, BATCH),
        "the first layer's sums of what is lit": _us(forward, BATCH),
        "its updates": _us(update, BATCH),
    }


def _us(work: Callable[[], None], n_samples: int) -> float:
    """The median, a sample."""
    work()
    seconds = []
    for _ in range(_SLICES):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return 1e6 * float(np.median(seconds)) / n_samples
