"""Beside a demo's host, which reads only sums, one that is told all: do they find the same?

    clear = Clear(spec, strategy)
    clear.look(event, boards, checkpoint)      whatever is told; checkpoint: the host's by then
    clear.n_equal                              rounds after which both were the same

Compared are the model and all that a merger keeps, which has more bits than what boards get of it.
This looks into the boards, so they are those of this process: when a round closes, each still has
its update, as it has not heard that it was accepted. No mask is in what is read.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fedboard.mask import MaskedUpdate
from fedboard.model import Spec
from fedboard_host.checkpoints import Checkpoint
from fedboard_host.events import Event, RoundClosed
from fedboard_host.strategies.base import Strategy
from fedboard_host.virtual import VirtualBoard


class Clear:
    def __init__(self, spec: Spec, strategy: Strategy) -> None:
        self.n_equal = 0
        self._spec = spec
        self._merger = strategy.merger(spec)
        self._merger.start(strategy.start(spec))

    def look(self, event: Event, boards: Iterable[VirtualBoard], host: Checkpoint) -> None:
        if not isinstance(event, RoundClosed):
            return
        self._merge([board.board.learner.update for board in boards])
        same = self._merger.params() == host.params and self._merger.result() == host.result
        for name, kept in self._merger.state().items():
            same = same and np.array_equal(kept, host.state[name])
        self.n_equal += same

    def _merge(self, updates: Iterable[MaskedUpdate]) -> None:
        spec = self._spec
        sums = np.zeros(spec.n_params, np.int64)
        n = 0
        for update in updates:
            n += 1
            for i, value in update.changes():
                sums[i] += value
        norms = np.zeros((n, spec.n_layers), np.int64)  # as the host, which does not know them
        self._merger.add_sums((1 << spec.n_layers) - 1, sums, [1] * n, norms)
        self._merger.merge()
