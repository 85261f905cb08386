"""Gestures, integers only: people as clients, alone, federated, and personalised.

Windows of an accelerometer and a gyroscope become 60 features in integers, as boards compute them
(fedboard.features). A network of rule "centred" with 32 hidden units learns them: their mean is
measured in a federation's first round, or by whoever learns alone. `punchflex`: seven people with
2 gestures.

    left out    each person once: others' boards make a start, which it adapts to few shots
    on boards   each person is a board with 2 or 5 samples of each gesture; its others judge:
                alone; one model for all; the same, then learned on with the board's own samples

The rates on boards are those that did best on samples of the boards' own five (choose() shows how).
A pair differs in nothing but the way: same people, samples and seed; so its difference has an
interval of its own.
    python -c "from fedboard_host.experiments import gestures; gestures.choose()"
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedboard_host.dataset import Set
from fedboard_host.experiments import common, fewshot, people
from fedboard_host.experiments.common import Row
from fedboard_host.experiments.fewshot import Way
from fedboard_host.experiments.people import People
from fedboard_host.fleet import Fleet

NAME = "gestures"
HIDDEN = 32
ROUNDS = 40
RATE = 8
RATES = {1: 7, 5: 7}
SETS: tuple[Callable[[Path | None], People], ...] = (people.punchflex,)
NOTES = """
A newcomer with one sample of each gesture gains most: the others' model, adapted, is well above
both itself unadapted and the newcomer alone. With five samples it is above the unadapted one, but
alone is nearly as good. Where all seven have as few samples, and learn from nothing else, to
federate and then to adapt is best in the mean with two samples a gesture, but the gains are within
their intervals; with five all three ways tie. The set is small, and 95 % seems to be what these
features reach. Meta-learning pays nowhere here: people mean the same by a gesture, and FedAvg, the
simplest, is as good or better. Intervals are over splits and seeds of the same people: they say
nothing about other people. That the features' mean matters was found by looking at these people.
The rates of those left out, 8 to learn and 7 to adapt with, were best of 8 to 10 and 7 to 9 where
two are left out and judge each other, in the mean over all pairs, for nearly every way and number
of shots. The other set of gestures, `gestures_wand`, is not used: its strokes are in whole g and
its other motions in thousandths, so that the unit alone tells them apart. Each person's own
figures are in results/gestures.jsonl.
"""
HEADLINES = tuple(
    f"{each.__name__}, {what}" for each in SETS for what in ("on boards", "left out, accuracy")
)

_ONE = {"rate": RATE, "n_max": 20, "rounds": ROUNDS}
TINY = Way("TinyReptile", "tinyreptile", {**_ONE}, ROUNDS, rates=RATES)
REPTILE = Way("Reptile, all people a round", "tinyreptile", {**_ONE, "select": 0}, ROUNDS,
              rates=RATES)  # fmt: skip
FEDAVG = Way("FedAvg", "fedavg", {"rate": RATE, "n_max": 20, "carry": False}, ROUNDS, rates=RATES)
JOINT = replace(TINY, name="trained jointly", pooled=True)
SCRATCH = Way("random start", rates=RATES)
WAYS = (SCRATCH, JOINT, FEDAVG, TINY, REPTILE)

OWN = (2, 5)  # samples of each gesture on a board
_MOST = max(OWN)
_SPLITS = 4  # a seed
_ALONE = "each alone"
_ALL = "one model for all"
_PERSONAL = "one model, then personal"


@dataclass(frozen=True)
class Boards:
    """How people with boards learn, each way as suits it: alone; one model; a start, and then own.

    Rates are shifts; passes over a board's own samples, one a round.
    """

    alone_rate: int = 10
    alone_passes: int = 20
    rate: int = 7
    rounds: int = 60
    start_rate: int = 8
    start_rounds: int = 60
    own_rate: int = 10
    own_passes: int = 10


BOARDS = Boards()


def run(
    quick: bool = False,
    seeds: int = 5,
    data: Path | None = None,
    out_dir: Path = Path("results"),
    as_json: bool = False,
    rounds: int = 0,
) -> list[Row]:
    """The experiment; see the module and experiments/__init__. rounds 0: ROUNDS. data: a folder."""
    rounds = rounds or (8 if quick else ROUNDS)
    clock = common.Clock(NAME)
    ways = [way.shortened(rounds) for way in WAYS]
    how = BOARDS
    if quick:
        how = replace(BOARDS, alone_passes=8, rounds=8, start_rounds=8, own_passes=4)
    seeds = 1 if quick else seeds
    rows: list[Row] = []
    titled: list[tuple[str, fewshot.Found]] = []
    for load in SETS:
        those = replace(load(data), rule="centred")
        label = load.__name__
        for own in OWN:
            for seed in range(1, seeds + 1):
                found, bytes_up = on_boards(those, how, seed, 1 if quick else _SPLITS, own)
                rows += _rows(
                    f"{label}, on boards, {own} own samples, ", seed, found, bytes_up, how
                )
                clock.tell(f"{label}, {own} own samples a gesture: seeds", seed, seeds)
        more, curves = fewshot.study(
            NAME, those, ways, HIDDEN, seeds, 1 if quick else 4, clock, f"{label}, left out, "
        )
        rows += more
        titled.append((those.name, curves))
    common.finish(NAME, rows, out_dir, as_json, HEADLINES)
    common.draw(out_dir / f"{NAME}.png", lambda f: fewshot.paint(f, titled), 11, 5)
    return rows


def _rows(prefix: str, seed: int, found: dict[str, float], bytes_up: int, how: Boards) -> list[Row]:
    rows = []
    for name, value in found.items():
        cost = (None, None) if name == _ALONE else (bytes_up, how.rounds + 1)
        rows.append(Row(NAME, name, seed, prefix + "accuracy", None, value, *cost))
    for other in (_ALONE, _ALL):
        gain = found[_PERSONAL] - found[other]
        rows.append(Row(NAME, f"personal, above {other}", seed, prefix + "paired", None, gain))
    return rows


def on_boards(
    those: People, how: Boards, seed: int, n_splits: int, own: int = _MOST, validate: bool = False
) -> tuple[dict[str, float], int]:
    """({way: accuracy, the mean over boards and splits}, bytes up of a federation).

    own: samples of each gesture that a board learns from; the same others judge, whatever it is.
    validate: of a board's five samples three are learned, and two judge; no others are seen.
    """
    sums: dict[str, list[float]] = {}
    bytes_up = 0
    for k in range(n_splits):
        split = _split(those, seed * 100 + k, own, validate)
        found, bytes_up = _one_split(those, how, seed * 100 + k, split)
        for name, value in found.items():
            sums.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in sums.items()}, bytes_up


Split = Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]


def _split(those: People, seed: int, n_own: int, validate: bool) -> Split:
    """Each board's rows to learn from, and those that judge."""
    rng = np.random.default_rng((seed, 3))
    boards = []
    for person in range(len(those.names)):
        own = those.rows(person)
        shuffled = [rng.permutation(own[those.y[own] == k]) for k in range(those.n_classes)]
        learned = np.concatenate([rows[: n_own - 2 * validate] for rows in shuffled])
        kept = [rows[_MOST - 2 : _MOST] if validate else rows[_MOST:] for rows in shuffled]
        boards.append((learned, np.concatenate(kept)))
    return boards


def _one_split(those: People, how: Boards, seed: int, split: Split) -> tuple[dict[str, float], int]:
    spec = those.spec(HIDDEN, seed % 0xFFFF)
    samples = Set(those.views[0], those.y)
    rows = [rows for rows, _ in split]

    def federated(rate: int, rounds: int) -> fewshot.Start:
        way = Way("", "fedavg", {"rate": rate, "carry": False}, rounds)
        return fewshot.learn(way, spec, samples, rows)

    nothing = federated(how.rate, 0)
    merged = federated(how.rate, how.rounds)
    start = federated(how.start_rate, how.start_rounds)
    found: dict[str, list[float]] = {}
    for k, (learned, kept) in enumerate(split):
        rng = np.random.default_rng((seed, k))
        for name, params, rate, passes in (
            (_ALONE, nothing.params, how.alone_rate, how.alone_passes),
            (_ALL, merged.params, 0, 0),
            (_PERSONAL, start.params, how.own_rate, how.own_passes),
        ):
            fleet = Fleet(spec, 1)
            fleet.load(fleet.pack(params))
            if name == _ALONE:  # there is no federation to have measured the mean
                fleet.learn(samples.x[None, learned], samples.y[None, learned], 1, 1)
            for _ in range(passes):
                order = rng.permutation(learned)
                fleet.learn(samples.x[None, order], samples.y[None, order], 1, 0, rate)
            right = fleet.predict(samples.x[None, kept])[0] == samples.y[kept]
            found.setdefault(name, []).append(float(right.mean()))
    return {name: sum(values) / len(values) for name, values in found.items()}, merged.bytes_up


def choose(data: Path | None = None, seed: int = 101) -> None:
    """Print the validation accuracies that the settings above were chosen by."""
    for load in SETS:
        those = replace(load(data), rule="centred")
        print(f"## {those.name}")
        for rate, n, own_rate, own_passes in itertools.product(
            (7, 8, 9, 10), (20, 60), (8, 9, 10), (10, 30)
        ):
            how = Boards(rate, n, rate, n, rate, n, own_rate, own_passes)
            found, _ = on_boards(those, how, seed, 24, validate=True)
            told = ", ".join(f"{name}: {value:.4f}" for name, value in found.items())
            print(f"{how}: {told}", flush=True)
        trials = [
            replace(way, name=f"{way.name}, rate {r}", parameters={**way.parameters, "rate": r})
            for r in (8, 9, 10)
            for way in WAYS[1:]
        ]
        fewshot.choose(those, [SCRATCH, *trials], HIDDEN, (7, 8, 9))
