"""TIFeD as published: 784-200-10, integers only, 8 workers, with honest copies and without.

Each worker learns a buffer of 50 samples for 5 epochs in minibatches of 25; 150 buffers. Merged
"per epoch" (750 times) or "per buffer" (150 times). Full-network: every worker trains all layers;
single-layer: half of the workers train each layer. Rates are the published ones: nothing is chosen.

The published code lets all workers hold ONE array after the first aggregation, and clamps nothing:
they then train it in turn, each epoch one after the other, and the mean of it is itself. That is
sequential training, not federated averaging; shared_arrays does just so, and gets the published
curve. True copies, which boards have, are slower at first and a little worse in the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedboard import prng
from fedboard.model import Spec
from fedboard_host import strategies
from fedboard_host.experiments import common, images, speed
from fedboard_host.experiments.common import Row
from fedboard_host.experiments.images import BATCH, EPOCHS, Course, Pictures
from fedboard_host.experiments.kept import Kept
from fedboard_host.fleet import Fleet
from fedboard_host.fleet_judge import FleetJudge
from fedboard_host.fleet_order import in_order
from fedboard_host.fleet_rounds import FleetFederation
from fedboard_host.selection import Ints

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTES = """
The speed is processor time of one thread each, measured in turns in one run; merges count for both.
"Speed" is NumPy's alone, "speed with numba" that with the extra `fast` (pip install
'fedboard[fast]'): loops that numba compiles, once, which multiply only what a sample lights. The
models are the same bits. What bounds the loops: the first layer's updates, as each minibatch moves
all 157,000 weights, since the background is -128 and not 0; then the sums of what is lit, and to
find it. Merged per epoch, what a round costs whatever it learns is more than any of these: the
order of samples, the model's way to boards, the sum and the mean of 157,000 parameters of eight
workers. NumPy alone stays below 30 times. What bounds it: the first layer's two products, exact in
float32 BLAS, run at about four fifths of what a core can multiply; they and the rounding of each
weight at each minibatch have to be. The rest goes to rounds, and to small arrays: activations,
errors, the pieces in which exact products are summed. What helped there: inputs that do not vary,
like a dark border, are left out of the products; boards' copies are made when they begin to differ,
and added up without being written back; bounds in place of looks at all weights. The plain loop's
integer products are NumPy's as well, and vectorised.
"""
SCALE = "signed"  # uint8 - 128
RATES = (2048, 4096, 8192)
LOOKS = (1, 2, 3, 5, 10, 15, 25, 35, 50, 75, 100, 125, 150)

Judge = Callable[[Ints], float]


@dataclass(frozen=True)
class Study:
    """A data set and what was published of it: final accuracies, mean of 100 runs, and their sd."""

    name: str
    data: str
    full: dict[int, tuple[float, float]]
    single: dict[int, tuple[float, float]]
    curve: dict[int, float] = field(default_factory=dict)  # full-network, 1/eta 2048, by buffer


MNIST = Study(
    "tifed-mnist", "mnist",
    {2048: (0.9292, 0.0025), 4096: (0.9222, 0.0030), 8192: (0.9065, 0.0137)},
    {2048: (0.8943, 0.0101), 4096: (0.9051, 0.0055), 8192: (0.8981, 0.0053)},
    {1: 0.227, 2: 0.780, 3: 0.840, 25: 0.913, 150: 0.929},
)  # fmt: skip
FASHION = Study(
    "tifed-fashion", "fashion",
    {2048: (0.8417, 0.0027), 4096: (0.8312, 0.0040), 8192: (0.8235, 0.0041)},
    {2048: (0.8222, 0.0041), 4096: (0.8238, 0.0030), 8192: (0.8189, 0.0027)},
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """merge: "epoch", "buffer", or "shared": the published code's shared array, per buffer."""

    merge: str
    rate: int
    single: bool = False

    @property
    def name(self) -> str:
        scheme = "single-layer" if self.single else "full-network"
        how = "shared array" if self.merge == "shared" else f"true copies, per {self.merge}"
        return f"{scheme}, 1/η {self.rate}, {how}"




@dataclass
class Outcome:
    """One run: accuracy by buffer, the final parameters, the seconds of learning alone."""

    accuracy: dict[int, float]
    params: Ints
    bytes_up: int = 0
    merges: int = 0
    seconds: float = 0.0


def run(
    study: Study,
    quick: bool = False,
    seeds: int = 5,
    data: Path | None = None,
    out_dir: Path = Path("results"),
    as_json: bool = False,
    shared_arrays: bool = False,
    resume: bool = False,
) -> list[Row]:
    """The experiment; see the module and experiments/__init__.

    resume: see kept. Curves are not kept: without all of them nothing is drawn, and a plot
    that is there already stays.
    """
    pictures = images.find(study.data, data, SCALE)
    name = study.name + ("-shared-arrays" if shared_arrays else "")
    clock = common.Clock(name)
    variants = [
        Variant("shared" if shared_arrays else "epoch", rate, single)
        for rate in (RATES[:1] if quick else RATES)
        for single in (False, True)
    ]
    if not shared_arrays:
        variants.append(Variant("buffer", RATES[0]))
    seeds = min(seeds, 2) if quick else seeds
    curves: dict[str, list[dict[int, float]]] = {}
    settings = {each.name: (each, pictures.name, pictures.sizes, BATCH, quick) for each in variants}
    kept = Kept(name, out_dir, resume, settings, seeds)
    rows = kept.rows
    for variant in variants:
        for seed in range(1, seeds + 1):
            if (variant.name, seed) in kept.done:
                continue
            outcome = train(pictures, variant, seed, 12 if quick else 0)
            curves.setdefault(variant.name, []).append(outcome.accuracy)
            made = _rows(name, study, variant, seed, outcome, pictures.reduced or quick)
            rows += kept.stamped(made)
            clock.tell(f"{variant.name}, seed", seed, seeds)
        common.save(name, rows, out_dir)  # an hour's run that is stopped keeps what it has
    if not shared_arrays:
        rows += speed.measure(name, pictures, _timed)
    common.finish(name, rows, out_dir, as_json)
    plot = out_dir / f"{name}.png"
    if len(curves) == len(variants) and not (kept.done and plot.exists()):
        common.draw(plot, lambda f: _paint(f, study, variants, curves), 11, 5)
    return rows


def train(pictures: Pictures, variant: Variant, seed: int, n_buffers: int = 0) -> Outcome:
    """One run of one variant. n_buffers 0: all."""
    course = images.course(len(pictures.train), seed, pictures.passes)
    course = course[: n_buffers or len(course)]
    spec = Spec(pictures.sizes, "tifed", seed)
    judge = FleetJudge(spec, pictures.test, variant.merge != "shared")
    learn = _learn_shared if variant.merge == "shared" else _learn_copies
    return learn(spec, pictures, variant, seed, course, judge)


def _learn_copies(
    spec: Spec, pictures: Pictures, variant: Variant, seed: int, course: Course, judge: Judge
) -> Outcome:
    """Federated averaging as boards do it, through the real strategies."""
    per_buffer = variant.merge == "buffer"
    federation = _federation(spec, pictures, variant, seed, EPOCHS if per_buffer else 1, course)
    outcome = Outcome({}, federation.params)
    for b in range(len(course)):
        start = time.perf_counter()
        federation.rows = list(course[b])
        for _ in range(1 if per_buffer else EPOCHS):
            outcome.bytes_up += federation.round().bytes_up
        outcome.seconds += time.perf_counter() - start
        if b + 1 in LOOKS or b + 1 == len(course):
            outcome.accuracy[b + 1] = judge(federation.params)
    outcome.params, outcome.merges = federation.params, federation.number
    return outcome


def _learn_shared(
    spec: Spec, pictures: Pictures, variant: Variant, seed: int, course: Course, judge: Judge
) -> Outcome:
    """The published code's way: copies for one buffer, then one array that all train in turn."""
    first = _federation(spec, pictures, variant, seed, EPOCHS, course)
    bytes_up = first.round().bytes_up
    start = time.perf_counter()
    shared = Fleet(spec, 1, clamped=False)
    shared.load(shared.pack(first.params))
    accuracy = {1: judge(first.params)}
    workers = course.shape[1]
    for b in range(1, len(course)):
        for epoch in range(EPOCHS):
            for w in range(workers):
                rows = course[b, w]
                order = in_order(len(rows), prng.mix(seed, b, epoch, w), len(rows))
                x, y = pictures.train.x[rows[order]], pictures.train.y[rows[order]]
                layers = 1 << w * spec.n_layers // workers if variant.single else 0
                shared.learn(x[None], y[None], BATCH, layers, variant.rate)
        if b + 1 in LOOKS or b + 1 == len(course):
            accuracy[b + 1] = judge(_unpacked(shared))
    seconds = time.perf_counter() - start
    total = bytes_up * len(course)
    return Outcome(accuracy, _unpacked(shared), total, len(course), seconds)


def _federation(
    spec: Spec,
    pictures: Pictures,
    variant: Variant,
    seed: int,
    epochs: int,
    course: Course,
    threads: int = 0,
) -> FleetFederation:
    parameters: dict[str, object] = {"epochs": epochs, "batch": BATCH, "rate": variant.rate}
    if variant.single:
        parameters["rotate"] = False  # as published: the workers keep their layers
    scheme = "tifed-single-layer" if variant.single else "tifed-full"
    strategy = strategies.make(scheme, parameters)
    rows = list(course[0])
    return FleetFederation(spec, strategy, pictures.train, rows, run=seed, threads=threads)


def _timed(pictures: Pictures, merge: str, course: Course) -> tuple[str, FleetFederation]:
    """What speed measures, and the variant's name."""
    variant = Variant(merge, RATES[0])
    spec = Spec(pictures.sizes, "tifed", 1)
    epochs = EPOCHS if merge == "buffer" else 1
    return variant.name, _federation(spec, pictures, variant, 1, epochs, course, 1)


def _unpacked(fleet: Fleet) -> Ints:
    params: Ints = fleet.unpack(fleet.lanes)[0]
    return params


def _rows(
    name: str, study: Study, variant: Variant, seed: int, outcome: Outcome, reduced: bool
) -> list[Row]:
    table = study.single if variant.single else study.full
    curve = {} if variant.single or variant.rate != RATES[0] else study.curve
    last = max(outcome.accuracy)
    paid = outcome.bytes_up, outcome.merges, outcome.seconds
    rows = []
    for b, value in outcome.accuracy.items():
        if b == last or b in curve:
            published = table[variant.rate][0] if b == last else curve[b]
            metric = f"test accuracy, buffer {b}"
            known = None if reduced else published
            rows.append(Row(name, variant.name, seed, metric, known, value, *paid))
    largest = float(np.abs(outcome.params).max())
    rows.append(Row(name, variant.name, seed, "largest weight", None, largest))
    return rows


def _paint(
    figure: Figure,
    study: Study,
    variants: list[Variant],
    curves: dict[str, list[dict[int, float]]],
) -> None:
    full, single = figure.subplots(1, 2, sharey=True)
    for axes, is_single in ((full, False), (single, True)):
        mine = [variant for variant in variants if variant.single == is_single]
        for i, variant in enumerate(mine):
            runs = curves[variant.name]
            x = list(runs[0])
            y = np.array([list(each.values()) for each in runs])
            label = f"1/η {variant.rate}, " + variant.name.rsplit(", ", 1)[1]
            colour = common.COLOURS[i]
            axes.plot(x, y.mean(axis=0), color=colour, linestyle=common.DASHES[i], label=label)
            axes.fill_between(x, y.min(axis=0), y.max(axis=0), color=colour, alpha=0.15)
        published = study.single if is_single else study.full
        x = [150] * len(published)
        axes.plot(x, [mean for mean, _ in published.values()], "k_", markersize=12)
        if study.curve and not is_single:
            axes.plot(list(study.curve), list(study.curve.values()), "kx", label="published, 2048")
        axes.set_xscale("log")
        axes.set_xticks([1, 3, 10, 25, 50, 150], ["1", "3", "10", "25", "50", "150"])
        axes.set_xlabel("buffers of 50 samples a worker")
        axes.set_title("single-layer" if is_single else "full-network")
        axes.grid(True, alpha=0.3)
        axes.legend(loc="lower right")
    full.set_ylabel("test accuracy (bars: published ends)")
    figure.suptitle(f"TIFeD on {study.data}, 8 workers")
