# mypy: ignore-errors
"""wire's loops over bytes in MicroPython's viper; see kernels_viper. Bit-identical to wire's own."""

import micropython

name = "viper"


@micropython.viper
def unstuff(buffer: ptr8, n: int) -> int:
    at = 0
    out = 0
    while at < n:
        c = buffer[at]
        at += 1
        if c == 0x7D and at < n:
            e = buffer[at]
            if (
                (e == 0x5D)
                or (e == 0x5E)
                or (e == 0x23)
                or (e == 0x24)
                or (e == 0x2A)
                or (e == 0x2D)
            ):
                c = e ^ 0x20
                at += 1
        buffer[out] = c
        out += 1
    return out


@micropython.viper
def count(buffer: ptr8, n: int, byte: int) -> int:
    found = 0
    for i in range(n):
        if buffer[i] == byte:
            found += 1
    return found
