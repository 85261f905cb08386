"""Runs the integer kernels on random and extreme cases; prints a checksum after each hundred.

    kernel_cases.py N [BACKEND]        BACKEND is a module for kernels.use

Any interpreter can run it, a board too: it makes the same cases everywhere. So the output of two
machines, or of two backends, is equal if and only if they computed the same in each case. Sizes are
odd and even, so that every path through an unrolled loop is taken; half of the numbers are at the
ends of their ranges, or 0, or 1.
"""

import gc
import sys
from array import array
from binascii import crc32

from fedboard import kernels
from fedboard.prng import Xorshift

POOL = 600
# What others return is undefined: assembler always returns something.
RETURNING = ("argmax", "output_shift", "errors_softmax", "pick")


def pool(code, low, high, seed):
    """Numbers from low to high to take slices of: making all anew would take a board minutes."""
    rng = Xorshift(seed)
    made = array(code, [0] * POOL)
    ends = (low, high, 0, 1, -1, low, high, 0)
    for i in range(POOL):
        if rng.below(2):
            made[i] = ends[rng.below(8)]
        elif high < 8191:
            made[i] = low + rng.below(high - low + 1)
        else:
            made[i] = rng.below(16384) * ((high + 1) >> 14) * (1 - 2 * rng.below(2))
    return made


class Cases:
    """Arguments for any kernel. Numbers of parameters come with their limit."""

    def __init__(self):
        self.rng = Xorshift(2024)
        self.x = pool("b", -128, 127, 1)
        self.limits = (32767, 20000, 100, 1)
        self.w = [pool("h", -limit, limit, 2 + limit) for limit in self.limits]
        self.deltas = (pool("h", -32767, 32767, 3), pool("h", -300, 300, 4))
        self.sums = pool("i", -(1 << 30), (1 << 30) - 1, 5)
        self.logits = pool("i", -900, 900, 6)
        self.slopes = array("h", [(1, 2, 8, 128)[i & 3] for i in range(POOL)])

    def take(self, source, n):
        at = self.rng.below(POOL - n + 1)
        return source[at : at + n]

    def make(self, name):
        rng = self.rng
        n_in = 1 + rng.below(40 if rng.below(4) else 8)
        n_out = 1 + rng.below(9)
        at = rng.below(4)
        kind = rng.below(4)
        batch = 1 if rng.below(3) else 1 + rng.below(9)
        rate = 1 + rng.below(20) if rng.below(2) else 7 + rng.below(4)
        bias_input = (1, -1, 128)[rng.below(3)]
        layer = array("i", (n_in, n_out, at, bias_input, self.limits[kind], batch, rate))
        a = array("b", bytes(n_out))
        d = array("h", bytes(2 * n_out))
        if name == "forward":
            w = self.take(self.w[kind], at + (n_in + 1) * n_out)
            return self.take(self.x, n_in), w, array("i", bytes(4 * n_out)), layer
        if name == "forward_relu":
            w = self.take(self.w[kind], at + (n_in + 1) * n_out)
            return self.take(self.x, n_in), w, a, layer
        if name == "put":
            source = self.take(self.x if kind & 1 else self.deltas[0], n_in)
            code = "b" if kind & 1 else "h"
            return source, array(code, [7] * (3 * n_in)), rng.below(3) * n_in, n_in
        if name == "argmax":
            return (self.take(self.sums if kind & 1 else self.logits, n_in),)
        if name == "output_shift":
            return self.take(self.sums if kind else self.logits, n_out), layer
        if name == "activate_tanh":
            acc = self.take(self.sums if kind else self.logits, n_out)
            for j in range(n_out if kind > 1 else 0):
                acc[j] >>= rng.below(24)
            return acc, a, d, layer
        if name == "errors_softmax":
            return self.take(self.logits, n_out), d, rng.below(n_out), layer
        if name == "backward":
            w = self.take(self.w[kind], at + (n_in + 1) * n_out)
            return self.take(self.deltas[1], n_out), w, array("i", bytes(4 * n_in)), layer
        if name == "gate":
            acc = self.take(self.sums, n_out)
            for j in range(n_out):
                acc[j] >>= 4 + rng.below(16)
            units = self.take(self.x, n_out)
            for j in range(n_out):
                units[j] &= 127
            return acc, units, d, layer
        if name == "feedback_divide":
            e = self.take(self.deltas[kind & 1], 1 + rng.below(10))
            b = self.take(self.w[2], len(e) * n_out)
            return e, b, self.take(self.slopes, n_out), layer
        if name in ("update_shift", "update_divide"):
            w = self.take(self.w[kind], at + (n_in + 1) * n_out)
            x = array("b", bytes(batch * n_in))
            deltas = array("h", bytes(2 * batch * n_out))
            for s in range(batch):
                x[s * n_in : (s + 1) * n_in] = self.take(self.x, n_in)
                if s == 0 or rng.below(2):
                    deltas[s * n_out : (s + 1) * n_out] = self.take(self.deltas[kind & 1], n_out)
            return w, x, deltas, layer
        if name == "update_one":
            w = self.take(self.w[kind], at + (n_in + 1) * n_out)
            return w, self.take(self.x, n_in), self.take(self.deltas[kind & 1], n_out), layer
        n = 1 + rng.below(100)
        if name == "encode":
            return self.entries(n)
        mine = self.take(self.w[kind], at + n)
        base = self.take(self.w[rng.below(4)], n)
        if name == "histogram":
            block = array("i", (at, n, -1 if rng.below(2) else rng.below(256)))
            return mine, base, array("i", bytes(1024)), block
        if name == "pick":
            least = (0, 1, 30, 9000)[rng.below(4)]
            block = (at, n, least, rng.below(3) * n, 1 + rng.below(n), rng.below(16))
            top = (1 << rng.below(16)) - rng.below(2)
            block += (int(top > 0), top)
            return mine, base, array("i", bytes(4 * n)), array("i", block)
        raise ValueError("no cases for " + name)

    def entries(self, n):
        """What encode() is given: n entries or fewer, some room, bits left over from before."""
        rng = self.rng
        bits = 1 + rng.below(17)
        dense = rng.below(2)
        place = -1
        found = array("i", bytes(4 * n))
        for k in range(n):
            place += 1 + rng.below(4) * rng.below(1 + 50 // n)
            high = (1 << bits - 1) - dense
            value = self.deltas[0][rng.below(POOL)] % (2 * high + 1) - high
            found[k] = (value if value or dense else high) << 8 | place
        first = rng.below(n)
        held = rng.below(8)
        room = 1 + rng.below(60)
        following = (found[first] & 255) - rng.below(1 + rng.below(400))
        state = (first, n, rng.below(12) - 1, bits, dense, following, 1, 1 + room)
        state += (rng.below(1 << held), held)
        return found, bytearray(room + 12), array("i", state)


def main(n, backend=None):
    if backend:
        __import__(backend)
        kernels.use(sys.modules[backend])
    cases = Cases()
    gc.collect()
    crc = 0
    for i in range(int(n)):
        name = kernels.KERNELS[i % len(kernels.KERNELS)]
        arguments = cases.make(name)
        result = getattr(kernels, name)(*arguments)
        for each in arguments:
            if not isinstance(each, int):
                crc = crc32(each, crc)
        if name in RETURNING:
            crc = crc32(str(result).encode(), crc)
        if i % 100 == 99:
            print(i + 1, f"{crc & 0xFFFFFFFF:08x}")


if __name__ == "__main__":
    main(*sys.argv[1:])
