"""Federated averaging where each board trains one layer only, as in TIFeD's second scheme.

A board sends its layer only; each layer is averaged over the boards that trained it.
All else, Top-P% updates, residuals, gain and the running average, is as in fedavg.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fedboard.model import Spec
from fedboard_host.strategies.base import BoardInfo, Work, check_flag
from fedboard_host.strategies.fedavg import FedAvg
from fedboard_host.strategies.tifed import assign_layers


@dataclass(frozen=True)
class FedAvgSingleLayer(FedAvg):
    name = "fedavg-single-layer"

    rotate: bool = True  # boards take turns with the layers, so that each layer sees all samples

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("rotate", self.rotate)

    def plan(self, spec: Spec, boards: Sequence[BoardInfo], round_no: int) -> dict[str, Work]:
        works = super().plan(spec, boards, round_no)
        layers = assign_layers(spec, boards, self.batch, round_no if self.rotate else 0)
        return {name: replace(works[name], layers=1 << l) for name, l in layers.items()}
