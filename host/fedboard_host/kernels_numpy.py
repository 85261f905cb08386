"""The integer kernels in NumPy: kernels.use(kernels_numpy). The same bits as in pure Python.

Same functions, same buffers (array or anything with its buffer protocol): see fedboard.kernels.
Products go through float64, where NumPy has BLAS; all sums are integers below 2**53, so exact.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from fedboard.kernels import BACK_BITS, LARGEST_BACK, WEIGHT_BITS

name = "numpy"

Ints = NDArray[np.int64]
Reals = NDArray[np.float64]


def forward(x: array[int], w: array[int], acc: array[int], layer: array[int]) -> None:
    np.frombuffer(acc, np.int32)[: layer[1]] = _products(x, w, layer)


def forward_relu(x: array[int], w: array[int], a: array[int], layer: array[int]) -> None:
    sums = _products(x, w, layer).astype(np.int64) >> WEIGHT_BITS
    np.frombuffer(a, np.int8)[: layer[1]] = sums.clip(0, 127)


def put(source: array[int], batch: array[int], at: int, n: int) -> None:
    batch[at : at + n] = source


def activate_tanh(acc: array[int], a: array[int], d: array[int], layer: array[int]) -> None:
    n_in, n_out, sign = layer[0], layer[1], layer[3]
    v = np.frombuffer(acc, np.int32)[:n_out].astype(np.int64) * sign // (256 * n_in)
    pieces = [v >= 128, v >= 75, v >= 32, v >= -31, v >= -74, v >= -127]
    value = np.select(pieces, [128, v // 4 + 88, v + 32, 2 * v, v - 32, v // 4 - 88], -127)
    kind = np.int8 if memoryview(a).format == "b" else np.int32
    np.frombuffer(a, kind)[:n_out] = -value
    np.frombuffer(d, np.int16)[:n_out] = np.select(pieces, [128, 8, 2, 1, 2, 8], 128)


def backward(d: array[int], w: array[int], acc: array[int], layer: array[int]) -> None:
    n_in, n_out, at = layer[0], layer[1], layer[2]
    weights = np.frombuffer(w, np.int16)[at : at + n_in * n_out].reshape(n_out, n_in)
    deltas = np.frombuffer(d, np.int16)[:n_out].astype(np.float64)
    np.frombuffer(acc, np.int32)[:n_in] = deltas @ weights


def gate(acc: array[int], a: array[int], d: array[int], layer: array[int]) -> None:
    n_out = layer[1]
    most = LARGEST_BACK // (n_out + 1)
    activations = np.frombuffer(a, np.int8)[:n_out]
    value = np.frombuffer(acc, np.int32)[:n_out] + (1 << BACK_BITS >> 1) >> BACK_BITS
    learns = (activations > 0) & (activations < 127)
    np.frombuffer(d, np.int16)[:n_out] = np.where(learns, value.clip(-most, most), 0)


def feedback_divide(e: array[int], b: array[int], d: array[int], layer: array[int]) -> None:
    n_out, sign = layer[1], layer[3]
    deltas = np.frombuffer(d, np.int16)[:n_out]
    errors = np.frombuffer(e, np.int16)
    feedback = np.frombuffer(b, np.int16).reshape(n_out, len(errors)).astype(np.int64)
    deltas[:] = (feedback @ errors // deltas * sign).clip(-32767, 32767)


def update_shift(w: array[int], x: array[int], d: array[int], layer: array[int]) -> None:
    rate = layer[6]
    half = (1 << rate) >> 1
    weights, biases = _sums(x, d, layer)
    _subtract(w, (weights + half) >> rate, (biases + half) >> rate, layer)


def update_one(w: array[int], x: array[int], d: array[int], layer: array[int]) -> None:
    update_shift(w, x, d, array("i", [*layer[:5], 1, layer[6]]))


def update_divide(w: array[int], x: array[int], d: array[int], layer: array[int]) -> None:
    rate = layer[6]
    weights, biases = _sums(x, d, layer)
    _subtract(w, weights // rate, biases // rate, layer)


def histogram(a: array[int], b: array[int], counts: array[int], block: array[int]) -> None:
    at, n, high = block
    change = np.frombuffer(a, np.int16)[at : at + n].astype(np.int32)
    m = np.abs(change - np.frombuffer(b, np.int16)[:n])
    bytes_ = m >> 8 if high < 0 else m[m >> 8 == high] & 255
    np.frombuffer(counts, np.int32)[:] += np.bincount(bytes_, minlength=256).astype(np.int32)


def pick(a: array[int], b: array[int], found: array[int], block: array[int]) -> int:
    at, n, least, n_least, left, shift, low, top = block
    change = np.frombuffer(a, np.int16)[at : at + n].astype(np.int32)
    change -= np.frombuffer(b, np.int16)[:n]
    m = np.abs(change)
    is_least = m == least
    taken = (m > least) | (is_least & (np.cumsum(is_least) <= n_least))
    (places,) = np.nonzero(taken)
    places = places[:left]
    values = (m[places] + (1 << shift >> 1) >> shift).clip(low, top)
    values = np.where(change[places] < 0, -values, values)
    np.frombuffer(found, np.int32)[: len(places)] = values * 256 + places
    block[3] -= int(is_least[places].sum())
    block[4] -= len(places)
    return len(places)


def _products(x: array[int], w: array[int], layer: array[int]) -> Reals:
    n_in, n_out, at, bias_input = layer[0], layer[1], layer[2], layer[3]
    bias_at = at + n_in * n_out
    flat = np.frombuffer(w, np.int16)
    weights = flat[at:bias_at].reshape(n_out, n_in)
    sums: Reals = weights.astype(np.float64) @ np.frombuffer(x, np.int8)
    sums += flat[bias_at : bias_at + n_out] * float(bias_input)
    return sums


def _sums(x: array[int], d: array[int], layer: array[int]) -> tuple[Ints, Ints]:
    """A batch's sums of x d for the weights (n_out, n_in) and the biases (n_out)."""
    n_in, n_out, bias_input, batch = layer[0], layer[1], layer[3], layer[5]
    inputs = np.frombuffer(x, np.int8)[: batch * n_in].reshape(batch, n_in)
    deltas = np.frombuffer(d, np.int16)[: batch * n_out].reshape(batch, n_out).astype(np.float64)
    weights: Reals = deltas.T @ inputs
    biases: Reals = deltas.sum(axis=0) * bias_input
    return weights.astype(np.int64), biases.astype(np.int64)


def _subtract(w: array[int], weights: Ints, biases: Ints, layer: array[int]) -> None:
    n_in, n_out, at, limit = layer[0], layer[1], layer[2], layer[4]
    bias_at = at + n_in * n_out
    flat = np.frombuffer(w, np.int16)
    for view, step in (
        (flat[at:bias_at], weights.reshape(-1)),
        (flat[bias_at : bias_at + n_out], biases),
    ):
        view[:] = np.where(step != 0, (view - step).clip(-limit, limit), view)
