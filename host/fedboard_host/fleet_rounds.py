"""A federation of integer boards in NumPy: rounds without any wire, the same models bit for bit.

    federation = FleetFederation(spec, strategy, samples, rows, run=1)      rows: each board's own
    federation.round() -> RoundReport       plan, learn, select, merge, as host and boards would
    federation.params, federation.result    the model that boards get; the one to evaluate

Strategies and mergers are the real ones; what boards do is Fleet's, what they send selection's.
Boards that keep a residual are Held's; all others only exist while they learn.
Between rounds `rows` may be set anew: a board's store of samples is a ring that moves on.
"""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedboard import DataError, prng
from fedboard.model import Spec
from fedboard_host import fleet_order, privacy
from fedboard_host.dataset import Set
from fedboard_host.fleet import Fleet, boards_in_a_block
from fedboard_host.fleet_held import Held
from fedboard_host.fleet_rules import Classes
from fedboard_host.fleet_squeeze import Features
from fedboard_host.robust import Merging
from fedboard_host.rounds import Policy
from fedboard_host.selection import Ints, as_update, dense_bytes, select
from fedboard_host.strategies import BoardInfo, Strategy, Work, centring

Rows = Sequence[NDArray[np.intp]]
Tamper = Callable[[int, Ints], Ints]  # (board, changes (n_params,)) -> what it sends in their place

_NOISE = 8  # the label of a round's noise
_LARGEST_CHANGE = 32767  # that an exact update holds
_MOST_IN_FLOAT32 = (1 << 24) // _LARGEST_CHANGE  # changes, whose sum float32 holds exactly


@dataclass(frozen=True)
class RoundReport:
    """bytes_up, bytes_down: of updates and models with their heads, frames not counted."""

    number: int
    n_boards: int
    n_samples: int
    bytes_up: int
    bytes_down: int


@dataclass(frozen=True)
class _Part:
    """What a block of boards adds to a round; sums (n_params,) of weight * change.

    norms (boards, n_layers). each: the boards' changes (n_params,), in place of their sums, where
    updates are compared with each other.
    """

    members: list[int]
    layers: int
    sums: Ints
    weights: list[int]
    n_samples: int
    bytes_up: int
    norms: Ints
    each: list[Ints] | None = None


class FleetFederation:
    """See the module. names: of the boards, which their order of samples follows from.

    count: exact updates and models count as the codec codes them (slower), else as dense int16.
    threads: that learn at once, 0: one a core. They change nothing but the time it takes; NumPy's
    own should be off then (OPENBLAS_NUM_THREADS=1), as these products are too small for them.
    tamper(board, changes): what a board says that it has learned, in place of what it has.
    """

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
        count: bool = False,
        threads: int = 0,
        merging: Merging = Merging(),  # noqa: B008 - frozen
        tamper: Tamper | None = None,
    ) -> None:
        if spec.is_float:
            raise DataError(f"rule {spec.rule} is simulated by fleet_float: use an integer rule")
        if samples.n_in != spec.sizes[0]:
            raise DataError(f"samples of {samples.n_in} features for {spec.sizes[0]} inputs")
        self.spec = spec
        self.samples = samples
        self.rows = rows
        self.number = 0
        self.n_boards = len(rows)
        self._strategy = strategy = centring.for_model(strategy, spec)
        self._run = run
        self._policy = Policy(self.n_boards, n_select).under(*strategy.selection())
        self._count = count
        self._names = list(names) or [f"board{b:05d}" for b in range(self.n_boards)]
        self._seeds = [fleet_order.seed_of(name, run) for name in self._names]
        self._index = {name: b for b, name in enumerate(self._names)}
        self._held = Held(spec, self.n_boards)
        self._codec = Fleet(spec, 1)
        self._idle: dict[int, list[Fleet]] = {}
        self._threads = threads or os.cpu_count() or 1
        self._map = ThreadPoolExecutor(self._threads).map if self._threads > 1 else map
        self._tamper = tamper
        self.merger = strategy.merger(spec)
        self.merger.set_up(merging, lambda: privacy.seeded_bits(prng.mix(run, _NOISE, self.number)))
        if merging.kind != "mean":
            n_select = self._policy.n_select or self.n_boards
            merging.check(n_select, "use more boards a round")
            if n_select > merging.at_most(spec):
                raise DataError(
                    f"merge = {merging.kind} holds the updates of {merging.at_most(spec)} boards "
                    f"of this model at most, not {n_select}: select fewer a round"
                )
        self.merger.start(strategy.start(spec))
        self._set_model(self.params)

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
        everyone = self._strategy.asks_all(self.number)
        chosen = self._policy.select(infos, self._run, self.number, everyone)
        groups: dict[Work, list[int]] = {}
        for name, work in self._strategy.plan(self.spec, chosen, self.number).items():
            groups.setdefault(work, []).append(self._index[name])
        if any(work.jitter for work in groups):
            raise DataError("jitter is not simulated: use boards, or virtual ones")
        if any(work.carry for work in groups):
            self._held.carry()
        members = np.array(sorted(b for each in groups.values() for b in each), np.intp)
        if self._count:
            bytes_down = self._held.bytes_down(members, self.number, self._model)
        else:
            bytes_down = len(members) * 2 * self.spec.n_params
        parts = list(self._map(self._learn, *zip(*self._blocks(groups), strict=True)))
        for part in parts:
            if part.each is None:
                names = [self._names[b] for b in part.members]
                self.merger.add_sums(part.layers, part.sums, part.weights, part.norms, names)
                continue
            for b, changes, weight in zip(part.members, part.each, part.weights, strict=True):
                update = as_update(self.spec, part.layers, changes)
                self.merger.add(update, weight, self._names[b])
        self._held.settle(members, self.number, self._model)
        self._set_model(_ints(self.merger.merge()))
        return RoundReport(
            self.number, len(members), sum(part.n_samples for part in parts),
            sum(part.bytes_up for part in parts), bytes_down,
        )  # fmt: skip

    def state(self) -> dict[str, NDArray[Any]]:
        """All that restore() needs to go on bit-identically, between two rounds."""
        merger = {f"merger_{key}": value for key, value in self.merger.state().items()}
        return {"round": np.array([self.number]), **merger, **self._held.state()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Raises DataError for what is not this federation's state."""
        self._held.restore(state)
        self.number = int(state["round"][0])
        prefix = "merger_"
        mine = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        self.merger.restore(mine)
        self._set_model(self.params)

    def _set_model(self, model: Ints) -> None:
        self._model = model
        self._lanes = self._codec.pack(self._model)

    def _blocks(self, groups: dict[Work, list[int]]) -> Iterator[tuple[NDArray[np.intp], Work]]:
        """The boards that one Fleet does at once."""
        for work, members in groups.items():
            # Boards of about as many samples side by side: less padding.
            members.sort(key=lambda b: len(self.rows[b]))
            size = min(boards_in_a_block(self.spec), -(-len(members) // self._threads))
            for at in range(0, len(members), size):
                yield np.array(members[at : at + size]), work

    def _learn(self, members: NDArray[np.intp], work: Work) -> _Part:
        """One block's part of a round. Runs beside others: changes nothing that they read."""
        idle = self._idle.setdefault(len(members), [])
        fleet = idle.pop() if idle else Fleet(self.spec, len(members))
        anew = 0 if work.keep_local else work.local
        fleet.load(
            fleet.pack(self._held.moved(members, self._model, anew)) if work.carry else self._lanes
        )
        if work.n_local:
            x, y, lengths = self._drawn(members, work, True)
            fleet.learn(x, y, work.batch, work.local, work.rate, lengths)
        x, y, lengths = self._drawn(members, work)
        fleet.learn(x, y, work.batch, work.layers, work.rate, lengths)
        n_samples = int(lengths.sum()) + work.n_local * len(members)
        weights = [self.merger.counted(int(n) + work.n_local) for n in lengths]
        exact = work.top_permille == 1000 and work.bits == 16
        found = None
        if exact and not work.carry and not self._count and self._is_plain:
            found = self._summed(fleet, weights)
            bytes_up = len(members) * dense_bytes(self.spec, work.sent)
        each = None
        if found is None:
            params = fleet.unpack(fleet.lanes)
            changes = params - self._model
            if self._tamper is not None:
                for b, change in zip(members, changes, strict=True):
                    change[:] = np.clip(self._tamper(int(b), change), -32767, 32767)
            sent, n_bytes = select(self.spec, changes, work.top_permille, work.bits, work.sent)
            bytes_up = int(n_bytes.sum())
            if work.carry:
                self._held.keep(members, params - sent)
            if self.merger.rule is not None:
                each = list(sent)
            norms = self.merger.cut_rows(sent)
            found = np.array(weights) @ sent, norms
        idle.append(fleet)
        return _Part(
            members.tolist(), work.sent, found[0], weights, n_samples, bytes_up, found[1], each
        )

    @property
    def _is_plain(self) -> bool:
        """All boards are what they say, and only their sum counts."""
        merger = self.merger
        return self._tamper is None and merger.rule is None and not merger.privacy.noise

    def _summed(self, fleet: Fleet, weights: Sequence[int]) -> tuple[Ints, Ints] | None:
        """(the sum of weight * change, the changes' norms).

        None if a change may not fit an exact update's 16 bits, or is so long that it is cut.
        """
        norms: Ints = np.zeros((len(weights), self.spec.n_layers), np.int64)
        equal = len(weights) <= _MOST_IN_FLOAT32 and len(set(weights)) == 1
        if equal and fleet.travel <= _LARGEST_CHANGE and not self.merger.clips:
            sums = fleet.summed_changes(self._lanes)
            return sums if weights[0] == 1 else sums * weights[0], norms
        changes = fleet.changes(self._lanes)
        if max(changes.max(), -changes.min()) > _LARGEST_CHANGE:
            return None
        for l, most in enumerate(self.merger.clip.bounds if self.merger.clips else ()):
            layer = changes[:, self.spec.at(l) : self.spec.at(l + 1)]
            squares = np.einsum("bi,bi->b", layer, layer, dtype=np.float64)  # below 2**53: exact
            norms[:, l] = [math.isqrt(int(square)) for square in squares]
            if most and (norms[:, l] > most).any():
                return None
        wide = np.zeros(self.spec.n_params)  # exact: MAX_TOTAL keeps it below 2**53
        for change, weight in zip(changes, weights, strict=True):
            wide += change * float(weight)
        return fleet.unpack(wide), norms

    def _drawn(
        self, members: NDArray[np.intp], work: Work, local: bool = False
    ) -> tuple[Features, Classes, NDArray[np.int64]]:
        """The samples that these boards learn from: x, y, how many of each."""
        rows = [self.rows[b] for b in members]
        seeds = [self._seeds[b] for b in members]
        return fleet_order.drawn(self.samples, rows, seeds, self.number, work, local)


def _ints(params: array[int]) -> Ints:
    return np.asarray(params, np.int64)
