"""Many boards of one integer network, vectorised: the same bits as fedboard.dfa.Network, in bulk.

A Fleet is a block of boards that take the same steps at once, each with its own parameters and
samples. Its parameters lie in `lanes`, float32 (boards, n_params) that hold integers: by layer
(n_in + 1, n_out), the weights transposed and the biases as the last row, which a constant input
multiplies. pack() and unpack() turn them into the order of model.Spec and back.

A block's boards share the cost of NumPy's calls. How the products stay exact: see fleet_layer.
After a load() of one model for all its copies are only made where somebody asks for them: a round's
boards may learn and be summed without.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fedboard import StateError
from fedboard.model import Spec
from fedboard_host import fleet_compiled, fleet_lanes, fleet_rules
from fedboard_host.fleet_centre import centred, measured
from fedboard_host.fleet_compiled import Compiled
from fedboard_host.fleet_layer import Layer
from fedboard_host.fleet_rules import Buffers, Classes, Floats, Reals, Step
from fedboard_host.fleet_squeeze import Features, SqueezedLayer, TooFar, squeeze

Words = NDArray[np.int16]

_BLOCK_PARAMS = 1 << 17  # of a block of boards: about what a core's cache holds
_LEAST_BLOCK = 8


def boards_in_a_block(spec: Spec) -> int:
    """How many boards one Fleet best has."""
    return max(_LEAST_BLOCK, _BLOCK_PARAMS // spec.n_params)


class Fleet:
    """`boards` networks. clamped=False: as TIFeD's published code, without any clamps."""

    def __init__(self, spec: Spec, boards: int, clamped: bool = True) -> None:
        self.spec = spec
        self.boards = boards
        self._dense = dense = spec.dense()
        self.rule = fleet_rules.make(dense, clamped)
        self._lanes: Floats = np.zeros((boards, spec.n_params), np.float32)
        self._feedback = self.rule.feedback()
        self._layers = []
        for l in range(dense.n_layers):
            n_in, n_out = dense.shape(l)
            w = self._lanes[:, dense.at(l) : dense.at(l + 1)].reshape(boards, n_in + 1, n_out)
            limit = dense.limit(l) if clamped else 0
            self._layers.append(Layer(w, self.rule.bias_input(l), limit))
        # What the first layer is, where its `w` is behind: all boards' common start, or learned.
        self._start: Floats | None = None
        self._learned: SqueezedLayer | None = None
        self._compiled = fleet_compiled.make(self.rule, boards, clamped)
        self._ahead: Compiled | None = None  # if so, all `w` are behind it
        self._travel = 0.0  # up to when they caught up
        self._buffers = Buffers()

    @property
    def lanes(self) -> Floats:
        """Whoever writes into them calls touched() then."""
        self._catch_up()
        return self._lanes

    def _catch_up(self) -> None:
        """Write what the layers are into their `w`."""
        first = self._layers[0]
        if self._ahead is not None:
            self._travel += self._ahead.travel
            self._lanes[:] = self._ahead.words
            for layer in self._layers:
                layer.touched()
        elif self._learned is not None:
            self._learned.finish(first.w)
            self._travel += self._learned.travel
            first.touched()
        elif self._start is not None:
            first.w[:] = self._start
            first.survey(self._start, first.pieces)
        self._learned = self._start = self._ahead = None

    def load(self, lanes: NDArray[np.generic]) -> None:
        """All boards' lanes = `lanes`, (n_params,) or (boards, n_params).

        Float32 (n_params,) may not change until the next load().
        """
        first = self._layers[0]
        self._learned = self._start = self._ahead = None
        if lanes.ndim == 1 and lanes.dtype == np.float32 and first.is_large:
            begin, end = self._dense.at(0), self._dense.at(1)
            self._start = np.asarray(lanes[begin:end], np.float32).reshape(1, *first.w.shape[1:])
            self._lanes[:, :begin] = lanes[:begin]
            self._lanes[:, end:] = lanes[end:]
        else:
            self._lanes[:] = lanes
        self.touched()
        self._travel = 0.0

    def touched(self) -> None:
        """Somebody else wrote into `lanes`."""
        self._travel = math.inf
        for layer in self._layers:
            layer.touched()

    def changes(self, lanes: Floats) -> Floats:
        """How far all boards are from `lanes` (n_params,); good until asked again."""
        changes: Floats = self._buffers.get("changes", self._lanes.shape, np.float32)
        return np.subtract(self.lanes, lanes, out=changes)

    @property
    def travel(self) -> float:
        """No parameter has moved further since the last load()."""
        if self._ahead is not None:
            return self._travel + self._ahead.travel
        first = self._learned or self._layers[0]
        return self._travel + max(layer.travel for layer in (first, *self._layers[1:]))

    def summed_changes(self, lanes: Floats) -> NDArray[np.int64]:
        """How far all boards are from `lanes` (n_params,), added up; in model.Spec's order.

        At most 512 boards.
        """
        if self._ahead is not None:
            return self._ahead.summed_changes(lanes.astype(np.int16))
        total: Floats = self._buffers.get("summed", (self.spec.n_params,), np.float32)
        if self._learned is None:
            np.add.reduce(self.lanes, axis=0, out=total)
        else:
            begin, end = self._dense.at(0), self._dense.at(1)
            self._learned.summed(total[begin:end].reshape(self._layers[0].w.shape[1:]))
            for part in (slice(begin), slice(end, None)):
                np.add.reduce(self._lanes[:, part], axis=0, out=total[part])
        total -= np.float32(self.boards) * lanes
        return self.unpack(total)

    def pack(self, params: NDArray[np.generic]) -> Floats:
        """Parameters (..., n_params) in the order of the lanes."""
        return fleet_lanes.pack(self.spec, params)

    def unpack(self, lanes: NDArray[np.generic]) -> NDArray[np.int64]:
        """Lanes (..., n_params) in model.Spec's order."""
        return fleet_lanes.unpack(self.spec, lanes)

    def learn(
        self,
        x: Features,
        y: Classes,
        batch: int = 1,
        layers: int = 0,
        rate: int = 0,
        lengths: NDArray[np.int64] | None = None,
    ) -> None:
        """Each board learns its row of samples in order, `batch` a step (the last may have less).

        x int8 (boards, samples, n_in), y (boards, samples); lengths (boards,): a row's samples
        that count, the others are padding. layers: mask, 0: all. rate: 0: the rule's own.
        """
        if x.shape != (self.boards, x.shape[1], self.spec.sizes[0]) or y.shape != x.shape[:2]:
            raise StateError(f"x {x.shape} and y {y.shape} are not {self.boards} boards' samples")
        mask = layers or (1 << self.spec.n_layers) - 1
        step = self.rule.step(rate)
        if self.spec.is_centred:
            means = measured(x, lengths, self.spec.limit(0)) if layers & 1 else None
            mask >>= 1
            if mask:
                self._learn_rows(centred(x, self._lanes), y, batch, mask, step, lengths)
            if means is not None:
                self._lanes[:, : x.shape[2]] = means
                self._travel = math.inf
        else:
            self._learn_rows(x, y, batch, mask, step, lengths)

    def _learn_rows(
        self,
        x: Features,
        y: Classes,
        batch: int,
        mask: int,
        step: Step,
        lengths: NDArray[np.int64] | None,
    ) -> None:
        compiled = self._compiled
        if compiled is not None and compiled.suits(x, y, batch, step):
            words = self._words()
            self._travel = self.travel
            compiled.learn(words, x, y, batch, mask, step, lengths)
            self._ahead = compiled
            return
        if self._learned is not None or self._ahead is not None:
            self._catch_up()
        first = self._layers[0]
        start = first.w if self._start is None else self._start
        squeezed = squeeze(first, start, x) if x.shape[1] > batch else None
        if squeezed is not None:
            rest = self._lanes[:, self._dense.at(1) :].copy()
            self._layers[0] = squeezed
            try:
                self._learn_all(squeezed.gather(x), y, batch, mask, step, lengths)
                self._learned = squeezed
                return
            except TooFar:
                self._lanes[:, self._dense.at(1) :] = rest
                self.touched()
            finally:
                self._layers[0] = first
                first.pieces = squeezed.pieces
        self._catch_up()
        self._learn_all(x, y, batch, mask, step, lengths)

    def _words(self) -> Words:
        """What boards have, (boards, n_params), or (1, n_params) if it is the same."""
        if self._ahead is not None:
            return self._ahead.words
        if self._start is None or self._learned is not None:
            return self.lanes.astype(np.int16)
        words: Words = self._buffers.get("words", (1, self.spec.n_params), np.int16)
        begin, end = self._dense.at(0), self._dense.at(1)
        for part, known in (
            (slice(begin), self._lanes[:1, :begin]),
            (slice(begin, end), self._start.reshape(1, -1)),
            (slice(end, None), self._lanes[:1, end:]),
        ):
            np.copyto(words[:, part], known, casting="unsafe")
        return words

    def _learn_all(
        self,
        x: Features,
        y: Classes,
        batch: int,
        mask: int,
        step: Step,
        lengths: NDArray[np.int64] | None,
    ) -> None:
        n = x.shape[1]
        for at in range(0, n, batch):
            end = min(n, at + batch)
            live = None
            if lengths is not None and (lengths < end).any():
                live = (np.arange(at, end) < lengths[:, None]).astype(np.float32)
                if not live.any():
                    break
            self._learn(x[:, at:end], y[:, at:end], mask, step, live)

    def predict(self, x: Features) -> Classes:
        """Classes (boards, samples) for x (boards, samples, n_in); the first of equals."""
        found: Classes = self.logits(x).argmax(axis=2)
        return found

    def logits(self, x: Features) -> Reals:
        """What classes follow from, (boards, samples, classes)."""
        return self._forward(self._seen(x))[0]

    def hidden(self, x: Features) -> Floats:
        """The first hidden layer's activations (boards, samples, units), until asked again."""
        return self.rule.activate(self._layers[0].forward(self._seen(x)), 0)[0]

    def _seen(self, x: Features) -> Features:
        self._catch_up()
        return centred(x, self._lanes) if self.spec.is_centred else x

    def _forward(self, x: Features) -> tuple[Reals, list[Floats]]:
        """(logits, every layer's slopes)."""
        last = self._dense.n_layers - 1
        slopes = []
        source: Features | Floats = x
        for l in range(last):
            acc = self._layers[l].forward(source)
            source, slope = self.rule.activate(acc, l)
            slopes.append(slope)
        out, slope = self.rule.output(self._layers[last].forward(source))
        return out, [*slopes, slope]

    def _learn(self, x: Features, y: Classes, mask: int, step: Step, live: Floats | None) -> None:
        out, slopes = self._forward(x)
        e, d = self.rule.errors(out, y, slopes[-1])
        if live is not None:
            e *= live[:, :, None]
            d = d if d is e else d * live[:, :, None]
        deltas = self._deltas(e, d, slopes, mask)
        for l, own in deltas.items():
            self._layers[l].update(own, step)

    def _deltas(self, e: Floats, d: Floats, slopes: list[Floats], mask: int) -> dict[int, Floats]:
        """Of the layers that are trained, all of them from the weights as they are."""
        last = self._dense.n_layers - 1
        lowest = (mask & -mask).bit_length() - 1
        deltas = {last: d}
        for l in range(last - 1, lowest - 1, -1):
            if self._feedback:
                deltas[l] = self.rule.spread(e, self._feedback[l], slopes[l])
            else:
                deltas[l] = self.rule.gate(self._layers[l + 1].backward(deltas[l + 1]), slopes[l])
        return {l: own for l, own in deltas.items() if mask >> l & 1}
