"""Many float networks at once: mlp.Network with a leading axis of lanes, for meta-learning studies.

A lane is a seed, a task or a setting. All lanes take the same steps with their own weights, inputs
and rates, so the cost of a NumPy call is shared, and a study of a million steps takes a minute.

    params  float32 (lanes, n_params), laid out as model.Spec says; weights[l], biases[l] view it
    learn() x (lanes, n_in) or a batch (lanes, batch, n_in); one step of each lane, as
            mlp.Network.learn() takes it, equal up to float32 rounding
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedboard import DataError
from fedboard.mlp import HIDDEN, LOSSES, WIRE_BITS
from fedboard.model import Spec, init_params, new_params

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class FloatFleet:
    """`lanes` networks of one shape. params: zeros at first."""

    def __init__(self, spec: Spec, lanes: int, loss: str = "squared", hidden: str = "tanh") -> None:
        if loss not in LOSSES or hidden not in HIDDEN:
            raise DataError(f"no loss '{loss}' with '{hidden}': see mlp.LOSSES and mlp.HIDDEN")
        self.spec = spec
        self.lanes = lanes
        self._softmax = loss == "softmax"
        self._tanh = hidden == "tanh"
        self.params: Floats = np.zeros((lanes, spec.n_params), np.float32)
        self.weights: list[Floats] = []
        self.biases: list[Floats] = []
        self._step: list[Floats] = []
        for l in range(spec.n_layers):
            n_in, n_out = spec.shape(l)
            at = spec.at(l)
            bias_at = at + n_in * n_out
            self.weights.append(self.params[:, at:bias_at].reshape(lanes, n_out, n_in))
            self.biases.append(self.params[:, bias_at : bias_at + n_out])
            self._step.append(np.empty((lanes, n_out, n_in), np.float32))

    def rates(self, rate: float | Sequence[float], layers: int = 0) -> Floats:
        """Rates (lanes, n_layers) for learn(): of all lanes, or of each. layers: a mask, 0: all."""
        rates = np.empty((self.lanes, self.spec.n_layers), np.float32)
        rates[:] = np.reshape(np.asarray(rate, np.float32), (-1, 1))
        for l in range(self.spec.n_layers):
            if layers and not layers >> l & 1:
                rates[:, l] = 0
        return rates

    def predict(self, x: Floats) -> Floats:
        """The outputs (lanes, batch, n_out) for x (lanes, batch, n_in)."""
        return self._forward(x)[-1]

    def learn(self, x: Floats, target: NDArray[Any], rates: Floats) -> None:
        """One step of every lane: on one sample each, or on the mean of a batch each.

        target: squared (lanes[, batch], n_out); softmax: classes, int64 (lanes[, batch]).
        rates: float32 (lanes, n_layers); 0 freezes a layer.
        """
        if x.ndim == 2:
            self._learn_one(x, target, rates)
            return
        a = self._forward(x)
        d = self._deltas(a[-1], target)
        d *= np.float32(1 / x.shape[1])
        for l in range(self.spec.n_layers - 1, -1, -1):
            back = d @ self.weights[l] if l else d
            d *= rates[:, l, None, None]
            step = np.matmul(d.transpose(0, 2, 1), a[l], out=self._step[l])
            self.weights[l] -= step
            self.biases[l] -= d.sum(axis=1)
            if l:
                d = self._sloped(a[l], back)

    def _learn_one(self, x: Floats, target: NDArray[Any], rates: Floats) -> None:
        """The same for one sample a lane, in fewer and smaller steps: this is the hot path."""
        a = [x]
        last = self.spec.n_layers - 1
        for l in range(last + 1):
            z = np.matmul(self.weights[l], a[l][:, :, None])[:, :, 0]
            z += self.biases[l]
            a.append(self._activated(z) if l < last else z)
        d = self._deltas(a[-1], target)
        for l in range(last, -1, -1):
            back = np.matmul(d[:, None, :], self.weights[l])[:, 0, :] if l else d
            d *= rates[:, l, None]
            step = np.multiply(d[:, :, None], a[l][:, None, :], out=self._step[l])
            self.weights[l] -= step
            self.biases[l] -= d
            if l:
                d = self._sloped(a[l], back)

    def _forward(self, x: Floats) -> list[Floats]:
        a = [x]
        last = self.spec.n_layers - 1
        for l in range(last + 1):
            z = a[l] @ self.weights[l].transpose(0, 2, 1)
            z += self.biases[l][:, None, :]
            a.append(self._activated(z) if l < last else z)
        return a

    def _activated(self, z: Floats) -> Floats:
        """The hidden activation, in place."""
        return np.tanh(z, out=z) if self._tanh else np.maximum(z, 0, out=z)

    def _sloped(self, a: Floats, d: Floats) -> Floats:
        """d times the activation's derivative, in place."""
        d *= 1 - a * a if self._tanh else a > 0
        return d

    def _deltas(self, out: Floats, target: NDArray[Any]) -> Floats:
        """The gradient of the loss at the outputs."""
        d: Floats
        if not self._softmax:
            d = out - target
            d *= 2
            return d
        d = np.exp(out - out.max(axis=-1, keepdims=True))
        d /= d.sum(axis=-1, keepdims=True)
        right = target[..., None]
        np.put_along_axis(d, right, np.take_along_axis(d, right, -1) - 1, -1)
        return d

    def load(self, image: Ints) -> None:
        """The parameters = a wire image, integers (n_params,) or (lanes, n_params)."""
        np.multiply(image, 1 / (1 << WIRE_BITS), out=self.params, casting="unsafe")

    def store(self) -> Ints:
        """The wire image, (lanes, n_params), as mlp.Network.store() makes it."""
        if not np.isfinite(self.params).all():
            raise DataError("the weights diverged: lower the learning rate")
        scaled = np.floor(self.params.astype(np.float64) * (1 << WIRE_BITS) + 0.5)
        return np.clip(scaled, -32767, 32767).astype(np.int64)


def start_images(sizes: Sequence[int], seeds: Sequence[int]) -> Ints:
    """The wire images (seeds, n_params) of the start values that model.init_params() gives."""
    rows = []
    for seed in seeds:
        spec = Spec(sizes, seed=seed)
        params = new_params(spec)
        init_params(spec, params)
        rows.append(np.asarray(params, np.int64))
    return np.stack(rows)
