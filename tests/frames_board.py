"""Counts in and unstuffs random runs with the frame kernels of this interpreter; prints which.

Each result must equal the pure one's, buffer and length.
"""

from fedboard import wire
from fedboard.prng import Xorshift

# Half of the bytes are those that mean something, or come behind them.
MARKS = b"\x7d\x7d\x7d\x7e\x03\x04\x0a\x0d\x5d\x5e\x23\x24\x2a\x2d\x7c\x22"

for name in ("thumb", "viper"):
    try:
        module = __import__("fedboard_device.kernels_frame_" + name)
        offered = getattr(module, "kernels_frame_" + name)
    except Exception:  # not on this machine
        continue
    rng = Xorshift(9)
    for _ in range(500):
        size = rng.below(60)
        run = bytearray(size)
        for i in range(size):
            run[i] = MARKS[rng.below(16)] if rng.below(2) else rng.below(256)
        n = rng.below(size + 1)
        mine, its = bytearray(run), bytearray(run)
        byte = MARKS[rng.below(16)]
        assert wire.count(mine, n, byte) == offered.count(its, n, byte)
        assert wire.unstuff(mine, n) == offered.unstuff(its, n)
        assert mine == its
    print(name)
