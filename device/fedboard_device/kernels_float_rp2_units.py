# mypy: ignore-errors
"""The rest of kernels_float_rp2: what is done once a unit. With it a step makes no object.

Each function takes addresses and small integers, calls the ROM, and writes into a buffer (it returns
0: another number might take an object). Sums,
products and quotients are MicroPython's own; exp is the ROM's, and tanh may differ from `math` in
the last bits: tanh x = (1 - t) / (1 + t), t = exp(-2 |x|); below 2**-12 it is x.

SF is the address of the ROM's table of functions (see kernels_float_rp2): at 0 a sum, 4 a
difference, 8 a product, 12 a quotient, 0x1C an integer, 0x4C exp, 0x50 ln; all in every version.
"""

import sys

import micropython

if sys.platform != "rp2":
    raise ImportError("no RP2040")

from machine import mem8, mem16

if bytes((mem8[0x10], mem8[0x11], mem8[0x12])) != b"Mu\x01":
    raise ImportError("an RP2350, which computes with floats itself")


def _table(name):
    """The address of a table that the ROM has: pairs of a name and an address."""
    at = mem16[0x16]
    while mem16[at] != name:
        at += 4
    return mem16[at + 2]


SF = _table(ord("S") | ord("F") << 8)


def scaled(x, scale, out):
    n = len(out)
    if x is not out:
        for i in range(n):
            out[i] = x[i]
    _scale(out, scale, n, SF)


def activate_tanh(a, layer):
    _tanh(a, layer[1], SF)


def activate_relu(a, layer):
    _relu(a, layer[1])


def slope_tanh(a, d, layer):
    _slope_tanh(a, d, layer[1], SF)


def slope_relu(a, d, layer):
    _slope_relu(a, d, layer[1])


def put(source, batch, slot):
    n = len(source)
    _put(source, batch, slot * n, n)


@micropython.asm_thumb
def _scale(r0, r1, r2, r3):
    # r4 a number, r5 where they end, r6 SF, r7 the factor
    mov(r4, r0)
    lsl(r2, r2, 2)
    add(r5, r0, r2)
    mov(r6, r3)
    ldr(r7, [r1, 0])
    label(ONE)
    ldr(r0, [r4, 0])
    mov(r1, r7)
    ldr(r3, [r6, 8])
    data(2, 0x4798)  # blx r3
    data(2, 0xC401)  # stm r4!, {r0}
    cmp(r4, r5)
    bne(ONE)
    mov(r0, 0)


@micropython.asm_thumb
def _tanh(r0, r1, r2):
    # r4 x's place, r5 where they end, r6 SF, r7 x; the stack: t, then 1 + t
    mov(r4, r0)
    lsl(r1, r1, 2)
    add(r5, r0, r1)
    mov(r6, r2)
    label(ONE)
    ldr(r7, [r4, 0])
    lsl(r0, r7, 1)
    lsr(r0, r0, 1)  # |x|
    mov(r1, 0x73)
    lsl(r1, r1, 23)  # 2**-12
    cmp(r0, r1)
    bcc(NEXT)
    mov(r1, 0x42)
    lsl(r1, r1, 24)  # 32
    cmp(r0, r1)
    bcs(ENDS)
    mov(r1, 1)
    lsl(r2, r1, 23)
    add(r0, r0, r2)  # its exponent, plus one
    lsl(r2, r1, 31)
    orr(r0, r2)
    ldr(r3, [r6, 0x4C])
    data(2, 0x4798)
    push({r0})
    mov(r1, 0x7F)
    lsl(r1, r1, 23)  # 1
    ldr(r3, [r6, 0])
    data(2, 0x4798)
    pop({r1})
    push({r0})
    mov(r0, 0x7F)
    lsl(r0, r0, 23)
    ldr(r3, [r6, 4])
    data(2, 0x4798)
    pop({r1})
    ldr(r3, [r6, 12])
    data(2, 0x4798)
    b(SIGN)
    label(ENDS)
    mov(r0, 0x7F)
    lsl(r0, r0, 23)
    label(SIGN)
    lsr(r7, r7, 31)
    lsl(r7, r7, 31)
    orr(r0, r7)
    str(r0, [r4, 0])
    label(NEXT)
    add(r4, 4)
    cmp(r4, r5)
    bne(ONE)
    mov(r0, 0)


@micropython.asm_thumb
def _relu(r0, r1):
    mov(r3, 0)
    label(ONE)
    ldr(r2, [r0, 0])
    cmp(r2, 0)
    bge(NEXT)
    str(r3, [r0, 0])
    label(NEXT)
    add(r0, 4)
    sub(r1, 1)
    bne(ONE)
    mov(r0, 0)


@micropython.asm_thumb
def _slope_tanh(r0, r1, r2, r3):
    # r4 an activation, r5 its delta, r6 SF, r7 where activations end
    mov(r4, r0)
    mov(r5, r1)
    lsl(r2, r2, 2)
    add(r7, r0, r2)
    mov(r6, r3)
    label(ONE)
    data(2, 0xCC01)  # ldm r4!, {r0}
    mov(r1, r0)
    ldr(r3, [r6, 8])
    data(2, 0x4798)
    mov(r1, r0)
    mov(r0, 0x7F)
    lsl(r0, r0, 23)
    ldr(r3, [r6, 4])
    data(2, 0x4798)
    ldr(r1, [r5, 0])
    ldr(r3, [r6, 8])
    data(2, 0x4798)
    data(2, 0xC501)  # stm r5!, {r0}
    cmp(r4, r7)
    bne(ONE)
    mov(r0, 0)


@micropython.asm_thumb
def _slope_relu(r0, r1, r2):
    mov(r4, 0)
    label(ONE)
    data(2, 0xC808)  # ldm r0!, {r3}
    cmp(r3, 0)
    bgt(NEXT)
    str(r4, [r1, 0])
    label(NEXT)
    add(r1, 4)
    sub(r2, 1)
    bne(ONE)
    mov(r0, 0)


@micropython.asm_thumb
def _put(r0, r1, r2, r3):
    lsl(r2, r2, 2)
    add(r1, r1, r2)
    label(ONE)
    data(2, 0xC810, 0xC110)  # ldm r0!, {r4}; stm r1!, {r4}
    sub(r3, 1)
    bne(ONE)
    mov(r0, 0)
