"""What a start is worth to a new client: a few shots of its own, integers only, sample by sample.

    way        boards learn a start by rule "fedboard", by a strategy, or none: random weights
    client     its shots, learned pass after pass, one sample a step; the rest of its samples judges
    figure     accuracy before (0 passes) and after 1, 5, 10 passes over 1 or 5 shots a class

The rounds are FleetFederation's, adaptation is Fleet's: bit for bit what boards would do (reptile.
FewShot). A way may be `pooled`: every board draws from all boards' samples, as if in one place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fedboard.model import Spec
from fedboard_host import strategies
from fedboard_host.dataset import Labels, Set
from fedboard_host.experiments.people import People, Views
from fedboard_host.fleet import Fleet
from fedboard_host.fleet_rounds import FleetFederation, Rows
from fedboard_host.selection import Ints

SHOTS = (1, 5)
PASSES = (0, 1, 5, 10)
_WORTH_A_THREAD = 1 << 15  # parameters of all boards

Refill = Callable[[int], Set]
Accuracies = NDArray[np.float64]
Found = dict[tuple[str, int], list[Accuracies]]  # way, shots -> a seed's accuracies by PASSES


@dataclass(frozen=True)
class Way:
    """A way to a start. strategy "": random weights. rates: to adapt with, by number of shots.

    look: what its networks see, where there is a choice: see people.looks.
    """

    name: str
    strategy: str = ""
    parameters: dict[str, object] = field(default_factory=dict)
    rounds: int = 0
    pooled: bool = False
    rates: dict[int, int] = field(default_factory=dict)
    look: str = ""

    def shortened(self, rounds: int) -> Way:
        parameters = dict(self.parameters)
        if "rounds" in parameters:
            parameters["rounds"] = rounds
        return replace(self, rounds=min(rounds, self.rounds), parameters=parameters)


@dataclass(frozen=True)
class NewClients:
    """views: (n_views, clients, shots, n_in), of y (clients, shots); query (clients, m, n_in)."""

    views: Views
    y: Labels
    query: Views
    query_y: Labels


@dataclass(frozen=True)
class Start:
    """What boards learned, and the bytes up that it took."""

    params: Ints
    bytes_up: int = 0


def learn(way: Way, spec: Spec, samples: Set, rows: Rows, refill: Refill | None = None) -> Start:
    """All rounds of a way. refill(round) -> the boards' samples of a round, in place of `samples`.

    run and seeds follow from the spec's seed.
    """
    strategy = strategies.make(way.strategy or "fedavg", way.parameters)
    if way.pooled:
        rows = [np.concatenate(rows)] * len(rows)
    threads = 1 if len(rows) * spec.n_params < _WORTH_A_THREAD else 0
    federation = FleetFederation(spec, strategy, samples, rows, run=spec.seed, threads=threads)
    bytes_up = 0
    # A centred model's first round measures the mean, before those that learn.
    for k in range(way.rounds + (spec.is_centred and way.rounds > 0)):
        if refill is not None:
            federation.samples = refill(k)
        bytes_up += federation.round().bytes_up
    return Start(federation.result, bytes_up)


def adapted(spec: Spec, start: Ints, new: NewClients, rate: int, seed: int) -> Accuracies:
    """Accuracies (len(PASSES), clients). In later passes each sample is any of its views.

    A centred start that nobody has measured the mean of takes the shots' own.
    """
    return adapted_each(spec, start[None], new, rate, seed)[:, 0]


def adapted_each(spec: Spec, starts: Ints, new: NewClients, rate: int, seed: int) -> Accuracies:
    """The same for many starts (n, n_params) at once: (len(PASSES), n, clients)."""
    rng = np.random.default_rng((seed, 5))
    n_views, clients, n_shots = new.views.shape[:3]
    n = len(starts)
    fleet = Fleet(spec, n * clients)
    fleet.load(np.repeat(fleet.pack(starts), clients, axis=0))
    lane = np.tile(np.arange(clients), n)[:, None]
    if spec.is_centred:
        _measure(fleet, new.views[0, lane[:, 0]], new.y[lane[:, 0]])
    found = []
    for done in range(PASSES[-1] + 1):
        if done in PASSES:
            right = fleet.predict(new.query[lane[:, 0]]) == new.query_y[lane[:, 0]]
            found.append(right.mean(axis=1).reshape(n, clients))
        order = np.stack([rng.permutation(n_shots) for _ in range(clients)])
        view = rng.integers(0, n_views if done else 1, order.shape)
        order, view = np.tile(order, (n, 1)), np.tile(view, (n, 1))
        fleet.learn(new.views[view, lane, order], new.y[lane, order], 1, 0, rate)
    return np.stack(found)


def _measure(fleet: Fleet, x: Views, y: Labels) -> None:
    """Give those of a centred fleet that have no mean yet the mean of these samples."""
    before = fleet.lanes.copy()
    fleet.learn(x, y, 1, 1)
    has = before[:, : x.shape[2]].any(axis=1)
    fleet.lanes[has] = before[has]
    fleet.touched()


def draws(people: People, person: int, shots: int, n: int, seed: int) -> NewClients:
    """n times the same person, each time with other shots; all other samples judge."""
    rng = np.random.default_rng((seed, person, shots))
    own = people.rows(person)
    support = np.stack([
        np.concatenate([
            rng.choice(own[people.y[own] == label], shots, replace=False)
            for label in range(people.n_classes)
        ])
        for _ in range(n)
    ])  # fmt: skip
    query = np.stack([np.setdiff1d(own, row) for row in support])
    return NewClients(
        people.views[:, support], people.y[support], people.views[0, query], people.y[query]
    )
