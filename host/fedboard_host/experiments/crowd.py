"""Ten thousand boards that come and go: time and energy to an accuracy, by strategy and by link.

Each round the host asks 260 of the boards that are here just then, and merges the first 200
updates (`crowd` reckons time and energy). A board has 24 digits of its own, drawn with a taste
of its own (Dirichlet, 0.3): MNIST at 14x14 pixels, 196-32-10. Boards, codec and merging are the
real ones (`fleet_rounds`), so a simulated board's bytes are those of a real one.

Rates were chosen on the last 10,000 training samples, seed 101:
    python -c "from fedboard_host.experiments import crowd; crowd.choose()"
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedboard.model import Spec
from fedboard_host import strategies
from fedboard_host.crowd import SERIAL, WIFI, Crowd
from fedboard_host.experiments import common, images
from fedboard_host.experiments.common import Row
from fedboard_host.experiments.images import Pictures
from fedboard_host.experiments.permuted import small
from fedboard_host.fleet_judge import FleetJudge
from fedboard_host.fleet_rounds import FleetFederation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "crowd"
BOARDS = 10_000
WANTED = 200
EACH = 24  # samples of a board
ROUNDS = 150
HIDDEN = 32
GOAL = 0.90
EVERY = 10  # rounds between looks
LINKS = (SERIAL, WIFI)
NOTES = """
Time is what the boards need; the host's own is left out. A step costs what docs/board.md measured
on an emulated Pico. How long boards are on, how much they differ and what a radio takes are our
assumptions, in `host/fedboard_host/crowd.py`; they move all strategies alike. "Wasted" is the
energy of boards that were asked and came too late, or left.

A board is asked every fiftieth round or so, and has missed too much by then for a sparse model:
what comes down is as long as all weights. On WiFi joining the network costs more than all
bytes together, so what pays there are fewer rounds.
"""
HEADLINES = ("seconds", "joules", "wasted", "accuracy")
_RESTING = 0.8e-3, 0.078e-6  # seconds a step, and a parameter of it: fits docs/board.md's steps


@dataclass(frozen=True)
class Way:
    name: str
    strategy: str = "fedavg"
    parameters: dict[str, Any] = field(default_factory=dict)
    rule: str = "fedboard"


_BASE = {"batch": 8, "average_shift": 4}
_EXACT = {**_BASE, "carry": False}
WAYS = (
    Way("dense int16", parameters={**_EXACT, "rate": 8, "gain": 4}),
    Way("Top-12 %, 2 bits",
        parameters={**_BASE, "top_percent": 12.0, "bits": 2, "rate": 7, "gain": 4}),
    Way("Top-1 %, 4 bits",
        parameters={**_BASE, "top_percent": 1.0, "bits": 4, "rate": 6, "gain": 8}),
    Way("single-layer, dense", "fedavg-single-layer", {**_EXACT, "rate": 6, "gain": 2}),
    Way("TIFeD, full-network", "tifed-full", {"batch": 8, "rate": 256}, "tifed"),
)  # fmt: skip


@dataclass
class Course:
    """One run, look by look."""

    seconds: list[float] = field(default_factory=list)
    joules: list[float] = field(default_factory=list)  # of all boards
    accuracy: list[float] = field(default_factory=list)
    wasted: float = 0.0  # share of the energy
    bytes_up: int = 0
    bytes_down: int = 0


def run(
    quick: bool = False,
    seeds: int = 5,
    data: Path | None = None,
    out_dir: Path = Path("results"),
    as_json: bool = False,
) -> list[Row]:
    """The experiment; see the module and experiments/__init__."""
    boards, wanted, rounds = (100, 20, 10) if quick else (BOARDS, WANTED, ROUNDS)
    pictures = small(images.find("mnist", data, "centred"))
    clock = common.Clock(NAME)
    rows: list[Row] = []
    found: dict[tuple[str, str], list[Course]] = {}
    seeds = 1 if quick else seeds
    for seed in range(1, seeds + 1):
        for way in WAYS:
            began = clock.seconds
            courses = learn(pictures, way, seed, boards, wanted, rounds)
            took = clock.seconds - began
            for link, course in zip(LINKS, courses, strict=True):
                variant = f"{way.name}; {link.name}"
                found.setdefault((way.name, link.name), []).append(course)
                rows += _rows(variant, seed, course, rounds, took)
            clock.tell(f"{way.name}, seed", seed, seeds)
    common.finish(NAME, rows, out_dir, as_json, HEADLINES)
    common.draw(out_dir / f"{NAME}.png", lambda f: _paint(f, found), 11, 5)
    return rows


def learn(
    pictures: Pictures, way: Way, seed: int, boards: int, wanted: int, rounds: int
) -> list[Course]:
    """One course a link. The boards that answer differ by link only in how long they take, so the
    learning is done once, with the turns of the first link."""
    spec = Spec((pictures.train.n_in, HIDDEN, int(pictures.train.y.max()) + 1), way.rule, seed)
    everyone = tastes(pictures.train.y, boards, seed)
    nobody = np.zeros(0, np.intp)
    federation = FleetFederation(
        spec, strategies.make(way.strategy, way.parameters), pictures.train,
        [nobody] * boards, run=seed, count=True,
    )  # fmt: skip
    judge = FleetJudge(spec, pictures.test)
    crowds = [Crowd(boards, link, seed) for link in LINKS]
    courses = [Course() for _ in LINKS]
    spent = [[0.0, 0.0, 0.0] for _ in LINKS]  # seconds, joules, wasted
    train_s = EACH * (_RESTING[0] + _RESTING[1] * spec.n_params)
    up = down = 2.0 * spec.n_params  # of a board, as in the round before
    for number in range(1, rounds + 1):
        turns = [crowd.round(wanted, down, up, train_s) for crowd in crowds]
        chosen = set(turns[0].chosen.tolist())
        federation.rows = [everyone[b] if b in chosen else nobody for b in range(boards)]
        report = federation.round()
        up, down = report.bytes_up / report.n_boards, report.bytes_down / report.n_boards
        for course, turn, total in zip(courses, turns, spent, strict=True):
            course.bytes_up += report.bytes_up
            course.bytes_down += round(down * turn.n_asked)
            for k, value in enumerate((turn.seconds, turn.joules, turn.wasted)):
                total[k] += value
        if number % EVERY == 0 or number == rounds:
            accuracy = judge(federation.result)
            for course, total in zip(courses, spent, strict=True):
                course.seconds.append(total[0])
                course.joules.append(total[1])
                course.accuracy.append(accuracy)
                course.wasted = total[2] / total[1]
    return courses


def tastes(y: NDArray[np.int64], boards: int, seed: int) -> list[NDArray[np.intp]]:
    """EACH rows for each board, drawn with shares of the classes that are its own."""
    rng = np.random.default_rng((seed, 43))
    by_class = [np.flatnonzero(y == label) for label in range(int(y.max()) + 1)]
    shares = rng.dirichlet([0.3] * len(by_class), boards)
    rows = []
    for share in shares:
        counts = rng.multinomial(EACH, share)
        rows.append(np.concatenate([
            rng.choice(of, n) for of, n in zip(by_class, counts, strict=True)
        ]))  # fmt: skip
    return rows


def to_goal(values: list[float], accuracy: list[float], goal: float = GOAL) -> float:
    """What it had taken when the goal was reached for the first time; inf: never."""
    for value, reached in zip(values, accuracy, strict=True):
        if reached >= goal:
            return value
    return math.inf


def _rows(variant: str, seed: int, course: Course, rounds: int, took: float) -> list[Row]:
    goal = f"{100 * GOAL:.0f} %"
    figures = {
        f"seconds to {goal}": to_goal(course.seconds, course.accuracy),
        f"joules of all boards to {goal}": to_goal(course.joules, course.accuracy),
        "wasted, % of the energy": 100 * course.wasted,
        "accuracy, %, at the end": 100 * course.accuracy[-1],
    }
    return [
        Row(NAME, variant, seed, metric, None, value, course.bytes_up, rounds, round(took, 1),
            course.bytes_down)
        for metric, value in figures.items()
    ]  # fmt: skip


def choose(rounds: int = 80) -> None:
    """Print validation accuracies of rates, gains and averages, as they were chosen from."""
    pictures = small(images.find("mnist", None, "centred")).validation()
    for way in WAYS:
        is_tifed = way.rule == "tifed"
        rates = (128, 256, 512, 1024) if is_tifed else (6, 7, 8)
        gains = () if is_tifed else (1, 2, 4, 8)
        for rate in rates:
            for gain in gains or (0,):
                tried = {**way.parameters, "rate": rate, **({"gain": gain} if gain else {})}
                one = Way(way.name, way.strategy, tried, way.rule)
                course = learn(pictures, one, 101, BOARDS, WANTED, rounds)[0]
                told = f"{way.name}: rate {rate}, gain {gain or '-'}"
                print(f"{told}: {100 * course.accuracy[-1]:.2f} %", flush=True)


def _paint(figure: Figure, found: dict[tuple[str, str], list[Course]]) -> None:
    by_time, by_joules = figure.subplots(1, 2, sharey=True)
    for k, (way, link) in enumerate(found):
        runs = found[way, link]
        style: dict[str, Any] = {
            "color": common.COLOURS[k // len(LINKS)], "linestyle": common.DASHES[k % len(LINKS)],
        }  # fmt: skip
        accuracy = 100 * np.mean([run.accuracy for run in runs], axis=0)
        by_time.plot(np.mean([run.seconds for run in runs], axis=0), accuracy, **style)
        label = way if k % len(LINKS) == 0 else None
        by_joules.plot(
            np.mean([run.joules for run in runs], axis=0), accuracy, label=label, **style
        )
    by_time.set_xlabel("seconds (solid: USB serial, dashed: WiFi)")
    by_joules.set_xlabel("joules, all boards")
    by_time.set_ylabel("held-out samples classified right (%)")
    for axes in (by_time, by_joules):
        axes.set_xscale("log")
        axes.axhline(100 * GOAL, color="#555555", linewidth=0.8)
        axes.grid(True, alpha=0.3)
    by_joules.legend(loc="lower right")
