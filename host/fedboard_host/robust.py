"""Merging that a few bad boards cannot spoil: rules that compare a round's updates.

    mean           no rule: all count, summed as they come in, memory O(model)         1 update
    median         of each parameter, over the boards (Yin et al., 2018)               3
    trimmed-mean   of each parameter, without the `faulty` highest and lowest          2 faulty + 1
    multi-krum     the mean of the n - faulty updates that are closest to their
                   neighbours (Blanchard et al., 2017)                                 2 faulty + 3

`faulty` is the number of bad boards that are reckoned with. What a board did not send counts as no
change, 0: so where each sends its own largest few percent, the median of most parameters is 0.
Boards count alike, as what they say of their samples may be a lie, too. A layer that fewer boards
trained than a rule needs stays as it is in that round.

A round's updates are held until it closes: 4 bytes an entry, and 4 for its index where not all are
sent. So a round asks at_most() boards. All in integers: the order of arrival changes nothing.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedboard import DataError
from fedboard.cohort import LEAST, MOST
from fedboard.model import Spec
from fedboard_host import clip
from fedboard_host.clip import Ints, Update
from fedboard_host.privacy import Privacy

KINDS = ("mean", "median", "trimmed-mean", "multi-krum")
MAX_FAULTY = 100
MAX_HELD_BYTES = 1 << 28
_MAX_BOARDS = 1024  # each is compared with each
_BLOCK = 1 << 14  # parameters at a time: sums of their products are exact in float64


@dataclass(frozen=True)
class Merging:
    """How updates become one change. Raises DataError for what is none.

    secure: the host gets masked updates, of which it can only read the sum: see secret.
    privacy: noise in the mean: see privacy.
    """

    kind: str = "mean"
    faulty: int = 1
    secure: bool = False
    privacy: Privacy = field(default_factory=Privacy)

    def __post_init__(self) -> None:
        if self.privacy.noise and (self.kind != "mean" or self.secure):
            other = "secure = true" if self.secure else f"merge = {self.kind}"
            raise DataError(
                f"noise is for the plain mean of updates that the host can clip, {other} has none: "
                "choose one of the two"
            )
        if self.kind not in KINDS:
            raise DataError(f"merge = {self.kind}: use one of {', '.join(KINDS)}")
        if not 1 <= self.faulty <= MAX_FAULTY:
            raise DataError(f"faulty = {self.faulty}: use 1 to {MAX_FAULTY}")
        if self.secure and self.kind != "mean":
            raise DataError(
                f"merge = {self.kind} compares boards' updates, and secure = true hides them from "
                "the host: choose one of the two"
            )

    @property
    def least(self) -> int:
        """The updates that a round needs."""
        if self.kind == "mean":
            return LEAST if self.secure else 1
        return max(
            3, 2 * self.faulty + {"median": 1, "trimmed-mean": 1, "multi-krum": 3}[self.kind]
        )

    def check(self, n_updates: int, remedy: str) -> None:
        """Raise DataError if so many updates a round are too few for it."""
        if n_updates < self.least:
            what = "secure = true" if self.secure else f"merge = {self.kind}"
            if not self.secure:
                what += f" with faulty = {self.faulty}"
            raise DataError(
                f"{what} needs {self.least} updates a round, not {n_updates}: {remedy}"
            )

    def rule(self, spec: Spec) -> Rule | None:
        """None: the mean, which needs no comparing."""
        return None if self.kind == "mean" else _RULES[self.kind](spec, self)

    def at_most(self, spec: Spec) -> int:
        """The boards that a round can have: whose updates fit into memory; 0: any number."""
        if self.kind == "mean":
            return MOST if self.secure else 0
        return max(self.least, min(_MAX_BOARDS, MAX_HELD_BYTES // (8 * spec.n_params)))


@dataclass(frozen=True)
class Opinion:
    """What a merge found about one board's update."""

    board: str
    clipped: bool = False  # some layer's change was longer than boards' usually are
    rejected: bool = False  # multi-krum left it out
    # 1000 times the cosine to the sum of the others' changes; None: nothing to compare with
    agreement: int | None = None


@dataclass
class _Held:
    """One update: by layer, where its changes are (None: everywhere) and what they are."""

    board: str
    parts: dict[int, tuple[NDArray[np.int32] | None, NDArray[np.int32]]]
    clipped: bool = False


class Rule(ABC):
    """Holds the updates of one round: add() each, then close()."""

    def __init__(self, spec: Spec, merging: Merging) -> None:
        self.spec = spec
        self.merging = merging
        self._held: list[_Held] = []
        self._starved: list[int] = []  # layers that too few boards trained

    @property
    def is_full(self) -> bool:
        return len(self._held) >= self.merging.at_most(self.spec)

    def add(self, board: str, update: Update) -> None:
        parts: dict[int, tuple[NDArray[np.int32] | None, NDArray[np.int32]]] = {}
        for l, indices, values in update:
            where = None
            if len(indices) < self.spec.n_layer_params(l):
                where = np.array(indices, np.int32)
            parts[l] = where, np.array(values, np.int32)
        self._held.append(_Held(board, parts))

    def drop(self) -> None:
        self._held = []

    def check(self) -> str:
        """Which layers the last round left as they were, and why; "": none."""
        if not self._starved:
            return ""
        layers = ", ".join(str(l) for l in self._starved)
        return (
            f"layers {layers} stay as they were: {self.merging.kind} needs updates of "
            f"{self.merging.least} boards to each"
        )

    def close(self) -> tuple[Ints, list[int], list[Opinion]]:
        """(sums (n_params,), by layer what to divide them by, opinions); forgets the updates.

        Where the divisor is 0 the layer stays as it is.
        """
        held = sorted(self._held, key=lambda one: one.board)
        self._held = []
        self._clip(held)
        products = self._products(held)
        self._look(held, products)
        sums: Ints = np.zeros(self.spec.n_params, np.int64)
        totals = [0] * self.spec.n_layers
        self._starved = []
        for l in range(self.spec.n_layers):
            mine = [one for one in held if l in one.parts]
            if 0 < len(mine) < self.merging.least:
                self._starved.append(l)
            elif mine:
                for at, rows in self._blocks(mine, l):
                    found, totals[l] = self._combine(rows, mine)
                    sums[at : at + rows.shape[1]] = found
        return sums, totals, self._opinions(held, products)

    def _look(self, held: list[_Held], products: list[list[int]]) -> None:
        """Before anything is combined: products[i][j] of updates i and j."""
        return None

    @abstractmethod
    def _combine(self, rows: Ints, held: list[_Held]) -> tuple[Ints, int]:
        """(sums (width,), what to divide them by) of rows (boards, width), one for each `held`."""

    def _is_rejected(self, one: _Held) -> bool:
        return False

    def _clip(self, held: list[_Held]) -> None:
        for l in range(self.spec.n_layers):
            mine = [one for one in held if l in one.parts]
            norms = [clip.norm(one.parts[l][1]) for one in mine]
            most = clip.bound(norms)
            for one, length in zip(mine, norms, strict=True):
                if most and length > most:
                    where, values = one.parts[l]
                    short = clip.cut(values.astype(np.int64), length, most)
                    one.parts[l] = where, short.astype(np.int32)
                    one.clipped = True

    def _products(self, held: list[_Held]) -> list[list[int]]:
        """The inner products of all updates with each other, exactly."""
        total = np.zeros((len(held), len(held)), np.int64)
        for l in range(self.spec.n_layers):
            for _, rows in self._blocks(held, l):
                real = rows.astype(np.float64)  # below 2**17: sums of _BLOCK products below 2**53
                total += (real @ real.T).astype(np.int64)
        products: list[list[int]] = total.tolist()
        return products

    def _blocks(self, held: list[_Held], l: int) -> Iterator[tuple[int, Ints]]:
        """(where, rows (boards, width)) of a layer; what a board did not send is 0."""
        start, n = self.spec.at(l), self.spec.n_layer_params(l)
        for low in range(0, n, _BLOCK):
            high = min(n, low + _BLOCK)
            rows: Ints = np.zeros((len(held), high - low), np.int64)
            for row, one in zip(rows, held, strict=True):
                if l not in one.parts:
                    continue
                where, values = one.parts[l]
                if where is None:
                    row[:] = values[low:high]
                else:
                    first, end = np.searchsorted(where, (low, high))
                    row[where[first:end] - low] = values[first:end]
            yield start + low, rows

    def _opinions(self, held: list[_Held], products: list[list[int]]) -> list[Opinion]:
        by_board = [sum(row) for row in products]
        everything = sum(by_board)
        found = []
        for i, one in enumerate(held):
            own = products[i][i]
            others = everything - 2 * by_board[i] + own  # |sum of the others|**2
            scale = math.isqrt(own * others)
            agreement = 1000 * (by_board[i] - own) // scale if scale else None
            found.append(Opinion(one.board, one.clipped, self._is_rejected(one), agreement))
        return found


class Median(Rule):
    """Of an even number of boards the mean of the middle two."""

    def _combine(self, rows: Ints, held: list[_Held]) -> tuple[Ints, int]:
        n = len(rows)
        rows = np.sort(rows, axis=0)
        return rows[(n - 1) // 2] + rows[n // 2], 2


class TrimmedMean(Rule):
    def _combine(self, rows: Ints, held: list[_Held]) -> tuple[Ints, int]:
        n, faulty = len(rows), self.merging.faulty
        kept = np.sort(rows, axis=0)[faulty : n - faulty]
        return kept.sum(axis=0), n - 2 * faulty


class MultiKrum(Rule):
    """An update's score is the sum of its squared distances to the n - faulty - 2 closest."""

    def __init__(self, spec: Spec, merging: Merging) -> None:
        super().__init__(spec, merging)
        self._chosen: set[int] = set()  # ids of the updates that count

    def _look(self, held: list[_Held], products: list[list[int]]) -> None:
        n = len(held)
        n_close = max(1, n - self.merging.faulty - 2)
        scores = []
        for i in range(n):
            distances = sorted(
                products[i][i] - 2 * products[i][j] + products[j][j] for j in range(n) if j != i
            )
            scores.append((sum(distances[:n_close]), i))
        best = sorted(scores)[: max(1, n - self.merging.faulty)]
        self._chosen = {id(held[i]) for _, i in best}

    def _combine(self, rows: Ints, held: list[_Held]) -> tuple[Ints, int]:
        chosen = [id(one) in self._chosen for one in held]
        return rows[chosen].sum(axis=0), sum(chosen)

    def _is_rejected(self, one: _Held) -> bool:
        return id(one) not in self._chosen


_RULES: dict[str, type[Rule]] = {
    "median": Median,
    "trimmed-mean": TrimmedMean,
    "multi-krum": MultiKrum,
}
