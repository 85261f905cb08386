"""People as boards: each alone, one model for all, and that model made personal; integers only.

    each alone                random weights, then passes over the board's own samples
    one model for all         FedAvg over all boards, one pass a round
    one model, then personal  the same, then passes over the board's own samples

A Setting tells all three: with no rounds a board is alone, with no passes the model is for all. To
learn on from a model is what `fedboard personalize --passes --rate` does. A `look` is what a
network sees of the motions, and its rule: see people.looks.

Each person has settings of its own, chosen by what does best for the others: for scores() all
boards but that of one person federate, each of these is judged, and so for every person.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedboard.model import Spec
from fedboard_host import strategies
from fedboard_host.dataset import Set
from fedboard_host.experiments.people import Looks
from fedboard_host.fleet import Fleet, Words
from fedboard_host.fleet_rounds import FleetFederation

ALONE = "each alone"
ALL = "one model for all"
PERSONAL = "one model, then personal"
OWN = (1, 2, 5)  # samples of each gesture on a board
MOST = max(OWN)

# What is tried. A shift more is about half as many passes, or rounds.
RATES = (5, 9)
ROUNDS = (5, 10, 20, 40, 80, 160)
OWN_RATES = (1, 2, 4, 6, 8, 10)
PASSES = (0, 1, 2, 5, 10, 20)
ALONE_RATES = (1, 2, 3, 4, 5, 6, 7, 8, 9)
ALONE_PASSES = (1, 2, 5, 10, 20, 40, 80)

Scores = NDArray[np.float64]


class Setting(NamedTuple):
    """How a person's board learns. Rates are shifts; passes: over its own samples, after rounds."""

    look: str
    rate: int
    rounds: int
    own_rate: int
    passes: int

    @property
    def ways(self) -> tuple[str, ...]:
        """Whose setting it can be. A personal model may be the one for all, unchanged."""
        if not self.rounds:
            return (ALONE,)
        return (PERSONAL,) if self.passes else (ALL, PERSONAL)

    def shortened(self, most: int) -> Setting:
        return self._replace(rounds=min(most, self.rounds), passes=min(most, self.passes))


class Course:
    """A federation that remembers the model after each of its rounds."""

    def __init__(self, spec: Spec, samples: Set, rows: Sequence[NDArray[np.intp]], rate: int):
        way = strategies.make("fedavg", {"rate": rate, "carry": False})
        self._federation = FleetFederation(spec, way, samples, rows, run=spec.seed, threads=1)
        self._models = [self._federation.result.astype(np.int16)]
        self._bytes_up = [0]
        # A centred model's first round measures the mean, before those that learn.
        self._n_before = int(spec.is_centred)

    def at(self, rounds: int) -> tuple[Words, int]:
        """(the model, the bytes up until then). 0: nothing yet, no mean either."""
        n = rounds + self._n_before if rounds else 0
        while len(self._models) <= n:
            self._bytes_up.append(self._bytes_up[-1] + self._federation.round().bytes_up)
            self._models.append(self._federation.result.astype(np.int16))
        return self._models[n], self._bytes_up[n]


class Split:
    """People as boards, whose samples are split: `learned` and `kept`, rows of each board.

    own: samples of each gesture that a board learns; the same others judge, whatever it is.
    """

    def __init__(self, looks: Looks, hidden: int, look: str, seed: int, own: int) -> None:
        self._looks = looks
        self._hidden = hidden
        those = looks(look)  # whichever: all looks are at the same samples
        rng = np.random.default_rng((seed, 3))
        learned, self.kept = [], []
        for person in range(len(those.names)):
            rows = those.rows(person)
            shuffled = [rng.permutation(rows[those.y[rows] == k]) for k in range(those.n_classes)]
            learned.append(np.concatenate([some[:own] for some in shuffled]))
            self.kept.append(np.concatenate([some[MOST:] for some in shuffled]))
        self.learned = np.stack(learned)
        self.seed = seed
        self._courses: dict[tuple[str, int, int | None], Course] = {}

    @property
    def everyone(self) -> range:
        return range(len(self.learned))

    def spec(self, look: str) -> Spec:
        return self._looks(look).spec(self._hidden, self.seed % 0xFFFF)

    def federated(
        self, look: str, rate: int, rounds: int, out: int | None = None
    ) -> tuple[Words, int]:
        """The model of all people's boards (without that of `out`), and its bytes up."""
        key = look, rate, out
        if key not in self._courses:
            rows = [self.learned[p] for p in self.everyone if p != out]
            those = self._looks(look)
            self._courses[key] = Course(self.spec(look), Set(those.views[0], those.y), rows, rate)
        return self._courses[key].at(rounds)

    def judged(
        self, look: str, starts: Words, who: Sequence[int], rate: int, at: Sequence[int]
    ) -> Scores:
        """Accuracies (len(at), len(who)) of boards of these people, each from its own start.

        starts (len(who), n_params); at: after so many passes, ascending. A centred start whose mean
        nobody has measured takes that of the board's own samples.
        """
        those = self._looks(look)
        spec = self.spec(look)
        x, y = those.views[0], those.y
        fleet = Fleet(spec, len(who))
        fleet.load(fleet.pack(starts))
        learned = self.learned[list(who)]
        if spec.is_centred and not starts[:, : spec.at(1)].any():
            fleet.learn(x[learned], y[learned], 1, 1)
        rngs = [np.random.default_rng((self.seed, 4, p)) for p in self.everyone]
        kept, counts = self._padded(who)
        found = []
        for done in range(at[-1] + 1):
            if done in at:
                right = (fleet.predict(x[kept]) == y[kept]) & counts
                found.append(right.sum(axis=1) / counts.sum(axis=1))
            if done < at[-1]:
                order = np.stack([rngs[p].permutation(self.learned[p]) for p in self.everyone])
                order = order[list(who)]
                fleet.learn(x[order], y[order], 1, 0, rate)
        return np.stack(found)

    def _padded(self, who: Sequence[int]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Rows that judge (len(who), the most), and which of them are no padding."""
        longest = max(map(len, self.kept))
        rows = np.stack([np.resize(self.kept[p], longest) for p in who])
        n = np.array([len(self.kept[p]) for p in who])
        return rows, np.arange(longest) < n[:, None]


def scores(
    looks: Looks, hidden: int, names: Sequence[str], own: int, seeds: Sequence[int]
) -> dict[Setting, Scores]:
    """What each setting is worth (people,): for each the mean accuracy of all others' boards.

    names: the looks that are tried. seeds: of the splits, over which the mean is. No sample of a
    person has a say in its own column.
    """
    found: dict[Setting, Scores] = {}
    for seed, look in itertools.product(seeds, names):
        split = Split(looks, hidden, look, seed, own)
        for setting, each in itertools.chain(_alone(split, look), _together(split, look)):
            found[setting] = found.get(setting, 0.0) + each / len(seeds)
    return found


def best(found: dict[Setting, Scores], way: str, looks: Sequence[str]) -> list[Setting]:
    """Of a way and these looks the best setting for each person; the first of equals."""
    those = [setting for setting in found if way in setting.ways and setting.look in looks]
    n = len(found[those[0]])
    return [max(those, key=lambda setting: found[setting][p]) for p in range(n)]


def _alone(split: Split, look: str) -> Iterator[tuple[Setting, Scores]]:
    n = len(split.everyone)
    starts = np.tile(split.federated(look, 0, 0)[0], (n, 1))
    for rate in ALONE_RATES:
        accuracies = split.judged(look, starts, split.everyone, rate, ALONE_PASSES)
        for passes, each in zip(ALONE_PASSES, accuracies, strict=True):
            others = [np.delete(each, p).mean() for p in split.everyone]
            yield Setting(look, 0, 0, rate, passes), np.array(others)


def _together(split: Split, look: str) -> Iterator[tuple[Setting, Scores]]:
    """Boards of all but one person; the last axis of what is yielded: of all but which."""
    tried = list(itertools.product(RATES, ROUNDS))
    found: dict[Setting, list[float]] = {}
    for out in split.everyone:
        others = [p for p in split.everyone if p != out]
        models = [split.federated(look, *at, out)[0] for at in tried]
        starts = np.repeat(models, len(others), axis=0)
        for own_rate in OWN_RATES:
            accuracies = split.judged(look, starts, others * len(tried), own_rate, PASSES)
            means = accuracies.reshape(len(PASSES), len(tried), len(others)).mean(axis=2)
            for (i, passes), (j, at) in itertools.product(enumerate(PASSES), enumerate(tried)):
                if passes or own_rate == OWN_RATES[0]:
                    setting = Setting(look, *at, own_rate if passes else 0, passes)
                    found.setdefault(setting, []).append(float(means[i, j]))
    for setting, values in found.items():
        yield setting, np.array(values)
