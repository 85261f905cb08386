"""Gestures, integers only: people as clients, alone, federated, and personalised.

Windows of an accelerometer, and a gyroscope, become features in integers, as boards compute them
(fedboard.features). A network of rule "centred" with 32 hidden units learns them: their mean is
measured in a federation's first round, or by whoever learns alone. `punchflex`: seven people with
2 gestures, and the features that boards compute by default; `punchflex_octaves`: as many features,
chosen on validation; `wand`: three people with 3 strokes.

    left out    each person once: others' boards make a start, which it adapts to few shots
    on boards   each person is a board with 1, 2 or 5 samples of each gesture; others judge:
                alone; one model for all; the same, then learned on with the board's own samples

Settings on boards are those that did best, for each way by itself, on samples of the boards' own
five, over splits of their own: choose() prints that. People are few: validation is other splits of
the same people's samples, not other people. To learn on is what `fedboard personalize`
does. A pair differs in nothing but the way: same people, samples and seed; so its difference has
an interval of its own.

    python -c "from fedboard_host.experiments import gestures; gestures.choose('wand', (2, 3))"
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

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
SEEDS = 30  # cheap, and what ways differ by is small
RATES = {1: 7, 5: 7}
RATES_ALONE = {1: 5, 5: 7}
NOTES = """
Where boards have few samples, it pays to federate and then to adapt: with one and with two samples
of each gesture `punchflex` is best so, above alone and above one model for all, beyond the
intervals and whichever the features. With five, alone is as good; with better features both are
above one model for all. With the wand people mean and draw the same: one model for all is far above
alone with any number of samples, and to adapt it adds nothing.

A newcomer with one sample of each gesture gains most from the others' model: adapted, it is above
the newcomer alone with every set, and of `punchflex` far above the model as it came. With five,
alone is as good for punches, and far behind with the wand. Meta-learning pays nowhere here: people
mean the same by a gesture, and FedAvg, the simplest, is as good.

Features matter more than ways. `punchflex` has those that boards compute by default, 6 blocks and 2
octaves of each axis. `punchflex_octaves` has 2 and 6, and the wand 4 and 3: found by trying some on
these people, which no command repeats. All ways are 1 to 4 points better with 2 and 6: what is left
for others to give is less.

**Settings were not chosen apart from what the tables show.** The sets are small. Settings on boards
were chosen on splits of their own, where of each person's gestures only five samples are seen; but
over all of these splits that is nearly every sample, and the tables judge the same people by the
same samples in other splits. Those of newcomers are one for all people, by the mean over everybody
as a newcomer. Every way was chosen for like that, alone too. Intervals are over splits and seeds:
they say nothing about other people. For boards with one sample, settings are those that did best
with one learned, for two and for five in the mean with two and three learned, as no more can be.
Newcomers of `punchflex` adapt at a shift of 7, but from a random start to one shot at 5, the best
there of 4 to 10; with the other sets each way has rates of its own. That the features' mean matters
was found by looking at these people. Of `gestures_wand` only the strokes are used: its other
motions are in thousandths of g, the strokes in whole g, so that the unit alone would tell them
apart. Each person's own figures are in results/gestures.jsonl.
"""
_ONE = {"rate": RATE, "n_max": 20, "rounds": ROUNDS}
TINY = Way("TinyReptile", "tinyreptile", {**_ONE}, ROUNDS, rates=RATES)
REPTILE = Way("Reptile, all people a round", "tinyreptile", {**_ONE, "select": 0}, ROUNDS,
              rates=RATES)  # fmt: skip
FEDAVG = Way("FedAvg", "fedavg", {"rate": RATE, "n_max": 20, "carry": False}, ROUNDS, rates=RATES)
JOINT = replace(TINY, name="trained jointly", pooled=True)
SCRATCH = Way("random start", rates=RATES_ALONE)
WAYS = (SCRATCH, JOINT, FEDAVG, TINY, REPTILE)

OWN = (1, 2, 5)  # samples of each gesture on a board
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

    alone_rate: int
    alone_passes: int
    rate: int
    rounds: int
    start_rate: int
    start_rounds: int
    own_rate: int
    own_passes: int

    def shortened(self, rounds: int) -> Boards:
        return replace(self, alone_passes=rounds, rounds=rounds, start_rounds=rounds,
                       own_passes=min(rounds, self.own_passes))  # fmt: skip


# Of each set, for so many own samples of each gesture: as choose() found them. Those of punchflex
# for 2 and 5 are from an earlier search over other splits: choose() finds others on its own, some
# tenths of a point better.
BOARDS: dict[str, dict[int, Boards]] = {
    "punchflex": {
        1: Boards(8, 40, 7, 240, 7, 60, 7, 40),
        **dict.fromkeys((2, 5), Boards(9, 20, 7, 60, 8, 20, 9, 10)),
    },
    "punchflex_octaves": {
        1: Boards(7, 80, 7, 120, 7, 60, 8, 20),
        **dict.fromkeys((2, 5), Boards(8, 80, 7, 120, 8, 20, 8, 20)),
    },
    "wand": {
        1: Boards(6, 40, 7, 240, 7, 240, 9, 1),
        **dict.fromkeys((2, 5), Boards(7, 40, 7, 120, 7, 120, 9, 1)),
    },
}


def _pair(alone: dict[int, int], rate: int, own: dict[int, int]) -> tuple[Way, ...]:
    """Random and FedAvg's starts, with the rates that suit a set; own: to adapt with, by shots."""
    parameters = {**FEDAVG.parameters, "rate": rate}
    return replace(SCRATCH, rates=alone), replace(FEDAVG, parameters=parameters, rates=own)


SETS: dict[str, tuple[Callable[[Path | None], People], tuple[Way, ...]]] = {
    "punchflex": (people.punchflex, WAYS),
    "punchflex_octaves": (people.punchflex_octaves, _pair({1: 6, 5: 8}, 9, {1: 7, 5: 6})),
    "wand": (people.wand, _pair({1: 6, 5: 7}, 7, {1: 9, 5: 10})),
}
HEADLINES = tuple(
    f"{label}, {what}" for label in SETS for what in ("on boards", "left out, accuracy")
)


def run(
    quick: bool = False,
    seeds: int = SEEDS,
    data: Path | None = None,
    out_dir: Path = Path("results"),
    as_json: bool = False,
    rounds: int = 0,
) -> list[Row]:
    """The experiment; see the module and experiments/__init__. rounds 0: ROUNDS. data: a folder."""
    rounds = rounds or (8 if quick else ROUNDS)
    clock = common.Clock(NAME)
    seeds = 1 if quick else seeds
    rows: list[Row] = []
    titled: list[tuple[str, fewshot.Found]] = []
    for label, (load, ways) in SETS.items():
        those = replace(load(data), rule="centred")
        for own in OWN:
            how = BOARDS[label][own].shortened(8) if quick else BOARDS[label][own]
            for seed in range(1, seeds + 1):
                found, bytes_up = on_boards(those, how, seed, 1 if quick else _SPLITS, own)
                cost = {_ALL: (bytes_up[_ALL], how.rounds + 1),
                        _PERSONAL: (bytes_up[_PERSONAL], how.start_rounds + 1)}  # fmt: skip
                rows += _rows(f"{label}, on boards, {own} own samples, ", seed, found, cost)
                clock.tell(f"{label}, {own} own samples a gesture: seeds", seed, seeds)
        more, curves = fewshot.study(
            NAME,
            those,
            [way.shortened(rounds) for way in ways],
            HIDDEN,
            seeds,
            1 if quick else 4,
            clock,
            f"{label}, left out, ",
        )
        rows += more
        titled.append((those.name, curves))
    common.finish(NAME, rows, out_dir, as_json, HEADLINES)
    common.draw(out_dir / f"{NAME}.png", lambda f: fewshot.paint(f, titled), 11, 12)
    return rows


def _rows(
    prefix: str, seed: int, found: dict[str, float], cost: dict[str, tuple[int, int]]
) -> list[Row]:
    """cost: bytes up and rounds of the ways that federate."""
    rows = []
    for name, value in found.items():
        paid = cost.get(name, (None, None))
        rows.append(Row(NAME, name, seed, prefix + "accuracy", None, value, *paid))
    for other in (_ALONE, _ALL):
        gain = found[_PERSONAL] - found[other]
        rows.append(Row(NAME, f"personal, above {other}", seed, prefix + "paired", None, gain))
    return rows


def on_boards(
    those: People, how: Boards, seed: int, n_splits: int, own: int = _MOST
) -> tuple[dict[str, float], dict[str, int]]:
    """({way: accuracy, the mean over boards and splits}, {way that federates: its bytes up}).

    Bytes are the last split's; a personal model's are those of the one that it starts from. own:
    samples of each gesture that a board learns from; the same others judge, whatever it is.
    """
    sums: dict[str, list[float]] = {_ALONE: [], _ALL: [], _PERSONAL: []}
    bytes_up: dict[str, int] = {}
    for k in range(n_splits):
        one = Split(those, seed * 100 + k, own)
        merged = one.federated(how.rate, how.rounds)
        start = one.federated(how.start_rate, how.start_rounds)
        bytes_up = {_ALL: merged.bytes_up, _PERSONAL: start.bytes_up}
        sums[_ALONE].append(one.judged(None, how.alone_rate, how.alone_passes))
        sums[_ALL].append(one.judged(merged, 0, 0))
        sums[_PERSONAL].append(one.judged(start, how.own_rate, how.own_passes))
    return {name: sum(values) / n_splits for name, values in sums.items()}, bytes_up


class Split:
    """People as boards, whose samples are split: `learned` and `kept`, rows of each board.

    own: samples of each gesture that are learned. validate: of a board's five two judge, and the
    others are not seen; own is 3 at most.
    """

    def __init__(self, those: People, seed: int, own: int, validate: bool = False) -> None:
        rng = np.random.default_rng((seed, 3))
        learned, self.kept = [], []
        for person in range(len(those.names)):
            rows = those.rows(person)
            shuffled = [rng.permutation(rows[those.y[rows] == k]) for k in range(those.n_classes)]
            judges = slice(_MOST - 2, _MOST) if validate else slice(_MOST, None)
            learned.append(np.concatenate([some[:own] for some in shuffled]))
            self.kept.append(np.concatenate([some[judges] for some in shuffled]))
        self.learned = np.stack(learned)
        self.seed = seed
        self.spec = those.spec(HIDDEN, seed % 0xFFFF)
        self.samples = Set(those.views[0], those.y)
        self._starts: dict[tuple[int, int], fewshot.Start] = {}

    def federated(self, rate: int, rounds: int) -> fewshot.Start:
        if (rate, rounds) not in self._starts:
            way = Way("", "fedavg", {"rate": rate, "carry": False}, rounds)
            found = fewshot.learn(way, self.spec, self.samples, list(self.learned))
            self._starts[rate, rounds] = found
        return self._starts[rate, rounds]

    def judged(self, start: fewshot.Start | None, rate: int, passes: int) -> float:
        """Accuracy, the mean over boards, each after so many passes over its own samples.

        None: from random weights, and as there is no federation to have measured it, its own mean.
        """
        x, y = self.samples.x, self.samples.y
        fleet = Fleet(self.spec, len(self.learned))
        fleet.load(fleet.pack((start or self.federated(0, 0)).params))
        if start is None:
            fleet.learn(x[self.learned], y[self.learned], 1, 1)
        rng = np.random.default_rng((self.seed, 4))
        for _ in range(passes):
            order = rng.permuted(self.learned, axis=1)
            fleet.learn(x[order], y[order], 1, 0, rate)
        longest = max(map(len, self.kept))
        padded = np.stack([np.resize(rows, longest) for rows in self.kept])
        right = fleet.predict(x[padded]) == y[padded]
        each = [hits[: len(rows)].mean() for hits, rows in zip(right, self.kept, strict=True)]
        return float(np.mean(each))


def choose(label: str, owns: Sequence[int], data: Path | None = None, n_splits: int = 24) -> None:
    """Print the validation accuracies that BOARDS was chosen by, the best of each way.

    owns: samples of each gesture that are learned, (1,) or (2, 3); the mean over them counts.
    """
    those = replace(SETS[label][0](data), rule="centred")
    scores: dict[tuple[str, tuple[int, ...]], list[float]] = {}
    for own, k in itertools.product(owns, range(n_splits)):
        one = Split(those, 10_100 + k, own, validate=True)
        for rate, passes in itertools.product((6, 7, 8, 9), (10, 20, 40, 80)):
            scores.setdefault((_ALONE, (rate, passes)), []).append(one.judged(None, rate, passes))
        for at in ((7, 60), (7, 120), (7, 240), (8, 10), (8, 20), (8, 40)):
            start = one.federated(*at)
            scores.setdefault((_ALL, at), []).append(one.judged(start, 0, 0))
            for rate, passes in itertools.product((6, 7, 8, 9), (1, 5, 10, 20, 40)):
                scores.setdefault((_PERSONAL, (*at, rate, passes)), []).append(
                    one.judged(start, rate, passes)
                )
    for way in (_ALONE, _ALL, _PERSONAL):
        means = {at: sum(v) / len(v) for (name, at), v in scores.items() if name == way}
        best = sorted(means, key=lambda at: -means[at])[:6]
        told = ", ".join(f"{at}: {means[at]:.4f}" for at in best)
        print(f"{label}, {way}: {told}", flush=True)


def choose_rates(label: str, data: Path | None = None) -> None:
    """The same for the rates of those left out of a set: see fewshot.choose."""
    those = replace(SETS[label][0](data), rule="centred")
    trials = [
        replace(way, name=f"{way.name}, rate {r}", parameters={**way.parameters, "rate": r})
        for r in (7, 8, 9, 10)
        for way in SETS[label][1]
        if way.strategy
    ]
    fewshot.choose(those, [SCRATCH, *trials], HIDDEN, (4, 5, 6, 7, 8, 9, 10))
