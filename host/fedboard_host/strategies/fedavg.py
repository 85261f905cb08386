"""Federated averaging (McMahan et al., 2017) over integers, dense or with Top-P% updates.

Each board trains all layers, or those that it has the RAM for, on its own samples; each layer's
changes are averaged, weighted by samples. What a board does not send stays with it as residual and
counts in its next update.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fedboard import DataError
from fedboard.jitter import LARGEST
from fedboard.model import Spec
from fedboard_host.aggregate import Merger
from fedboard_host.means import MAX_GAIN, MeanMerger
from fedboard_host.strategies.base import (
    BoardInfo,
    Strategy,
    Work,
    check_flag,
    check_range,
    trainable,
)


@dataclass(frozen=True)
class FedAvg(Strategy):
    name = "fedavg"

    epochs: int = 1
    batch: int = 1  # samples a weight update
    rate: int = 0  # 0: the rule's own. "fedboard": a right shift; "tifed": a divisor
    top_percent: float = 100.0  # of each layer's changes, the largest to send
    bits: int = 16  # a value of an update
    n_max: int = 0  # samples a pass at most; 0: all
    jitter: int = 0  # of the inputs that are learned: see fedboard.jitter
    carry: bool = True  # keep what was not sent as residual
    down_percent: float = 100.0  # of each layer's changes, the largest to send to boards
    down_bits: int = 16
    gain: int = 1  # the model moves by the mean change times this
    average_shift: int = 0  # evaluate and store a running average of factor 2**-this; 0: none

    def __post_init__(self) -> None:
        check_range("epochs", self.epochs, 1, 255)
        check_range("batch", self.batch, 1, 255)
        check_range("rate", self.rate, 0, 65535)
        check_range("bits", self.bits, 1, 16)
        check_range("n_max", self.n_max, 0, 1 << 20)
        check_range("jitter", self.jitter, 0, LARGEST)
        check_range("gain", self.gain, 1, MAX_GAIN)
        check_range("average_shift", self.average_shift, 0, 8)
        check_flag("carry", self.carry)
        check_range("down_bits", self.down_bits, 1, 16)
        permille("top_percent", self.top_percent)
        permille("down_percent", self.down_percent)

    def plan(self, spec: Spec, boards: Sequence[BoardInfo], round_no: int) -> dict[str, Work]:
        work = Work(
            layers=0, epochs=self.epochs, batch=self.batch, rate=self.rate,
            top_permille=permille("top_percent", self.top_percent), bits=self.bits,
            n_max=self.n_max, jitter=self.jitter, carry=self.carry,
        )  # fmt: skip
        return {b.name: replace(work, layers=trainable(spec, self.batch, b)) for b in boards}

    def merger(self, spec: Spec) -> Merger:
        down = permille("down_percent", self.down_percent)
        return MeanMerger(spec, self.average_shift, down, self.down_bits, self.gain)

    def alone(self) -> FedAvg:
        return replace(self, gain=1)  # one change is no mean that falls short


def permille(name: str, percent: float) -> int:
    """A percentage in tenths of a percent, as the wire has it. Raises DataError."""
    if isinstance(percent, bool) or not isinstance(percent, int | float):
        raise DataError(f"{name} = {percent}: use a number from 0.1 to 100")
    value = round(percent * 10)
    if not 1 <= value <= 1000:
        raise DataError(f"{name} = {percent}: use a number from 0.1 to 100")
    return value
