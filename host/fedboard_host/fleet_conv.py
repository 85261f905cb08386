"""Many convolutional networks at once in NumPy: ConvFleet in integers, FloatConvFleet in floats.

One lane is one board, all lanes have the same shape. ConvFleet equals fedboard.conv bit for bit:
its integers are held in float64, which is exact to 2**53, since BLAS multiplies nothing else fast;
in float32 where all sums stay below 2**24. Each learn() is one sample a lane.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from fedboard import ckernels, kernels
from fedboard.conv import DEFAULT_RATE, ERROR_BITS, FIRST_SHIFT
from fedboard.model import ERROR_LIMIT, KERNEL, STRIDE, Spec

Array = NDArray[Any]
_BACK = 1 << ckernels.BACK_SHIFT
_WEIGHT = 1 << ckernels.WEIGHT_BITS


class _Fleet:
    """Geometry and buffers. params: (lanes, n_params); what learns sees them as matrices."""

    def __init__(self, spec: Spec, lanes: int, dtype: Any) -> None:
        self.spec = spec
        self.lanes = lanes
        self.params = np.zeros((lanes, spec.n_params), dtype)
        self._w: list[Array] = []  # (lanes, n_out, n_in) and (lanes, 1, n_out): views of params
        self._b: list[Array] = []
        self._steps: list[Array] = []
        for l in range(spec.n_layers):
            n_in, n_out = spec.shape(l)
            at = spec.at(l)
            self._w.append(self.params[:, at : at + n_in * n_out].reshape(lanes, n_out, n_in))
            self._b.append(self.params[:, at + n_in * n_out : spec.at(l + 1)][:, None])
            self._steps.append(np.zeros((lanes, n_out, n_in), dtype))
        self._images: list[Array] = []
        self._windows: list[Array] = []
        self._x: list[Array] = []  # each layer's inputs: (lanes, positions, n_in)
        self._a: list[Array] = []  # its activations: (lanes, positions, n_out)
        self._back: list[Array] = []
        for l in range(spec.n_conv):
            side, to = spec.sides[l], spec.sides[l + 1]
            channels = spec.sizes[l] if l else 1
            image = np.zeros((lanes, side, side, channels), dtype)
            lane, row, column, channel = image.strides
            self._images.append(image)
            self._windows.append(
                as_strided(
                    image,
                    (lanes, to, to, KERNEL, KERNEL, channels),
                    (lane, STRIDE * row, STRIDE * column, row, column, channel),
                )
            )
            self._back.append(np.zeros_like(image))
            self._x.append(np.zeros((lanes, to * to, KERNEL * KERNEL * channels), dtype))
        self._x += [np.zeros((lanes, 1, spec.shape(l)[0]), dtype)
                    for l in range(spec.n_conv, spec.n_layers)]  # fmt: skip

    def load(self, params: Array) -> None:
        """Parameters (n_params,) for all lanes, or (lanes, n_params)."""
        self.params[...] = params

    def _forward(self, x: Array, bias: float) -> Array:
        """x: (lanes, side * side). Returns the last layer's sums (lanes, n_out)."""
        self._a = []
        for l in range(self.spec.n_layers):
            inputs = self._x[l]
            if l < self.spec.n_conv:
                self._images[l][...] = x.reshape(self._images[l].shape)
                inputs.reshape(self._windows[l].shape)[...] = self._windows[l]
            else:
                inputs[...] = x.reshape(inputs.shape)
            x = inputs @ self._w[l].transpose(0, 2, 1)
            x += bias * self._b[l]
            if l < self.spec.n_layers - 1:
                self._activate(x)
                self._a.append(x)
        return x[:, 0]

    def _backward(self, d: Array, l: int, divisor: int) -> Array:
        """Sums for layer l's inputs; each window's are divided by `divisor` and floored, if > 1."""
        back = d @ self._w[l]
        if divisor > 1:
            back *= 1 / divisor
            np.floor(back, out=back)
        if l >= self.spec.n_conv:
            return back
        total = self._back[l]
        total[...] = 0
        windows = back.reshape(self._windows[l].shape)
        end = STRIDE * self.spec.sides[l + 1] - 1
        for v in range(KERNEL):
            for u in range(KERNEL):
                total[:, v : v + end : STRIDE, u : u + end : STRIDE] += windows[:, :, :, v, u]
        return total

    def _activate(self, x: Array) -> None:
        raise NotImplementedError


class ConvFleet(_Fleet):
    """Networks of fedboard.conv. Values are integers, x within int8."""

    def __init__(self, spec: Spec, lanes: int) -> None:
        super().__init__(spec, lanes, np.float64)
        for l, x in enumerate(self._x):
            if 127 * ERROR_LIMIT * x.shape[1] + (1 << 20) < 1 << 24:
                self._steps[l] = self._steps[l].astype(np.float32)

    def predict(self, x: Array) -> Array:
        """Logits (lanes, n_out) of one image a lane."""
        logits: Array = np.floor(self._forward(x, ckernels.ONE) / _WEIGHT)
        return logits

    def learn(self, x: Array, labels: Array, rate: int = DEFAULT_RATE, layers: int = 0) -> Array:
        """One sample a lane: x (lanes, side * side), labels (lanes,). True where guessed right."""
        spec = self.spec
        layers = layers or (1 << spec.n_layers) - 1
        logits = self.predict(x).astype(np.int64)
        d = _errors(logits, labels)[:, None].astype(np.float64)
        for l in range(spec.n_layers - 1, -1, -1):
            below = layers & ((1 << l) - 1)
            if below:
                a = self._a[l - 1]
                back = self._backward(d, l, _BACK).reshape(a.shape)
                next_d = np.floor((back + (_WEIGHT // _BACK >> 1)) * (_BACK / _WEIGHT))
                np.clip(next_d, -ERROR_LIMIT, ERROR_LIMIT, out=next_d)
                next_d *= (a > 0) & ((a < 127) | (next_d > 0))
            if layers >> l & 1:
                shift = rate + (0 if l else FIRST_SHIFT)
                step = self._steps[l]
                deltas = d.astype(step.dtype, copy=False)
                inputs = self._x[l].astype(step.dtype, copy=False)
                np.matmul(deltas.transpose(0, 2, 1), inputs, out=step)
                self._move(self._w[l], step, shift, spec.limit(l))
                self._move(self._b[l], ckernels.ONE * d.sum(1, keepdims=True), shift, spec.limit(l))
            if not below:
                break
            d = next_d
        guessed: Array = logits.argmax(1) == labels
        return guessed

    def _activate(self, x: Array) -> None:
        x *= 1 / _WEIGHT
        np.floor(x, out=x)
        np.clip(x, 0, 127, out=x)

    def _move(self, w: Array, step: Array, shift: int, limit: int) -> None:
        """w -= step + half >> shift, clamped; `step` is used up."""
        step += (1 << shift) >> 1
        step *= 1 / (1 << shift)
        np.floor(step, out=step)
        np.subtract(w, step, out=w)
        np.clip(w, -limit, limit, out=w)


def _errors(logits: NDArray[np.int64], labels: Array) -> NDArray[np.int64]:
    """conv.errors_softmax for all lanes."""
    lanes = np.arange(len(logits))
    i = np.minimum(logits.max(1, keepdims=True) - logits, 208)
    powers = np.asarray(kernels.EXP2, np.int64)[i & 15] >> (i >> 4)
    powers[i == 208] = 0
    d = np.minimum((powers << ERROR_BITS) // powers.sum(1, keepdims=True), ERROR_LIMIT)
    d[lanes, labels] = 0
    d[lanes, labels] = np.maximum(-d.sum(1), -ERROR_LIMIT)
    return np.asarray(d, np.int64)


class FloatConvFleet(_Fleet):
    """The same shapes in float32: ReLU, softmax, true backpropagation; x in [0, 1]."""

    def __init__(self, spec: Spec, lanes: int) -> None:
        super().__init__(spec, lanes, np.float32)

    def predict(self, x: Array) -> Array:
        """Logits (lanes, n_out) of one image a lane."""
        return self._forward(x, 1.0)

    def learn(self, x: Array, labels: Array, rate: float, layers: int = 0) -> Array:
        """As ConvFleet.learn(); rate: the learning rate."""
        spec = self.spec
        layers = layers or (1 << spec.n_layers) - 1
        logits = self.predict(x)
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        p[np.arange(self.lanes), labels] -= 1
        d = p[:, None]
        for l in range(spec.n_layers - 1, -1, -1):
            below = layers & ((1 << l) - 1)
            if below:
                a = self._a[l - 1]
                next_d = self._backward(d, l, 1).reshape(a.shape) * (a > 0)
            if layers >> l & 1:
                d = d * np.float32(-rate)
                self._w[l] += np.matmul(d.transpose(0, 2, 1), self._x[l], out=self._steps[l])
                self._b[l] += d.sum(1, keepdims=True)
            if not below:
                break
            d = next_d
        guessed: Array = logits.argmax(1) == labels
        return guessed

    def _activate(self, x: Array) -> None:
        np.maximum(x, 0, out=x)
