# mypy: ignore-errors
"""kernels_viper's argmax, run, put and updates: what kernels_thumb takes over, and need not load more.

What viper asks for: see kernels_viper.
"""

from array import array

import micropython


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


@micropython.native
def run(calls):
    for kernel, o, p, q, r in calls:
        kernel(o, p, q, r)


def put(source, batch, at, n):
    batch[at : at + n] = source  # a copy in C, whatever the type


@micropython.viper
def update_one(w: ptr16, x: ptr8, d: ptr16, layer: ptr32):
    sign = 1
    sign = sign << 31
    n_in = layer[0]
    n_out = layer[1]
    bias_input = (layer[3] ^ sign) - sign
    limit = layer[4]
    low = 0 - limit
    rate = layer[6]
    half = (1 << rate) >> 1
    w = ptr16(int(w) + 2 * layer[2])
    bias = ptr16(int(w) + 2 * n_in * n_out)
    end = int(x) + n_in
    j = 0
    while j < n_out:
        factor = (d[j] ^ 32768) - 32768
        if factor:
            while int(x) < end:
                step = (((x[0] ^ 128) - 128) * factor + half) >> rate
                if step:
                    value = ((w[0] ^ 32768) - 32768) - step
                    if value < low:
                        value = low
                    elif value > limit:
                        value = limit
                    w[0] = value
                x = ptr8(int(x) + 1)
                w = ptr16(int(w) + 2)
            x = ptr8(int(x) - n_in)
            step = (bias_input * factor + half) >> rate
            if step:
                value = ((bias[j] ^ 32768) - 32768) - step
                if value < low:
                    value = low
                elif value > limit:
                    value = limit
                bias[j] = value
        else:
            w = ptr16(int(w) + 2 * n_in)
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
