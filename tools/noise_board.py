"""A board for noise.py, run by MicroPython: its program, in a hurry.

    micropython noise_board.py DEVICE_FOLDER SPEED --config fedboard.json

SPEED: how many times as fast its clock runs, so that waiting for repeats takes little time.
"""

import sys

sys.path.insert(0, sys.argv[1])

from fedboard_device import link, node, runner, system

speed = int(sys.argv[2])
clock_ms = system.clock_ms
system.clock_ms = lambda: speed * clock_ms()
runner.IDLE_MS = 1
link.WRITE_TIMEOUT_MS *= speed
node.run(sys.argv[4])
