# mypy: ignore-errors
"""Kernels in MicroPython's viper: every board with a native emitter (ESP32, RP2, STM32, unix).

Bit-identical to fedboard.kernels, whose functions and layer records these are. Pointers read
unsigned, but for 32 bits on 32-bit machines: `(v ^ sign) - sign` extends the sign on all. Literals
stay below 2**30, and 1 << 31 is made in two steps, as a folded one is no native integer there. The
decorator is a syntax error on CircuitPython: import under try only.
"""

import micropython

from fedboard.kernels import EXP2
from fedboard_device.kernels_viper_change import encode, histogram, pick  # noqa: F401
from fedboard_device.kernels_viper_update import (  # noqa: F401
    argmax,
    put,
    run,
    update_divide,
    update_one,
    update_shift,
)

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


@micropython.viper
def forward_relu(x: ptr8, w: ptr16, a: ptr8, layer: ptr32):
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
        total = total >> 12
        if total < 0:
            total = 0
        elif total > 127:
            total = 127
        a[j] = total
        j += 1


@micropython.viper
def output_shift(out: ptr32, layer: ptr32) -> int:
    sign = 1
    sign = sign << 31
    n = layer[1]
    found = 0
    best = ((out[0] ^ sign) - sign) >> 12
    k = 0
    while k < n:
        value = ((out[k] ^ sign) - sign) >> 12
        out[k] = value
        if value > best:
            best = value
            found = k
        k += 1
    return found


@micropython.viper
def errors_softmax(out: ptr32, e: ptr16, label: int, layer: ptr32) -> int:
    powers = ptr16(EXP2)
    sign = 1
    sign = sign << 31
    n = layer[1]
    top = (out[0] ^ sign) - sign
    k = 1
    while k < n:
        value = (out[k] ^ sign) - sign
        if value > top:
            top = value
        k += 1
    total = 0
    k = 0
    while k < n:
        i = (top - ((out[k] ^ sign) - sign)) >> 2
        power = 0
        if i < 208:
            power = powers[i & 15] >> (i >> 4)
        e[k] = power
        total += power
        k += 1
    loss = 128 - 128 * e[label] // total
    e[label] = 0
    wrong = 0
    k = 0
    while k < n:
        p = 128 * e[k] // total
        if p < 8:
            p = 0
        e[k] = p
        wrong += p
        k += 1
    e[label] = 0 - wrong
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
def gate(acc: ptr32, a: ptr8, d: ptr16, layer: ptr32):
    sign = 1
    sign = sign << 31
    n_out = layer[1]
    most = 65535 // (n_out + 1)
    low = 0 - most
    j = 0
    while j < n_out:
        value = 0
        if a[j] > 0 and a[j] < 127:
            value = (((acc[j] ^ sign) - sign) + 256) >> 9
            if value < low:
                value = low
            elif value > most:
                value = most
        d[j] = value
        j += 1
