"""Reptile and TinyReptile over the protocol: boards learn their own task, the model steps there.

    phi += alpha mean(phi~ - phi)      alpha annealed over `rounds`, from alpha to alpha_last

(Nichol et al., 2018; Ren et al., "TinyReptile", 2023.) TinyReptile streams: one sample a step,
nothing stored; for one board a round let the run select one. What is learned is an initialization:
a board adapts it to its own labels with reptile.FewShot. Integers, and nothing is lost to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedboard import DataError
from fedboard.model import Spec
from fedboard.reptile import ALPHA_BITS, linear
from fedboard_host.aggregate import MASTER_BITS, Ints, MeanMerger, Merger
from fedboard_host.strategies.base import BoardInfo, Strategy, Work, check_range
from fedboard_host.strategies.fedavg import permille

_REST_BITS = 16  # further bits of the master: what rounds may leave over is kept in them


@dataclass(frozen=True)
class TinyReptile(Strategy):
    name = "tinyreptile"

    alpha: float = 1.0  # the outer step in the first round
    alpha_last: float = 0.0  # and at the end
    rounds: int = 1000  # over which it is annealed
    rate: int = 0  # 0: the rule's own. "fedboard": a right shift; "tifed": a divisor
    epochs: int = 1
    n_max: int = 0  # samples a pass at most; 0: all
    top_percent: float = 100.0  # of each layer's changes, the largest to send
    bits: int = 16  # a value of an update
    down_percent: float = 100.0  # of each layer's changes, the largest to send to boards
    down_bits: int = 16

    batch: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for name in ("alpha", "alpha_last"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise DataError(f"{name} = {value}: use a number from 0 to 1")
        check_range("rounds", self.rounds, 1, 1 << 24)
        check_range("rate", self.rate, 0, 65535)
        check_range("epochs", self.epochs, 1, 255)
        check_range("n_max", self.n_max, 0, 1 << 20)
        check_range("bits", self.bits, 1, 16)
        check_range("down_bits", self.down_bits, 1, 16)
        permille("top_percent", self.top_percent)
        permille("down_percent", self.down_percent)

    def plan(self, spec: Spec, boards: Sequence[BoardInfo], round_no: int) -> dict[str, Work]:
        work = Work(
            layers=(1 << spec.n_layers) - 1, epochs=self.epochs, batch=self.batch, rate=self.rate,
            top_permille=permille("top_percent", self.top_percent), bits=self.bits,
            n_max=self.n_max, carry=False,
        )  # fmt: skip
        return {board.name: work for board in boards}

    def merger(self, spec: Spec) -> Merger:
        down = permille("down_percent", self.down_percent)
        first, last = (round(a * (1 << ALPHA_BITS)) for a in (self.alpha, self.alpha_last))
        return ReptileMerger(spec, first, last, self.rounds, down, self.down_bits)


@dataclass(frozen=True)
class Reptile(TinyReptile):
    """In stored batches of 10."""

    name = "reptile"

    batch: ClassVar[int] = 10


class ReptileMerger(MeanMerger):
    """A part of the way to the boards' plain mean: alpha / 2**ALPHA_BITS of it, annealed.

    With one board a round the master and its rest are exactly phi + alpha (phi~ - phi); the mean of
    more is rounded at the rest's last bit.
    """

    def __init__(
        self,
        spec: Spec,
        alpha: int,
        alpha_last: int,
        rounds: int,
        down_permille: int = 1000,
        down_bits: int = 16,
    ) -> None:
        super().__init__(spec, 0, down_permille, down_bits)
        self._alphas = alpha, alpha_last, rounds
        self._rest: Ints = np.zeros(spec.n_params, np.int64)

    def weight(self, n_samples: int) -> int:
        return 1

    def state(self) -> dict[str, Ints]:
        return {**super().state(), "rest": self._rest.copy()}

    def restore(self, state: Mapping[str, Ints]) -> None:
        super().restore(state)
        self._rest = self._checked(state, "rest")

    def _merge_layer(self, at: int, end: int, acc: Ints, total: int) -> None:
        first, last, rounds = self._alphas
        alpha = linear(first, last, self._n_merges, rounds)
        owed = (acc * alpha << MASTER_BITS + _REST_BITS - ALPHA_BITS) // total + self._rest[at:end]
        limit = self._limits[at:end] << MASTER_BITS
        moved = self._master[at:end] + (owed >> _REST_BITS)
        self._master[at:end] = np.clip(moved, -limit, limit)
        self._rest[at:end] = np.where(np.abs(moved) <= limit, owed & ((1 << _REST_BITS) - 1), 0)
