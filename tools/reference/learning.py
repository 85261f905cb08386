"""The learning rules once more, from the formulas: matrices of whole minibatches, int64, no tricks.

    net = Net((64, 32, 10), "fedboard", seed=1)
    net.step(x, labels, layers=(0, 1), rate=8)     x: (batch, n_in); one update of those layers
    net.logits(x), net.flat()                      flat: as fedboard.model lays parameters out

Nothing here is shared with shared/fedboard: tests hold that code against this.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from reference import prng

Ints = NDArray[np.int64]

START, FEEDBACK = 1, 2  # labels of the random streams


class Net:
    """W[l]: (n_out, n_in); b[l]: (n_out); B[l], of "tifed": (n_hidden, n_outputs)."""

    def __init__(self, sizes: Sequence[int], rule: str, seed: int) -> None:
        self.sizes = tuple(sizes)
        self.rule = rule
        self.W: list[Ints] = []
        self.b: list[Ints] = []
        self.B: list[Ints] = []
        self.mean = np.zeros(0, np.int64)  # of rule "centred": layer 0's parameters
        shapes = list(enumerate(itertools.pairwise(sizes)))
        if rule == "centred":
            self.mean = np.zeros(sizes[0], np.int64)
            self.rule = rule = "fedboard"
            self.sizes = tuple(sizes[1:])
            shapes = shapes[1:]
        for l, (n_in, n_out) in shapes:
            self.W.append(_start(rule, n_out, n_in, prng.mix(seed, START, l)))
            self.b.append(np.zeros(n_out, np.int64))
            if rule == "tifed" and l < len(sizes) - 2:
                words = prng.stream(prng.mix(seed, FEEDBACK, l))
                self.B.append(_feedback(n_out, sizes[-1], words))

    @property
    def last(self) -> int:
        return len(self.W) - 1

    def limit(self, l: int) -> int:
        """|x W + b 1| < 2**31 for int8 x, where "fedboard" takes 128 for the bias's 1."""
        one = 128 if self.rule == "fedboard" else 1
        return min(2**15 - 1, (2**31 - 1 - (2**15 - 1) * one) // (128 * self.sizes[l]))

    def flat(self) -> Ints:
        pairs = zip(self.W, self.b, strict=True)
        return np.concatenate([self.mean, *(part.reshape(-1) for pair in pairs for part in pair)])

    def load(self, flat: Ints) -> None:
        at = len(self.mean)
        self.mean = np.array(flat[:at], np.int64)
        for l in range(len(self.W)):
            for parts in (self.W, self.b):
                n = parts[l].size
                parts[l] = np.array(flat[at : at + n], np.int64).reshape(parts[l].shape)
                at += n

    def logits(self, x: Ints) -> Ints:
        return self._forward(x)[0][-1]

    def step(self, x: Ints, labels: Ints, layers: Iterable[int], rate: int) -> None:
        """One minibatch: all errors with the weights as they are, then the layers' updates."""
        outputs, slopes = self._forward(x)
        truth = np.arange(self.sizes[-1]) == np.asarray(labels)[:, None]
        if self.rule == "tifed":
            e = outputs[-1] - 16 * truth
            deltas = [_int16(e @ B.T // slopes[l]) for l, B in enumerate(self.B)]
            deltas.append(e // slopes[-1])
        else:
            deltas = [softmax_errors(outputs[-1], truth)]
            for l in range(self.last, 0, -1):
                most = 65535 // (self.sizes[l] + 1)
                back = np.clip(_rounded(deltas[0] @ self.W[l], 512), -most, most)
                deltas.insert(0, back * slopes[l - 1])
        for l in layers:
            gradient = deltas[l].T @ outputs[l]
            if self.rule == "tifed":
                weight_step = gradient // rate
                bias_step = deltas[l].sum(axis=0) // rate
            else:
                scale = 2**rate
                weight_step = _rounded(gradient, scale)
                bias_step = _rounded(128 * deltas[l].sum(axis=0), scale)
            most = self.limit(l)
            self.W[l] = np.clip(self.W[l] - weight_step, -most, most)
            self.b[l] = np.clip(self.b[l] - bias_step, -most, most)

    def measure(self, x: Ints) -> None:
        """Layer 0 of "centred" becomes the mean of x, in 1/256, to the nearest."""
        self.mean = _rounded(256 * np.asarray(x, np.int64).sum(axis=0), len(x))
        self.mean = np.clip(self.mean, -127 * 256, 127 * 256)

    def _centred(self, x: Ints) -> Ints:
        if not len(self.mean):
            return x
        return np.asarray(np.clip(x - _rounded(self.mean, 256), -127, 127))

    def _forward(self, x: Ints) -> tuple[list[Ints], list[Ints]]:
        """Each layer's inputs and at last the logits; each layer's slopes."""
        outputs = [self._centred(np.asarray(x, np.int64))]
        slopes = []
        for l, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            if self.rule == "tifed":
                value = (outputs[-1] @ W.T + b) // (256 * self.sizes[l])
                out, slope = tanh_pieces(value)
            else:
                value = (outputs[-1] @ W.T + 128 * b) // 4096
                slope = ((value > 0) & (value < 127)).astype(np.int64)
                out = value if l == self.last else np.clip(value, 0, 127)
            outputs.append(out)
            slopes.append(slope)
        return outputs, slopes


def tanh_pieces(value: Ints) -> tuple[Ints, Ints]:
    """TIFeD's tanh and its inverse slope."""
    out = np.empty_like(value)
    slope = np.empty_like(value)
    for v in np.unique(value):
        if v >= 128:
            y, g = 128, 128
        elif 75 <= v <= 127:
            y, g = v // 4 + 88, 8
        elif 32 <= v <= 74:
            y, g = v + 32, 2
        elif -31 <= v <= 31:
            y, g = 2 * v, 1
        elif -74 <= v <= -32:
            y, g = v - 32, 2
        elif -127 <= v <= -75:
            y, g = v // 4 - 88, 8
        else:
            y, g = -127, 128
        out[value == v] = y
        slope[value == v] = g
    return out, slope


def softmax_errors(logits: Ints, truth: NDArray[np.bool_]) -> Ints:
    """128 (softmax of base 2**(1/64) - truth): floored, none below 8, each row of sum zero."""
    octave = [round(4096 * 2 ** (-i / 16)) for i in range(16)]
    errors = np.zeros_like(logits)
    for row in range(len(logits)):
        sixteenths = [(int(logits[row].max()) - int(v)) // 4 for v in logits[row]]
        powers = [octave[s % 16] // 2 ** (s // 16) for s in sixteenths]
        for k, power in enumerate(powers):
            p = 128 * power // sum(powers)
            if not truth[row, k] and p >= 8:
                errors[row, k] = p
        errors[row, truth[row]] = -errors[row].sum()
    return errors


def losses(rule: str, logits: Ints, labels: Ints) -> list[int]:
    """Half the squared error ("tifed"); 128 (1 - p of the right class), rounded up."""
    found = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        if rule == "tifed":
            found.append(sum((v - 16 * (k == label)) ** 2 for k, v in enumerate(row)) // 2)
        else:
            octave = [round(4096 * 2 ** (-i / 16)) for i in range(16)]
            sixteenths = [(max(row) - v) // 4 for v in row]
            powers = [octave[s % 16] // 2 ** (s // 16) for s in sixteenths]
            found.append(128 - 128 * powers[label] // sum(powers))
    return found


def _start(rule: str, n_out: int, n_in: int, seed: int) -> Ints:
    if rule == "tifed":
        return np.zeros((n_out, n_in), np.int64)
    words = prng.stream(seed)
    most = math.isqrt(3 * 4096**2 // n_in)
    values = [prng.below(words, 2 * most + 1) - most for _ in range(n_out * n_in)]
    return np.array(values, np.int64).reshape(n_out, n_in)


def _feedback(n_hidden: int, n_out: int, words: Iterable[int]) -> Ints:
    words = iter(words)
    r = math.isqrt(12 * 32767 // (n_out + n_hidden))
    values = [prng.below(words, 2 * r) - r for _ in range(n_hidden * n_out)]
    return np.array(values, np.int64).reshape(n_hidden, n_out)


def _rounded(value: Ints, scale: int) -> Ints:
    """value / scale to the nearest, halves up."""
    return (2 * value + scale) // (2 * scale)


def _int16(value: Ints) -> Ints:
    return np.clip(value, -32767, 32767)
