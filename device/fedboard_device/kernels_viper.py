# mypy: ignore-errors
"""Kernels in MicroPython's viper: every board with a native emitter (ESP32, RP2, STM32, unix).

Bit-identical to fedboard.kernels, whose functions and layer records these are. Pointers read
unsigned, but for 32 bits on 32-bit machines: `(v ^ sign) - sign` extends the sign on all. Literals
stay below 2**30, and 1 << 31 is made in two steps, as a folded one is no native integer there. The
decorator is a syntax error on CircuitPython: import under try only.
"""

from array import array

import micropython

from fedboard.kernels import EXP2

name = "viper"


@micropython.viper
def forward(x: ptr8, w: ptr16, acc: ptr32, layer: ptr32):
    sign = 1
    sign = sign << 31
    n_in = layer[0]
    n_out = layer[1]
    bias_input = (layer[3] ^ sign) - sign
    w = ptr16(int(w) + 2 * layer[2])
    bias = ptr16(int(w) + 2 * n_in * n_out)
    end = int(x) + n_in
    last4 = end - 3
    j = 0
    while j < n_out:
        total = ((bias[j] ^ 32768) - 32768) * bias_input
        while int(x) < last4:
            total += (
                ((x[0] ^ 128) - 128) * ((w[0] ^ 32768) - 32768)
                + ((x[1] ^ 128) - 128) * ((w[1] ^ 32768) - 32768)
                + ((x[2] ^ 128) - 128) * ((w[2] ^ 32768) - 32768)
                + ((x[3] ^ 128) - 128) * ((w[3] ^ 32768) - 32768)
            )
            x = ptr8(int(x) + 4)
            w = ptr16(int(w) + 8)
        while int(x) < end:
            total += ((x[0] ^ 128) - 128) * ((w[0] ^ 32768) - 32768)
            x = ptr8(int(x) + 1)
            w = ptr16(int(w) + 2)
        x = ptr8(int(x) - n_in)
        acc[j] = total
        j += 1


def put(source, batch, slot):
    n = len(source)
    batch[slot * n : slot * n + n] = source  # a copy in C, whatever the type


@micropython.viper
def argmax(out) -> int:
    po = ptr32(out)
    sign = 1
    sign = sign << 31
    n = int(len(out))
    found = 0
    best = (po[0] ^ sign) - sign
    k = 1
    while k < n:
        value = (po[k] ^ sign) - sign
        if value > best:
            best = value
            found = k
        k += 1
    return found


@micropython.viper
def activate_relu(acc, a, d, layer):
    pacc = ptr32(acc)
    pa = ptr8(a)
    pd = ptr16(d)
    pl = ptr32(layer)
    sign = 1
    sign = sign << 31
    n = pl[1]
    j = 0
    while j < n:
        value = ((pacc[j] ^ sign) - sign) >> 12
        if value <= 0:
            pa[j] = 0
            pd[j] = 0
        elif value < 127:
            pa[j] = value
            pd[j] = 1
        else:
            pa[j] = 127
            pd[j] = 0
        j += 1


@micropython.viper
def output_shift(out):
    po = ptr32(out)
    sign = 1
    sign = sign << 31
    n = int(len(out))
    k = 0
    while k < n:
        po[k] = ((po[k] ^ sign) - sign) >> 12
        k += 1


@micropython.viper
def errors_softmax(out, e, d, label: int) -> int:
    po = ptr32(out)
    pe = ptr16(e)
    pd = ptr16(d)
    pp = ptr16(EXP2)
    sign = 1
    sign = sign << 31
    n = int(len(e))
    top = (po[0] ^ sign) - sign
    k = 1
    while k < n:
        value = (po[k] ^ sign) - sign
        if value > top:
            top = value
        k += 1
    total = 0
    k = 0
    while k < n:
        i = (top - ((po[k] ^ sign) - sign)) >> 2
        power = 0
        if i < 208:
            power = pp[i & 15] >> (i >> 4)
        pe[k] = power
        total += power
        k += 1
    loss = 128 - 128 * pe[label] // total
    pe[label] = 0
    wrong = 0
    k = 0
    while k < n:
        p = 128 * pe[k] // total
        if p < 8:
            p = 0
        pe[k] = p
        pd[k] = p
        wrong += p
        k += 1
    pe[label] = 0 - wrong
    pd[label] = 0 - wrong
    return loss


@micropython.viper
def backward(d: ptr16, w: ptr16, acc: ptr32, layer: ptr32):
    n_in = layer[0]
    n_out = layer[1]
    w = ptr16(int(w) + 2 * layer[2])
    i = 0
    while i < n_in:
        acc[i] = 0
        i += 1
    j = 0
    while j < n_out:
        factor = (d[j] ^ 32768) - 32768
        if factor:
            i = 0
            while i < n_in:
                acc[i] = acc[i] + ((w[i] ^ 32768) - 32768) * factor
                i += 1
        w = ptr16(int(w) + 2 * n_in)
        j += 1


@micropython.viper
def gate(acc: ptr32, d: ptr16, layer: ptr32):
    sign = 1
    sign = sign << 31
    n_out = layer[1]
    most = 65535 // (n_out + 1)
    low = 0 - most
    j = 0
    while j < n_out:
        if d[j]:
            value = (((acc[j] ^ sign) - sign) + 256) >> 9
            if value < low:
                value = low
            elif value > most:
                value = most
            d[j] = value
        j += 1


_row = array("i")


@micropython.viper
def _update(w: ptr16, x: ptr8, row: ptr32, d: ptr16, layer: ptr32, divide: int):
    """row[i] = sum_s x[s, i] d[s, j], the bias's behind, and weights changed by it, for each j."""
    sign = 1
    sign = sign << 31
    n_in = layer[0]
    n_out = layer[1]
    bias_input = (layer[3] ^ sign) - sign
    limit = layer[4]
    low = 0 - limit
    batch = layer[5]
    rate = layer[6]
    w = ptr16(int(w) + 2 * layer[2])
    bias = int(w) + 2 * n_in * n_out
    half = 0
    if divide == 0:
        half = (1 << rate) >> 1
    j = 0
    while j < n_out:
        found = 0
        at = j
        s = 0
        while s < batch:
            factor = (d[at] ^ 32768) - 32768
            at += n_out
            s += 1
            end = int(x) + n_in
            if factor == 0:
                x = ptr8(end)
            elif found:
                while int(x) < end:
                    row[0] = row[0] + ((x[0] ^ 128) - 128) * factor
                    x = ptr8(int(x) + 1)
                    row = ptr32(int(row) + 4)
                row[0] = row[0] + bias_input * factor
                row = ptr32(int(row) - 4 * n_in)
            else:
                found = 1
                while int(x) < end:
                    row[0] = ((x[0] ^ 128) - 128) * factor
                    x = ptr8(int(x) + 1)
                    row = ptr32(int(row) + 4)
                row[0] = bias_input * factor
                row = ptr32(int(row) - 4 * n_in)
        x = ptr8(int(x) - batch * n_in)
        next_row = int(w) + 2 * n_in
        if found:
            end = next_row
            while end:
                while int(w) < end:
                    step = (row[0] ^ sign) - sign
                    if divide:
                        step = step // rate
                    else:
                        step = (step + half) >> rate
                    if step:
                        value = ((w[0] ^ 32768) - 32768) - step
                        if value < low:
                            value = low
                        elif value > limit:
                            value = limit
                        w[0] = value
                    w = ptr16(int(w) + 2)
                    row = ptr32(int(row) + 4)
                if end == next_row:
                    w = ptr16(bias + 2 * j)
                    end = int(w) + 2
                else:
                    end = 0
            row = ptr32(int(row) - 4 * n_in - 4)
        w = ptr16(next_row)
        j += 1


def _row_for(layer):
    """The row of sums, as long as the widest layer so far."""
    global _row
    if len(_row) <= layer[0]:
        _row = array("i", range(layer[0] + 1))  # bytes(...) would take the memory twice
    return _row


def update_shift(w, x, d, layer):
    _update(w, x, _row_for(layer), d, layer, 0)


def update_divide(w, x, d, layer):
    _update(w, x, _row_for(layer), d, layer, 1)


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
