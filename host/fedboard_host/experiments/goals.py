"""What the experiments are to show: each goal a figure computed from rows, beside its target."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedboard_host.experiments.figures import (
    Figure,
    above,
    bytes_both,
    distance,
    first,
    least,
    lowest,
    mean,
    minus,
    most,
    published,
    ratio,
)  # fmt: skip


@dataclass(frozen=True)
class Goal:
    """One line. results: the file of its rows, without .jsonl. at_most: else at least `target`.

    unit "%" or "points": figure and target are shares, shown as hundredths.
    """

    results: str
    says: str
    figure: Figure
    target: float
    at_most: bool = False
    unit: str = ""

    def met(self, value: float) -> bool:
        return value <= self.target if self.at_most else value >= self.target

    def show(self, value: float) -> str:
        """A figure as it stands beside the target."""
        if not math.isfinite(value):
            return "∞"
        return f"{100 * value:.2f} {self.unit}" if self.unit else f"{value:,.3g}"

    @property
    def wanted(self) -> str:
        return ("≤ " if self.at_most else "≥ ") + self.show(self.target)


_COPIES = "full-network, 1/η 2048, true copies, per epoch"
_SHARED = "full-network, 1/η 2048, shared array"
_TWO_SD = 0.005  # of the published 150th buffer; that of the 25th is not known
_ALL = "test accuracy after all buffers"
_FULL = mean(_ALL, "fedboard, full-network")
_SPARSE = "fedboard, full-network, Top-1 % of 4 bits"
_SINGLE = mean(_ALL, "fedboard, single-layer")
_SINE = "query MSE, 10 shots, 32 steps"
_RAM = "inner loop's RAM beside the weights, B"
_META = "query MSE, 10 shots, 32 steps, 10,000 rounds"
_META_ERROR = mean(_META, "TinyMetaFed")


def _own_rule(data: str, accuracy: float, aim: float) -> list[Goal]:
    """What rule "fedboard" is to show on one data set."""
    name = f"fedboard-{data}"
    return [
        Goal(name, "accuracy, one pass, honest federation", _FULL, accuracy, unit="%"),
        Goal(name, "what Top-1 % of 4 bits loses", minus(_FULL, mean(_ALL, _SPARSE)), 0.01, True,
             "points"),
        Goal(name, "times fewer bytes up than dense int16",
             mean("dense int16 bytes / bytes up", _SPARSE), 50),
        Goal(name, "what single-layer loses to full-network", minus(_FULL, _SINGLE), 0.015, True,
             "points"),
        Goal(name, "buffers until TIFeD's published final accuracy, of 150",
             mean("buffers until *", "fedboard, full-network"), 50, True),
        Goal(name, "aim: accuracy after more passes (NITRO-D, centralised)",
             first(*(mean(_ALL, f"fedboard, full-network, {n} passes") for n in (8, 3))), aim,
             unit="%"),
    ]  # fmt: skip


_FIVE_SHOT = "accuracy, 5-way 5-shot"
_CHARACTERS = "integers, local last layer"


def _gestures(label: str) -> list[Goal]:
    """A newcomer: federated and personal, above alone and above the model as it came."""
    goals = []
    for shots, shot in ((1, "1 shot"), (5, "5 shots")):
        out = f"{label}, left out, accuracy, "
        mine = f"{out}{shot}, 10 passes", "FedAvg"
        others = {"alone": (mine[0], "random start"), "the model as it came":
                  (f"{out}unadapted", "FedAvg")}  # fmt: skip
        goals += [
            Goal("gestures", f"{label}, newcomer, {shots} a gesture: personal, above {other}: "
                 "the interval's lower end", above(mine, those), 0, unit="points")
            for other, those in others.items()
        ]  # fmt: skip
    return goals


def _over_all(label: str, other: str) -> tuple[str, str]:
    """Which rows tell the gain, the mean over 1, 2 and 5 samples of each gesture."""
    metric = f"{label}, on boards, the mean over 1, 2 and 5 own samples, paired"
    return metric, f"personal, above {other}"


_BEYOND = ", beyond the aim"  # which is of boards with about the same kinds of samples
_ATTACKS = ("sign", "x100", "-x100", "labels", "constant")

GOALS: tuple[Goal, ...] = (
    Goal("tifed-mnist", "true copies: away from the reference run's 92.2 %",
         distance(mean("test accuracy, buffer 150", _COPIES), 0.922), 0.005, True, "points"),
    *(
        Goal("tifed-mnist-shared-arrays", f"away from the published accuracy, buffer {b}",
             distance(mean(f"test accuracy, buffer {b}", _SHARED),
                      published(f"test accuracy, buffer {b}", _SHARED)), _TWO_SD, True, "points")
        for b in (25, 150)
    ),
    Goal("tifed-mnist",
         "with the extra `fast`: times faster than a plain NumPy loop, merged per epoch",
         mean("times faster", "speed with numba: " + _COPIES), 30),
    Goal("tifed-mnist", "the same, merged per buffer",
         mean("times faster", "speed with numba: " + _COPIES.replace("epoch", "buffer")), 30),
    *_own_rule("mnist", 0.968, 0.9736),
    *_own_rule("fashion", 0.862, 0.8866),
    Goal("sine", "TinyReptile's error / the best Reptile's, 32 steps on 10 shots",
         ratio(mean(_SINE, "TinyReptile"), least(
             mean(_SINE, "Reptile"), mean(_SINE, "Reptile, published rates"),
             mean(_SINE, "Reptile, 10 passes"))), 1, True),
    Goal("sine", "its inner loop's RAM / Reptile's, beside the weights",
         ratio(mean(_RAM, "TinyReptile"), mean(_RAM, "Reptile")), 0.5, True),
    Goal("tinymetafed", "TinyMetaFed's error / TinyReptile's, the same rounds",
         ratio(_META_ERROR, mean(_META, "TinyReptile")), 1.1, True),
    Goal("tinymetafed", "its bytes, both ways / TinyReptile's",
         ratio(bytes_both(_META, "TinyMetaFed"), bytes_both(_META, "TinyReptile")), 0.2, True),
    Goal("tinymetafed", "one base for all, as over the protocol: its bytes / TinyReptile's",
         ratio(bytes_both(_META, "TinyMetaFed, one base"),
               bytes_both(_META, "TinyReptile, one base")), 0.2, True),
    Goal("tinymetafed", "the same with P = 5 %",
         ratio(bytes_both(_META, "TinyMetaFed, one base, P = 5 %"),
               bytes_both(_META, "TinyReptile, one base")), 0.2, True),
    Goal("tinymetafed", "its error / TinyReptile's, P = 5 %, one base",
         ratio(mean(_META, "TinyMetaFed, one base, P = 5 %"), mean(_META, "TinyReptile, one base")),
         1.1, True),
    Goal("tinymetafed", "its error / TinyReptile's for the same bytes",
         ratio(_META_ERROR, mean("query MSE, 10 shots, 32 steps, *",
                                 "TinyReptile, in rounds for TinyMetaFed's bytes")), 1, True),
    Goal("omniglot", "integers, new alphabets, 5-way 5-shot", mean(_FIVE_SHOT, _CHARACTERS), 0.75,
         unit="%"),
    Goal("omniglot", "aim: the same", mean(_FIVE_SHOT, _CHARACTERS), 0.85, unit="%"),
    Goal("omniglot", "what integers lose to floats",
         minus(mean(_FIVE_SHOT, "floats, local last layer"), mean(_FIVE_SHOT, _CHARACTERS)), 0.02,
         True, "points"),
    Goal("omniglot", "thousands of parameters",
         lambda rows: mean("parameters", _CHARACTERS)(rows) / 1000, 40, True),
    Goal("speech", "unseen speaker, one pass over one shot a digit",
         mean("accuracy, 1 shot, 1 pass", "TinyReptile"), 0.85, unit="%"),
    Goal("speech", "unseen speaker, ten passes over five shots a digit",
         mean("accuracy, 5 shots, 10 passes", "TinyReptile"), 0.96, unit="%"),
    *(
        Goal("permuted", f"permuted labels, {shots}, ten passes",
             mean(f"accuracy, {shots}, 10 passes", "Reptile, ten clients a round"), target,
             unit="%")
        for shots, target in (("1 shot", 0.70), ("5 shots", 0.85))
    ),
    *(
        Goal("gestures", f"{label}, boards with 1, 2 or 5 a gesture: personal, above {other}: "
             "the interval's lower end", lowest(_over_all(label, other)), 0, unit="points")
        for label in ("punchflex", "wand")
        for other in ("each alone", "one model for all")
    ),
    *(
        Goal("gestures", f"both sets, boards with 1, 2 or 5 a gesture: personal, above {other}: "
             "the interval's lower end",
             lowest(*(_over_all(label, other) for label in ("punchflex", "wand"))), 0,
             unit="points")
        for other in ("each alone", "one model for all")
    ),
    *_gestures("punchflex"),
    *_gestures("punchflex, features chosen"),
    *_gestures("wand"),
    *_gestures("wand, features chosen"),
    *(
        Goal("robust", f"{data}{note}: {what}",
             combine(*(mean(f"{data}, {metric}", f"{attack}, multi-krum") for attack in _ATTACKS)),
             target, metric == "cost", unit)
        for data, note in (
            ("digits", ""), ("mnist", ""),
            ("digits (Dirichlet 0.3)", _BEYOND), ("mnist (Dirichlet 0.3)", _BEYOND),
        )
        for what, combine, metric, target, unit in (
            ("what one bad board of 8 costs at most", most, "cost", 0.02, "points"),
            ("the bad board is named", least, "named", 1.0, "%"),
        )
    ),
)
