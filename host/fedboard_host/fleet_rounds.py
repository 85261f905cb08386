"""A federation of integer boards in NumPy: rounds without any wire, the same models bit for bit.

    federation = FleetFederation(spec, strategy, samples, rows, run=1)      rows: each board's own
    federation.round() -> RoundReport       plan, learn, select, merge, as host and boards would
    federation.params, federation.result    the model that boards get; the one to evaluate

Strategies and mergers are the real ones; what boards do is Fleet's, what they send selection's.
Boards that keep a residual cost int16 (n_params,) each; all others only exist while they learn.
Between rounds `rows` may be set anew: a board's store of samples is a ring that moves on.
"""

from __future__ import annotations

from array import array
from binascii import crc32
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedboard import DataError, prng
from fedboard.model import Spec, init_params, new_params
from fedboard.order import Order
from fedboard_host.dataset import Set
from fedboard_host.fleet import Features, Fleet, Words, boards_in_a_block
from fedboard_host.fleet_rules import Classes
from fedboard_host.rounds import Policy
from fedboard_host.selection import Ints, dense_bytes, select
from fedboard_host.strategies import BoardInfo, Strategy, Work

Rows = Sequence[NDArray[np.intp]]

_LARGEST_CHANGE = 32767  # that an exact update holds


@dataclass(frozen=True)
class RoundReport:
    """bytes_up: of updates with their heads, frames not counted."""

    number: int
    n_boards: int
    n_samples: int
    bytes_up: int


class FleetFederation:
    """count_exact: exact updates count as the codec codes them (slower), else as dense int16."""

    def __init__(
        self,
        spec: Spec,
        strategy: Strategy,
        samples: Set,
        rows: Rows,
        *,
        run: int = 1,
        n_select: int = 0,
        names: Sequence[str] = (),
        count_exact: bool = False,
    ) -> None:
        if samples.n_in != spec.sizes[0]:
            raise DataError(f"samples of {samples.n_in} features for {spec.sizes[0]} inputs")
        self.spec = spec
        self.samples = samples
        self.rows = rows
        self.number = 0
        self.n_boards = len(rows)
        self._strategy = strategy
        self._run = run
        self._policy = Policy(self.n_boards, n_select)
        self._count_exact = count_exact
        self._names = list(names) or [f"board{b:05d}" for b in range(self.n_boards)]
        self._index = {name: b for b, name in enumerate(self._names)}
        self.merger = strategy.merger(spec)
        start = new_params(spec)
        init_params(spec, start)
        self.merger.start(start)
        self._codec = Fleet(spec, 1)
        self._fleets = {1: self._codec}
        self._set_model()
        self._exact = np.zeros(spec.n_params)
        self._exact_weights: list[int] = []
        self._limits = np.repeat(
            [spec.limit(l) for l in range(spec.n_layers)],
            [spec.n_layer_params(l) for l in range(spec.n_layers)],
        )
        # Boards with a residual: their parameters, and the version and model these are based on.
        self._own: Words | None = None
        self._version = np.zeros(self.n_boards, np.int64)
        self._bases: dict[int, Ints] = {}

    @property
    def params(self) -> Ints:
        """The model that boards get (n_params,)."""
        return _ints(self.merger.params())

    @property
    def result(self) -> Ints:
        """The model to use: params, or their running average."""
        return _ints(self.merger.result())

    def round(self) -> RoundReport:
        """One round of all boards that are selected and have samples."""
        self.number += 1
        infos = [
            BoardInfo(name, "", n_samples=len(rows), n_in=self.samples.n_in)
            for name, rows in zip(self._names, self.rows, strict=True)
            if len(rows)
        ]
        chosen = self._policy.select(infos, self._run, self.number)
        groups: dict[Work, list[int]] = {}
        for name, work in self._strategy.plan(self.spec, chosen, self.number).items():
            groups.setdefault(work, []).append(self._index[name])
        n_samples = bytes_up = 0
        for work, members in groups.items():
            # Boards of about as many samples side by side: less padding.
            members.sort(key=lambda b: len(self.rows[b]))
            block = boards_in_a_block(self.spec)
            for at in range(0, len(members), block):
                counts, n_bytes = self._learn(np.array(members[at : at + block]), work)
                n_samples += counts
                bytes_up += n_bytes
            self._add_exact(work)
        self.merger.merge()
        self._set_model()
        return RoundReport(self.number, len(chosen), n_samples, bytes_up)

    def _set_model(self) -> None:
        self._model = self.params
        self._lanes = self._codec.pack(self._model).astype(np.float32)

    def _learn(self, members: NDArray[np.intp], work: Work) -> tuple[int, int]:
        """One block's part of a round: (samples learned, bytes sent)."""
        fleet = self._fleets.get(len(members))
        if fleet is None:
            fleet = self._fleets[len(members)] = Fleet(self.spec, len(members))
        fleet.load(fleet.pack(self._moved(members)) if work.carry else self._lanes)
        x, y, lengths = self._drawn(members, work)
        fleet.learn(x, y, work.batch, work.layers, work.rate, lengths)
        weights = [self.merger.weight(int(n)) for n in lengths]
        exact = work.top_permille == 1000 and work.bits == 16
        if exact and not work.carry and not self._count_exact and self._sum(fleet, weights):
            return int(lengths.sum()), len(members) * dense_bytes(self.spec, work.layers)
        params = fleet.unpack(fleet.lanes).astype(np.int64)
        changes = params - self._model
        sent, n_bytes = select(self.spec, changes, work.top_permille, work.bits, work.layers)
        self.merger.add_sums(work.layers, np.array(weights) @ sent, weights)
        if work.carry:
            assert self._own is not None
            self._own[members] = np.clip(params - sent, -self._limits, self._limits)
        return int(lengths.sum()), int(n_bytes.sum())

    def _sum(self, fleet: Fleet, weights: Sequence[int]) -> bool:
        """Sum weight * change for _add_exact(); False if a change may not fit its 16 bits."""
        changes = fleet.lanes - self._lanes
        if max(changes.max(), -changes.min()) > _LARGEST_CHANGE:
            return False
        for change, weight in zip(changes, weights, strict=True):
            # Exact: aggregate.MAX_TOTAL keeps the sums below 2**53.
            self._exact += change if weight == 1 else change * float(weight)
        self._exact_weights += weights
        return True

    def _add_exact(self, work: Work) -> None:
        """Give the merger what _sum() summed."""
        if self._exact_weights:
            sums = self._codec.unpack(self._exact).astype(np.int64)
            self.merger.add_sums(work.layers, sums, self._exact_weights)
            self._exact[:] = 0
            self._exact_weights = []

    def _moved(self, members: NDArray[np.intp]) -> Ints:
        """The boards' parameters on this round's model: see rebase.Rebase."""
        if self._own is None:
            self._own = np.zeros((self.n_boards, self.spec.n_params), np.int16)
        moved = np.empty((len(members), self.spec.n_params), np.int64)
        for i, b in enumerate(members):
            moved[i] = self._model
            if self._version[b]:
                moved[i] += self._own[b] - self._bases[int(self._version[b])]
        self._version[members] = self.number
        self._bases[self.number] = self._model
        held = set(self._version.tolist())
        self._bases = {version: base for version, base in self._bases.items() if version in held}
        return np.clip(moved, -self._limits, self._limits, out=moved)

    def _drawn(
        self, members: NDArray[np.intp], work: Work
    ) -> tuple[Features, Classes, NDArray[np.int64]]:
        """The samples that learner.Learner.train() takes, in its order: x, y, how many of each."""
        drawn = []
        for b in members:
            rows = self.rows[b]
            n = len(rows)
            per_epoch = min(work.n_max, n) if work.n_max else n
            seed = prng.mix(self._run, crc32(self._names[b].encode()))
            order = [
                in_order(n, prng.mix(seed, self.number, epoch), per_epoch)
                for epoch in range(work.epochs)
            ]
            drawn.append(rows[np.concatenate(order)])
        lengths = np.array([len(each) for each in drawn])
        at = np.zeros((len(drawn), lengths.max()), np.intp)
        for i, each in enumerate(drawn):
            at[i, : len(each)] = each
        return self.samples.x[at], self.samples.y[at], lengths


def in_order(n: int, seed: int, count: int) -> NDArray[np.intp]:
    """The first `count` numbers that order.Order(n, seed) gives."""
    order = Order(n, seed)
    first = order.next()
    stride = order.next() - first
    return (first + stride * np.arange(count)) % n


def _ints(params: array[int]) -> Ints:
    return np.asarray(params, np.int64)
