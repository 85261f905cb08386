"""What a start is worth to a new client: a few shots of its own, integers only, sample by sample.

    way        boards learn a start by rule "fedboard", by a strategy, or none: random weights
    client     its shots, learned pass after pass, one sample a step; the rest of its samples judges
    figure     accuracy before (0 passes) and after 1, 5, 10 passes over 1 or 5 shots a class

The rounds are FleetFederation's, adaptation is Fleet's: bit for bit what boards would do (reptile.
FewShot). A way may be `pooled`: every board draws from all boards' samples, as if in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedboard.model import Spec
from fedboard_host import strategies
from fedboard_host.dataset import Labels, Set
from fedboard_host.experiments import common
from fedboard_host.experiments.common import Row
from fedboard_host.experiments.people import People, Views
from fedboard_host.fleet import Fleet
from fedboard_host.fleet_rounds import FleetFederation, Rows
from fedboard_host.selection import Ints

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOTS = (1, 5)
PASSES = (0, 1, 5, 10)

Refill = Callable[[int], Set]
Accuracies = NDArray[np.float64]
Found = dict[tuple[str, int], list[Accuracies]]  # way, shots -> a seed's accuracies by PASSES


@dataclass(frozen=True)
class Way:
    """A way to a start. strategy "": random weights. rates: to adapt with, by number of shots."""

    name: str
    strategy: str = ""
    parameters: dict[str, object] = field(default_factory=dict)
    rounds: int = 0
    pooled: bool = False
    rates: dict[int, int] = field(default_factory=dict)

    def shortened(self, rounds: int) -> Way:
        parameters = dict(self.parameters)
        if "rounds" in parameters:
            parameters["rounds"] = rounds
        return replace(self, rounds=min(rounds, self.rounds), parameters=parameters)


@dataclass(frozen=True)
class NewClients:
    """views: (n_views, clients, shots, n_in), of y (clients, shots); query (clients, m, n_in)."""

    views: Views
    y: Labels
    query: Views
    query_y: Labels


@dataclass(frozen=True)
class Start:
    """What boards learned, and the bytes up that it took."""

    params: Ints
    bytes_up: int = 0


def learn(way: Way, spec: Spec, samples: Set, rows: Rows, refill: Refill | None = None) -> Start:
    """All rounds of a way. refill(round) -> the boards' samples of a round, in place of `samples`.

    run and seeds follow from the spec's seed.
    """
    strategy = strategies.make(way.strategy or "fedavg", way.parameters)
    if way.pooled:
        rows = [np.concatenate(rows)] * len(rows)
    federation = FleetFederation(spec, strategy, samples, rows, run=spec.seed)
    bytes_up = 0
    # A centred model's first round measures the mean, before those that learn.
    for k in range(way.rounds + (spec.is_centred and way.rounds > 0)):
        if refill is not None:
            federation.samples = refill(k)
        bytes_up += federation.round().bytes_up
    return Start(federation.result, bytes_up)


def adapted(spec: Spec, start: Ints, new: NewClients, rate: int, seed: int) -> Accuracies:
    """Accuracies (len(PASSES), clients). In later passes each sample is any of its views.

    A centred start that nobody has measured the mean of takes the shots' own.
    """
    rng = np.random.default_rng((seed, 5))
    n_views, clients, n = new.views.shape[:3]
    fleet = Fleet(spec, clients)
    fleet.load(fleet.pack(start))
    if spec.is_centred and not start[: spec.at(1)].any():
        fleet.learn(new.views[0], new.y, 1, 1)
    lane = np.arange(clients)[:, None]
    found = []
    for done in range(PASSES[-1] + 1):
        if done in PASSES:
            found.append((fleet.predict(new.query) == new.query_y).mean(axis=1))
        order = np.stack([rng.permutation(n) for _ in range(clients)])
        view = rng.integers(0, n_views if done else 1, order.shape)
        fleet.learn(new.views[view, lane, order], new.y[lane, order], 1, 0, rate)
    return np.stack(found)


def draws(people: People, person: int, shots: int, n: int, seed: int) -> NewClients:
    """n times the same person, each time with other shots; all other samples judge."""
    rng = np.random.default_rng((seed, person, shots))
    own = people.rows(person)
    support = np.stack([
        np.concatenate([
            rng.choice(own[people.y[own] == label], shots, replace=False)
            for label in range(people.n_classes)
        ])
        for _ in range(n)
    ])  # fmt: skip
    query = np.stack([np.setdiff1d(own, row) for row in support])
    return NewClients(
        people.views[:, support], people.y[support], people.views[0, query], people.y[query]
    )


def without(
    people: People, out: Sequence[int], ways: Sequence[Way], hidden: int, seed: int
) -> dict[str, Start]:
    """By way: what the boards of all people but those in `out` learn."""
    samples = Set(people.views.reshape(-1, people.n_in), np.tile(people.y, len(people.views)))
    n = len(people.y)
    rows = [
        np.concatenate([people.rows(p) + k * n for k in range(len(people.views))])
        for p in range(len(people.names))
        if p not in out
    ]
    spec = people.spec(hidden, seed)
    return {way.name: learn(way, spec, samples, rows) for way in ways}


def study(
    name: str,
    people: People,
    ways: Sequence[Way],
    hidden: int,
    seeds: int,
    n_draws: int,
    clock: common.Clock,
    prefix: str = "",
    own: Callable[[Way, int], Way] = lambda way, person: way,
) -> tuple[list[Row], Found]:
    """Each person left out once. Rows: the mean over people, a seed each; and every person's.

    own(way, person): the way with the settings that are used when this person is left out.
    """
    rows: list[Row] = []
    curves: Found = {}
    n = len(people.names)
    for seed in range(1, seeds + 1):
        began = clock.seconds
        starts, values = [], []
        for person in range(n):
            mine = [own(way, person) for way in ways]
            starts.append(without(people, (person,), mine, hidden, seed))
            values.append({
                (way.name, shots): judged(
                    people, person, starts[-1][way.name], hidden, shots, way.rates[shots], seed,
                    n_draws,
                )
                for way in mine
                for shots in SHOTS
            })  # fmt: skip
            clock.tell(f"{people.name}, seed {seed}: people", person + 1, n)
        took = (clock.seconds - began) / len(ways)
        for way in ways:
            for shots in SHOTS:
                by_person = np.stack([found[way.name, shots] for found in values])
                mean = by_person.mean(axis=0)
                curves.setdefault((way.name, shots), []).append(mean)
                up = round(np.mean([start[way.name].bytes_up for start in starts]))
                cost = (up if way.rounds else None, way.rounds or None, took)
                rows += rows_of(name, prefix, way.name, seed, shots, mean, cost)
                for p, label in enumerate(people.names):
                    metric = f"{prefix}of {label}, {told(shots, PASSES[-1])}"
                    rows.append(Row(name, way.name, seed, metric, None, float(by_person[p, -1])))
    return rows, curves


def rows_of(
    name: str,
    prefix: str,
    way: str,
    seed: int,
    shots: int,
    accuracies: Accuracies,
    cost: tuple[int | None, int | None, float | None],
) -> list[Row]:
    """A row for each number of passes; no passes are told once only."""
    rows = []
    for passes, value in zip(PASSES, accuracies, strict=True):
        if passes or shots == SHOTS[0]:
            metric = f"{prefix}accuracy, {told(shots, passes)}"
            rows.append(Row(name, way, seed, metric, None, float(value), *cost))
    return rows


def found_in(rows: Sequence[Row], prefix: str = "") -> Found:
    """What rows_of() made rows of, by seeds."""
    values: dict[tuple[str, int | None, str], float] = {
        (row.variant, row.seed, row.metric): row.ours for row in rows
    }
    found: Found = {}
    for way, seed in dict.fromkeys((row.variant, row.seed) for row in rows):
        for shots in SHOTS:
            metrics = [f"{prefix}accuracy, {told(shots, passes)}" for passes in PASSES]
            accuracies = np.array([values[way, seed, metric] for metric in metrics])
            found.setdefault((way, shots), []).append(accuracies)
    return found


def told(shots: int, passes: int) -> str:
    if not passes:
        return "unadapted"
    return f"{shots} shot{'s'[: shots - 1]}, {passes} pass{'es'[: 2 * (passes > 1)]}"


def judged(
    people: People,
    person: int,
    start: Start,
    hidden: int,
    shots: int,
    rate: int,
    seed: int,
    n_draws: int,
) -> Accuracies:
    """Accuracies by PASSES of a person who adapts a start: the mean over draws of the shots."""
    new = draws(people, person, shots, n_draws, seed)
    each = adapted(people.spec(hidden, seed), start.params, new, rate, seed)
    return np.asarray(each.mean(axis=1))


def choose(
    people: People,
    settings: Sequence[Way],
    hidden: int,
    rates: Sequence[int],
    seed: int = 101,
) -> dict[tuple[int, str, int], list[float]]:
    """Print how settings do on validation people, for each person who is left out of all of it.

    For person p the boards of all but p and a neighbour learn, the neighbour judges; the mean over
    both neighbours. So no sample of p has a say in p's own figures; in their mean all have. A score
    is the mean of the accuracies after 1 and 10 passes; SHOTS and `rates` (to adapt with) are told
    apart. Returns the scores of each person, by shots, name and rate.
    """
    n = len(people.names)
    found_of: dict[tuple[int, str, int], list[float]] = {}
    scores: dict[tuple[int, str, int], list[list[float]]] = {}
    for a in range(n):
        pair = a, (a + 1) % n
        for name, start in without(people, pair, settings, hidden, seed).items():
            for shots in SHOTS:
                for rate in rates:
                    by_person = scores.setdefault((shots, name, rate), [[] for _ in range(n)])
                    for judge, out in (pair, pair[::-1]):
                        found = judged(people, judge, start, hidden, shots, rate, seed, 4)
                        by_person[out].append(float(found[[1, 3]].mean()))
    for (shots, name, rate), by_person in sorted(scores.items()):
        each = [sum(values) / len(values) for values in by_person]
        found_of[shots, name, rate] = each
        listed = " ".join(f"{value:.3f}" for value in each)
        print(f"{shots} shots, {name}, adapted at {rate}: {sum(each) / n:.4f}; of each: {listed}")
    return found_of


def paint(figure: Figure, titled: Sequence[tuple[str, Found]]) -> None:
    """A row of axes for each of `titled`: accuracy against passes, by shots. First: all ways."""
    grid = figure.subplots(len(titled), len(SHOTS), sharex=True, squeeze=False)
    names = list(dict.fromkeys(way for _, found in titled for way, _ in found))
    for line, (title, found) in zip(grid, titled, strict=True):
        for axes, shots in zip(line, SHOTS, strict=True):
            for k, way in enumerate(names):
                if (way, shots) not in found:
                    continue
                y = np.stack(found[way, shots])
                axes.plot(
                    range(len(PASSES)), y.mean(axis=0), label=way, color=common.COLOURS[k],
                    linestyle=common.DASHES[k], marker=common.MARKERS[k], markersize=4,
                )  # fmt: skip
                axes.fill_between(
                    range(len(PASSES)), y.min(axis=0), y.max(axis=0), color=common.COLOURS[k],
                    alpha=0.15,
                )  # fmt: skip
            axes.set_xticks(range(len(PASSES)), [str(n) for n in PASSES])
            axes.set_title(f"{title}, {shots} shot{'s'[: shots - 1]} a class")
            axes.grid(True, alpha=0.3)
        line[0].set_ylabel("accuracy, new clients")
    for axes in grid[-1]:
        axes.set_xlabel("passes over the shots")
    grid[0][-1].legend(loc="lower right")
