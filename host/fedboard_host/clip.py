"""Norm clip: no board moves a layer by more than a few times what boards usually do.

    norm    isqrt(sum of squares) of one update's changes of a layer
    bound   FACTOR times the median norm, of the boards that changed the layer at all
    longer  sign(v) * (|v| * bound // norm): the same direction, as long as the bound at most

Integers only, so the same on every machine and in whatever order updates arrive. Where updates are
summed as they come, the median is that of the round before (the first round has none); where they
are held until the round closes (robust), it is the round's own. Fewer than three boards have no
usual norm: then nothing is cut, and the bound stays what it was.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedboard.model import Spec
from fedboard_host import decode
from fedboard_host.decode import Integers

Ints = NDArray[np.int64]

FACTOR = 4
_LEAST = 3  # boards that make a median
_NOWHERE = array("i")


def norm(change: Integers) -> int:
    return math.isqrt(decode.squares(change))


def bound(norms: Sequence[int]) -> int:
    """The longest that boards of these norms may be; 0: too few to tell."""
    changed = sorted(n for n in norms if n)
    return FACTOR * changed[(len(changed) - 1) // 2] if len(changed) >= _LEAST else 0


def cut(change: Ints, length: int, most: int) -> Ints:
    """`change`, of norm `length` > `most`, made as long as `most`, each value toward zero."""
    short: Ints = np.sign(change) * (np.abs(change) * most // length)
    return short


Update = Sequence[tuple[int, Integers, Integers]]  # (layer, rising indices in it, changes)


def cut_update(update: Update, most: int) -> tuple[Update, bool]:
    """(the update, all its layers together no longer than `most`; whether it was cut)."""
    squares = sum(decode.squares(values) for _, _, values in update)
    if squares <= most * most:
        return update, False
    longer = math.isqrt(squares) + 1  # as isqrt rounds down
    short = [(l, i, cut(np.asarray(v, np.int64), longer, most)) for l, i, v in update]
    return short, True


def cut_whole(changes: Ints, most: int) -> None:
    """cut_update() of changes (boards, n_params) of all of a model, in place."""
    for change in changes:
        whole: Update = [(0, _NOWHERE, change)]
        change[:] = cut_update(whole, most)[0][0][2]


class NormClip:
    """The bounds of a model's layers from round to round, for updates that are summed at once."""

    def __init__(self, n_layers: int) -> None:
        self.bounds = [0] * n_layers  # 0: none yet
        self._norms: list[list[int]] = [[] for _ in range(n_layers)]  # of this round

    def measure(self, l: int, squares: Sequence[int]) -> list[int]:
        """Note changes of layer l, of which these are decode.squares(). Which are too long?"""
        lengths = list(map(math.isqrt, squares))
        self._norms[l] += lengths
        most = self.bounds[l]
        if not most or max(lengths) <= most:
            return []
        return [i for i, length in enumerate(lengths) if length > most]

    def excess(self, l: int, change: Integers) -> Ints:
        """What is to be taken off a change that is too long."""
        whole = np.asarray(change, np.int64)
        return whole - cut(whole, norm(change), self.bounds[l])

    def cut_rows(self, spec: Spec, changes: Ints) -> Ints:
        """Cut what is too long of changes (boards, n_params), in place; the norms that they had.

        Changes nothing here: threads may ask at once.
        """
        norms: Ints = np.zeros((len(changes), spec.n_layers), np.int64)
        for l, most in enumerate(self.bounds):
            layer = changes[:, spec.at(l) : spec.at(l + 1)]
            for b, change in enumerate(layer):
                norms[b, l] = norm(change)
                if most and norms[b, l] > most:
                    layer[b] = cut(change, int(norms[b, l]), most)
        return norms

    def note(self, l: int, norms: Sequence[int]) -> None:
        """These were the norms of boards that a simulator has cut by itself."""
        self._norms[l] += norms

    def close(self) -> None:
        """The round is merged: the next one's bounds follow from it."""
        for l, norms in enumerate(self._norms):
            self.bounds[l] = bound(norms) or self.bounds[l]
        self.drop()

    def drop(self) -> None:
        """The round's updates are forgotten."""
        self._norms = [[] for _ in self.bounds]
