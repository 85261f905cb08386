"""The project's only source of pseudo-randomness: the same stream on every interpreter.

xorshift32 with the shifts 13, 17, 5 (Marsaglia, "Xorshift RNGs", 2003), held as two 16-bit halves
so that no intermediate reaches 2**30: a step allocates nothing on a board with 31-bit integers.
It seeds start values, feedback matrices and the order of samples. Not for secrets: see `auth`.

    rng = Xorshift(mix(seed, LABEL, layer))      one stream a purpose, derived, never shared
    rng.below(n)                                 uniform in [0, n), n <= 16384
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableSequence

_NONZERO = 0x9E3779B9  # xorshift would stay at 0 for ever


class Xorshift:
    """A stream of 32-bit states; `hi` and `lo` are the halves of the present one.

    seed: any integer, of which the low 32 bits count; 0 is replaced by a constant.
    """

    def __init__(self, seed: int) -> None:
        seed &= 0xFFFFFFFF
        if seed == 0:
            seed = _NONZERO
        self.hi = seed >> 16
        self.lo = seed & 0xFFFF

    def next(self) -> None:
        """Advance one step; read `hi` (the better half) or `lo`."""
        hi = self.hi
        lo = self.lo
        hi ^= ((hi << 13) | (lo >> 3)) & 0xFFFF
        lo ^= (lo << 13) & 0xFFFF
        lo ^= hi >> 1
        self.hi = hi ^ (((hi << 5) | (lo >> 11)) & 0xFFFF)
        self.lo = lo ^ ((lo << 5) & 0xFFFF)

    def below(self, n: int) -> int:
        """The next uniform integer in [0, n), 1 <= n <= 16384 (so that hi * n < 2**30)."""
        self.next()
        return (self.hi * n) >> 16

    def shuffle(self, items: "MutableSequence[int]") -> None:
        """Permute `items` (at most 16384) in place, Fisher and Yates' way, from the end."""
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            kept = items[i]
            items[i] = items[j]
            items[j] = kept


def mix(seed: int, *parts: int) -> int:
    """A seed in [1, 2**32) for the purpose that `parts` name, unrelated to that of other parts.

    Each part (its low 32 bits) is absorbed into a 32-bit state that four Feistel rounds then stir.
    """
    hi = 0x243F
    lo = 0x6A88
    for part in (seed,) + parts:
        hi ^= (part >> 16) & 0xFFFF
        lo ^= part & 0xFFFF
        for turn in (0x1D2B, 0x35C7, 0x0E95, 0x2F6D):
            lo ^= ((hi * 0x2C9B + turn) >> 7) & 0xFFFF
            hi ^= ((lo * 0x3D4D + turn) >> 6) & 0xFFFF
    return ((hi << 16) | lo) or _NONZERO


def isqrt(n: int) -> int:
    """The integer square root of n >= 0 (Newton's iteration; boards have no math.isqrt)."""
    if n < 2:
        return n
    root = n
    better = (n + 1) >> 1
    while better < root:
        root = better
        better = (root + n // root) >> 1
    return root
