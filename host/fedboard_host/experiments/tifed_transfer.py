"""TIFeD's transfer learning: a 200-50-10 head that 4 to 128 boards train on frozen features.

TIFeD's features came from a network for CIFAR-10, which we do not have; ours come from our own
784-200-10 network of rule "fedboard", trained by 8 boards in one pass over one data set (the 200
hidden activations); the head then learns the other data set from them. So the published figures
(full-network .7516 at 1/η 4096, single-layer .7158 at 8192) stand for another task: no difference.

Protocol and merges as in own_rule; however many boards, they share one pass over 60,000 samples:
twice the boards, half the rounds. Settings were chosen on validation samples by choose().
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedboard.model import Spec
from fedboard_host import datafile, strategies
from fedboard_host.dataset import Set
from fedboard_host.experiments import common, course_run, images, own_rule
from fedboard_host.experiments.common import Row
from fedboard_host.experiments.course_run import SCALE, Variant
from fedboard_host.experiments.images import EPOCHS, Pictures
from fedboard_host.experiments.kept import Kept
from fedboard_host.fleet import Fleet
from fedboard_host.fleet_rounds import FleetFederation
from fedboard_host.fleet_squeeze import Features
from fedboard_host.selection import Ints

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "tifed-transfer"
TASKS = (("fashion", "mnist"), ("mnist", "fashion"))  # (features from, task)
HEAD = 50
WORKERS = (4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Chosen:
    """What choose() found best on a task: 1/η of TIFeD's rule, the floats' rate, our own rule's."""

    full: int
    single: int
    float_rate: float
    own_full: int
    own_single: int


CHOSEN = {"mnist": Chosen(2048, 4096, 0.8, 9, 10), "fashion": Chosen(2048, 2048, 0.8, 10, 10)}


def variants(task: str) -> tuple[Variant, ...]:
    """What a task is tried with."""
    best = CHOSEN[task]
    own: dict[str, object] = {"batch": 10, "gain": 2, "average_shift": 6, "carry": False}
    return (
        Variant(f"TIFeD's rule, full-network, 1/η {best.full}", "tifed", "tifed-full",
                {"batch": 25, "rate": best.full}, scale="signed"),
        Variant(f"TIFeD's rule, single-layer, 1/η {best.single}", "tifed", "tifed-single-layer",
                {"batch": 25, "rate": best.single, "rotate": False}, scale="signed"),
        Variant("float FedAvg, averaged by the host", "float",
                parameters={"average_shift": 6, "batch": 10}, float_rate=best.float_rate),
        Variant("fedboard, full-network", parameters={**own, "rate": best.own_full}),
        Variant("fedboard, single-layer", strategy="fedavg-single-layer",
                parameters={**own, "rate": best.own_single}),
    )  # fmt: skip


NOTES = """
Each way has its own rate on each task: the best that choose() found on validation samples, one
seed, 8 boards; with more or fewer boards it stays the same. TIFeD's 1/η is 2048 of 1024 to 8192,
for single layers on MNIST 4096; FedAvg's rate in floats 0.8 of 0.2 to 1.6. Rule "fedboard" has
shifts of 10, for full networks on MNIST 9, of 7 to 12, and a gain of 2, of 1, 2 and 4.
On MNIST floats are ahead of full networks in integers by up to 1.3 points with few boards, and
behind with 128; on Fashion-MNIST they are as good, within 0.3.
"""
_FEATURE_SEED = 1
_CHUNK = 500


def run(
    quick: bool = False,
    seeds: int = 5,
    data: Path | None = None,
    out_dir: Path = Path("results"),
    as_json: bool = False,
    resume: bool = False,
) -> list[Row]:
    """The experiment; see the module and experiments/__init__. data: a folder with both sets.

    resume: see kept.
    """
    clock = common.Clock(NAME)
    seeds = min(seeds, 2) if quick else seeds
    workers = WORKERS[1:2] if quick else WORKERS
    tasks = TASKS[:1] if quick else TASKS
    order = [
        (_title(source, task, variant), _metric(n))
        for source, task in tasks
        for n in workers
        for variant in variants(task)
    ]
    settings = {
        _title(source, task, variant): (variant, own_rule.variants(source)[0], HEAD, quick)
        for source, task in tasks
        for variant in variants(task)
    }
    kept = Kept(NAME, out_dir, resume, settings, seeds)
    rows = kept.rows
    done = {(row.variant, row.metric, row.seed) for row in rows}
    for source, task in tasks:
        missing = [
            (n, variant, seed)
            for n in workers
            for variant in variants(task)
            for seed in range(1, seeds + 1)
            if (_title(source, task, variant), _metric(n), seed) not in done
        ]
        made = features(source, task, data, 4 if quick else 0) if missing else {}
        for n, variant, seed in missing:
            outcome = course_run.train(made[variant.scale], variant, seed, 0, 0, n)
            value, sent = outcome.last
            paid = sent, outcome.merges, outcome.seconds, outcome.bytes_down
            title = _title(source, task, variant)
            rows += kept.stamped([Row(NAME, title, seed, _metric(n), None, value, *paid)])
            clock.tell(f"{source} to {task}, boards", n, workers[-1])
            common.save(NAME, rows, out_dir)
    rows.sort(key=lambda row: (order.index((row.variant, row.metric)), row.seed or 0))
    common.finish(NAME, rows, out_dir, as_json)
    common.draw(out_dir / f"{NAME}.png", lambda f: _paint(f, rows, tasks, workers), 12, 5)
    return rows


def _title(source: str, task: str, variant: Variant) -> str:
    return f"{source} features, {task}: {variant.name}"


def _metric(n_workers: int) -> str:
    return f"test accuracy, {n_workers} boards"


def features(source: str, task: str, data: Path | None, n_buffers: int = 0) -> dict[str, Pictures]:
    """By scale: the task's samples as the source's network sees them. n_buffers 0: all."""
    known = images.find(source, data, SCALE)
    spec, params = _pretrain(known, source, n_buffers)
    wanted = images.find(task, data, SCALE)
    seen = [_hidden(spec, params, own.x) for own in (wanted.train, wanted.test)]
    made = {}
    for scale in ("centred", "signed"):
        x, x_test = (datafile.features(each, scale, seen[0]) for each in seen)
        made[scale] = replace(
            wanted, train=Set(x, wanted.train.y), test=Set(x_test, wanted.test.y), hidden=HEAD
        )
    return made


def _pretrain(known: Pictures, source: str, n_buffers: int) -> tuple[Spec, Ints]:
    """A network that 8 boards train on the source data: rule "fedboard", integers only."""
    course = images.course(len(known.train), _FEATURE_SEED, known.passes)
    spec = Spec(known.sizes, "fedboard", _FEATURE_SEED)
    variant = own_rule.variants(source)[0]
    strategy = strategies.make(variant.strategy, variant.parameters)
    federation = FleetFederation(spec, strategy, known.train, list(course[0]), run=_FEATURE_SEED)
    for rows in course[: n_buffers or len(course)]:
        federation.rows = list(rows)
        for _ in range(EPOCHS):
            federation.round()
    return spec, federation.result


def _hidden(spec: Spec, params: Ints, x: Features) -> datafile.Values:
    """The hidden activations, 0 to 127, as bytes 0 to 254."""
    fleet = Fleet(spec, 1)
    fleet.load(fleet.pack(params))
    seen = np.empty((len(x), spec.sizes[1]), np.uint8)
    for at in range(0, len(x), _CHUNK):
        seen[at : at + _CHUNK] = 2 * fleet.hidden(x[None, at : at + _CHUNK])[0]
    return seen


def choose(
    seeds: Sequence[int] = (101,), folder: Path | None = None, only: Sequence[int] = ()
) -> None:
    """Print the validation accuracies that the settings above were chosen by: 8 boards.

    Means over seeds. only: these of variants().
    """
    for source, task in TASKS:
        judged = {k: v.validation() for k, v in features(source, task, folder).items()}
        for variant in [variants(task)[i] for i in only] or variants(task):
            for trial in _trials(variant):
                each = [course_run.train(judged[trial.scale], trial, s).last[0] for s in seeds]
                told = trial.float_rate or trial.parameters
                value = sum(each) / len(each)
                print(f"{source} to {task}: {trial.name} {told}: {value:.4f}", flush=True)


def _trials(variant: Variant) -> Sequence[Variant]:
    if variant.rule == "float":
        return [replace(variant, float_rate=rate) for rate in (0.2, 0.4, 0.8, 1.6)]
    if variant.rule == "tifed":
        rates = (1024, 2048, 4096, 8192)
        return [replace(variant, parameters={**variant.parameters, "rate": r}) for r in rates]
    return [
        replace(variant, parameters={**variant.parameters, "rate": rate, "gain": gain})
        for rate in (7, 8, 9, 10, 11, 12)
        for gain in (1, 2, 4)
    ]


def _paint(
    figure: Figure, rows: Sequence[Row], tasks: Sequence[tuple[str, str]], workers: Sequence[int]
) -> None:
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        found.setdefault((row.variant, row.metric), []).append(row.ours)
    panels = np.atleast_1d(figure.subplots(1, len(tasks)))
    for axes, (source, task) in zip(panels, sorted(tasks, key=lambda each: each[1]), strict=True):
        for i, variant in enumerate(variants(task)):
            runs = [found[_title(source, task, variant), _metric(n)] for n in workers]
            style = {"color": common.COLOURS[i], "linestyle": common.DASHES[i]}
            axes.plot(
                workers, [np.mean(each) for each in runs], marker=common.MARKERS[i], markersize=4,
                label=variant.name.partition(", 1/η")[0], **style,
            )  # fmt: skip
            low, high = [min(each) for each in runs], [max(each) for each in runs]
            axes.fill_between(workers, low, high, color=common.COLOURS[i], alpha=0.15)
        axes.set_xscale("log", base=2)
        axes.set_xticks(workers, [str(n) for n in workers])
        axes.set_xlabel("boards that share one pass over the data")
        axes.set_ylabel("test accuracy")
        axes.set_title(f"{task}, on the other data set's features")
        axes.grid(True, alpha=0.3)
    figure.axes[0].legend(loc="lower left")
    figure.suptitle("A 200-50-10 head on frozen features")
