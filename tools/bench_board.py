"""A board for `bench.py memory`, run by MicroPython: its program with a heap that is nearly full.

    micropython bench_board.py DEVICE_FOLDER DATA_FOLDER FREE_BYTES

Imports all code that a board uses, reports what that takes, fills the heap until only FREE_BYTES
are left, and then is a board. FREE_BYTES 0: fills nothing.
"""

import gc
import sys

sys.path.insert(0, sys.argv[1])

from fedboard import learner
from fedboard_device import backends, config, console, runner, terminal

_LAZY = console, terminal  # loaded before the heap is filled
learner.WORK_BYTES = 0  # a board refuses a model with less beside it: here, see how far it goes

backends.choose(print)
settings = config.Settings()
settings.name = "bench"
settings.data_dir = sys.argv[2]
settings.key = bytes(32)  # tags cost memory too
keep = int(sys.argv[3])
ballast: object = None  # a chain: a list would leave garbage as it grows

gc.collect()
print(f"code {gc.mem_alloc()}")  # type: ignore[attr-defined]
reserve = bytearray(keep)
size = gc.mem_free() if keep else 0  # type: ignore[attr-defined]
while size:
    gc.collect()
    try:
        ballast = (ballast, bytearray(size))
    except MemoryError:
        size //= 2  # the heap is in pieces: the largest ones first, down to the holes
del reserve
gc.collect()
print(f"free {gc.mem_free()}")  # type: ignore[attr-defined]
board = runner.Runner(settings)
board.loop()
