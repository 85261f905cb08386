"""Gestures, integers only: people as clients, alone, federated, and personalised.

Windows of an accelerometer, and a gyroscope, become features in integers, as boards compute them
(fedboard.features); a network of 32 hidden units learns them. `punchflex`: seven people with 2
gestures; `wand`: three people with 3 strokes.

    on boards   each person is a board with 1, 2 or 5 samples of each gesture; others judge:
                alone; one model for all; the same made personal, as `fedboard personalize` does
    left out    each person once: others' boards make a start, which it adapts to few shots

On boards, settings are chosen by those samples that boards learn from, for each split anew: see
owners. A newcomer's are those that did best for all other people (`newcomers`): gestures_chosen has
them, choose() finds them again; twice, with the features that boards compute by default, 3 blocks
and 5 octaves of each axis, and with features that were chosen too. A pair differs in nothing but
the way to learn, and what was chosen for it; so its difference has an interval of its own.

    python -c "from fedboard_host.experiments import gestures; gestures.choose('wand')"
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fedboard_host.experiments import common, newcomers, owners, people
from fedboard_host.experiments.common import Row
from fedboard_host.experiments.fewshot import Accuracies, Found, Way
from fedboard_host.experiments.gestures_chosen import NEWCOMERS
from fedboard_host.experiments.owners import ALL, ALONE, OWN, PERSONAL
from fedboard_host.experiments.people import Looks, People

NAME = "gestures"
HIDDEN = 32
SEEDS = 30  # cheap, and what ways differ by is small
NOTES = """
In both sets federated and then personal is above each board alone and above one model for all, in
the mean over 1, 2 and 5 samples of each gesture: of punches by 1.9 and 0.55 points, of the wand's
strokes by 5.4 and 0.55. It is above one model for all in each of the six rows, by 0.2 to 1.0 points
(beyond the interval in four), and above alone in five. With five samples of each kind of punch
alone is as good: 96.4 and 96.0 %.

**Personal** is what `fedboard personalize` does unless told otherwise: from the one model 40 passes
over the board's own samples, with jitter of 28, and answers that are blended, the mean of both
models' logits. Jitter is what helps with punches ("no jitter" is as the one model), blending with
strokes ("no blend" is not above it). To blend a board's own model, made alone, with the one for all
is 0.2 points better with punches, and 0.9 worse with strokes.

**Settings, on boards.** Samples that judge have no say in them. Of each split, five samples of each
gesture a person are what boards learn from, or the first one or two of them. How to learn alone,
and how together, is chosen among 24 and 20 ways, rule, jitter, rate, and passes or rounds, by these
five: 1, 2 or 4 are learned and the others judge, five times each; one choice for 1, 2 and 5. That
is few samples to choose by, for both. Of rounds the most, 320, is picked in half of the splits of
punches: more might still add something. To make a model personal nothing is chosen; the jitter, the
passes and the blend were settled beforehand, on other splits of these same samples. So were 32
hidden units and boards' default features. Of rounds the table has the most of any seed, of bytes
the mean.

An earlier design chose all three ways' settings by other people's boards only, and without jitter
or blend; there personal was about as good as the better of the two others. These splits are not
those seen then, nor those by which the design was settled.

**A newcomer** brings its first samples to what others learned, without jitter or blend. With the
wand, where people draw alike, it is 19 points better off than alone if it has one stroke of each, 6
with five. Punches people do each in their own way: with one of each it is 3 points above alone
after it has adapted, 1 with features chosen, and more above the model as it came; with five, alone
is a point better. No sample of a newcomer has a say in its settings: the others federate, and each
of them is a newcomer in turn. "Features chosen" has 5 and 4 combinations of features and rule to
choose from. 6 blocks and 2 octaves, once the default, suited one person.

Intervals are over splits and seeds: they say nothing about other people, nor about other samples of
these. `gestures_wand` has other motions in thousandths of g: they are left out, as that alone would
tell them from strokes, in g.
"""
# Of newcomers. Rates and rounds are each person's own: see _with().
SCRATCH = Way("random start")
FEDAVG = Way("FedAvg", "fedavg", {"rate": 8, "n_max": 20, "carry": False}, 40)
TINY = Way("TinyReptile", "tinyreptile", {"rate": 8, "n_max": 20, "rounds": 40}, 40)
WAYS = (SCRATCH, FEDAVG, TINY)

# What newcomers' settings are chosen from: rates and rounds to learn with, rates to adapt with.
RATES = (5, 7, 9)
ROUNDS = (20, 80)
ADAPT_RATES = (2, 3, 4, 5, 6, 7, 8, 9, 10)

_SPLITS = 2  # a seed
_FIRST = 80  # of a hundred a seed: what is shown was settled after a look at earlier ones
_CHOSEN = ", features chosen"


@dataclass(frozen=True)
class Motions:
    """A set. looks: the features and rules to choose from; default: those with boards' features.

    n_seeds: to choose by: fewer people, more of them.
    """

    load: Callable[[Path | None, int, int], People]
    looks: tuple[str, ...]
    ways: tuple[Way, ...]  # of newcomers, with the default features
    n_seeds: int

    @property
    def default(self) -> tuple[str, ...]:
        return tuple(look for look in self.looks if look.startswith("3x5"))

    @property
    def kinds(self) -> dict[str, tuple[str, ...]]:
        """By what comes behind the set's name: the looks that settings are chosen among."""
        return {"": self.default, _CHOSEN: self.looks}


# What networks of boards see: the default features, and either rule.
_DEFAULT = "3x5 centred"
_BOARDS = (_DEFAULT, "3x5 fedboard")

# fmt: off
SETS = {
    "punchflex": Motions(people.punchflex, (
        "3x5 centred", "3x5 fedboard", "4x4 centred", "6x2 centred", "2x6 centred",
    ), WAYS, 4),
    "wand": Motions(people.wand, (
        "3x5 centred", "3x5 fedboard", "4x4 centred", "6x2 centred",
    ), (SCRATCH, FEDAVG), 8),
}
# fmt: on
HEADLINES = tuple(
    f"{label}{what}"
    for label in SETS
    for what in (", on boards", ", left out, accuracy", f"{_CHOSEN}, left out, accuracy")
)


def run(
    quick: bool = False,
    seeds: int = SEEDS,
    data: Path | None = None,
    out_dir: Path = Path("results"),
    as_json: bool = False,
    rounds: int = 0,
) -> list[Row]:
    """The experiment; see the module and experiments/__init__. rounds: at most; 0: as chosen."""
    most = rounds or (8 if quick else 1000)
    clock = common.Clock(NAME)
    seeds = 1 if quick else seeds
    rows: list[Row] = []
    titled: list[tuple[str, Found]] = []
    for name, motions in SETS.items():
        looks = people.looks(motions.load, data)
        for seed in range(1, seeds + 1):
            rows += on_boards(name, looks, seed, 1 if quick else _SPLITS, most)
            clock.tell(f"{name}, on boards: seeds", seed, seeds)
        for label, ways in ((name, motions.ways), (name + _CHOSEN, (SCRATCH, FEDAVG))):
            more, curves = newcomers.study(
                NAME, looks(motions.looks[0]), ways, HIDDEN, seeds, 1 if quick else 4, clock,
                f"{label}, left out, ", _settled(label, most), looks,
            )  # fmt: skip
            rows += more
            titled.append((label, curves))
    common.finish(NAME, rows, out_dir, as_json, HEADLINES)
    common.draw(out_dir / f"{NAME}.png", lambda f: newcomers.paint(f, titled), 11, 16)
    return rows


def on_boards(name: str, looks: Looks, seed: int, n_splits: int, most: int = 1000) -> list[Row]:
    """The rows of one seed: each way's accuracy by number of own samples, and what is gained.

    most: rounds and passes.
    """
    rows: list[Row] = []
    means: dict[str, list[float]] = {}
    gains: dict[str, list[float]] = {ALONE: [], ALL: []}
    first = 100 * seed + _FIRST
    homes = [owners.Home(looks, HIDDEN, _DEFAULT, first + k) for k in range(n_splits)]
    settings = [owners.choose(home, _BOARDS, most) for home in homes]
    for own in OWN:
        prefix = f"{name}, on boards, {own} own samples, "
        judged = [
            owners.judge(home.split(own), those, most)
            for home, those in zip(homes, settings, strict=True)
        ]
        bytes_up = round(float(np.mean([each.bytes_up for each in judged])))
        n_rounds = round(float(np.mean([each.rounds for each in judged])))
        found = {
            way: float(np.mean([each.accuracies[way] for each in judged]))
            for way in judged[0].accuracies
        }
        for way, value in found.items():
            cost = (bytes_up, n_rounds) if way != ALONE else (None, None)
            rows.append(Row(NAME, way, seed, prefix + "accuracy", None, value, *cost))
            means.setdefault(way, []).append(value)
        for other, values in gains.items():
            values.append(found[PERSONAL] - found[other])
            rows.append(_paired(other, seed, prefix, values[-1]))
    together = f"{name}, on boards, the mean over 1, 2 and 5 own samples, "
    for way, values in means.items():
        mean = float(np.mean(values))
        rows.append(Row(NAME, way, seed, together + "accuracy", None, mean))
    return rows + [_paired(other, seed, together, float(np.mean(v))) for other, v in gains.items()]


def _paired(other: str, seed: int, prefix: str, gain: float) -> Row:
    return Row(NAME, f"personal, above {other}", seed, prefix + "paired", None, gain)


def _settled(label: str, most: int) -> Callable[[Way, int], Way]:
    """own() of newcomers.study: ways with the settings that are used when a person is left out."""

    def own(way: Way, person: int) -> Way:
        settings = NEWCOMERS[label][way.name]
        look, rate, rounds, one, five = settings[person % len(settings)]
        return replace(_with(way, rate, rounds).shortened(most), look=look, rates={1: one, 5: five})

    return own


def _with(way: Way, rate: int, rounds: int) -> Way:
    """A random start has neither."""
    known = {k: v for k, v in (("rate", rate), ("rounds", rounds)) if k in way.parameters}
    return replace(way, parameters={**way.parameters, **known}, rounds=rounds)


def choose(label: str, data: Path | None = None) -> None:
    """Print what gestures_chosen has of a set, "punchflex" or "wand".

    Each seed has other neighbours as judges, if there are so many.
    """
    motions = SETS[label]
    looks = people.looks(motions.load, data)
    n = len(looks(motions.looks[0]).names)
    ways = {way.name: way for way in (*motions.ways, SCRATCH, FEDAVG)}
    found: dict[tuple[str, tuple[object, ...]], Accuracies] = {}
    for look in motions.looks:
        tried = WAYS if look in motions.default else (SCRATCH, FEDAVG)
        trials = {
            f"{way.name}, {at}": (way.name, at)
            for way in tried
            if way.name in ways
            for at in (itertools.product(RATES, ROUNDS) if way.strategy else ((0, 0),))
        }
        settings = [replace(_with(ways[name], *at), name=key) for key, (name, at) in trials.items()]
        each = [
            newcomers.choose(looks(look), settings, HIDDEN, ADAPT_RATES, 101 + k, 1 + k % (n // 2))
            for k in range(motions.n_seeds)
        ]
        for key, (name, at) in trials.items():
            for one, five in itertools.product(ADAPT_RATES, repeat=2):
                values = [np.add(s[1, key, one], s[5, key, five]) / 2 for s in each]
                found[name, (look, *at, one, five)] = np.mean(values, axis=0)
    for kind, among in motions.kinds.items():
        print(f"NEWCOMERS, {label}{kind}:")
        for name in ways if not kind else (SCRATCH.name, FEDAVG.name):
            those = [at for way, at in found if way == name and at[0] in among]
            own = [max(those, key=lambda at: found[name, at][p]) for p in range(n)]
            mean = np.mean([found[name, at][p] for p, at in enumerate(own)])
            _tell(name, own, float(mean))


def _tell(way: str, settings: Sequence[tuple[object, ...]], mean: float) -> None:
    """As a line of the table."""
    listed = ", ".join(map(str, settings))
    print(f'    "{way}": ({listed}),  # for the others: {mean:.4f}', flush=True)
