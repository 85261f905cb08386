"""The order in which a board goes through its samples: shuffled enough, and free of memory.

All numbers below n come once each, by a stride near n / golden ratio that shares no factor with
n, from a start that the seed chooses. Neighbours in the file are far apart in the order, which
is what samples recorded label by label need; and every machine gets the same order.
"""

from fedboard.prng import Xorshift


class Order:
    """One pass over n samples; next() gives their numbers, and starts over after the n-th."""

    def __init__(self, n: int, seed: int) -> None:
        rng = Xorshift(seed)
        self._n = n
        self._at = rng.below(min(n, 16384))
        stride = max(1, n * 5 // 8 - rng.below(max(1, min(n // 4, 16384))))
        while _gcd(stride, n) != 1:
            stride += 1
        self._stride = stride

    def next(self) -> int:
        self._at = (self._at + self._stride) % self._n
        return self._at


def _gcd(a: int, b: int) -> int:
    while b:
        a, b = b, a % b
    return a
