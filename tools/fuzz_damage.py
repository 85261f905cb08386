"""Blind damage for the fuzzer: bits, bytes, slices, ends. All of it follows from the rng alone."""

from collections.abc import Callable
from random import Random

_TELLING = (0, 1, 0x0A, 0x0D, 0x10, 0x7D, 0x7E, 0x7F, 0x80, 0xFE, 0xFF)


def damaged(rng: Random, data: bytes) -> bytes:
    """One to four blind changes."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(8)
        if kind <= 1 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 2 and at < len(out):
            out[at] = rng.choice(_TELLING)
        elif kind == 3:
            out[at:at] = rng.randbytes(rng.randint(1, 9))
        elif kind == 4:
            del out[at : at + rng.randint(1, 9)]
        elif kind == 5:
            del out[at:]
        elif kind == 6:
            out[at:at] = out[rng.randrange(len(out) + 1) :][: rng.randint(1, 60)]
        elif at + 2 <= len(out):
            out[at : at + 2] = rng.choice((0, 1, 255, 256, 32767, 65535)).to_bytes(2, "little")
    return bytes(out)


def changed(
    rng: Random, choices: "list[bytes]", change: "Callable[[Random, bytes], bytes]"
) -> bytes:
    """One of them, changed until it is another."""
    data = rng.choice(choices)
    while True:
        out = change(rng, data)
        if out not in choices:
            return out
