# mypy: ignore-errors
"""The losses of kernels_float_rp2, in the same way: see kernels_float_rp2_units.

exp and ln are the ROM's. Floats other than NaN are in the order of their bits as an integer, once
those below zero have all but the sign flipped.
"""

from array import array

import micropython

from fedboard_device.kernels_float_rp2_units import SF

_NUMBERS = array("i", (0, 0, 0, 0))  # outputs, the label, the largest output's, the loss (a float)


def largest(out, layer):
    return _largest(out, layer[1])


def cross_entropy(out, d, label, layer):
    _NUMBERS[0] = layer[1]
    _NUMBERS[1] = label
    _NUMBERS[2] = _largest(out, layer[1])
    _softmax(out, d, _NUMBERS, SF)
    return _thousandths(_NUMBERS, SF)


def squared(out, d, layer):
    _NUMBERS[0] = layer[1]
    _squared(out, d, _NUMBERS, SF)
    return _thousandths(_NUMBERS, SF)


@micropython.asm_thumb
def _largest(r0, r1):
    # r2 which, r3 the largest, r4 which it is, r5 a float as an integer of the same order
    mov(r2, 0)
    mov(r4, 0)
    mov(r3, 1)
    lsl(r3, r3, 31)
    label(ONE)
    data(2, 0xC820)  # ldm r0!, {r5}
    asr(r6, r5, 31)
    lsr(r6, r6, 1)
    eor(r5, r6)
    cmp(r5, r3)
    ble(LESS)
    mov(r3, r5)
    mov(r4, r2)
    label(LESS)
    add(r2, 1)
    cmp(r2, r1)
    bne(ONE)
    mov(r0, r4)


@micropython.asm_thumb
def _softmax(r0, r1, r2, r3):
    # r4 an output, r5 its delta, r6 SF, r7 numbers; the stack: the largest, outputs left, the sum
    mov(r4, r0)
    mov(r5, r1)
    mov(r7, r2)
    mov(r6, r3)
    ldr(r2, [r7, 0])
    ldr(r0, [r7, 8])
    lsl(r0, r0, 2)
    add(r0, r0, r4)
    ldr(r1, [r0, 0])
    mov(r3, 0)
    push({r1, r2, r3})
    label(POWER)
    data(2, 0xCC01, 0x9900)  # ldm r4!, {r0}; ldr r1, [sp, 0]
    ldr(r3, [r6, 4])
    data(2, 0x4798)
    ldr(r3, [r6, 0x4C])
    data(2, 0x4798)
    data(2, 0xC501, 0x9902)  # stm r5!, {r0}; ldr r1, [sp, 8]
    ldr(r3, [r6, 0])
    data(2, 0x4798)
    data(2, 0x9002, 0x9901)  # str r0, [sp, 8]; ldr r1, [sp, 4]
    sub(r1, 1)
    data(2, 0x9101)  # str r1, [sp, 4]
    bne(POWER)
    ldr(r2, [r7, 0])
    lsl(r2, r2, 2)
    sub(r4, r4, r2)
    sub(r5, r5, r2)
    add(r2, r2, r5)
    data(2, 0x9201)  # str r2, [sp, 4]: now where deltas end
    label(SHARE)
    ldr(r0, [r5, 0])
    data(2, 0x9902)
    ldr(r3, [r6, 12])
    data(2, 0x4798)
    data(2, 0xC501, 0x9901)  # stm r5!, {r0}; ldr r1, [sp, 4]
    cmp(r5, r1)
    bne(SHARE)
    ldr(r2, [r7, 0])
    lsl(r2, r2, 2)
    sub(r5, r5, r2)
    ldr(r2, [r7, 4])
    lsl(r2, r2, 2)
    add(r5, r5, r2)
    add(r4, r4, r2)
    ldr(r0, [r5, 0])
    mov(r1, 0x7F)
    lsl(r1, r1, 23)
    ldr(r3, [r6, 4])
    data(2, 0x4798)
    str(r0, [r5, 0])
    ldr(r0, [r4, 0])
    data(2, 0x9900)
    ldr(r3, [r6, 4])
    data(2, 0x4798)
    mov(r4, r0)
    data(2, 0x9802)  # ldr r0, [sp, 8]
    ldr(r3, [r6, 0x50])
    data(2, 0x4798)
    mov(r1, r4)
    ldr(r3, [r6, 4])
    data(2, 0x4798)
    str(r0, [r7, 12])
    pop({r1, r2, r3})
    mov(r0, 0)


@micropython.asm_thumb
def _squared(r0, r1, r2, r3):
    # r4 an output, r5 its delta, r6 SF, r7 outputs left; the stack: numbers, the sum
    mov(r4, r0)
    mov(r5, r1)
    mov(r6, r3)
    ldr(r7, [r2, 0])
    mov(r3, 0)
    push({r2, r3})
    label(ONE)
    data(2, 0xCC01)  # ldm r4!, {r0}
    ldr(r1, [r5, 0])
    ldr(r3, [r6, 4])
    data(2, 0x4798)
    push({r0})
    mov(r1, r0)
    ldr(r3, [r6, 0])
    data(2, 0x4798)
    data(2, 0xC501)  # stm r5!, {r0}
    pop({r0})
    mov(r1, r0)
    ldr(r3, [r6, 8])
    data(2, 0x4798)
    data(2, 0x9901)  # ldr r1, [sp, 4]
    ldr(r3, [r6, 0])
    data(2, 0x4798)
    data(2, 0x9001)  # str r0, [sp, 4]
    sub(r7, 1)
    bne(ONE)
    pop({r2, r3})
    str(r3, [r2, 12])
    mov(r0, 0)


@micropython.asm_thumb
def _thousandths(r0, r1):
    # the loss, from 0 to 10**6, times 1000, as an integer
    ldr(r0, [r0, 12])
    cmp(r0, 0)
    ble(NONE)
    mov(r2, 0x49)
    lsl(r2, r2, 8)
    add(r2, 0x74)
    lsl(r2, r2, 8)
    add(r2, 0x24)
    lsl(r2, r2, 8)  # 10**6
    cmp(r0, r2)
    bcs(LARGE)
    mov(r6, r1)
    mov(r1, 0x44)
    lsl(r1, r1, 8)
    add(r1, 0x7A)
    lsl(r1, r1, 16)  # 1000
    ldr(r3, [r6, 8])
    data(2, 0x4798)
    ldr(r3, [r6, 0x1C])
    data(2, 0x4798)
    b(END)
    label(LARGE)
    mov(r0, 0x3B)
    lsl(r0, r0, 8)
    add(r0, 0x9A)
    lsl(r0, r0, 8)
    add(r0, 0xCA)
    lsl(r0, r0, 8)  # 10**9
    b(END)
    label(NONE)
    mov(r0, 0)
    label(END)
