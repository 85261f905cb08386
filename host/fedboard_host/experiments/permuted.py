"""Five digits of MNIST under permuted labels, integers only: where meta-learning has to pay.

A client knows five of the ten digits, by labels of its own: its 0 may be a seven. So no common
classifier exists, only a start that learns any such labels fast. Ten clients a round, new ones each
time, have ten samples a class; new clients' digits are the test set's. 14x14 pixels, 196-64-5, rule
"fedboard", one sample a step (`fewshot`).

Each way's settings were chosen on the last 10,000 training digits, with other seeds:
    python -c "from fedboard_host.experiments import permuted; permuted.choose()"
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedboard.model import Spec
from fedboard_host.dataset import Labels, Set
from fedboard_host.experiments import common, fewshot, images, newcomers
from fedboard_host.experiments.common import Row
from fedboard_host.experiments.fewshot import SHOTS, NewClients, Way
from fedboard_host.experiments.kept import Kept

NAME = "permuted"
N_WAYS = 5
HIDDEN = 64
BOARDS = 10
EACH = 10  # samples a class and board
ROUNDS = 400
NOTES = """
This is what meta-learning is for: labels mean something else to each client, so a network that is
trained jointly is no better than random weights, and worse with any but the smallest steps. What
matters with integers is to step toward the mean of many clients: one client a round drags the
weights from task to task, and ends little above a random start. FedAvg is the same without an
annealed outer step, and as good. Both want large steps: shifts of 5. What helps most is that the
last layer, in which tasks differ, is not shared at all: it begins each task as zeros, as in
TinyMetaFed, and the first shots weigh more.

Each way has rates of its own, of those that choose() tries on validation digits, two seeds each: to
learn with, the best in the mean of one and five shots; to adapt with, the best for each
(TinyMetaFed's within 0.1 points). All lie inside of what was tried. There too neither joint
training (61.7 % at best) nor TinyReptile (63.3 %) does better than a random start (63.3 %); with
ever smaller steps both become one.
"""
HEADLINES = ("accuracy",)
_QUERIES = 20  # a class

_META = {"n_max": N_WAYS * EACH, "rounds": ROUNDS}
REPTILE = Way("Reptile, ten clients a round", "tinyreptile", {**_META, "rate": 5, "select": 0},
              ROUNDS, rates={1: 5, 5: 6})  # fmt: skip
TINY = Way("TinyReptile, one a round", "tinyreptile", {**_META, "rate": 9}, ROUNDS,
           rates={1: 6, 5: 7})  # fmt: skip
FEDAVG = Way("FedAvg", "fedavg", {"rate": 5, "carry": False}, ROUNDS, rates={1: 4, 5: 5})
JOINT = Way("trained jointly", "tinyreptile", {**_META, "select": 0, "rate": 13}, ROUNDS, True,
            {1: 7, 5: 8})  # fmt: skip
LOCAL = Way("TinyMetaFed, all sent: a last layer of zeros for each task", "tinymetafed",
            {**_META, "rate": 5, "select": 0, "top_percent": 100, "bits": 16, "down_percent": 100,
             "down_bits": 16, "carry": False}, ROUNDS, rates={1: 7, 5: 7})  # fmt: skip
SCRATCH = Way("random start", rates={1: 7, 5: 8})
WAYS = (SCRATCH, JOINT, FEDAVG, TINY, REPTILE, LOCAL)
# What choose() tries: rates to adapt with, and rates to learn with; a random start needs none.
_TUNED = (3, 4, 5, 6, 7, 8, 9)
_TRIED: dict[str, Sequence[int]] = {
    SCRATCH.name: (0,), JOINT.name: (11, 12, 13, 14), FEDAVG.name: (4, 5, 6, 7, 8),
    TINY.name: (8, 9, 10, 11, 12, 13), REPTILE.name: (3, 4, 5, 6, 7), LOCAL.name: (4, 5, 6),
}  # fmt: skip


class Clients:
    """Endless clients of one seed: five digits each, in an order of their own."""

    def __init__(self, samples: Set, seed: int) -> None:
        self._samples = samples
        self._rng = np.random.default_rng((seed, 11))
        self._by_label = [np.flatnonzero(samples.y == k) for k in range(int(samples.y.max()) + 1)]

    def draw(self, n: int, each: int) -> tuple[Labels, Labels]:
        """Rows (n, N_WAYS, each) of the samples, and the clients' labels of them."""
        rows = np.stack([
            np.stack([
                self._rng.choice(self._by_label[digit], each, replace=False)
                for digit in self._rng.permutation(len(self._by_label))[:N_WAYS]
            ])
            for _ in range(n)
        ])  # fmt: skip
        return rows, np.broadcast_to(np.arange(N_WAYS)[:, None], rows.shape)

    def round(self, boards: int) -> Set:
        """What the boards of one round have: one board's samples after the other's."""
        rows, y = self.draw(boards, EACH)
        return Set(self._samples.x[rows.ravel()], y.ravel())

    def new(self, n: int, shots: int) -> NewClients:
        rows, y = self.draw(n, shots + _QUERIES)
        x = self._samples.x[rows]

        def flat(values: NDArray[Any]) -> NDArray[Any]:
            return values.reshape(n, -1, *values.shape[3:])

        return NewClients(
            flat(x[:, :, :shots])[None], flat(y[:, :, :shots]),
            flat(x[:, :, shots:]), flat(y[:, :, shots:]),
        )  # fmt: skip


def run(
    quick: bool = False,
    seeds: int = 5,
    data: Path | None = None,
    out_dir: Path = Path("results"),
    as_json: bool = False,
    rounds: int = 0,
    resume: bool = False,
) -> list[Row]:
    """The experiment; see the module and experiments/__init__. rounds 0: ROUNDS.

    resume: see kept.
    """
    rounds = rounds or (20 if quick else ROUNDS)
    clock = common.Clock(NAME)
    pictures = small(images.find("mnist", data, "centred"))
    constants = pictures.name, HIDDEN, BOARDS, EACH, quick
    settings = {way.name: (way.shortened(rounds), *constants) for way in WAYS}
    kept = Kept(NAME, out_dir, resume, settings, seeds)
    rows = kept.rows
    for seed in range(1, (1 if quick else seeds) + 1):
        new = {shots: Clients(pictures.test, seed).new(20 if quick else 50, shots)
               for shots in SHOTS}  # fmt: skip
        for way in WAYS:
            if (way.name, seed) in kept.done:
                continue
            began = clock.seconds
            spec, start = _learn(pictures.train, way.shortened(rounds), seed)
            took = clock.seconds - began
            sent = start.bytes_up if way.rounds else None
            cost = (sent, rounds if way.rounds else None, took if way.rounds else None)
            for shots in SHOTS:
                values = fewshot.adapted(spec, start.params, new[shots], way.rates[shots], seed)
                mean = values.mean(axis=1)
                made = newcomers.rows_of(NAME, "", way.name, seed, shots, mean, cost)
                rows += kept.stamped(made)
            clock.tell(f"{way.name}, seed", seed, seeds)
            common.save(NAME, rows, out_dir)
    order = [way.name for way in WAYS]
    rows.sort(key=lambda row: (row.seed or 0, order.index(row.variant)))
    common.finish(NAME, rows, out_dir, as_json, HEADLINES)
    found = newcomers.found_in(rows)
    common.draw(
        out_dir / f"{NAME}.png", lambda f: newcomers.paint(f, [(pictures.name, found)]), 11, 5
    )
    return rows


def _learn(samples: Set, way: Way, seed: int) -> tuple[Spec, fewshot.Start]:
    spec = Spec((samples.n_in, HIDDEN, N_WAYS), "fedboard", seed)
    clients = Clients(samples, seed)
    boards = 1 if way.name == TINY.name else BOARDS
    rows = list(np.arange(boards * N_WAYS * EACH).reshape(boards, -1))
    return spec, fewshot.learn(
        way, spec, clients.round(boards), rows, lambda _: clients.round(boards)
    )


def small(pictures: images.Pictures) -> images.Pictures:
    """28x28 pixels as 14x14, the floor of four pixels' mean; smaller ones as they are."""

    def halved(own: Set) -> Set:
        if own.n_in != 28 * 28:
            return own
        x = own.x.reshape(-1, 14, 2, 14, 2).astype(np.int16).sum(axis=(2, 4)) >> 2
        return Set(x.reshape(len(x), -1).astype(np.int8), own.y)

    return replace(pictures, train=halved(pictures.train), test=halved(pictures.test))


def choose(
    seeds: Sequence[int] = (101, 102),
    data: Path | None = None,
    rounds: int = 0,
    only: Sequence[int] = (),
) -> None:
    """Print the validation accuracies that the settings above were chosen by.

    Means over seeds after 0, 1, 5 and 10 passes, and the mean of the last three. rounds 0: ROUNDS.
    only: these of WAYS.
    """
    pictures = small(images.find("mnist", data, "centred").validation())
    for way in [WAYS[i] for i in only] or WAYS:
        for rate in _TRIED[way.name]:
            trial = replace(way, parameters={**way.parameters, "rate": rate})
            trial = trial.shortened(rounds or ROUNDS)
            starts = [_learn(pictures.train, trial, seed) for seed in seeds]
            for shots in SHOTS:
                for tune in _TUNED:
                    each = [
                        fewshot.adapted(
                            spec, start.params, Clients(pictures.test, seed).new(40, shots), tune,
                            seed,
                        ).mean(axis=1)
                        for seed, (spec, start) in zip(seeds, starts, strict=True)
                    ]  # fmt: skip
                    values = np.mean(each, axis=0)
                    print(f"{way.name}, rate {rate}: {shots} shots at {tune}: {values.round(3)}, "
                          f"{values[1:].mean():.4f}", flush=True)  # fmt: skip
