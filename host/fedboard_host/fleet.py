"""Many boards of one integer network, vectorised: the same bits as fedboard.dfa.Network, in bulk.

A Fleet is a block of boards that take the same steps at once, each with its own parameters and
samples. Its parameters lie in `lanes`, float32 (boards, n_params) that hold integers: by layer
(n_in + 1, n_out), the weights transposed and the biases as the last row, which a constant input
multiplies. pack() and unpack() turn them into the order of model.Spec and back.

A block's boards share the cost of NumPy's calls. How the products stay exact: see fleet_layer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedboard import StateError
from fedboard.model import CENTRE_BITS, Spec
from fedboard_host import fleet_rules
from fedboard_host.dataset import Set
from fedboard_host.fleet_layer import Layer
from fedboard_host.fleet_rules import Buffers, Classes, Floats, Reals, Step
from fedboard_host.fleet_squeeze import Features, TooFar, squeeze

Words = NDArray[np.int16]

_BLOCK_PARAMS = 1 << 17  # of a block of boards: about what a core's cache holds
_LEAST_BLOCK = 8
_JUDGED = 500  # samples at a time
_HALF = 1 << CENTRE_BITS - 1


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
        self.lanes: Floats = np.zeros((boards, spec.n_params), np.float32)
        self._feedback = self.rule.feedback()
        self._layers = []
        for l in range(dense.n_layers):
            n_in, n_out = dense.shape(l)
            w = self.lanes[:, dense.at(l) : dense.at(l + 1)].reshape(boards, n_in + 1, n_out)
            limit = dense.limit(l) if clamped else 0
            self._layers.append(Layer(w, self.rule.bias_input(l), limit))
        self._order = _lane_order(spec)
        self._buffers = Buffers()

    def load(self, lanes: NDArray[np.generic]) -> None:
        """All boards' lanes = `lanes`, (n_params,) or (boards, n_params)."""
        self.lanes[:] = lanes
        self.touched()

    def touched(self) -> None:
        """Somebody else wrote into `lanes`."""
        for layer in self._layers:
            layer.touched()

    def changes(self, lanes: Floats) -> Floats:
        """How far all boards are from `lanes` (n_params,); good until asked again."""
        changes: Floats = self._buffers.get("changes", self.lanes.shape, np.float32)
        return np.subtract(self.lanes, lanes, out=changes)

    def pack(self, params: NDArray[np.generic]) -> NDArray[np.generic]:
        """Parameters (..., n_params) in the order of the lanes."""
        return np.take(params, self._order, axis=-1)

    def unpack(self, lanes: NDArray[np.generic]) -> NDArray[np.generic]:
        """Lanes (..., n_params) in model.Spec's order."""
        params = np.empty_like(lanes)
        params[..., self._order] = lanes
        return params

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
            means = self._measured(x, lengths) if layers & 1 else None
            mask >>= 1
            if mask:
                self._learn_rows(self._centred(x), y, batch, mask, step, lengths)
            if means is not None:
                self.lanes[:, : x.shape[2]] = means
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
        n = x.shape[1]
        squeezed = squeeze(self._layers[0], x) if n > batch else None
        if squeezed is not None:
            first, self._layers[0] = self._layers[0], squeezed
            rest = self.lanes[:, self._dense.at(1) :].copy()
            try:
                self._learn_all(squeezed.gather(x), y, batch, mask, step, lengths)
                squeezed.finish()
                return
            except TooFar:
                self.lanes[:, self._dense.at(1) :] = rest
            finally:
                self._layers[0] = first
                self.touched()
        self._learn_all(x, y, batch, mask, step, lengths)

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
        seen = self._centred(x) if self.spec.is_centred else x
        found: Classes = self._forward(seen)[0].argmax(axis=2)
        return found

    def _centred(self, x: Features) -> Features:
        """As fedboard.centre: less the mean in the parameters."""
        mean = (self.lanes[:, None, : x.shape[2]].astype(np.int64) + _HALF) >> CENTRE_BITS
        seen: Features = np.clip(x - mean, -127, 127).astype(np.int8)
        return seen

    def _measured(self, x: Features, lengths: NDArray[np.int64] | None) -> NDArray[np.int64]:
        """The mean over each board's samples, (boards, n_in), as centre.Network measures it."""
        n = np.full(len(x), x.shape[1]) if lengths is None else lengths
        live = np.arange(x.shape[1]) < n[:, None]
        sums = (x * live[:, :, None].astype(np.int64)).sum(axis=1)
        n = n[:, None]
        limit = self.spec.limit(0)
        means: NDArray[np.int64] = ((sums << CENTRE_BITS) + (n >> 1)) // n
        return np.clip(means, -limit, limit)

    def hidden(self, x: Features) -> Floats:
        """The first hidden layer's activations (boards, samples, units), as integers.

        They are good until it is asked again.
        """
        seen = self._centred(x) if self.spec.is_centred else x
        return self.rule.activate(self._layers[0].forward(seen), 0)[0]

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


class FleetJudge:
    """judge(params) -> the share of these samples that a model classifies right."""

    def __init__(self, spec: Spec, samples: Set, clamped: bool = True) -> None:
        self._fleet = Fleet(spec, 1, clamped)
        self._samples = samples

    def __call__(self, params: NDArray[np.generic]) -> float:
        self._fleet.load(self._fleet.pack(params))
        n_correct = 0
        for at in range(0, len(self._samples), _JUDGED):
            found = self._fleet.predict(self._samples.x[None, at : at + _JUDGED])[0]
            n_correct += int((found == self._samples.y[at : at + _JUDGED]).sum())
        return n_correct / len(self._samples)


def _lane_order(spec: Spec) -> NDArray[np.intp]:
    """Where each place in the lanes comes from."""
    order = []
    for l in range(spec.n_layers):
        n_in, n_out = spec.shape(l)
        at = np.arange(spec.at(l), spec.at(l + 1))
        weights = at[: n_in * n_out].reshape(n_out, n_in).T
        order += [weights.ravel(), at[n_in * n_out :]]
    return np.concatenate(order)
