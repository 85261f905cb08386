"""The float kernels in NumPy: fkernels.use(fkernels_numpy). float32, as a board's own would be.

Same functions, same buffers (array('f') or anything with its buffer protocol), see fkernels. Sums
run in another order than in pure Python: equal up to float32 rounding.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

name = "numpy"

Floats = NDArray[np.float32]


def forward(x: array[float], w: array[float], out: array[float], layer: array[int]) -> None:
    weights, biases = _layer(w, layer)
    o = np.frombuffer(out, np.float32)
    np.matmul(weights, np.frombuffer(x, np.float32), out=o)
    o += biases


def activate_tanh(a: array[float], layer: array[int]) -> None:
    view = np.frombuffer(a, np.float32)
    np.tanh(view, out=view)


def activate_relu(a: array[float], layer: array[int]) -> None:
    view = np.frombuffer(a, np.float32)
    np.maximum(view, 0, out=view)


def backward(w: array[float], d: array[float], back: array[float], layer: array[int]) -> None:
    weights, _ = _layer(w, layer)
    np.matmul(np.frombuffer(d, np.float32), weights, out=np.frombuffer(back, np.float32))


def slope_tanh(a: array[float], d: array[float], layer: array[int]) -> None:
    values = np.frombuffer(a, np.float32)
    view = np.frombuffer(d, np.float32)
    view *= 1 - values * values


def slope_relu(a: array[float], d: array[float], layer: array[int]) -> None:
    np.frombuffer(d, np.float32)[np.frombuffer(a, np.float32) <= 0] = 0


def update(w: array[float], x: array[float], d: array[float], layer: array[int]) -> None:
    n_in, n_out, _, batch = layer
    weights, biases = _layer(w, layer)
    deltas = np.frombuffer(d, np.float32)[: batch * n_out].reshape(batch, n_out)
    inputs = np.frombuffer(x, np.float32)[: batch * n_in].reshape(batch, n_in)
    weights += deltas.T @ inputs
    biases += deltas.sum(axis=0)


def _layer(w: array[float], layer: array[int]) -> tuple[Floats, Floats]:
    """Views of a layer's weights and biases."""
    n_in, n_out, at, _ = layer
    flat = np.frombuffer(w, np.float32)
    bias_at = at + n_in * n_out
    return flat[at:bias_at].reshape(n_out, n_in), flat[bias_at : bias_at + n_out]
