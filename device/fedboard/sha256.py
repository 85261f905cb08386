"""SHA-256 (FIPS 180-4) in Python, for firmware without hashlib: CircuitPython on SAMD51 or STM32.

As hashlib's object: update(data), digest(). Slow, some milliseconds for 64 bytes on a board, and
loaded there only.
"""

import struct
from array import array

_MASK = 0xFFFFFFFF


# The fractions of the first primes' square and cube roots. Integers stay below 2**63: some firmware
# has no larger ones.
_START = array("I", (
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
))  # fmt: skip
_K = array("I", (
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
))  # fmt: skip


class Sha256:
    def __init__(self) -> None:
        self._state = array("I", _START)
        self._rest = b""
        self._n_bytes = 0

    def update(self, data: "bytes | bytearray | memoryview | array[int]") -> None:
        data = bytes(data)
        self._n_bytes += len(data)
        data = self._rest + data
        at = 0
        while at + 64 <= len(data):
            _compress(self._state, data[at : at + 64])
            at += 64
        self._rest = data[at:]

    def digest(self) -> bytes:
        state = array("I", self._state)
        n_zeros = (55 - self._n_bytes) % 64
        bits = self._n_bytes * 8
        tail = self._rest + b"\x80" + bytes(n_zeros)
        tail += struct.pack(">II", bits >> 32, bits & _MASK)
        for at in range(0, len(tail), 64):
            _compress(state, tail[at : at + 64])
        return b"".join([struct.pack(">I", word) for word in state])


def _compress(state: "array[int]", block: bytes) -> None:
    w = array("I", struct.unpack(">16I", block))
    a, b, c, d = state[0], state[1], state[2], state[3]
    e, f, g, h = state[4], state[5], state[6], state[7]
    for i in range(64):
        word = w[i & 15]
        if i >= 16:
            x = w[(i + 1) & 15]
            y = w[(i + 14) & 15]
            x = (x >> 7 | x << 25) ^ (x >> 18 | x << 14) ^ x >> 3
            y = (y >> 17 | y << 15) ^ (y >> 19 | y << 13) ^ y >> 10
            word = (word + (x & _MASK) + w[(i + 9) & 15] + (y & _MASK)) & _MASK
            w[i & 15] = word
        x = ((e >> 6 | e << 26) ^ (e >> 11 | e << 21) ^ (e >> 25 | e << 7)) & _MASK
        first = h + x + (e & f ^ ~e & _MASK & g) + _K[i] + word
        x = ((a >> 2 | a << 30) ^ (a >> 13 | a << 19) ^ (a >> 22 | a << 10)) & _MASK
        second = x + (a & b ^ a & c ^ b & c)
        h = g
        g = f
        f = e
        e = (d + first) & _MASK
        d = c
        c = b
        b = a
        a = (first + second) & _MASK
    for i, value in enumerate((a, b, c, d, e, f, g, h)):
        state[i] = (state[i] + value) & _MASK
