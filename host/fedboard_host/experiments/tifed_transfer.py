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
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedboard.model import Spec
from fedboard_host import datafile, strategies
from fedboard_host.dataset import Set
from fedboard_host.experiments import common, images, own_rule
from fedboard_host.experiments.common import Row
from fedboard_host.experiments.images import EPOCHS, Pictures
from fedboard_host.experiments.own_rule import Variant
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
_OWN: dict[str, object] = {"batch": 10, "rate": 9, "gain": 2, "average_shift": 6, "carry": False}
VARIANTS = (
    Variant("TIFeD's rule, full-network, 1/η 2048", "tifed", "tifed-full",
            {"batch": 25, "rate": 2048}, scale="signed"),
    Variant("TIFeD's rule, single-layer, 1/η 2048", "tifed", "tifed-single-layer",
            {"batch": 25, "rate": 2048, "rotate": False}, scale="signed"),
    Variant("float FedAvg, averaged by the host", "float",
            parameters={"average_shift": 6, "batch": 10}, float_rate=0.1),
    Variant("fedboard, full-network", parameters=_OWN),
    Variant("fedboard, single-layer", strategy="fedavg-single-layer", parameters=_OWN),
)  # fmt: skip

NOTES = """
What choose() printed on validation samples (one seed, 8 boards, both tasks): TIFeD's 2048 is best
of 1024 to 8192, but for single layers on MNIST, where 4096 is 1.7 points better. Of rates 8 to 10
and gains 2 and 4 of rule "fedboard" 9 and 2 are best or 0.2 points behind, for single layers on
Fashion-MNIST 0.9. FedAvg in floats gains from a higher rate than it has here: at 0.2, the highest
that was tried, 94.0 % in place of 92.8 % on MNIST, and 82.6 % in place of 82.2 % on Fashion-MNIST;
rule "fedboard" reached 93.9 and 83.0 %. So its rows are a little low.
"""
_FEATURE_SEED = 1
_CHUNK = 500


def run(
    quick: bool = False,
    seeds: int = 5,
    data: Path | None = None,
    out_dir: Path = Path("results"),
    as_json: bool = False,
) -> list[Row]:
    """The experiment; see the module and experiments/__init__. data: a folder with both sets."""
    clock = common.Clock(NAME)
    seeds = min(seeds, 2) if quick else seeds
    workers = WORKERS[1:2] if quick else WORKERS
    rows: list[Row] = []
    found: dict[tuple[str, str, int], list[float]] = {}
    for source, task in TASKS[:1] if quick else TASKS:
        made = features(source, task, data, 4 if quick else 0)
        for n_workers in workers:
            for variant in VARIANTS:
                for seed in range(1, seeds + 1):
                    outcome = own_rule.train(made[variant.scale], variant, seed, 0, 0, n_workers)
                    value, sent = outcome.last
                    found.setdefault((task, variant.name, n_workers), []).append(value)
                    metric = f"test accuracy, {n_workers} boards"
                    paid = sent, outcome.merges, outcome.seconds, outcome.bytes_down
                    title = f"{source} features, {task}: {variant.name}"
                    rows.append(Row(NAME, title, seed, metric, None, value, *paid))
            clock.tell(f"{source} to {task}, boards", n_workers, workers[-1])
            common.save(NAME, rows, out_dir)
    common.finish(NAME, rows, out_dir, as_json)
    common.draw(out_dir / f"{NAME}.png", lambda f: _paint(f, found, workers), 12, 5)
    return rows


def features(source: str, task: str, data: Path | None, n_buffers: int = 0) -> dict[str, Pictures]:
    """By scale: the task's samples as the source's network sees them. n_buffers 0: all."""
    known = images.find(source, data, own_rule.SCALE)
    spec, params = _pretrain(known, source, n_buffers)
    wanted = images.find(task, data, own_rule.SCALE)
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


def choose(seed: int = 101, folder: Path | None = None) -> None:
    """Print the validation accuracies that the settings above were chosen by: 8 boards."""
    for source, task in TASKS:
        judged = {k: v.validation() for k, v in features(source, task, folder).items()}
        for variant in VARIANTS:
            for trial in _trials(variant):
                value = own_rule.train(judged[trial.scale], trial, seed).last[0]
                told = trial.float_rate or trial.parameters
                print(f"{source} to {task}: {trial.name} {told}: {value:.4f}", flush=True)


def _trials(variant: Variant) -> Sequence[Variant]:
    if variant.rule == "float":
        return [replace(variant, float_rate=rate) for rate in (0.2, 0.4, 0.8, 1.6)]
    if variant.rule == "tifed":
        rates = (1024, 2048, 4096, 8192)
        return [replace(variant, parameters={**variant.parameters, "rate": r}) for r in rates]
    return [
        replace(variant, parameters={**variant.parameters, "rate": rate, "gain": gain})
        for rate in (7, 8, 9, 10)
        for gain in (2, 4)
    ]


def _paint(
    figure: Figure, found: dict[tuple[str, str, int], list[float]], workers: Sequence[int]
) -> None:
    tasks = sorted({task for task, _, _ in found})
    for axes, task in zip(np.atleast_1d(figure.subplots(1, len(tasks))), tasks, strict=True):
        for i, variant in enumerate(VARIANTS):
            runs = [found[task, variant.name, n] for n in workers]
            style = {"color": common.COLOURS[i], "linestyle": common.DASHES[i]}
            axes.plot(
                workers, [np.mean(each) for each in runs], marker=common.MARKERS[i], markersize=4,
                label=variant.name, **style,
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
