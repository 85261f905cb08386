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
def forward(x, w, acc, layer):
    px = ptr8(x)
    pw = ptr16(w)
    pa = ptr32(acc)
    pl = ptr32(layer)
    sign = 1
    sign = sign << 31
    n_in = pl[0]
    n_out = pl[1]
    at = pl[2]
    bias_input = (pl[3] ^ sign) - sign
    bias_at = at + n_in * n_out
    n4 = n_in & -4
    j = 0
    while j < n_out:
        total = ((pw[bias_at + j] ^ 32768) - 32768) * bias_input
        i = 0
        while i < n4:
            total += ((px[i] ^ 128) - 128) * ((pw[at] ^ 32768) - 32768)
            total += ((px[i + 1] ^ 128) - 128) * ((pw[at + 1] ^ 32768) - 32768)
            total += ((px[i + 2] ^ 128) - 128) * ((pw[at + 2] ^ 32768) - 32768)
            total += ((px[i + 3] ^ 128) - 128) * ((pw[at + 3] ^ 32768) - 32768)
            i += 4
            at += 4
        while i < n_in:
            total += ((px[i] ^ 128) - 128) * ((pw[at] ^ 32768) - 32768)
            i += 1
            at += 1
        pa[j] = total
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
def _errors(out, e, d, label: int, powers) -> int:
    po = ptr32(out)
    pe = ptr16(e)
    pd = ptr16(d)
    pp = ptr16(powers)
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


def errors_softmax(out, e, d, label):
    return _errors(out, e, d, label, EXP2)


@micropython.viper
def _gate(e, b, d, n_out: int):
    pe = ptr16(e)
    pb = ptr8(b)
    pd = ptr16(d)
    n = int(len(e))
    j = 0
    while j < n_out:
        if pd[j]:
            at = j * n
            total = 0
            k = 0
            while k < n:
                total += ((pb[at] ^ 128) - 128) * ((pe[k] ^ 32768) - 32768)
                at += 1
                k += 1
            if total < -32767:
                total = -32767
            elif total > 32767:
                total = 32767
            pd[j] = total
        j += 1


def feedback_gate(e, b, d, layer):
    _gate(e, b, d, layer[1])


_row = array("i")


@micropython.viper
def _sum_row(x, d, j: int, layer, row) -> int:
    """row[i] = sum_s x[s, i] d[s, j], the bias's behind; 0, undone, if all d are 0."""
    px = ptr8(x)
    pd = ptr16(d)
    pl = ptr32(layer)
    pr = ptr32(row)
    sign = 1
    sign = sign << 31
    n_in = pl[0]
    n_out = pl[1]
    bias_input = (pl[3] ^ sign) - sign
    batch = pl[5]
    found = 0
    s = 0
    while s < batch:
        factor = (pd[j] ^ 32768) - 32768
        j += n_out
        if factor:
            k = s * n_in
            i = 0
            if found:
                while i < n_in:
                    pr[i] = pr[i] + ((px[k] ^ 128) - 128) * factor
                    k += 1
                    i += 1
                pr[n_in] = pr[n_in] + bias_input * factor
            else:
                found = 1
                while i < n_in:
                    pr[i] = ((px[k] ^ 128) - 128) * factor
                    k += 1
                    i += 1
                pr[n_in] = bias_input * factor
        s += 1
    return found


@micropython.viper
def _apply(w, row, j: int, layer, divide: int):
    """Change row j of the weights, and its bias, by the sums in `row`."""
    pw = ptr16(w)
    pr = ptr32(row)
    pl = ptr32(layer)
    sign = 1
    sign = sign << 31
    n_in = pl[0]
    limit = pl[4]
    low = 0 - limit
    rate = pl[6]
    at = pl[2] + j * n_in
    half = 0
    if divide == 0:
        half = (1 << rate) >> 1
    i = 0
    while i <= n_in:
        if i == n_in:
            at = pl[2] + n_in * pl[1] + j
        step = (pr[i] ^ sign) - sign
        if divide:
            step = step // rate
        else:
            step = (step + half) >> rate
        if step:
            value = ((pw[at] ^ 32768) - 32768) - step
            if value < low:
                value = low
            elif value > limit:
                value = limit
            pw[at] = value
        at += 1
        i += 1


def _update(w, x, d, layer, divide):
    global _row
    if len(_row) <= layer[0]:
        _row = array("i", range(layer[0] + 1))  # bytes(...) would take the memory twice
    row = _row
    for j in range(layer[1]):
        if _sum_row(x, d, j, layer, row):
            _apply(w, row, j, layer, divide)


def update_shift(w, x, d, layer):
    _update(w, x, d, layer, 0)


def update_divide(w, x, d, layer):
    _update(w, x, d, layer, 1)


@micropython.viper
def histogram(a, b, counts, block):
    pa = ptr16(a)
    pb = ptr16(b)
    pc = ptr32(counts)
    where = ptr32(block)
    sign = 1
    sign = sign << 31
    at = where[0]
    n = where[1]
    high = (where[2] ^ sign) - sign
    i = 0
    while i < n:
        m = ((pa[at] ^ 32768) - 32768) - ((pb[i] ^ 32768) - 32768)
        at += 1
        i += 1
        if m < 0:
            m = 0 - m
        if high < 0:
            pc[m >> 8] = pc[m >> 8] + 1
        elif m >> 8 == high:
            pc[m & 255] = pc[m & 255] + 1
