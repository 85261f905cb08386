"""A strategy: what each board is asked to do in a round, and how their updates become one model.

    selection() -> (n, in turn)                       how many boards a round asks
    plan(spec, boards, round) -> {board: Work}        layers, passes, rate, how much to send
    merger(spec) -> aggregate.Merger                  streaming sums, merged at the round's close

A subclass is a frozen dataclass: its fields are its parameters, checked on construction. They come
from a configuration file through strategies.make(), which names typos.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fedboard import DataError, messages
from fedboard.learner import WORK_BYTES
from fedboard.model import Spec, init_params, new_params
from fedboard_host.aggregate import Merger


@dataclass(frozen=True, slots=True)
class BoardInfo:
    """What a board said in HELLO and STATUS."""

    name: str
    uid: str  # hexadecimal
    firmware: str = ""
    kernels: str = ""
    free_ram: int = 0  # bytes; 0: it cannot tell
    n_samples: int = 0
    n_in: int = 0
    version: int = 0  # of the model that it holds; 0: none
    digest: bytes = b""
    free_flash: int = 0  # bytes; 0: it cannot tell
    n_saves: int = 0  # models written to its flash since its start


@dataclass(frozen=True, slots=True)
class Work:
    """One board's part in one round; the fields are messages.Task's."""

    layers: int  # bit l set: layer l is trained
    epochs: int = 1
    batch: int = 1
    rate: int = 0  # 0: the rule's own
    top_permille: int = 1000
    bits: int = 16
    n_max: int = 0
    jitter: int = 0
    carry: bool = True
    stream: bool = False  # n_max samples in all, pass after pass
    local: int = 0  # of the layers, those that are never sent
    n_local: int = 0  # samples that teach these alone, first
    keep_local: bool = False  # a task begins with them as the last one left them, not as the model

    @property
    def flags(self) -> int:
        """messages.Task's."""
        carry, stream, keep = self.carry, self.stream, self.keep_local
        return carry * messages.CARRY | stream * messages.STREAM | keep * messages.KEEP

    @property
    def sent(self) -> int:
        """The mask of the layers that an update has."""
        return self.layers & ~self.local


@dataclass(frozen=True)
class Strategy(ABC):
    """See the module."""

    name: ClassVar[str] = ""

    @abstractmethod
    def plan(self, spec: Spec, boards: Sequence[BoardInfo], round_no: int) -> dict[str, Work]:
        """A Work for each of `boards`, by name. Depends on nothing but its arguments."""

    @abstractmethod
    def merger(self, spec: Spec) -> Merger:
        """A fresh merger for this model."""

    def start(self, spec: Spec) -> array[int]:
        """The model that the first round starts from."""
        params = new_params(spec)
        init_params(spec, params)
        return params

    def selection(self) -> tuple[int, bool]:
        """So many boards a round, 0: all; in turn, or by lot: see rounds.Policy."""
        return 0, False

    def asks_all(self, round_no: int) -> bool:
        """This round asks every board, whatever selection() says."""
        return False

    def alone(self) -> Strategy:
        """The same for training in one place, where there is nothing to average."""
        return self


_STORE_A_BATCH = ("fedboard", "tifed")  # rules


def weight_bytes(spec: Spec) -> int:
    """What the parameters take of a board's RAM."""
    return (4 if spec.is_float else 2) * spec.n_params


def training_bytes(spec: Spec, layers: int, batch: int) -> int:
    """About what training the layers of a mask takes of a board's RAM: all weights, their batch."""
    shapes = [spec.shape(l) for l in range(spec.n_layers) if layers >> l & 1]
    return weight_bytes(spec) + batch * sum(n_in + 2 * n for n_in, n in shapes) + WORK_BYTES


def fits(spec: Spec, layers: int, batch: int, board: BoardInfo) -> bool:
    """Whether the board has the RAM to train them; one that cannot tell has."""
    # A board that holds a model of its own already counts it as used, so this is a lower bound.
    held = weight_bytes(spec) if board.version else 0
    return not board.free_ram or board.free_ram + held >= training_bytes(spec, layers, batch)


def trainable(spec: Spec, batch: int, board: BoardInfo) -> int:
    """The mask of the layers that a board has the RAM to train at once: all, or the least costly.

    At least one: what a board says of its RAM is an estimate, and if need be it tells that it lacks
    it. Where no batch is stored, in floats and convolutions, all.
    """
    mask = (1 << spec.n_layers) - 1
    if spec.rule not in _STORE_A_BATCH:
        return mask
    for layer in by_cost(spec, batch):
        if fits(spec, mask, batch, board) or not mask & mask - 1:
            break
        mask &= ~(1 << layer)
    return mask


def by_cost(spec: Spec, batch: int) -> list[int]:
    """The layers, the one that takes most RAM to train first."""
    return sorted(range(spec.n_layers), key=lambda l: (-training_bytes(spec, 1 << l, batch), l))


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Raise DataError unless low <= value <= high."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise DataError(f"{name} = {value}: use a whole number from {low} to {high}")


def check_flag(name: str, value: object) -> None:
    """Raise DataError unless it is a bool."""
    if not isinstance(value, bool):
        raise DataError(f"{name} = {value}: use true or false")
