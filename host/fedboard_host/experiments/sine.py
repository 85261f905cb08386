"""TinyReptile against Reptile on sine waves: what streaming costs in accuracy, and saves in RAM.

A 1-64-64-1 tanh network meets 20,000 tasks, one a round, 50 samples each (`waves`). TinyReptile
learns them one by one and stores nothing, Reptile in stored batches of 10; then phi steps toward
the result. Judged on new tasks: the query error after fine-tuning on a few shots.

Settings come from choose(): the least error on VALIDATION tasks, other seeds, over the grids below.
    python -c "from fedboard_host.experiments import sine; sine.choose()"
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedboard import DataError
from fedboard.model import Spec
from fedboard_host.experiments import common, inner_loop, waves
from fedboard_host.experiments.common import Row
from fedboard_host.fleet_float import Ints, start_images
from fedboard_host.metalearn import Federation, Setting, learn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "sine"
SIZES = (1, 64, 64, 1)
ROUNDS = 20_000
STEPS = (0, 1, 2, 4, 8, 16, 32)
SHOTS = (5, 10, 20)
TUNE_RATE = 0.02  # of all fine-tuning by full batches of the shots, as Reptile's authors did
TARGETS = (0.2, 0.1)  # of the error after 32 steps on 10 shots, for "rounds to"
BATCH = 10


@dataclass(frozen=True)
class Method:
    """A way to an initialization. stream_rate: of fine-tuning shot by shot from there."""

    setting: Setting
    stream_rate: float
    mixed: bool = False  # every sample is another task's

    @property
    def name(self) -> str:
        return self.setting.name


TINY = Method(Setting("TinyReptile", rate=0.01), 0.005)
REPTILE = Method(Setting("Reptile", rate=0.03, batch=BATCH), 0.005)
METHODS = (
    TINY,
    Method(Setting("task after task", rate=0.01, alpha_last=1.0), 0.01),
    REPTILE,
    Method(Setting("Reptile, published rates", rate=0.02, alpha=0.1, batch=BATCH), 0.0025),
    Method(Setting("Reptile, 10 passes", rate=0.03, alpha=0.3, batch=BATCH, passes=10), 0.005),
    Method(Setting("trained jointly", rate=0.01), 0.005, mixed=True),
)
SCRATCH = "random start"
_SCRATCH_RATE = 0.01

NOTES = """
All ways see the same 50 samples of each of the 20,000 tasks, TinyReptile one at a time and without
storing any. It ends at a third of the best Reptile's error, and its inner loop takes a fraction of
the RAM: Reptile keeps the task's samples and a batch's activations. Ten passes over stored samples
help Reptile early: it then needs as few rounds to each target as TinyReptile, though ten times the
computing; in the end one pass is better on 5 and 10 shots. Where it does not pay: a network that is
trained jointly on all waves learns their mean, and is then no better a start than random weights.
Going on from task to task without an annealed outer step ("task after task") forgets: its error
hangs on the last tasks. Reptile's published rates want more rounds than these. Fine-tuning by
single shots, which a board can do without storing them, costs some accuracy against full batches of
the shots.

The rates that choose() found lie inside what it tries. Reptile's is 0.03, for one pass and for ten:
at 0.035 one is no better, and ten may diverge. Joint training gets no better at 0.02 and diverges
at 0.04; at 0.08 all its rounds diverge, and leave the random start. Outer steps begin with all that
a round has found, for ten passes with 0.3 of it. Task after task has TinyReptile's rate.
"""
HEADLINES = (
    "query MSE, 10 shots, 8 steps", "query MSE, 10 shots, 32 steps", "query MSE, 10 shots streamed",
    "rounds to", "inner loop", "ms a sample",
)  # fmt: skip
_STREAM_RATES = (0.0006, 0.00125, 0.0025, 0.005, 0.01, 0.014)
_GRIDS = {
    "TinyReptile": [
        Setting(f"rate {r}, alpha {a}", rate=r, alpha=a)
        for r in (0.0075, 0.01, 0.012, 0.014)
        for a in (0.3, 1.0)
    ],
    "Reptile": [
        Setting(f"rate {r}, alpha {a}", rate=r, alpha=a, batch=BATCH)
        for r in (0.01, 0.02, 0.025, 0.03, 0.035, 0.04)
        for a in (0.1, 0.3, 1.0)
    ],
    "Reptile, 10 passes": [
        Setting(f"rate {r}, alpha {a}", rate=r, alpha=a, batch=BATCH, passes=10)
        for r in (0.01, 0.02, 0.025, 0.03, 0.035, 0.04)
        for a in (0.1, 0.3, 1.0)
    ],
    "trained jointly": [Setting(f"rate {r}", rate=r) for r in (0.0025, 0.005, 0.01, 0.02)],
}


def run(
    quick: bool = False,
    seeds: int = 5,
    out_dir: Path = Path("results"),
    as_json: bool = False,
    rounds: int = 0,
) -> list[Row]:
    """The experiment; see the module and experiments/__init__. rounds 0: as published."""
    rounds = rounds or (300 if quick else ROUNDS)
    seeds = min(seeds, 2) if quick else seeds
    n_tasks = 40 if quick else 600
    numbers = list(range(1, seeds + 1))
    rows: list[Row] = []
    curves: dict[str, list[list[float]]] = {}
    found: dict[str, Ints] = {SCRATCH: start_images(SIZES, numbers)}
    rates = {SCRATCH: _SCRATCH_RATE}
    clock = common.Clock(NAME)
    took: dict[str, float] = {}
    up: dict[str, int] = {}
    for group in _groups(METHODS):
        start = clock.seconds
        federation = _train(group, numbers, rounds, clock, curves, quick)
        for i, method in enumerate(group):
            found[method.name] = federation.phi(i)
            rates[method.name] = method.stream_rate
            took[method.name] = (clock.seconds - start) / (len(group) * seeds)
            up[method.name] = int(federation.n_bytes(i)[0][0])
    errors: dict[tuple[str, int], list[list[float]]] = {}
    for shots in SHOTS:
        tasks = waves.NewTasks(n_tasks, shots, waves.TEST)
        for name in [m.name for m in METHODS] + [SCRATCH]:
            images = found[name]
            each = [tasks.errors(Spec(SIZES), image, STEPS, TUNE_RATE) for image in images]
            errors[name, shots] = each
            for k, step in enumerate(STEPS):
                if shots == 10 or step == 32:
                    metric = f"query MSE, {shots} shots, {step} steps"
                    for seed, values in zip(numbers, each, strict=True):
                        rows.append(_row(name, seed, metric, values[k], up, rounds, took))
            if shots == 10:
                for seed, image in zip(numbers, images, strict=True):
                    (value,) = tasks.errors(Spec(SIZES), image, (32,), rates[name], batch=False)
                    metric = "query MSE, 10 shots streamed, 32 samples"
                    rows.append(_row(name, seed, metric, value, up, rounds, took))
    rows += _targets(curves, numbers, rounds)
    rows += _costs()
    common.finish(NAME, rows, out_dir, as_json, HEADLINES)
    common.draw(
        out_dir / f"{NAME}.png", lambda figure: _paint(figure, errors, curves, rounds), 13, 4.6
    )
    return rows


def choose(seeds: Sequence[int] = (101, 102, 103), rounds: int = ROUNDS) -> None:
    """Print the validation errors of the grids: the settings above are the least ones."""
    tasks = waves.NewTasks(200, 10, waves.VALIDATION)
    for name, settings in _GRIDS.items():
        stream = waves.Stream(seeds, waves.TRAIN, name == "trained jointly")
        federation = learn(Spec(SIZES), settings, seeds, stream, rounds)
        for i, setting in enumerate(settings):
            images = federation.phi(i)
            values = [tasks.errors(Spec(SIZES), im, (32,), TUNE_RATE)[0] for im in images]
            line = f"{name}: {setting.name}: {common.show(*common.interval(values))}; streamed at"
            for rate in _STREAM_RATES:
                one = [tasks.errors(Spec(SIZES), im, (32,), rate, batch=False)[0] for im in images]
                line += f" {rate}: {common.show(sum(one) / len(one))}"
            print(line, flush=True)


def _groups(methods: Sequence[Method]) -> list[list[Method]]:
    """Methods that can run as lanes of one federation."""
    groups: dict[tuple[int, int, bool], list[Method]] = {}
    for method in methods:
        key = (method.setting.batch, method.setting.passes, method.mixed)
        groups.setdefault(key, []).append(method)
    return list(groups.values())


def _train(
    group: Sequence[Method],
    seeds: Sequence[int],
    rounds: int,
    clock: common.Clock,
    curves: dict[str, list[list[float]]],
    quick: bool,
) -> Federation:
    """All rounds of some methods; `curves` gets (round, error of each seed) on the way."""
    every = max(1, rounds // (4 if quick else 40))
    tasks = waves.NewTasks(20 if quick else 100, 10, waves.CURVE)

    def watch(federation: Federation) -> None:
        clock.tell(", ".join(m.name for m in group), federation.round, rounds)
        if federation.round % every == 0:
            for i, method in enumerate(group):
                values = [
                    tasks.errors(federation.spec, image, (32,), TUNE_RATE)[0]
                    for image in federation.phi(i)
                ]
                curves.setdefault(method.name, []).append([federation.round, *values])

    stream = waves.Stream(seeds, waves.TRAIN, group[0].mixed)
    settings = [replace(method.setting) for method in group]
    return learn(Spec(SIZES), settings, seeds, stream, rounds, watch=watch)


def _row(
    name: str,
    seed: int,
    metric: str,
    value: float,
    up: dict[str, int],
    rounds: int,
    took: dict[str, float],
) -> Row:
    if name == SCRATCH:
        return Row(NAME, name, seed, metric, None, value)
    return Row(NAME, name, seed, metric, None, value, up[name], rounds, took[name])


def _targets(curves: dict[str, list[list[float]]], seeds: Sequence[int], rounds: int) -> list[Row]:
    """Rounds until the error on the CURVE tasks first was at the target; inf: never."""
    rows = []
    for name, points in curves.items():
        for target in TARGETS:
            for k, seed in enumerate(seeds):
                reached = [int(point[0]) for point in points if point[1 + k] <= target]
                value = float(reached[0]) if reached else math.inf
                metric = f"rounds to {target} (of {rounds:,})"
                rows.append(Row(NAME, name, seed, metric, None, value))
    return rows


def _costs() -> list[Row]:
    """RAM and time of the inner loop, on real MicroPython."""
    try:
        costs = inner_loop.measure(SIZES, waves.GRID, (1, BATCH))
    except DataError as error:
        print(f"{NAME}: no RAM figures: {error}", file=sys.stderr)
        return []
    rows = []
    for name, cost in zip((TINY.name, REPTILE.name), costs, strict=True):
        whole = cost.weight_bytes + cost.n_bytes
        rows.append(
            Row(NAME, name, None, "inner loop's RAM beside the weights, B", None, cost.n_bytes)
        )
        rows.append(Row(NAME, name, None, "inner loop's RAM with the weights, B", None, whole))
        rows.append(
            Row(NAME, name, None, "ms a sample, MicroPython unix", None, cost.us_a_sample / 1000)
        )
    return rows


def _paint(
    figure: Figure,
    errors: dict[tuple[str, int], list[list[float]]],
    curves: dict[str, list[list[float]]],
    rounds: int,
) -> None:
    left, middle, right = figure.subplots(1, 3)
    for i, name in enumerate([m.name for m in METHODS] + [SCRATCH]):
        style: dict[str, Any] = {
            "color": common.COLOURS[i], "linestyle": common.DASHES[i],
            "marker": common.MARKERS[i], "markersize": 4,
        }  # fmt: skip
        each = np.array(errors[name, 10])
        left.plot(range(len(STEPS)), each.mean(axis=0), label=name, **style)
        final = [float(np.mean([values[-1] for values in errors[name, s]])) for s in SHOTS]
        middle.plot(range(len(SHOTS)), final, **style)
        if name in curves:
            points = np.array(curves[name])
            style["marker"] = None
            right.plot(points[:, 0], points[:, 1:].mean(axis=1), **style)
    left.set_xticks(range(len(STEPS)), [str(step) for step in STEPS])
    left.set_xlabel("fine-tuning steps on 10 shots")
    left.set_ylabel("query MSE, mean over seeds")
    middle.set_xticks(range(len(SHOTS)), [str(s) for s in SHOTS])
    middle.set_xlabel("shots, 32 steps")
    right.set_xlabel(f"rounds (tasks), alpha annealed over {rounds:,}")
    right.set_ylabel("query MSE, 10 shots, 32 steps")
    for axes in (left, middle, right):
        axes.set_yscale("log")
        axes.grid(True, which="both", alpha=0.25)
    left.legend(loc="lower left")
    figure.suptitle("Sine waves, 1-64-64-1: how fast a new wave is learned")
