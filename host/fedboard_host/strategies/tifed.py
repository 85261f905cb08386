"""TIFeD's two schemes (Colombo et al., "TIFeD", 2024): full network, and one layer a board.

Boards start each round from the same model, train with integer DFA and send all changes exactly;
the host takes the plain mean, truncated toward zero. In the single-layer scheme each board trains
one layer only, and each layer is averaged over its own group of boards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedboard import DataError
from fedboard.model import Spec
from fedboard_host.aggregate import Merger, TruncatedMerger
from fedboard_host.strategies.base import BoardInfo, Strategy, Work, check_range

# Bytes that training needs on a board beside the model and its batch.
_SPARE_BYTES = 12288


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
        if not isinstance(self.rotate, bool):
            raise DataError(f"rotate = {self.rotate}: use true or false")

    def plan(self, spec: Spec, boards: Sequence[BoardInfo], round_no: int) -> dict[str, Work]:
        layers = assign_layers(spec, boards, self.batch, round_no if self.rotate else 0)
        return {name: self._work(1 << l) for name, l in layers.items()}


def training_bytes(spec: Spec, layer: int, batch: int) -> int:
    """About what training one layer takes of a board's RAM: all weights, and the layer's batch."""
    n_in, n_out = spec.shape(layer)
    return 2 * spec.n_params + batch * (n_in + 2 * n_out) + _SPARE_BYTES


def assign_layers(spec: Spec, boards: Sequence[BoardInfo], batch: int, turn: int) -> dict[str, int]:
    """A layer for each board: groups of equal size; costly layers to boards with RAM and samples.

    A board that lacks RAM for a layer gets the costliest one that fits it. turn: shifts the groups
    by so many layers. With fewer boards than layers the layers take turns.
    """
    costly = sorted(range(spec.n_layers), key=lambda l: (-training_bytes(spec, l, batch), l))
    # RAM only decides what fits: its exact figure wavers from day to day, the plan must not.
    able = sorted(
        boards, key=lambda b: (-sum(_fits(spec, l, batch, b) for l in costly), -b.n_samples, b.name)
    )
    chosen: dict[str, int] = {}
    n = spec.n_layers
    for i, board in enumerate(able):
        place = i * n // len(able) if len(able) >= n else i
        for step in range(n):
            layer = costly[(place + turn + step) % n]
            if _fits(spec, layer, batch, board):
                break
        else:
            layer = costly[-1]
        chosen[board.name] = layer
    return chosen


def _fits(spec: Spec, layer: int, batch: int, board: BoardInfo) -> bool:
    # A board that holds a model of its own already counts it as used, so this is a lower bound.
    held = 2 * spec.n_params if board.version else 0
    return not board.free_ram or board.free_ram + held >= training_bytes(spec, layer, batch)
