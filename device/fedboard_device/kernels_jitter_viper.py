# mypy: ignore-errors
"""The jitter of samples in MicroPython's viper: bit-identical to fedboard.jitter.blur.

Import under try only: see kernels_viper.
"""

import micropython

name = "viper"


@micropython.viper
def blur(inputs, state: ptr32):
    x = ptr8(inputs)
    hi = state[0]  # both are 16 bits: no sign to extend
    lo = state[1]
    span = state[2]
    amount = span >> 1
    end = int(x) + int(len(inputs))
    while int(x) < end:
        hi ^= ((hi << 13) | (lo >> 3)) & 0xFFFF
        lo ^= (lo << 13) & 0xFFFF
        lo ^= hi >> 1
        hi ^= ((hi << 5) | (lo >> 11)) & 0xFFFF
        lo ^= (lo << 5) & 0xFFFF
        value = ((x[0] ^ 128) - 128) + ((hi * span) >> 16) - amount
        if value < -127:
            value = -127
        elif value > 127:
            value = 127
        x[0] = value
        x = ptr8(int(x) + 1)
    state[0] = hi
    state[1] = lo
