"""The integer network in NumPy, from the papers' and rules' formulas: whole batches, int64.

Nothing here can overflow, and nothing is shared with fedboard.dfa, rules or kernels. TIFeD's hidden
activations are the published ones (up to 128), where the package keeps them negated to fit int8.

    net = Network(sizes, rule, seed, params, batch, layers, rate)
    net.learn(x, label)   net.flush()     net.params() (flat: W row-major by output, then b),
                                          net.out, .n_seen, .n_correct, .loss
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from reference import codec, prng

Ints = npt.NDArray[np.int64]

START, FEEDBACK = 1, 2  # labels of the random streams


def start(sizes: tuple[int, ...], rule: str, seed: int) -> Ints:
    """Start values: zeros; or uniform in ±sqrt(3 / n_in) at 12 fractional bits, zero biases."""
    found: list[int] = []
    for l, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        words = prng.stream(prng.mix(seed, START, l))
        bound = prng.isqrt(3 * 2**24 // n_in)
        for _ in range(n_in * n_out):
            found.append(prng.below(words, 2 * bound + 1) - bound if rule == "fedboard" else 0)
        found += [0] * n_out
    return np.array(found, np.int64)


def pieces(v: Ints) -> tuple[Ints, Ints]:
    """TIFeD's tanh of v: (values, inverse slopes)."""
    table = [
        (v >= 128, 128 + 0 * v, 128),
        (v >= 75, v // 4 + 88, 8),
        (v >= 32, v + 32, 2),
        (v >= -31, 2 * v, 1),
        (v >= -74, v - 32, 2),
        (v >= -127, v // 4 - 88, 8),
    ]
    where = [condition for condition, _, _ in table]
    values = np.select(where, [value for _, value, _ in table], -127)
    slopes = np.select(where, [np.int64(slope) for _, _, slope in table], 128)
    return values, slopes


def softmax_errors(out: Ints, label: int) -> tuple[Ints, int]:
    """(128 (p - onehot) in whole numbers, 128 (1 - p[label]) for the loss).

    p ~ 2**(out / 64), from a table of 16 steps an octave; floored for the wrong classes, and 0
    where it is below 1/16; the right one's is minus their sum.
    """
    sixteenths = (out.max() - out) // 4
    octave = np.array([round(4096 * 2 ** (-i / 16)) for i in range(16)])
    powers = octave[sixteenths % 16] // 2 ** np.minimum(sixteenths // 16, 13)
    p = 128 * powers // powers.sum()
    e = np.where(p < 8, 0, p)
    e[label] = 0
    e[label] = -e.sum()
    return e, 128 - int(p[label])


class Network:
    """One network that learns; batch, layers (a bit mask) and rate as in dfa.Network."""

    def __init__(
        self,
        sizes: tuple[int, ...],
        rule: str,
        seed: int,
        params: Ints,
        batch: int,
        layers: int,
        rate: int,
    ) -> None:
        self.tifed = rule == "tifed"
        self.batch, self.layers, self.rate = batch, layers, rate
        self.limits: list[int] = []
        self.w: list[Ints] = []
        self.b: list[Ints] = []
        self.feedback: list[Ints] = []
        for l, (part, (n_in, n_out)) in enumerate(
            zip(codec.layer_slices(sizes), itertools.pairwise(sizes), strict=True)
        ):
            self.w.append(params[part][: n_in * n_out].reshape(n_out, n_in).copy())
            self.b.append(params[part][n_in * n_out :].copy())
            self.limits.append(int(codec.limits(sizes, rule)[part.start]))
            words = prng.stream(prng.mix(seed, FEEDBACK, l))
            r = prng.isqrt(12 * 32767 // (sizes[-1] + n_out))
            drawn = [
                prng.below(words, 2 * r) - r if self.tifed else 2 * prng.below(words, 2) - 1
                for _ in range(n_out * sizes[-1])
            ]
            self.feedback.append(np.array(drawn, np.int64).reshape(n_out, sizes[-1]))
        self.n_seen = self.n_correct = self.loss = 0
        self.out: Ints = np.zeros(sizes[-1], np.int64)
        self.waiting: list[tuple[list[Ints], list[Ints]]] = []

    def params(self) -> Ints:
        parts = [part for w, b in zip(self.w, self.b, strict=True) for part in (w.ravel(), b)]
        return np.concatenate(parts)

    def forward(self, x: Ints) -> tuple[list[Ints], list[Ints]]:
        """(each layer's input and the output, each layer's slopes)."""
        values, slopes = [x], []
        last = len(self.w) - 1
        for l, (w, b) in enumerate(zip(self.w, self.b, strict=True)):
            if self.tifed:
                value, slope = pieces((w @ values[-1] + b) // (256 * w.shape[1]))
            else:
                value = (w @ values[-1] + 128 * b) // 4096
                if l < last:
                    value = np.clip(value, 0, 127)
                slope = ((value > 0) & (value < 127)).astype(np.int64)
            values.append(value)
            slopes.append(slope)
        return values, slopes

    def learn(self, x: Ints, label: int) -> None:
        values, slopes = self.forward(x)
        self.out = values[-1]
        self.n_seen += 1
        self.n_correct += int(np.argmax(self.out) == label)
        if self.tifed:
            e = self.out - 16 * (np.arange(len(self.out)) == label)
            self.loss += int((e * e).sum()) // 2
            deltas = [(b @ e) // g for b, g in zip(self.feedback, slopes, strict=True)]
            deltas[-1] = e // slopes[-1]
        else:
            e, loss = softmax_errors(self.out, label)
            self.loss += loss
            deltas = [(b @ e) * g for b, g in zip(self.feedback, slopes, strict=True)]
            deltas[-1] = e
        self.waiting.append((values[:-1], [np.clip(d, -32767, 32767) for d in deltas]))
        if len(self.waiting) == self.batch:
            self.flush()

    def flush(self) -> None:
        """One step with the samples that wait."""
        if not self.waiting:
            return
        for l in range(len(self.w)):
            if not self.layers >> l & 1:
                continue
            x = np.stack([values[l] for values, _ in self.waiting])
            d = np.stack([deltas[l] for _, deltas in self.waiting])
            ones = np.full((len(x), 1), 1 if self.tifed else 128)
            for target, inputs in ((self.w, x), (self.b, ones)):
                total = d.T @ inputs
                if self.tifed:
                    change = total // self.rate
                else:
                    rate = self.rate + (l < len(self.w) - 1)  # hidden layers move half as far
                    change = (total + 2**rate // 2) // 2**rate
                moved = target[l] - change.reshape(target[l].shape)
                target[l] = np.clip(moved, -self.limits[l], self.limits[l])
        self.waiting = []
