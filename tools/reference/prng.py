"""The project's random numbers once more, on whole 32-bit words and the C library's square root."""

from __future__ import annotations

import math
from collections.abc import Iterator

_WORD = 2**32


def stream(seed: int) -> Iterator[int]:
    """Marsaglia's xorshift32 (13, 17, 5); a seed of 0 would stay there and is replaced."""
    x = seed % _WORD or 0x9E3779B9
    while True:
        x ^= x << 13 & _WORD - 1
        x ^= x >> 17
        x ^= x << 5 & _WORD - 1
        yield x


def below(words: Iterator[int], n: int) -> int:
    """Uniform in [0, n) by the upper half of the next word."""
    return next(words) // 2**16 * n // 2**16


def shuffled(words: Iterator[int], items: list[int]) -> list[int]:
    """Fisher and Yates, from the end."""
    items = list(items)
    for i in reversed(range(1, len(items))):
        j = below(words, i + 1)
        items[i], items[j] = items[j], items[i]
    return items


def mix(*parts: int) -> int:
    """A seed from a seed and labels: absorb each word, then stir by four Feistel rounds."""
    state = 0x243F6A88
    for part in parts:
        state ^= part % _WORD
        for turn in (0x1D2B, 0x35C7, 0x0E95, 0x2F6D):
            high, low = divmod(state, 2**16)
            low ^= (high * 0x2C9B + turn) // 128 % 2**16
            high ^= (low * 0x3D4D + turn) // 64 % 2**16
            state = high * 2**16 + low
    return state or 0x9E3779B9


def isqrt(n: int) -> int:
    return math.isqrt(n)
