"""The network of convolutions once more, from the formulas: windows as matrices, int64, no tricks.

    net = Net((81, 4, 6, 5), n_conv=1, seed=5)     image pixels, channels..., units..., classes
    net.step(x, label, layers=(0, 1), rate=7)      x: one image, flat; -> (logits, loss) before
    net.flat()                                     as fedboard.model lays parameters out

Weights have 14 fractional bits, activations 7, deltas 11. Nothing is shared with shared/fedboard.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from reference import prng

Ints = NDArray[np.int64]

_MOST = 2047  # of a delta


class Net:
    """W[l]: (n_out, n_in), b[l]: (n_out); a convolution's inputs: row, column, channel of 3x3."""

    def __init__(self, sizes: Sequence[int], n_conv: int, seed: int) -> None:
        self.sizes = tuple(sizes)
        self.n_conv = n_conv
        side = math.isqrt(sizes[0])
        self.sides = [side]  # of each layer's image
        for _ in range(n_conv):
            self.sides.append((self.sides[-1] - 3) // 2 + 1)
        self.W: list[Ints] = []
        self.b: list[Ints] = []
        for l, n_out in enumerate(sizes[1:]):
            if l < n_conv:
                n_in = 9 * (sizes[l] if l else 1)
            else:
                n_in = sizes[l] * (self.sides[-1] ** 2 if l == n_conv else 1)
            self.W.append(np.zeros((n_out, n_in), np.int64))
            self.b.append(np.zeros(n_out, np.int64))
            if l < len(sizes) - 2:
                self.W[l] += _start(n_out, n_in, l, seed)

    def limit(self, l: int) -> int:
        """Neither sums of int8 inputs and a bias of 128 may leave int32, nor those of deltas."""
        n_out, n_in = map(int, self.W[l].shape)
        most = min(2**15 - 1, (2**31 - 1 - 128 * (2**15 - 1)) // (128 * n_in))
        return min(most, (2**31 - 1) // (_MOST * n_out)) if l else most

    def flat(self) -> Ints:
        pairs = zip(self.W, self.b, strict=True)
        return np.concatenate([part.reshape(-1) for pair in pairs for part in pair])

    def load(self, flat: Ints) -> None:
        at = 0
        for l in range(len(self.W)):
            for parts in (self.W, self.b):
                n = parts[l].size
                parts[l] = flat[at : at + n].reshape(parts[l].shape).copy()
                at += n
        if at != len(flat):
            raise ValueError(f"{at} parameters are wanted: {len(flat)}")

    def step(self, x: Ints, label: int, layers: Iterable[int], rate: int) -> tuple[Ints, int]:
        """Learn one image: all deltas with the weights as they are, then the layers' updates."""
        inputs, outputs, logits = self._forward(x)
        errors, loss = softmax_errors(logits, label)
        deltas = [errors[None]]  # (positions, channels)
        for l in range(len(self.W) - 1, 0, -1):
            # Each window's sums are floored in sixteenths before windows that overlap are added.
            back = self._spread(deltas[0] @ self.W[l] // 16, l)
            a = outputs[l - 1]
            d = np.clip((back + 512) // 1024, -_MOST, _MOST)
            d[(a == 0) | ((a == 127) & (d < 0))] = 0
            deltas.insert(0, d)
        for l in layers:
            scale = 2 ** (rate if l else rate + 4)
            most = self.limit(l)
            step = (2 * (deltas[l].T @ inputs[l]) + scale) // (2 * scale)
            self.W[l] = np.clip(self.W[l] - step, -most, most)
            step = (2 * 128 * deltas[l].sum(axis=0) + scale) // (2 * scale)
            self.b[l] = np.clip(self.b[l] - step, -most, most)
        return logits, loss

    def _forward(self, x: Ints) -> tuple[list[Ints], list[Ints], Ints]:
        """Each layer's windows (positions, n_in) and activations (positions, n_out); logits."""
        inputs, outputs = [], []
        a = np.asarray(x, np.int64)
        for l, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            inputs.append(self._windows(a, l))
            value = (inputs[l] @ W.T + 128 * b) // 2**14
            a = np.clip(value, 0, 127)
            outputs.append(a)
        return inputs, outputs, value[0]

    def _windows(self, a: Ints, l: int) -> Ints:
        if l >= self.n_conv:
            return a.reshape(1, -1)
        side = self.sides[l]
        image = a.reshape(side, side, -1)
        windows = sliding_window_view(image, (3, 3), (0, 1))[::2, ::2]  # row, column, channel, 3, 3
        return windows.transpose(0, 1, 3, 4, 2).reshape(self.sides[l + 1] ** 2, -1)

    def _spread(self, windows: Ints, l: int) -> Ints:
        """Add windows (positions, n_in) up where they overlap: (positions of layer l - 1, ...)."""
        if l >= self.n_conv:
            return windows.reshape(-1, self.sizes[l])
        image = np.zeros((self.sides[l], self.sides[l], self.sizes[l]), np.int64)
        to = self.sides[l + 1]
        for p, window in enumerate(windows):
            v, u = 2 * (p // to), 2 * (p % to)
            image[v : v + 3, u : u + 3] += window.reshape(3, 3, -1)
        return image.reshape(-1, self.sizes[l])


def softmax_errors(logits: Ints, label: int) -> tuple[Ints, int]:
    """2048 (softmax of base 2**(1/16) - truth), floored, of sum zero; and 2048 (1 - p[label])."""
    octave = [round(4096 * 2 ** (-i / 16)) for i in range(16)]
    below = [int(logits.max()) - int(v) for v in logits]
    powers = [octave[i % 16] // 2 ** (i // 16) for i in below]
    total = sum(powers)
    errors = np.array([min(2048 * power // total, _MOST) for power in powers])
    errors[label] = 0
    errors[label] = -min(errors.sum(), _MOST)
    return errors, 2048 - 2048 * powers[label] // total


def _start(n_out: int, n_in: int, l: int, seed: int) -> Ints:
    words = prng.stream(prng.mix(seed, 1, l))
    most = min(2**13 - 1, math.isqrt(6 * 2 ** (28 if l else 24) // n_in))
    values = [prng.below(words, 2 * most + 1) - most for _ in range(n_out * n_in)]
    return np.array(values, np.int64).reshape(n_out, n_in)
