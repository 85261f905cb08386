"""Each of some people as the newcomer: the others' boards make a start, which it adapts to shots.

    without()   what the boards of all people but some learn
    study()     each person left out once: rows, and curves to paint()
    choose()    settings for each person, by how others do as newcomers; no sample of it has a say

Ways, starts and how they are adapted: see fewshot.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fedboard_host.dataset import Set
from fedboard_host.experiments import common, fewshot
from fedboard_host.experiments.common import Row
from fedboard_host.experiments.fewshot import SHOTS, Accuracies, Found, Start, Way
from fedboard_host.experiments.people import Looks, People

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    return {way.name: fewshot.learn(way, spec, samples, rows) for way in ways}


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
    looks: Looks | None = None,
) -> tuple[list[Row], Found]:
    """Each person left out once. Rows: the mean over people, a seed each; and every person's.

    own(way, person): the way with the settings that are used when this person is left out. looks:
    at the people, for ways that have a look. Bytes and rounds are means over who is left out.
    """
    rows: list[Row] = []
    curves: Found = {}
    n = len(people.names)
    for seed in range(1, seeds + 1):
        began = clock.seconds
        bytes_up: dict[str, list[int]] = {way.name: [] for way in ways}
        values: list[dict[tuple[str, int], Accuracies]] = [{} for _ in range(n)]
        mine = {way.name: [own(way, person) for person in range(n)] for way in ways}
        for person in range(n):
            for each in (mine[way.name][person] for way in ways):
                those = looks(each.look) if looks else people
                start = without(those, (person,), [each], hidden, seed)[each.name]
                bytes_up[each.name].append(start.bytes_up)
                for shots in SHOTS:
                    values[person][each.name, shots] = judged(
                        those, person, start, hidden, shots, each.rates[shots], seed, n_draws
                    )
            clock.tell(f"{people.name}, seed {seed}: people", person + 1, n)
        took = (clock.seconds - began) / len(ways)
        for way in ways:
            rounds = round(np.mean([each.rounds for each in mine[way.name]]))
            for shots in SHOTS:
                by_person = np.stack([found[way.name, shots] for found in values])
                mean = by_person.mean(axis=0)
                curves.setdefault((way.name, shots), []).append(mean)
                up = round(np.mean(bytes_up[way.name]))
                cost = (up if rounds else None, rounds or None, took)
                rows += rows_of(name, prefix, way.name, seed, shots, mean, cost)
                for p, label in enumerate(people.names):
                    metric = f"{prefix}of {label}, {told(shots, fewshot.PASSES[-1])}"
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
    for passes, value in zip(fewshot.PASSES, accuracies, strict=True):
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
            metrics = [f"{prefix}accuracy, {told(shots, passes)}" for passes in fewshot.PASSES]
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
    new = fewshot.draws(people, person, shots, n_draws, seed)
    each = fewshot.adapted(people.spec(hidden, seed), start.params, new, rate, seed)
    return np.asarray(each.mean(axis=1))


def choose(
    people: People,
    settings: Sequence[Way],
    hidden: int,
    rates: Sequence[int],
    seed: int = 101,
    apart: int = 1,
) -> dict[tuple[int, str, int], list[float]]:
    """How settings do on validation people, for each person who is left out of all of it.

    For person p the boards of all but p and a neighbour learn, the neighbour judges; the mean over
    neighbours on both sides, so far apart. So no sample of p has a say in p's own figures; in
    their mean all have. A score is the mean of the accuracies after 1 and 10 passes; SHOTS and
    `rates` (to adapt with) are told apart. Returns the scores of each person, by shots, name and
    rate.
    """
    n = len(people.names)
    spec = people.spec(hidden, seed)
    scores: dict[tuple[int, str, int], list[list[float]]] = {}
    for a in range(n):
        pair = a, (a + apart) % n
        found = without(people, pair, settings, hidden, seed)
        starts = np.stack([found[way.name].params for way in settings])
        for shots, (judge, out) in itertools.product(SHOTS, (pair, pair[::-1])):
            new = fewshot.draws(people, judge, shots, 4, seed)
            for rate in rates:
                each = fewshot.adapted_each(spec, starts, new, rate, seed).mean(axis=2)
                for way, value in zip(settings, each[[1, 3]].mean(axis=0), strict=True):
                    by_person = scores.setdefault((shots, way.name, rate), [[] for _ in range(n)])
                    by_person[out].append(float(value))
    return {key: [sum(v) / len(v) for v in by_person] for key, by_person in scores.items()}


def tell(found: Mapping[tuple[int, str, int], Sequence[float] | Accuracies]) -> None:
    """Print what choose() found."""
    for (shots, name, rate), each in sorted(found.items()):
        listed = " ".join(f"{value:.3f}" for value in each)
        mean = sum(each) / len(each)
        print(f"{shots} shots, {name}, adapted at {rate}: {mean:.4f}; of each: {listed}")


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
                    range(len(fewshot.PASSES)), y.mean(axis=0), label=way, color=common.COLOURS[k],
                    linestyle=common.DASHES[k], marker=common.MARKERS[k], markersize=4,
                )  # fmt: skip
                axes.fill_between(
                    range(len(fewshot.PASSES)), y.min(axis=0), y.max(axis=0),
                    color=common.COLOURS[k], alpha=0.15,
                )  # fmt: skip
            axes.set_xticks(range(len(fewshot.PASSES)), [str(n) for n in fewshot.PASSES])
            axes.set_title(f"{title}, {shots} shot{'s'[: shots - 1]} a class")
            axes.grid(True, alpha=0.3)
        line[0].set_ylabel("accuracy, new clients")
    for axes in grid[-1]:
        axes.set_xlabel("passes over the shots")
    grid[0][-1].legend(loc="lower right")
