"""TIFeD's two schemes (Colombo et al., "TIFeD", 2024): full network, and one layer a board.

Boards start each round from the same model, train with integer DFA and send all changes exactly;
the host takes the plain mean, truncated toward zero. In the single-layer scheme each board trains
one layer only, and each layer is averaged over its own group of boards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedboard.model import Spec
from fedboard_host.aggregate import Merger
from fedboard_host.means import TruncatedMerger
from fedboard_host.strategies.base import (
    BoardInfo,
    Strategy,
    Work,
    by_cost,
    check_flag,
    check_range,
    fits,
)


@dataclass(frozen=True)
class TifedFull(Strategy):
    name = "tifed-full"

    epochs: int = 1
    batch: int = 25
    rate: int = 0  # 1 / eta; 0: the rule's own
    n_max: int = 0  # samples a pass at most; 0: all

    def __post_init__(self) -> None:
        check_range("epochs", self.epochs, 1, 255)
        check_range("batch", self.batch, 1, 255)
        check_range("rate", self.rate, 0, 65535)
        check_range("n_max", self.n_max, 0, 1 << 20)

    def plan(self, spec: Spec, boards: Sequence[BoardInfo], round_no: int) -> dict[str, Work]:
        return {board.name: self._work((1 << spec.n_layers) - 1) for board in boards}

    def merger(self, spec: Spec) -> Merger:
        return TruncatedMerger(spec)

    def _work(self, layers: int) -> Work:
        return Work(
            layers=layers,
            epochs=self.epochs,
            batch=self.batch,
            rate=self.rate,
            top_permille=1000,
            bits=16,
            n_max=self.n_max,
            carry=False,
        )


@dataclass(frozen=True)
class TifedSingleLayer(TifedFull):
    name = "tifed-single-layer"

    rotate: bool = True  # boards take turns with the layers, so that each layer sees all samples

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("rotate", self.rotate)

    def plan(self, spec: Spec, boards: Sequence[BoardInfo], round_no: int) -> dict[str, Work]:
        layers = assign_layers(spec, boards, self.batch, round_no if self.rotate else 0)
        return {name: self._work(1 << l) for name, l in layers.items()}


def assign_layers(spec: Spec, boards: Sequence[BoardInfo], batch: int, turn: int) -> dict[str, int]:
    """A layer for each board: groups of equal size; costly layers to boards with RAM and samples.

    A board that lacks RAM for a layer gets the costliest one that fits it. turn: shifts the groups
    by so many layers. With fewer boards than layers the layers take turns.
    """
    costly = by_cost(spec, batch)
    # RAM only decides what fits: its exact figure wavers from day to day, the plan must not.
    n_fit = {b.name: sum(fits(spec, 1 << l, batch, b) for l in costly) for b in boards}
    able = sorted(boards, key=lambda b: (-n_fit[b.name], -b.n_samples, b.name))
    chosen: dict[str, int] = {}
    n = spec.n_layers
    for i, board in enumerate(able):
        place = i * n // len(able) if len(able) >= n else i
        for step in range(n):
            layer = costly[(place + turn + step) % n]
            if fits(spec, 1 << layer, batch, board):
                break
        else:
            layer = costly[-1]
        chosen[board.name] = layer
    return chosen
