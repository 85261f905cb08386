"""Any strategy for a model of rule "centred": the first round measures the features' mean.

In round 1 every board is asked, and sends the mean over its samples, exact, whatever the strategy
asks and sends later; the model's is their mean, weighted as the strategy weights updates. From
round 2 on the strategy sees the dense layers alone, and never moves the mean again.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedboard import DataError, WireError
from fedboard.model import Spec
from fedboard_host.aggregate import Ints, Merger
from fedboard_host.clip import Update
from fedboard_host.decode import Decoder
from fedboard_host.lockstep import Wire
from fedboard_host.privacy import Bits, Privacy
from fedboard_host.robust import Rule
from fedboard_host.strategies.base import BoardInfo, Strategy, Work

_MEAN = 1  # the mask of layer 0


def for_model(strategy: Strategy, spec: Spec, measures: bool = True) -> Strategy:
    """The strategy itself, or for a centred model this one around it.

    measures: False: the model has its mean already, as it goes on from another one.
    """
    return Centring(strategy, measures) if spec.is_centred else strategy


@dataclass(frozen=True)
class Centring(Strategy):
    inner: Strategy
    measures: bool = True

    def plan(self, spec: Spec, boards: Sequence[BoardInfo], round_no: int) -> dict[str, Work]:
        works = self.inner.plan(spec.dense(), boards, round_no)
        if self.measures and round_no == 1:
            return {name: Work(layers=_MEAN, carry=work.carry) for name, work in works.items()}
        return {
            name: replace(work, layers=work.layers << 1, local=work.local << 1)
            for name, work in works.items()
        }

    def merger(self, spec: Spec) -> Merger:
        return CentringMerger(spec, self.inner.merger(spec))

    def start(self, spec: Spec) -> array[int]:
        return self.inner.start(spec)

    def selection(self) -> tuple[int, bool]:
        return self.inner.selection()

    def asks_all(self, round_no: int) -> bool:
        return self.measures and round_no == 1

    def alone(self) -> Strategy:
        return replace(self, inner=self.inner.alone())


class CentringMerger(Merger):
    """The inner merger; before it begins, a plain mean of layer 0, which it then starts from."""

    def __init__(self, spec: Spec, inner: Merger) -> None:
        super().__init__(spec)
        self._inner = inner
        self._measured = False  # this round
        self.clip, self.clips = inner.clip, inner.clips

    def compare(self, rule: Rule | None) -> None:
        super().compare(rule)
        self._inner.compare(rule)

    def weight(self, n_samples: int) -> int:
        return self._inner.weight(n_samples)

    def protect(self, privacy: Privacy, bits: Callable[[], Bits]) -> None:
        if privacy.noise:
            raise DataError("noise is not for rule centred, which learns a mean first: use another")
        super().protect(privacy, bits)
        self._inner.protect(privacy, bits)

    def add(self, update: Update, weight: int, board: str = "") -> None:
        if any(l == 0 for l, _, _ in update):
            self._measured = True
            super().add(update, weight, board)
        else:
            self._inner.add(update, weight, board)
            self.n_updates += 1

    def take_all(
        self, decoder: Decoder, updates: Sequence[Wire], boards: Sequence[str]
    ) -> dict[int, WireError]:
        if updates[0][1] & _MEAN:  # a round's updates are all of it, or none is
            self._measured = True
            return super().take_all(decoder, updates, boards)
        refused = self._inner.take_all(decoder, updates, boards)
        self.n_updates += len(updates) - len(refused)
        return refused

    def add_sums(
        self,
        layers: int,
        sums: Ints,
        weights: Sequence[int],
        norms: Ints,
        boards: Sequence[str] = (),
    ) -> None:
        if layers & _MEAN:
            self._measured = True
            super().add_sums(layers, sums, weights, norms, boards)
        else:
            self._inner.add_sums(layers, sums, weights, norms, boards)
            self.n_updates += len(weights)

    def drop(self) -> None:
        super().drop()
        self._inner.drop()
        self._measured = False

    def merge(self) -> array[int]:
        if self._measured:
            self._gather()
        else:
            self._inner.merge()
            self.opinions = self._inner.opinions
        if self._totals[0]:
            total, end = self._totals[0], self.spec.at(1)
            params = np.asarray(self._inner.params(), np.int64)
            moved = params[:end] + (2 * self._acc[:end] + total) // (2 * total)
            limit = self._limits[:end]
            params[:end] = np.clip(moved, -limit, limit)
            self._inner.start(array("h", params.astype("<i2").tobytes()))
        self.drop()
        return self.params()

    def start(self, params: array[int]) -> None:
        self._inner.start(params)

    def params(self) -> array[int]:
        return self._inner.params()

    def result(self) -> array[int]:
        return self._inner.result()

    def state(self) -> dict[str, Ints]:
        return self._inner.state()

    def restore(self, state: Mapping[str, Ints]) -> None:
        self._inner.restore(state)

    def _merge_layer(self, at: int, end: int, acc: Ints, total: int) -> None:
        raise AssertionError("merge() does it all")
