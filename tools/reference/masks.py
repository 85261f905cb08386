"""Masked updates from the text of docs/formats.md and cohort's formulas: standard library only.

GF(256) is by tables of logarithms, polynomials by powers: another way than the boards'.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections.abc import Sequence

from reference import prng
from reference.frames import hmac_sha256

_PLACES = 7

_POWERS = [1]  # of 3, a generator
while len(_POWERS) < 255:
    twice = _POWERS[-1] << 1
    _POWERS.append((twice ^ 0x11B if twice > 255 else twice) ^ _POWERS[-1])
_LOGS = {power: n for n, power in enumerate(_POWERS)}


def times(a: int, b: int) -> int:
    return _POWERS[(_LOGS[a] + _LOGS[b]) % 255] if a and b else 0


def places(sizes: tuple[int, ...], layers: int, permille: int, run: int, number: int) -> list[int]:
    """The parameters that all boards send: one by lot out of each stretch of a layer."""
    found = []
    at = 0
    for l, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        n = (n_in + 1) * n_out
        if layers >> l & 1:
            k = -(-n * permille // 1000)
            words = prng.stream(prng.mix(run, _PLACES, number, l))
            ends = [g * n // k for g in range(k + 1)]
            for low, high in itertools.pairwise(ends):
                found.append(at + low + prng.below(words, high - low))
        at += n
    return found


def about(task: bytes, seed_at: int, nonce: bytes, names: Sequence[str]) -> bytes:
    """task: as packed, its seed at byte seed_at."""
    told = task[:seed_at] + bytes(4) + task[seed_at + 4 :] + nonce
    for name in names:
        told += bytes([len(name.encode())]) + name.encode()
    return hashlib.sha256(told).digest()


def seed(about: bytes, key: bytes, i: int, j: int) -> bytes:
    """s_ij, or b_i."""
    if i == j:
        return hmac_sha256(key, b"fedboard self" + about + bytes([i]))
    return hmac_sha256(key, b"fedboard pair" + about + bytes(sorted((i, j))))


def masked(about: bytes, key: bytes, n: int, own: int, changes: Sequence[int]) -> bytes:
    """What board `own` of n sends of these changes."""
    limit = 32767 // n
    words = [max(-limit, min(limit, change)) for change in changes]
    for j in range(n):
        sign = -1 if j < own else 1
        n_blocks = -(-len(words) // 16)
        stream = b"".join(
            hashlib.sha256(seed(about, key, own, j) + struct.pack("<I", b)).digest()
            for b in range(n_blocks)
        )
        masks = struct.unpack(f"<{16 * n_blocks}H", stream)
        words = [word + sign * mask for word, mask in zip(words, masks, strict=False)]
    return struct.pack(f"<{len(words)}H", *(word % 2**16 for word in words))


def share(about: bytes, key: bytes, n: int, survivors: int, i: int) -> bytes:
    """Board i's of what opens the sum of these survivors."""
    terms = [
        hmac_sha256(key, b"fedboard open" + about + struct.pack("<IB", survivors, k))
        for k in range(max(3, n // 2 + 1))
    ]
    found = bytes(32)
    power = 1
    for term in terms:
        found = bytes(a ^ times(b, power) for a, b in zip(found, term, strict=True))
        power = times(power, i + 1)
    return found


def sealed(about: bytes, key: bytes, survivors: int, i: int, j: int) -> bytes:
    """The seed of boards i and j, encrypted for those who have enough shares."""
    opener = hmac_sha256(key, b"fedboard open" + about + struct.pack("<IB", survivors, 0))
    both = bytes((i, j))
    plain = seed(about, key, i, j)
    stream = hmac_sha256(opener, b"fedboard seal" + both)
    tag = hmac_sha256(opener, b"fedboard tag" + both + plain)[:4]
    return bytes(a ^ b for a, b in zip(plain, stream, strict=True)) + tag
