# mypy: ignore-errors
"""kernels_viper's histogram and pick: what an update to the host is chosen by.

What viper asks for: see kernels_viper.
"""

import micropython


@micropython.viper
def histogram(a: ptr16, b: ptr16, counts: ptr32, block: ptr32):
    sign = 1
    sign = sign << 31
    a = ptr16(int(a) + 2 * block[0])
    end = int(a) + 2 * block[1]
    high = (block[2] ^ sign) - sign
    while int(a) < end:
        m = ((a[0] ^ 32768) - 32768) - ((b[0] ^ 32768) - 32768)
        if m < 0:
            m = 0 - m
        if high < 0:
            counts[m >> 8] = counts[m >> 8] + 1
        elif m >> 8 == high:
            counts[m & 255] = counts[m & 255] + 1
        a = ptr16(int(a) + 2)
        b = ptr16(int(b) + 2)


@micropython.viper
def pick(a: ptr16, b: ptr16, found: ptr8, block: ptr32) -> int:
    a = ptr16(int(a) + 2 * block[0])
    n = block[1]
    least = block[2]
    k = 0
    i = 0
    while i < n:
        m = ((a[0] ^ 32768) - 32768) - ((b[0] ^ 32768) - 32768)
        if m < 0:
            m = 0 - m
        if m >= least:
            found[k] = i
            k += 1
        a = ptr16(int(a) + 2)
        b = ptr16(int(b) + 2)
        i += 1
    return k
