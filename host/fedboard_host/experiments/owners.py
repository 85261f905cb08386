"""People as boards: each alone, one model for all, and that model made personal; integers only.

    each alone                random weights, then passes over the board's own samples
    one model for all         FedAvg over all boards, one pass a round
    one model, then personal  each board learns on from it with its own samples, with jitter, and
                              answers with the mean of both models' logits: `fedboard personalize`

With jitter every feature that is learned is off by a random number, another one each time.

A Home is one way to split everybody's samples: five of each gesture that a board learns, or the
first of them; all others judge. How a board alone and all together learn is chosen for each Home
anew, by the five only: some are learned, the others judge (`folds`). One setting of each way is for
all numbers of samples. To make a model personal nothing is chosen: it is done as boards do unless
told otherwise. A `look` is what a network sees of the motions, and its rule: see people.looks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedboard import DataError
from fedboard.model import Spec, init_params, new_params
from fedboard_host import adaptation, strategies
from fedboard_host.dataset import Set
from fedboard_host.experiments.people import Looks
from fedboard_host.fleet import Fleet, Words
from fedboard_host.fleet_rounds import FleetFederation
from fedboard_host.fleet_squeeze import Features

ALONE = "each alone"
ALL = "one model for all"
PERSONAL = "one model, then personal"
NO_JITTER = PERSONAL + ", no jitter"
NO_BLEND = PERSONAL + ", no blend"
BOTH = "each alone and one model, blended"  # what blending gains by itself
OWN = (1, 2, 5)  # samples of each gesture on a board
MOST = max(OWN)
LEARNED = (1, 2, 4)  # of the five, to choose by
N_FOLDS = 5

# What is tried. Rates are shifts: one more is about half as many rounds, or passes.
JITTERS = (0, 28)
RATE = 5
ROUNDS = (20, 40, 80, 160, 320)
ALONE_RATES = (5, 7)
ALONE_PASSES = (20, 40, 80)
# What `fedboard personalize` does.
OWN_RATE = 0  # the rule's own
OWN_PASSES, OWN_JITTER = adaptation.PASSES, adaptation.JITTER

Rows = NDArray[np.intp]
Logits = NDArray[np.int64]


class Setting(NamedTuple):
    """How boards learn: alone with no rounds, else together, with no passes."""

    look: str
    jitter: int
    rate: int
    rounds: int
    passes: int


class Judged(NamedTuple):
    """Of one split: each way's accuracy; what the one model cost."""

    accuracies: dict[str, float]
    bytes_up: int
    rounds: int


class Course:
    """A federation that remembers the model after each of its rounds."""

    def __init__(self, spec: Spec, samples: Set, rows: Sequence[Rows], jitter: int) -> None:
        way = strategies.make("fedavg", {"rate": RATE, "carry": False})
        self._federation = FleetFederation(spec, way, samples, rows, run=spec.seed, threads=1)
        self._samples = samples
        self._jitter = jitter
        self._rng = np.random.default_rng((spec.seed, 6))
        self._models = [self._federation.result.astype(np.int16)]
        self._bytes_up = [0]
        # A centred model's first round measures the mean, before those that learn.
        self._n_before = int(spec.is_centred)

    def at(self, rounds: int) -> tuple[Words, int]:
        """(the model, the bytes up until then). 0: nothing yet, no mean either."""
        n = rounds + self._n_before if rounds else 0
        while len(self._models) <= n:
            if self._jitter and len(self._models) > self._n_before:
                x = blurred(self._samples.x, self._jitter, self._rng)
                self._federation.samples = Set(x, self._samples.y)
            self._bytes_up.append(self._bytes_up[-1] + self._federation.round().bytes_up)
            self._models.append(self._federation.result.astype(np.int16))
        return self._models[n], self._bytes_up[n]


class Split:
    """Boards of some people: `learned` and `kept`, the rows that each learns, and that judge it."""

    def __init__(
        self, looks: Looks, hidden: int, seed: int, learned: Rows, kept: Sequence[Rows]
    ) -> None:
        self._looks = looks
        self._hidden = hidden
        self.seed = seed
        self.learned = learned  # (people, rows)
        self.kept = kept
        self._courses: dict[tuple[str, int], Course] = {}

    @property
    def everyone(self) -> range:
        return range(len(self.learned))

    def spec(self, look: str) -> Spec:
        return self._looks(look).spec(self._hidden, self.seed)

    def federated(self, look: str, jitter: int, rounds: int) -> tuple[Words, int]:
        """The model of all boards, and its bytes up."""
        key = look, jitter
        if key not in self._courses:
            those = self._looks(look)
            samples = Set(those.views[0], those.y)
            self._courses[key] = Course(self.spec(look), samples, list(self.learned), jitter)
        return self._courses[key].at(rounds)

    def logits(
        self, look: str, starts: Words, jitter: int, rate: int, at: Sequence[int]
    ) -> list[Logits]:
        """What boards answer to `kept` (people, samples, classes) after so many passes, ascending.

        starts: a model each, (people, n_params). A centred one whose mean nobody has measured takes
        that of the board's own samples. Rows of `kept` that are too short are repeated.
        """
        those = self._looks(look)
        spec = self.spec(look)
        x, y = those.views[0], those.y
        fleet = Fleet(spec, len(starts))
        fleet.load(fleet.pack(starts))
        if spec.is_centred and not starts[:, : spec.at(1)].any():
            fleet.learn(x[self.learned], y[self.learned], 1, 1)
        orders = [np.random.default_rng((self.seed, 4, p)) for p in self.everyone]
        noise = np.random.default_rng((self.seed, 5))
        longest = max(map(len, self.kept))
        kept = np.stack([np.resize(rows, longest) for rows in self.kept])
        found = []
        for done in range(at[-1] + 1):
            if done in at:
                found.append(fleet.logits(x[kept]).astype(np.int64))
            if done < at[-1]:
                order = np.stack([orders[p].permutation(self.learned[p]) for p in self.everyone])
                seen = blurred(x[order], jitter, noise) if jitter else x[order]
                fleet.learn(seen, y[order], 1, 0, rate)
        return found

    def accuracy(self, look: str, logits: Logits) -> float:
        """The mean over boards; the first of equals is the guess."""
        y = self._looks(look).y
        right = [
            np.mean(own[: len(rows)].argmax(axis=1) == y[rows])
            for own, rows in zip(logits, self.kept, strict=True)
        ]
        return float(np.mean(right))

    def alone(self, look: str, jitter: int, rate: int, at: Sequence[int]) -> list[Logits]:
        """What boards answer that began with the same random weights."""
        start = new_params(self.spec(look))
        init_params(self.spec(look), start)
        return self.logits(look, self._each(np.array(start, np.int16)), jitter, rate, at)

    def together(self, look: str, jitter: int, rounds: int) -> Logits:
        """What the one model for all answers."""
        return self.personal(look, jitter, rounds, 0, 0)

    def personal(self, look: str, jitter: int, rounds: int, own_jitter: int, passes: int) -> Logits:
        """What it answers after so many passes over each board's own samples; not blended."""
        model = self.federated(look, jitter, rounds)[0]
        return self.logits(look, self._each(model), own_jitter, OWN_RATE, (passes,))[0]

    def _each(self, model: Words) -> Words:
        return np.tile(model, (len(self.learned), 1))


class Home:
    """Everybody's samples: `pool`, five of each gesture a person; all others judge."""

    def __init__(self, looks: Looks, hidden: int, look: str, seed: int) -> None:
        self._looks = looks
        self._hidden = hidden
        self._seed = seed
        those = looks(look)  # whichever: all looks are at the same samples
        rng = np.random.default_rng((seed, 3))
        pool, self._kept = [], []
        for person, name in enumerate(those.names):
            rows = those.rows(person)
            if min(np.bincount(those.y[rows], minlength=those.n_classes)) <= MOST:
                raise DataError(f"{name}: more than {MOST} samples of each class are needed")
            shuffled = [rng.permutation(rows[those.y[rows] == k]) for k in range(those.n_classes)]
            pool.append(np.stack([some[:MOST] for some in shuffled]))
            self._kept.append(np.concatenate([some[MOST:] for some in shuffled]))
        self.pool = np.stack(pool)  # (people, gestures, five)

    def split(self, own: int) -> Split:
        """Boards learn the first `own` samples of each gesture of the pool; who judges is kept."""
        learned = self.pool[:, :, :own].reshape(len(self.pool), -1)
        return Split(self._looks, self._hidden, self._seed, learned, self._kept)

    def folds(self, own: int) -> Iterator[Split]:
        """Boards learn some of the pool, the others of the pool judge: to choose settings by."""
        for k in range(N_FOLDS):
            rng = np.random.default_rng((self._seed, 7, own, k))
            mixed = rng.permuted(self.pool, axis=2)
            n = len(mixed)
            seed = (self._seed * N_FOLDS + k) * len(LEARNED) + LEARNED.index(own)
            yield Split(
                self._looks, self._hidden, seed,
                mixed[:, :, :own].reshape(n, -1), list(mixed[:, :, own:].reshape(n, -1)),
            )  # fmt: skip


def blurred(x: Features, jitter: int, rng: np.random.Generator) -> Features:
    """With jitter: a uniform number of at most that size added to each."""
    off = rng.integers(-jitter, jitter + 1, x.shape)
    found: Features = np.clip(x + off, -127, 127).astype(np.int8)
    return found


def choose(home: Home, names: Sequence[str], most: int = 1000) -> dict[str, Setting]:
    """The settings of boards alone, and of one model for all, among the looks of these names.

    The mean accuracy over all folds decides; the first of equals. most: rounds and passes.
    """
    alone_passes = sorted({min(most, passes) for passes in ALONE_PASSES})
    all_rounds = sorted({min(most, rounds) for rounds in ROUNDS})
    found: dict[str, dict[Setting, float]] = {ALONE: {}, ALL: {}}
    for split in itertools.chain.from_iterable(home.folds(own) for own in LEARNED):
        for look, jitter in itertools.product(names, JITTERS):
            for rate in ALONE_RATES:
                each = split.alone(look, jitter, rate, alone_passes)
                for passes, answers in zip(alone_passes, each, strict=True):
                    setting = Setting(look, jitter, rate, 0, passes)
                    _add(found[ALONE], setting, split.accuracy(look, answers))
            for rounds in all_rounds:
                answers = split.together(look, jitter, rounds)
                setting = Setting(look, jitter, RATE, rounds, 0)
                _add(found[ALL], setting, split.accuracy(look, answers))
    return {way: max(those, key=lambda setting: those[setting]) for way, those in found.items()}


def _add(sums: dict[Setting, float], setting: Setting, value: float) -> None:
    sums[setting] = sums.get(setting, 0.0) + value


def judge(split: Split, settings: Mapping[str, Setting], most: int = 1000) -> Judged:
    """Each way with these settings. most: passes to make a model personal.

    Also what becomes of the personal one without jitter, and without the one model's answers; and
    what those of a board alone become with them.
    """
    look, jitter, rate, _, passes = settings[ALONE]
    alone = split.alone(look, jitter, rate, (passes,))[0]
    look, jitter, _, rounds, _ = settings[ALL]
    common = split.together(look, jitter, rounds)
    passes = min(most, OWN_PASSES)
    own = split.personal(look, jitter, rounds, OWN_JITTER, passes)
    exact = split.personal(look, jitter, rounds, 0, passes)
    answers = {
        ALONE: alone, ALL: common, PERSONAL: blend(own, common), NO_JITTER: blend(exact, common),
        NO_BLEND: own, BOTH: blend(alone, common),
    }  # fmt: skip
    accuracies = {way: split.accuracy(look, each) for way, each in answers.items()}
    return Judged(accuracies, split.federated(look, jitter, rounds)[1], rounds)


def blend(own: Logits, common: Logits) -> Logits:
    """As fedboard.personal does: the mean, rounded down."""
    return own + common >> 1
