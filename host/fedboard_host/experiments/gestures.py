"""Gestures, integers only: people as clients, alone, federated, and personalised.

Windows of an accelerometer and a gyroscope become 60 features in integers, as boards compute them
(fedboard.features), less their mean over what was learned from. A network of rule "fedboard" with
32 hidden units learns them. `punchflex`: seven people with 2 gestures.

    left out    each person once: others' boards make a start, which it adapts to few shots
    on boards   each person is a board with 5 samples of each gesture; its other samples judge:
                alone; one model for all; the same, then learned on with the board's own samples

The rates on boards are those that did best on samples of the boards' own five (choose() shows how).
    python -c "from fedboard_host.experiments import gestures; gestures.choose()"
"""

from __future__ import annotations

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
RATE = 9
RATES = {1: 8, 5: 8}
SETS: tuple[Callable[[Path | None], People], ...] = (people.punchflex,)
NOTES = """
On boards, what was federated and then made personal is best, but by less than the intervals: five
own samples of each gesture nearly suffice alone, and the set is small. Left out: a start that
others learned pays for one shot; for five it ties with a random one. Meta-learning pays nowhere
here: people mean the same by a gesture, and FedAvg, the simplest, is as good or better. Features
have offsets that saturate hidden units unless their mean is subtracted; that was found by looking
at these same people. The rates to adapt with, of those left out, are unsearched. The other set of
gestures, `gestures_wand`, is not used: its strokes are in whole g and its other motions in
thousandths, so that the unit alone tells them apart. Each person's own figures are in
results/gestures.jsonl.
"""
HEADLINES = tuple(
    f"{each.__name__}, {what}, accuracy" for each in SETS for what in ("on boards", "left out")
)

_ONE = {"rate": RATE, "n_max": 20, "rounds": ROUNDS}
TINY = Way("TinyReptile", "tinyreptile", {**_ONE}, ROUNDS, rates=RATES)
REPTILE = Way("Reptile, all people a round", "tinyreptile", {**_ONE, "select": 0}, ROUNDS,
              rates=RATES)  # fmt: skip
FEDAVG = Way("FedAvg", "fedavg", {"rate": RATE, "n_max": 20, "carry": False}, ROUNDS, rates=RATES)
JOINT = replace(TINY, name="trained jointly", pooled=True)
SCRATCH = Way("random start", rates=RATES)
WAYS = (SCRATCH, JOINT, FEDAVG, TINY, REPTILE)

_OWN = 5  # samples of each gesture on a board
_SPLITS = 2  # a seed


@dataclass(frozen=True)
class Boards:
    """How people with boards learn: the rate and passes alone, of all, and then of each again."""

    alone_rate: int = 9
    alone_passes: int = 40
    rate: int = 9
    rounds: int = 60
    own_rate: int = 9
    own_passes: int = 20


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
    how = replace(BOARDS, alone_passes=8, rounds=8, own_passes=4) if quick else BOARDS
    seeds = 1 if quick else seeds
    rows: list[Row] = []
    titled: list[tuple[str, fewshot.Found]] = []
    for load in SETS:
        those = load(data)
        label = load.__name__
        for seed in range(1, seeds + 1):
            found, bytes_up = on_boards(those, how, seed, 1 if quick else _SPLITS)
            for name, value in found.items():
                metric = f"{label}, on boards, accuracy"
                cost = (None, None) if name == "each alone" else (bytes_up, how.rounds)
                rows.append(Row(NAME, name, seed, metric, None, value, *cost))
        more, curves = fewshot.study(
            NAME, those, ways, HIDDEN, seeds, 1 if quick else 4, clock, f"{label}, left out, ", True
        )
        rows += more
        titled.append((those.name, curves))
    common.finish(NAME, rows, out_dir, as_json, HEADLINES)
    common.draw(out_dir / f"{NAME}.png", lambda f: fewshot.paint(f, titled), 11, 5)
    return rows


def on_boards(
    those: People, how: Boards, seed: int, n_splits: int, validate: bool = False
) -> tuple[dict[str, float], int]:
    """({way: accuracy, the mean over boards and splits}, bytes up of a federation).

    validate: of a board's five samples three are learned, and two judge; no others are seen.
    """
    sums: dict[str, list[float]] = {}
    bytes_up = 0
    for k in range(n_splits):
        split = _split(those, seed * 100 + k, validate)
        found, bytes_up = _one_split(those, how, seed * 100 + k, split)
        for name, value in found.items():
            sums.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in sums.items()}, bytes_up


Split = Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]


def _split(those: People, seed: int, validate: bool) -> Split:
    """Each board's rows to learn from, and those that judge."""
    rng = np.random.default_rng((seed, 3))
    boards = []
    for person in range(len(those.names)):
        own = those.rows(person)
        shuffled = [rng.permutation(own[those.y[own] == k]) for k in range(those.n_classes)]
        learned = np.concatenate([rows[: _OWN - 2 * validate] for rows in shuffled])
        kept = [rows[_OWN - 2 : _OWN] if validate else rows[_OWN:] for rows in shuffled]
        boards.append((learned, np.concatenate(kept)))
    return boards


def _one_split(those: People, how: Boards, seed: int, split: Split) -> tuple[dict[str, float], int]:
    spec = those.spec(HIDDEN, seed % 0xFFFF)
    known = those.centred(np.concatenate([rows for rows, _ in split]))
    samples = Set(known.views[0], those.y)
    fed = Way("", "fedavg", {"rate": how.rate, "carry": False}, how.rounds)
    start = fewshot.learn(replace(fed, rounds=0), spec, samples, [r for r, _ in split])
    merged = fewshot.learn(fed, spec, samples, [rows for rows, _ in split])
    found: dict[str, list[float]] = {}
    for k, (learned, kept) in enumerate(split):
        rng = np.random.default_rng((seed, k))
        own = Set(those.centred(learned).views[0], those.y)
        for name, seen, params, rate, passes in (
            ("each alone", own, start.params, how.alone_rate, how.alone_passes),
            ("one model for all", samples, merged.params, 0, 0),
            ("one model, then personal", samples, merged.params, how.own_rate, how.own_passes),
        ):
            fleet = Fleet(spec, 1)
            fleet.load(fleet.pack(params))
            for _ in range(passes):
                order = rng.permutation(learned)
                fleet.learn(seen.x[None, order], seen.y[None, order], 1, 0, rate)
            right = fleet.predict(seen.x[None, kept])[0] == seen.y[kept]
            found.setdefault(name, []).append(float(right.mean()))
    return {name: sum(values) / len(values) for name, values in found.items()}, merged.bytes_up


def choose(data: Path | None = None, seed: int = 101) -> None:
    """Print the validation accuracies that the settings above were chosen by."""
    for load in SETS:
        those = load(data)
        print(f"## {those.name}")
        for rate in (7, 8, 9, 10):
            for n in (20, 60):
                how = Boards(rate, n, rate, n, rate, n // 2)
                found, _ = on_boards(those, how, seed, 8, True)
                told = ", ".join(f"{name}: {value:.4f}" for name, value in found.items())
                print(f"rate {rate}, {n} passes and rounds, personal {n // 2}: {told}", flush=True)
        for own_rate in (8, 9, 10, 11):
            for n in (10, 30):
                how = replace(BOARDS, own_rate=own_rate, own_passes=n)
                found, _ = on_boards(those, how, seed, 8, True)
                print(f"then personal at {own_rate}, {n} passes: {list(found.values())[-1]:.4f}")
        trials = [
            replace(way, name=f"{way.name}, rate {r}", parameters={**way.parameters, "rate": r})
            for r in (8, 9, 10)
            for way in WAYS[1:]
        ]
        fewshot.choose(those, [SCRATCH, *trials], HIDDEN, (7, 8, 9), True)
