# mypy: ignore-errors
"""The convolutional kernels in MicroPython's viper: bit-identical to fedboard.ckernels.

As kernels_viper: pointers read unsigned, but for 32 bits on 32-bit machines, so that
`(v ^ sign) - sign` extends the sign; import under try only.
"""

import micropython

name = "viper"


@micropython.viper
def forward(x: ptr8, w: ptr16, acc: ptr32, layer: ptr32):
    rows = layer[0]
    row = layer[1]
    pitch = layer[2]
    side = layer[3]
    n_out = layer[6]
    first_w = int(w) + 2 * layer[7]
    bias = ptr16(first_w + 2 * rows * row * n_out)
    v = 0
    while v < side:
        u = 0
        while u < side:
            start = int(x) + v * layer[5] + u * layer[4]
            pw = ptr16(first_w)
            j = 0
            while j < n_out:
                total = ((bias[j] ^ 32768) - 32768) * 128
                first = start
                r = 0
                while r < rows:
                    px = ptr8(first)
                    end = first + row
                    while int(px) < end:
                        total += ((px[0] ^ 128) - 128) * ((pw[0] ^ 32768) - 32768)
                        px = ptr8(int(px) + 1)
                        pw = ptr16(int(pw) + 2)
                    first += pitch
                    r += 1
                acc[0] = total
                acc = ptr32(int(acc) + 4)
                j += 1
            u += 1
        v += 1


@micropython.viper
def squash(acc: ptr32, a: ptr8, n: int):
    sign = 1
    sign = sign << 31
    i = 0
    while i < n:
        value = ((acc[i] ^ sign) - sign) >> 14
        if value < 0:
            value = 0
        elif value > 127:
            value = 127
        a[i] = value
        i += 1


@micropython.viper
def backward(w: ptr16, d: ptr16, acc: ptr32, layer: ptr32):
    rows = layer[0]
    row = layer[1]
    pitch = layer[2]
    side = layer[3]
    n_out = layer[6]
    sign = 1
    sign = sign << 31
    between = 2 * rows * row  # from an output's weight to the next one's
    first_w = int(w) + 2 * layer[7]
    v = 0
    while v < side:
        u = 0
        while u < side:
            used = 0
            j = 0
            while j < n_out:
                used |= d[j]
                j += 1
            if used:
                d_end = int(d) + 2 * n_out
                to = v * layer[5] + u * layer[4]
                at = first_w
                r = 0
                while r < rows:
                    i = to
                    while i < to + row:
                        total = 0
                        pw = ptr16(at)
                        pd = ptr16(int(d))
                        while int(pd) < d_end:
                            total += ((pw[0] ^ 32768) - 32768) * ((pd[0] ^ 32768) - 32768)
                            pw = ptr16(int(pw) + between)
                            pd = ptr16(int(pd) + 2)
                        acc[i] = ((acc[i] ^ sign) - sign) + (total >> 4)
                        at += 2
                        i += 1
                    to += pitch
                    r += 1
            d = ptr16(int(d) + 2 * n_out)
            u += 1
        v += 1


@micropython.viper
def gate(acc: ptr32, a: ptr8, d: ptr16, n: int):
    sign = 1
    sign = sign << 31
    i = 0
    while i < n:
        value = (((acc[i] ^ sign) - sign) + 512) >> 10
        if a[i] == 0 or (a[i] == 127 and value < 0):
            value = 0
        if value > 2047:
            value = 2047
        elif value < -2047:
            value = -2047
        d[i] = value
        i += 1


@micropython.viper
def update(w: ptr16, x: ptr8, d: ptr16, layer: ptr32):
    rows = layer[0]
    row = layer[1]
    side = layer[3]
    n_out = layer[6]
    limit = layer[8]
    rate = layer[9]
    half = (1 << rate) >> 1
    n_d = side * side
    w = ptr16(int(w) + 2 * layer[7])
    bias = ptr16(int(w) + 2 * rows * row * n_out)
    j = 0
    while j < n_out:
        total = 0
        used = 0
        pd = ptr16(int(d) + 2 * j)
        k = 0
        while k < n_d:
            used |= pd[0]
            total += (pd[0] ^ 32768) - 32768
            pd = ptr16(int(pd) + 2 * n_out)
            k += 1
        if used:
            value = ((bias[j] ^ 32768) - 32768) - ((128 * total + half) >> rate)
            if value > limit:
                value = limit
            elif value < 0 - limit:
                value = 0 - limit
            bias[j] = value
            r = 0
            while r < rows:
                first = int(x) + r * layer[2]
                end = first + row
                while first < end:
                    total = 0
                    pd = ptr16(int(d) + 2 * j)
                    v = 0
                    while v < side:
                        px = ptr8(first + v * layer[5])
                        u = 0
                        while u < side:
                            if pd[0]:
                                total += ((px[0] ^ 128) - 128) * ((pd[0] ^ 32768) - 32768)
                            px = ptr8(int(px) + layer[4])
                            pd = ptr16(int(pd) + 2 * n_out)
                            u += 1
                        v += 1
                    value = ((w[0] ^ 32768) - 32768) - ((total + half) >> rate)
                    if value > limit:
                        value = limit
                    elif value < 0 - limit:
                        value = 0 - limit
                    w[0] = value
                    w = ptr16(int(w) + 2)
                    first += 1
                r += 1
        else:
            w = ptr16(int(w) + 2 * rows * row)
        j += 1

