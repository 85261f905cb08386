# mypy: ignore-errors
"""kernels_viper's histogram, pick and encode: an update to the host.

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
def pick(a: ptr16, b: ptr16, found: ptr32, block: ptr32) -> int:
    a = ptr16(int(a) + 2 * block[0])
    n = block[1]
    least = block[2]
    n_least = block[3]
    left = block[4]
    shift = block[5]
    low = block[6]
    top = block[7]
    half = (1 << shift) >> 1
    k = 0
    i = 0
    while i < n:
        change = ((a[i] ^ 32768) - 32768) - ((b[i] ^ 32768) - 32768)
        m = change
        if m < 0:
            m = 0 - m
        if m >= least:
            if left == 0:
                i = n
            elif m == least and n_least == 0:
                m = 0
            else:
                if m == least:
                    n_least -= 1
                left -= 1
                m = (m + half) >> shift
                if m < low:
                    m = low
                elif m > top:
                    m = top
                if change < 0:
                    m = 0 - m
                found[k] = (m << 8) | i
                k += 1
        i += 1
    block[3] = n_least
    block[4] = left
    return k


@micropython.viper
def encode(found: ptr32, out: ptr8, state: ptr32):
    sign = 1
    sign = sign << 31
    i = state[0]
    n = state[1]
    r = (state[2] ^ sign) - sign
    bits = state[3]
    following = (state[5] ^ sign) - sign
    at = state[6]
    end = state[7]
    acc = state[8]
    held = state[9]
    while i < n and at < end:
        entry = (found[i] ^ sign) - sign
        go_on = 1
        if r >= 0:
            gap = (entry & 255) - following
            if held + (gap >> r) >= 8:
                following += (8 - held) << r
                out[at] = acc
                at += 1
                acc = 0
                held = 0
                go_on = 0
            else:
                held += gap >> r
                acc |= (1 | ((gap & ((1 << r) - 1)) << 1)) << held
                held += 1 + r
                following = (entry & 255) + 1
                while held >= 8:
                    out[at] = acc & 255
                    at += 1
                    acc = acc >> 8
                    held -= 8
        if go_on:
            value = entry >> 8
            i += 1
            if state[4]:
                value &= (1 << bits) - 1
            elif value < 0:
                value = 0 - 2 * value - 1
            else:
                value = 2 * value - 2
            acc |= value << held
            held += bits
            while held >= 8:
                out[at] = acc & 255
                at += 1
                acc = acc >> 8
                held -= 8
    state[0] = i
    state[5] = following
    state[6] = at
    state[8] = acc
    state[9] = held
