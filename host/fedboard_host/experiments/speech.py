"""Spoken digits, integers only: how fast a board learns the voice of a speaker nobody has heard.

Six speakers are clients; each is left out once, the other five make a start: together in one
place, by FedAvg, by TinyReptile (one speaker a round) or by Reptile (all five a round). The left
out one's board adapts it to a few shots a digit, one sample a step (`fewshot`). A 260-64-10 network
of rule "fedboard" hears 20 frames of 13 MFCC; it learns samples at several onsets (`people`).

Settings are each speaker's own: the best on validation speakers, none of whom is he himself, so
that no sample of his has a say in his figures.
    python -c "from fedboard_host.experiments import speech; speech.choose()"
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fedboard_host.experiments import common, newcomers, people
from fedboard_host.experiments.common import Row
from fedboard_host.experiments.fewshot import Way

NAME = "speech"
HIDDEN = 64
ROUNDS = 200
# What choose() tries: to adapt with, to learn with where one speaker learns a round, or all five.
ADAPT_RATES = (6, 7, 8, 9)
_SINGLE, _TOGETHER = (9, 10, 11, 12, 13), (7, 8, 9, 10, 11, 12)
NOTES = """
Where it does not pay: all speakers mean the same by a digit, so joint training, FedAvg and Reptile
make starts that cannot be told apart, and after ten passes over five shots a random one has nearly
caught up with them. What others have learned pays for the first shots and passes. For each speaker
rates were chosen on the five others (choose(), one seed): TinyReptile's and joint training's of 9
to 13, FedAvg's and Reptile's of 7 to 12, those to adapt with of 6 to 9. No choice is at an end of
these. Hearing samples at other onsets, in training and in later passes, was worth half a point to a
point there. Subtracting each utterance's mean, as recognisers do, cost points before adaptation.
Speakers differ far more than seeds do: the rows on file tell each one's figures. The features were
standardised over all six speakers by whoever made the data set.
"""
HEADLINES = ("accuracy",)

_ONE = {"rate": 11, "n_max": 50, "rounds": ROUNDS}
_ALL = {"rate": 9, "n_max": 10, "rounds": ROUNDS}
TINY = Way("TinyReptile", "tinyreptile", {**_ONE}, ROUNDS)
REPTILE = Way("Reptile, all speakers a round", "tinyreptile", {**_ALL, "select": 0}, ROUNDS)
FEDAVG = Way("FedAvg", "fedavg", {"rate": 9, "n_max": 10, "carry": False}, ROUNDS)
JOINT = replace(TINY, name="trained jointly", pooled=True)
SCRATCH = Way("random start")
WAYS = (SCRATCH, JOINT, FEDAVG, TINY, REPTILE)
# By speaker who is left out: the rate to learn with, those to adapt with to one shot and to five.
CHOSEN = {
    "random start": ((0, 7, 7),) * 6,
    "trained jointly":
        ((11, 8, 8), (11, 8, 7), (10, 7, 7), (11, 8, 7), (12, 8, 8), (11, 8, 7)),
    "TinyReptile":
        ((10, 7, 8), (12, 8, 7), (11, 7, 7), (11, 8, 7), (10, 7, 7), (10, 8, 8)),
    "FedAvg":
        ((8, 7, 8), (10, 8, 7), (10, 7, 7), (11, 8, 7), (10, 7, 7), (10, 8, 8)),
    "Reptile, all speakers a round":
        ((8, 7, 8), (9, 8, 7), (9, 7, 7), (8, 8, 7), (9, 7, 7), (8, 8, 8)),
}  # fmt: skip


def run(
    quick: bool = False,
    seeds: int = 5,
    data: Path | None = None,
    out_dir: Path = Path("results"),
    as_json: bool = False,
    rounds: int = 0,
) -> list[Row]:
    """The experiment; see the module and experiments/__init__. rounds 0: ROUNDS."""
    rounds = rounds or (8 if quick else ROUNDS)
    clock = common.Clock(NAME)
    speakers = people.speech(data)
    ways = [way.shortened(rounds) for way in WAYS]
    rows, found = newcomers.study(
        NAME, speakers, ways, HIDDEN, 1 if quick else seeds, 1 if quick else 4, clock, own=own
    )
    common.finish(NAME, rows, out_dir, as_json, HEADLINES)
    common.draw(
        out_dir / f"{NAME}.png", lambda f: newcomers.paint(f, [(speakers.name, found)]), 11, 5
    )
    return rows


def own(way: Way, speaker: int) -> Way:
    """The way with what choose() found best for this speaker, without any sample of his.

    People of another data set, which stands in for it, take the six's in turn.
    """
    rate, one, five = CHOSEN[way.name][speaker % 6]
    parameters = {**way.parameters, "rate": rate} if way.strategy else way.parameters
    return replace(way, parameters=parameters, rates={1: one, 5: five})


def choose(data: Path | None = None, seeds: Sequence[int] = (101,)) -> None:
    """Print the validation accuracies, and what is best for each speaker: CHOSEN."""
    speakers = people.speech(data)
    named = {SCRATCH.name: {0: SCRATCH}}
    for way, rates in (
        (JOINT, _SINGLE), (TINY, _SINGLE), (FEDAVG, _TOGETHER), (REPTILE, _TOGETHER)
    ):  # fmt: skip
        named[way.name] = {
            r: replace(way, name=f"{way.name}, {r}", parameters={**way.parameters, "rate": r})
            for r in rates
        }
    trials = [way for ways in named.values() for way in ways.values()]
    of_seeds = [newcomers.choose(speakers, trials, HIDDEN, ADAPT_RATES, seed) for seed in seeds]
    scores = {key: np.mean([found[key] for found in of_seeds], axis=0) for key in of_seeds[0]}
    newcomers.tell(scores)
    for name, ways in named.items():
        best = []
        for p in range(len(speakers.names)):
            found = {
                (rate, one, five): scores[1, way.name, one][p] + scores[5, way.name, five][p]
                for rate, way in ways.items()
                for one in ADAPT_RATES
                for five in ADAPT_RATES
            }
            best.append(max(found, key=lambda setting: found[setting]))
        print(f"{name!r}: {tuple(best)},")
