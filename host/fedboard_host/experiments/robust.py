"""One bad board of eight: what it costs, by what it does and how updates are merged.

    sign         it sends the opposite of what it learned
    x100         a hundred times that                       -x100    and both
    labels       it learns from wrong labels (9 - y)
    constant     it sends the same change for every parameter

Rule "fedboard", FedAvg, eight boards with about as many samples each; board 2 is the bad one from
the first round on. `digits`: scikit-learn's, 64-32-10; `mnist`, where the data are at hand:
784-64-10. Both once more with boards as uneven as homes are, some with nearly all there is of a
class (Dirichlet 0.3: see partition). `cost` is in points of accuracy, against the plain mean of
eight good boards with the same samples; tables have its 95 % interval. `named`: the share of seeds
in which the bad board was named suspicious after the last round; `blamed`: good boards that were,
by seed. The settings are FedAvg's own; nothing here was searched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedboard.model import Spec
from fedboard_host import digits, partition, strategies
from fedboard_host.clip import Ints
from fedboard_host.dataset import Set
from fedboard_host.experiments import common, images
from fedboard_host.experiments.common import Row
from fedboard_host.fleet_judge import FleetJudge
from fedboard_host.fleet_rounds import FleetFederation, Tamper
from fedboard_host.robust import KINDS, Merging
from fedboard_host.suspicion import Watchlist

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "robust"
BOARDS = 8
BAD = 2
ALPHA = 0.3
ATTACKS = ("none", "sign", "x100", "-x100", "labels", "constant")
NOTES = """
The norm clip alone, in the plain mean, turns a hundredfold board into a fourfold one. Multi-Krum
leaves the bad board out whole, and costs least under every attack, but for a tenth of a point that
trimmed mean is better where signs are flipped on digits. Coordinate rules keep a part of every
attack: most of the constant board's, which moves weights that the others hardly move; little of any
on digits.

With boards as uneven as homes are, Multi-Krum always leaves somebody out. Under nine of these ten
attacks nothing costs less. Against the constant board on digits (2.8 points) trimmed mean (1.4) and
the plain mean (1.9) do; with no bad board at all both do, on digits (1.9 against 0.5 and 0.0) and
on MNIST (0.8 against 0.6 and 0.0). In one seed of digits it leaves out, in all rounds, the board
that has nearly all fives: against the constant board (11 points) and with no bad board (7). Trimmed
mean has no such seed on digits, but on MNIST it loses up to 10 points. Median is worse than trimmed
mean mostly: most parameters are moved by few boards.
"""
_FACTORS = {"sign": -1, "x100": 100, "-x100": -100}
_CONSTANT = 200


@dataclass(frozen=True)
class Task:
    """A data set and how it is learned.

    n_max: samples a board and round, 0: all of its own; alpha: how uneven boards are, 0: not.
    """

    name: str
    train: Set
    test: Set
    hidden: int
    rounds: int
    n_max: int = 0
    alpha: float = 0.0


@dataclass(frozen=True)
class Found:
    accuracy: float
    named: bool  # the bad board
    blamed: int  # good ones
    bytes_up: int


def tasks(data: Path | None, quick: bool) -> list[Task]:
    own = digits.load()
    kept = digits.deal(own, 1, 1)
    found = [Task("digits", kept.everything, kept.test, 32, 12 if quick else 60)]
    if not quick:
        pictures = images.find("mnist", data, "centred")
        if not pictures.reduced:
            found.append(Task("mnist", pictures.train, pictures.test, 64, 40, 100))
        found += [replace(t, name=f"{t.name} (Dirichlet {ALPHA})", alpha=ALPHA) for t in found]
    return found


def learn(task: Task, attack: str, kind: str, seed: int) -> Found:
    """One federation of eight boards, one of them bad unless attack is "none"."""
    rng = np.random.default_rng(seed)
    if task.alpha:
        rows = partition.dirichlet(task.train.y, BOARDS, task.alpha, rng)
    else:
        rows = partition.iid(len(task.train), BOARDS, rng)
    y = task.train.y.copy()
    if attack == "labels":
        y[rows[BAD]] = 9 - y[rows[BAD]]
    spec = Spec((task.train.n_in, task.hidden, 10), "fedboard", seed)
    strategy = strategies.make("fedavg", {"batch": 16, "bits": 4, "n_max": task.n_max})
    federation = FleetFederation(
        spec, strategy, Set(task.train.x, y), rows, run=seed, count=True, merging=Merging(kind),
        tamper=_tamper(attack),
    )  # fmt: skip
    watchlist = Watchlist()
    bytes_up = 0
    for _ in range(task.rounds):
        bytes_up += federation.round().bytes_up
        watchlist.note(federation.merger.opinions)
    names = {one.board for one in watchlist.suspects()}
    bad = f"board{BAD:05d}"
    accuracy = FleetJudge(spec, task.test)(federation.result)
    return Found(accuracy, bad in names, len(names - {bad}), bytes_up)


def _tamper(attack: str) -> Tamper | None:
    factor = _FACTORS.get(attack)

    def tamper(board: int, changes: Ints) -> Ints:
        if board != BAD:
            return changes
        if factor is not None:
            return factor * changes
        return np.full_like(changes, _CONSTANT)

    return None if attack in ("none", "labels") else tamper


def run(
    quick: bool = False,
    seeds: int = 5,
    data: Path | None = None,
    out_dir: Path = Path("results"),
    as_json: bool = False,
    attacks: tuple[str, ...] = ATTACKS,
) -> list[Row]:
    """The experiment; see the module and experiments/__init__."""
    clock = common.Clock(NAME)
    seeds = 1 if quick else seeds
    rows: list[Row] = []
    for task in tasks(data, quick):
        clean = {seed: learn(task, "none", "mean", seed).accuracy for seed in range(1, seeds + 1)}
        turns = [(attack, kind) for attack in attacks for kind in KINDS]
        for n, (attack, kind) in enumerate(turns):
            for seed, best in clean.items():
                found = learn(task, attack, kind, seed)
                label = f"{attack}, {kind}"
                for what, value in (
                    ("accuracy", found.accuracy), ("cost", best - found.accuracy),
                    ("named", float(found.named)), ("blamed", float(found.blamed)),
                ):  # fmt: skip
                    rows.append(Row(
                        NAME, label, seed, f"{task.name}, {what}", None, value, found.bytes_up,
                        task.rounds,
                    ))  # fmt: skip
            clock.tell(task.name, n + 1, len(turns))
    common.save(NAME, rows, out_dir)
    width = 5.5 * len(_names(rows))
    common.draw(out_dir / f"{NAME}.png", lambda figure: _paint(figure, rows), width, 4.5)
    if as_json:
        common.finish(NAME, rows, out_dir, True)
    else:
        print("\n".join(table(rows)))
    return rows


def table(rows: Sequence[Row]) -> list[str]:
    """A matrix for each data set, in place of common.table()."""
    lines: list[str] = []
    for name in _names(rows):
        lines += [*matrix(rows, name), ""]
    return lines[:-1]


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.metric.split(",")[0] for row in rows))


def _values(rows: Sequence[Row], metric: str, variant: str) -> list[float]:
    return [row.ours for row in rows if row.metric == metric and row.variant == variant]


def _mean(rows: Sequence[Row], metric: str, variant: str) -> float:
    own = _values(rows, metric, variant)
    return sum(own) / len(own)


def _attacks(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.variant.split(", ")[0] for row in rows))


def _paint(figure: Figure, rows: Sequence[Row]) -> None:
    """What each attack costs under each rule, cut off at 15 points."""
    names = _names(rows)
    attacks = _attacks(rows)
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        for k, kind in enumerate(KINDS):
            costs = [100 * _mean(rows, f"{name}, cost", f"{attack}, {kind}") for attack in attacks]
            x = [n + 0.2 * (k - 1.5) for n in range(len(attacks))]
            axes.bar(x, costs, 0.18, label=kind, color=common.COLOURS[k])
        axes.axhline(2, color="#555555", linestyle="--", linewidth=1)
        axes.set_xticks(range(len(attacks)), attacks)
        axes.set_title(name)
        axes.set_ylim(-1, 15)
        axes.grid(True, axis="y", alpha=0.3)
    panels[0].set_ylabel("points lost to eight good boards")
    panels[0].legend(loc="upper left")


def matrix(rows: Sequence[Row], task: str) -> list[str]:
    """Markdown: attacks down, rules across; accuracy in %, what is lost in points, who is named."""

    def mean(what: str, label: str) -> float:
        return _mean(rows, f"{task}, {what}", label)

    lines = [f"| {task} | " + " | ".join(KINDS) + " |", "|---" * (len(KINDS) + 1) + "|"]
    for attack in _attacks(rows):
        cells = []
        for kind in KINDS:
            label = f"{attack}, {kind}"
            lost, half = common.interval(_values(rows, f"{task}, cost", label))
            spread = "" if math.isnan(half) else f" ± {100 * half:.1f}"
            text = f"{100 * mean('accuracy', label):.1f} ({-100 * lost:+.1f}{spread})"
            marks = [f"named {mean('named', label):.0%}"] if mean("named", label) else []
            if mean("blamed", label):
                marks.append(f"blamed {mean('blamed', label):.1f}")
            cells.append("; ".join([text, *marks]))
        lines.append(f"| {attack} | " + " | ".join(cells) + " |")
    return lines
