# mypy: ignore-errors
"""Timing on a board or MicroPython's unix port, and numbers to time with: for board_script.

Times come in cycles of 8 ns from an emulated Pico's counter, else from the clock, as if it were one
of 125 MHz. Loops are repeated until the clock can tell; garbage is collected beforehand.
"""

import gc
import sys
import time
from array import array

CYCLES_PER_US = 125
LONG = 2_000_000  # cycles: beside them a clock's own do not count
EMULATED = sys.platform == "rp2"  # the counter exists on the emulated Pico only
if EMULATED:
    from machine import mem32


def clock():
    if EMULATED:
        return mem32[0x40070014]
    return time.ticks_us() * CYCLES_PER_US


def clock_cost():
    """What a clock() takes of the time between two of them."""
    began = clock()
    return (clock() - began) & 0xFFFFFFFF


CLOCK = min(clock_cost(), clock_cost(), clock_cost()) if EMULATED else 0


def cycles(kernel, a, b, c, d):
    """Of one call, its own cost as a call included: the least of three runs, which take a while."""
    gc.collect()
    began = clock()
    kernel(a, b, c, d)
    n = 1 + LONG // max(1, (clock() - began) & 0xFFFFFFFF)
    best = 1 << 40
    for _ in range(3):
        began = clock()
        for _ in range(n):
            pass
        empty = clock() - began
        began = clock()
        for _ in range(n):
            kernel(a, b, c, d)
        best = min(best, ((clock() - began - empty) & 0xFFFFFFFF) / n)
    return best


ROWS = []


def say(what, value, unit):
    """Keep it for the end: a console that still sends takes time from what comes next."""
    ROWS.append((what, value, unit))


def numbers(code, n, low, high, seed):
    """Without zeros: then no kernel can save work."""
    from fedboard.prng import Xorshift

    rng = Xorshift(seed)
    made = array(code, [1] * n)
    for i in range(n):
        made[i] = low + rng.below(high - low + 1) or 1
    return made
