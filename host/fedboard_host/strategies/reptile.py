"""Meta-learning over the protocol: boards learn their own task, the model steps there.

    phi += alpha mean(phi~ - phi)      alpha annealed over `rounds`, from alpha to alpha_last

    reptile      all boards a round, in stored batches (Nichol et al., 2018)
    tinyreptile  one board a round, sample after sample, nothing stored (Ren et al., 2023)
    tinymetafed  and only each layer's largest changes travel, both ways; the last layers are local:
                 no board sends them, each task learns them from their start

What is learned is an initialization, which a board makes its own from a few shots (see
fedboard.personal). The model's rule decides whether boards compute in integers or floats; what
travels, and is merged here, are integers, and nothing of them is lost to rounding. The listings of
the last two papers were not at hand: these are our own reading of their abstracts.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from fedboard import DataError
from fedboard.model import MAX_LAYERS, Spec
from fedboard.reptile import ALPHA_BITS, linear
from fedboard_host.aggregate import Ints, Merger
from fedboard_host.means import MASTER_BITS, MeanMerger
from fedboard_host.strategies.base import BoardInfo, Strategy, Work, check_flag, check_range
from fedboard_host.strategies.fedavg import permille

_REST_BITS = 16  # further bits of the master: what rounds may leave over is kept in them


@dataclass(frozen=True)
class TinyReptile(Strategy):
    """Whatever has a ..._last is annealed to it, in a straight line, over `rounds`; 0: it stays."""

    name = "tinyreptile"

    alpha: float = 1.0  # the outer step in the first round
    alpha_last: float = 0.0  # and at the end
    rounds: int = 1000  # over which things are annealed
    rate: int = 0  # the rule's: a right shift, a divisor, or 1/65536; 0: its own
    rate_last: int = 0
    epochs: int = 1
    n_max: int = 0  # samples a task in all, pass after pass; 0: each one, `epochs` times
    top_percent: float = 100.0  # of each layer's changes, the largest to send
    top_percent_last: float = 0.0
    bits: int = 16  # a value of an update
    down_percent: float = 100.0  # of each layer's changes, the largest to send to boards
    down_percent_last: float = 0.0
    down_bits: int = 16
    carry: bool = False  # keep what was not sent as residual: the next task starts from there
    select: int = 1  # boards a round; 0: all
    in_turn: bool = False  # one after the other; else by lot

    batch: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for name in ("alpha", "alpha_last"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise DataError(f"{name} = {value}: use a number from 0 to 1")
        check_range("rounds", self.rounds, 1, 1 << 24)
        check_range("rate", self.rate, 0, 65535)
        check_range("rate_last", self.rate_last, 0, 65535)
        if self.rate_last and not self.rate:
            raise DataError("rate_last needs rate: say where it begins")
        check_range("epochs", self.epochs, 1, 255)
        check_range("n_max", self.n_max, 0, 1 << 20)
        check_range("bits", self.bits, 1, 16)
        check_range("down_bits", self.down_bits, 1, 16)
        check_range("select", self.select, 0, 10_000)
        for name in ("carry", "in_turn"):
            check_flag(name, getattr(self, name))
        for name in ("top_percent", "down_percent"):
            permille(name, getattr(self, name))
            if getattr(self, name + "_last"):
                permille(name + "_last", getattr(self, name + "_last"))

    def selection(self) -> tuple[int, bool]:
        return self.select, self.in_turn

    def plan(self, spec: Spec, boards: Sequence[BoardInfo], round_no: int) -> dict[str, Work]:
        top, top_last = self._permilles("top_percent")
        work = Work(
            layers=(1 << spec.n_layers) - 1, epochs=self.epochs, batch=self.batch,
            rate=linear(self.rate, self.rate_last or self.rate, round_no - 1, self.rounds),
            top_permille=linear(top, top_last, round_no - 1, self.rounds), bits=self.bits,
            n_max=self.n_max, carry=self.carry, stream=self.n_max > 0,
        )  # fmt: skip
        return {board.name: work for board in boards}

    def merger(self, spec: Spec) -> Merger:
        first, last = (round(a * (1 << ALPHA_BITS)) for a in (self.alpha, self.alpha_last))
        down = self._permilles("down_percent")
        return ReptileMerger(spec, (first, last), self.rounds, down, self.down_bits)

    def _permilles(self, name: str) -> tuple[int, int]:
        first = getattr(self, name)
        return permille(name, first), permille(name, getattr(self, name + "_last") or first)


@dataclass(frozen=True)
class Reptile(TinyReptile):
    name = "reptile"

    batch: int = 10  # type: ignore[misc]  # a field here: what a board stores
    select: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("batch", self.batch, 1, 255)


@dataclass(frozen=True)
class TinyMetaFed(TinyReptile):
    name = "tinymetafed"

    top_percent: float = 10.0
    bits: int = 6
    down_percent: float = 10.0
    down_bits: int = 6
    carry: bool = True
    local: int = 1  # so many last layers are local
    n_local: int = 0  # samples of a task that teach these alone, first
    keep_local: bool = False  # a board goes on with its own; else each task begins with zeros

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("local", self.local, 0, MAX_LAYERS - 1)
        check_range("n_local", self.n_local, 0, 65535)
        if self.n_local and not self.local:
            raise DataError("n_local needs local layers: local = 1")
        check_flag("keep_local", self.keep_local)
        if self.keep_local and not (self.local and self.carry):
            raise DataError("keep_local needs layers that boards keep: local = 1, carry = true")

    def start(self, spec: Spec) -> array[int]:
        """The very last layer is zero where it is local: it knows nothing of a task yet."""
        params = super().start(spec)
        if self._local(spec):
            for i in range(spec.at(spec.n_layers - 1), spec.n_params):
                params[i] = 0
        return params

    def plan(self, spec: Spec, boards: Sequence[BoardInfo], round_no: int) -> dict[str, Work]:
        local = self._local(spec)
        works = super().plan(spec, boards, round_no)
        return {
            name: replace(work, local=local, n_local=self.n_local, keep_local=self.keep_local)
            for name, work in works.items()
        }

    def _local(self, spec: Spec) -> int:
        """The mask of the local layers."""
        if self.local >= spec.n_layers:
            raise DataError(f"local = {self.local} of {spec.n_layers} layers: some must be shared")
        return (1 << spec.n_layers) - (1 << spec.n_layers - self.local)


class ReptileMerger(MeanMerger):
    """A part of the way to the boards' plain mean: alpha / 2**ALPHA_BITS of it, annealed.

    With one board a round the master and its rest are exactly phi + alpha (phi~ - phi); the mean of
    more is rounded at the rest's last bit.
    """

    def __init__(
        self,
        spec: Spec,
        alphas: tuple[int, int],
        rounds: int,
        down_permilles: tuple[int, int] = (1000, 1000),
        down_bits: int = 16,
    ) -> None:
        """alphas, down_permilles: from the first of them to the last, over so many rounds."""
        super().__init__(spec, 0, down_permilles[0], down_bits)
        self._shares = self._shares and down_permilles[0] == down_permilles[1]
        self._alphas = alphas
        self._rounds = rounds
        self._permilles = down_permilles
        self._rest: Ints = np.zeros(spec.n_params, np.int64)

    def weight(self, n_samples: int) -> int:
        return 1

    def state(self) -> dict[str, Ints]:
        return {**super().state(), "rest": self._rest.copy()}

    def restore(self, state: Mapping[str, Ints]) -> None:
        super().restore(state)
        self._rest = self._checked(state, "rest")

    def _merge_layer(self, at: int, end: int, acc: Ints, total: int) -> None:
        alpha = linear(*self._alphas, self._n_merges, self._rounds)
        owed = (acc * alpha << MASTER_BITS + _REST_BITS - ALPHA_BITS) // total + self._rest[at:end]
        limit = self._limits[at:end] << MASTER_BITS
        moved = self._master[at:end] + (owed >> _REST_BITS)
        self._master[at:end] = np.clip(moved, -limit, limit)
        self._rest[at:end] = np.where(np.abs(moved) <= limit, owed & ((1 << _REST_BITS) - 1), 0)
        acc[:] = 0
        self._round(at, end)

    def _after(self) -> None:
        self._down = linear(*self._permilles, self._n_merges, self._rounds), self._down[1]
        super()._after()
