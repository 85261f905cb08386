"""The integer kernels, a formula each: what kernels.py and every faster backend must equal.

Arguments as in fedboard.kernels, but flat int64 arrays, and results are returned.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from reference import learning

Ints = npt.NDArray[np.int64]


def _split(layer: Sequence[int], w: Ints) -> tuple[Ints, Ints]:
    """(W, b) of the layer in w."""
    n_in, n_out, at = layer[:3]
    end = at + n_in * n_out
    return w[at:end].reshape(n_out, n_in), w[end : end + n_out]


def forward(layer: Sequence[int], x: Ints, w: Ints) -> Ints:
    weights, biases = _split(layer, w)
    return weights @ x + layer[3] * biases


def forward_relu(layer: Sequence[int], x: Ints, w: Ints) -> Ints:
    return np.clip(forward(layer, x, w) // 4096, 0, 127)


def output_shift(out: Ints) -> tuple[Ints, int]:
    logits = out // 4096
    return logits, int(np.argmax(logits))


def errors_softmax(out: Ints, label: int) -> tuple[Ints, int]:
    truth = np.arange(len(out)) == label
    loss = learning.losses("fedboard", out[None], np.array([label]))[0]
    return learning.softmax_errors(out[None], truth[None])[0], loss


def activate_tanh(layer: Sequence[int], acc: Ints) -> tuple[Ints, Ints]:
    """The negated values; a bias input of -1 says that the sums are negated too."""
    values, slopes = learning.tanh_pieces(acc[: layer[1]] * layer[3] // (256 * layer[0]))
    return -values, slopes


def backward(layer: Sequence[int], d: Ints, w: Ints) -> Ints:
    return d[: layer[1]] @ _split(layer, w)[0]


def gate(layer: Sequence[int], acc: Ints, a: Ints) -> Ints:
    most = 65535 // (layer[1] + 1)
    shifted = np.clip((acc[: layer[1]] + 256) // 512, -most, most)
    return np.where((a == 0) | (a == 127), 0, shifted)


def feedback_divide(layer: Sequence[int], e: Ints, b: Ints, d: Ints) -> Ints:
    spread: Ints = b.reshape(layer[1], len(e)) @ e // d * layer[3]
    return np.clip(spread, -32767, 32767)


def _update(layer: Sequence[int], w: Ints, x: Ints, d: Ints, divide: bool) -> Ints:
    n_in, n_out, at, bias_input, limit, batch, rate = layer
    inputs = np.c_[x[: batch * n_in].reshape(batch, n_in), np.full(batch, bias_input)]
    total = d[: batch * n_out].reshape(batch, n_out).T @ inputs
    change: Ints = total // rate if divide else (total + 2**rate // 2) // 2**rate
    moved = np.clip(np.c_[_split(layer, w)] - change, -limit, limit)
    result = w.copy()
    result[at : at + (n_in + 1) * n_out] = np.r_[moved[:, :-1].ravel(), moved[:, -1]]
    return result


def update_shift(layer: Sequence[int], w: Ints, x: Ints, d: Ints) -> Ints:
    return _update(layer, w, x, d, divide=False)


def update_divide(layer: Sequence[int], w: Ints, x: Ints, d: Ints) -> Ints:
    return _update(layer, w, x, d, divide=True)


def histogram(block: Sequence[int], a: Ints, b: Ints) -> Ints:
    at, n, high = block
    magnitude = np.abs(a[at : at + n] - b[:n])
    counted = magnitude // 256 if high < 0 else magnitude[magnitude // 256 == high] % 256
    return np.asarray(np.bincount(counted, minlength=256))


def pick(block: Sequence[int], a: Ints, b: Ints) -> list[tuple[int, int]]:
    """[(i, value)]."""
    at, n, least, n_least, left, shift, low, top = block
    found = []
    for i, change in enumerate((a[at : at + n] - b[:n]).tolist()):
        m = abs(change)
        n_least -= m == least
        if m > least or (m == least and n_least >= 0):
            value = min(max((m + 2**shift // 2) // 2**shift, low), top)
            found.append((i, -value if change < 0 else value))
    return found[:left]
