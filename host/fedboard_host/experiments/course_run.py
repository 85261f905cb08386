"""One federation over a course of buffers: how good it is after each, and what it has sent.

The network, workers, buffers and passes are TIFeD's (see images). A Variant says how it learns: by
a rule of boards, with a strategy that merges their updates, or in floats as a yardstick.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fedboard.model import Spec
from fedboard_host import strategies
from fedboard_host.experiments import float_fedavg, images
from fedboard_host.experiments.float_fedavg import FloatFederation
from fedboard_host.experiments.images import EPOCHS, Course, Pictures
from fedboard_host.fleet_judge import FleetJudge
from fedboard_host.fleet_rounds import FleetFederation

SCALE = "centred"
LOOKS = (1, 2, 3, 5, 8, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 75, 90, 100, 115, 125, 140, 150)


@dataclass(frozen=True)
class Variant:
    """passes: over the training data; epochs of a buffer between two merges: in parameters.

    rule "float": float_rate, and FloatFederation's own parameters.
    """

    name: str
    rule: str = "fedboard"
    strategy: str = "fedavg"
    parameters: dict[str, Any] = field(default_factory=dict)
    float_rate: float = 0.0
    passes: int = 1
    scale: str = SCALE

    @property
    def merges(self) -> int:
        """For each buffer."""
        return EPOCHS // int(self.parameters.get("epochs", 1))


@dataclass
class Outcome:
    """One run, by buffer: accuracy, and the bytes that all workers sent so far."""

    accuracy: dict[int, float] = field(default_factory=dict)
    bytes_up: dict[int, int] = field(default_factory=dict)
    bytes_down: int = 0
    merges: int = 0
    seconds: float = 0.0

    @property
    def last(self) -> tuple[float, int]:
        """The final accuracy, and the bytes until then."""
        end = max(self.accuracy)
        return self.accuracy[end], self.bytes_up[end]


def train(
    pictures: Pictures,
    variant: Variant,
    seed: int,
    n_buffers: int = 0,
    target: float = 0,
    workers: int = images.WORKERS,
) -> Outcome:
    """One run. n_buffers 0: all. target: until it is reached, each buffer's model is judged."""
    passes = pictures.passes * variant.passes
    course = images.course(len(pictures.train), seed, passes, workers)
    course = course[: n_buffers or len(course)]
    if variant.rule == "float":
        learner = FloatFederation(
            pictures.sizes, pictures.train, list(course[0]), variant.float_rate, seed,
            **variant.parameters,
        )  # fmt: skip

        def float_round() -> tuple[int, int]:
            learner.round()
            return learner.bytes_a_round, learner.bytes_a_round

        def float_judge() -> float:
            return float_fedavg.accuracy(pictures.sizes, learner.result, pictures.test)

        return _follow(learner, float_round, float_judge, course, EPOCHS, target)
    spec = Spec(pictures.sizes, variant.rule, seed)
    strategy = strategies.make(variant.strategy, variant.parameters)
    federation = FleetFederation(spec, strategy, pictures.train, list(course[0]), run=seed)
    judge = FleetJudge(spec, pictures.test)

    def integer_round() -> tuple[int, int]:
        report = federation.round()
        return report.bytes_up, report.bytes_down

    return _follow(
        federation, integer_round, lambda: judge(federation.result), course, variant.merges, target
    )


def _follow(
    federation: FleetFederation | FloatFederation,
    one_round: Callable[[], tuple[int, int]],
    judge: Callable[[], float],
    course: Course,
    merges: int,
    target: float,
) -> Outcome:
    """All buffers, each learned EPOCHS times in all, in as many rounds as it has merges."""
    outcome = Outcome()
    total = 0
    reached = not target
    for b in range(len(course)):
        start = time.perf_counter()
        federation.rows = list(course[b])
        for _ in range(merges):
            up, down = one_round()
            total += up
            outcome.bytes_down += down
        outcome.merges += merges
        outcome.seconds += time.perf_counter() - start
        n = b + 1
        if not reached or n in LOOKS or n % 50 == 0 or n == len(course):
            outcome.accuracy[n] = judge()
            outcome.bytes_up[n] = total
            reached = reached or outcome.accuracy[n] >= target
    return outcome
