"""Blend: the mean of a personal model's logits and the global one's, as one answer.

    out[k] = (own[k] + global[k]) >> 1      floats: / 2      the guess: the first of the largest

There is room for one model's parameters, so answers are blended in two passes over the same
samples: first() with the global model loaded, which keeps its logits, then second() with the own.

That a personal model is to be blended is kept with it: as the highest bit of its store's version.
"""

from fedboard.model import zeros

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from typing import Any

    from fedboard.learner import Learner

_BLENDED = 1 << 31


def mark(version: int, is_blended: bool) -> int:
    """The version to store a personal model under, that was made from this one of the base."""
    return version | _BLENDED if is_blended else version


def is_blended(version: int) -> bool:
    return version & _BLENDED != 0


def made_from(version: int) -> int:
    """The base's version of what mark() returned."""
    return version & ~_BLENDED


class Blend:
    """Answers to n samples; first() to all of them, then second(), in the same order.

    It holds n * n_out logits: see n_bytes().
    """

    def __init__(self, net: "Any", n: int) -> None:
        self._net = net
        self._is_float = net.spec.is_float
        self._kept = zeros("f" if self._is_float else "i", n * len(net.out))
        self._at = 0

    @staticmethod
    def n_bytes(net: "Any", n: int) -> int:
        return 4 * n * len(net.out)

    def first(self, x: "array[int]") -> int:
        """As net.predict(); the logits are kept."""
        net = self._net
        guess: int = net.predict(x)
        at = self._at
        for value in net.out:
            self._kept[at] = value
            at += 1
        self._at = at
        return guess

    def turn(self) -> None:
        """The other model is loaded, or the samples begin anew."""
        self._at = 0

    def second(self, x: "array[int]") -> int:
        """The blended guess; its logits are the network's `out`, so that net.loss() is its loss."""
        net = self._net
        net.predict(x)
        out = net.out
        at = self._at
        best = 0
        for k in range(len(out)):
            both = out[k] + self._kept[at + k]
            out[k] = both / 2 if self._is_float else both >> 1
            if out[k] > out[best]:
                best = k
        self._at = at + len(out)
        return best

    def predict(self, learner: "Learner", x: "array[int]") -> None:
        """One sample's answer, in the network's `out`: loads the base, then the personal model."""
        learner.load(learner.base)
        self.turn()
        self.first(x)
        own: Any = learner.personal
        learner.load(own())
        self.turn()
        self.second(x)
