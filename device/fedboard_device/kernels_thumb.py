# mypy: ignore-errors
"""Kernels in inline assembler for ARM Cortex-M: RP2040, RP2350, STM32, nRF52, SAMD.

Only what costs most; the rest is viper's, whose boards include all of these. Thumb-1 throughout, so
that a Cortex-M0+ runs it. What the assembler has no word for, data() emits, rd, rn, rm below 8:

    LDRSB rd, [rn, rm]  0x5600 + 64 rm + 8 rn + rd      SXTB rd, rm  0xB240 + 8 rm + rd
    LDRSH rd, [rn, rm]  0x5E00 + 64 rm + 8 rn + rd      SXTH rd, rm  0xB200 + 8 rm + rd
    LDM rn!, {list}     0xC800 + 256 rn + list          STM          0xC000 + 256 rn + list
    CMP rn, rm >= 8     0x4500 + 8 rm + rn              ADD rd, rm >= 8    0x4400 + 8 rm + rd

A load costs two cycles, nearly all else one: so weights and inputs are loaded by words where they
lie on word boundaries, which is everywhere if the numbers of inputs are multiples of four.
Bit-identical to fedboard.kernels.
"""

import micropython

from fedboard_device.kernels_thumb_update import update_shift  # noqa: F401
from fedboard_device.kernels_viper import (  # noqa: F401
    activate_relu,
    argmax,
    errors_softmax,
    gate,
    output_shift,
    put,
    update_divide,
)

name = "thumb"


@micropython.asm_thumb
def forward(r0, r1, r2, r3):
    # r0 x, r1 the row, r2 the sum, r3 r4 weights, r5 inputs, r6 r7 one of each
    # r8 the bias, r9 acc, r10 and r12 where x's words and x end, r11 layer; on the stack: rows left
    mov(r4, r8)
    mov(r5, r9)
    mov(r6, r10)
    mov(r7, r11)
    push({r4, r5, r6, r7})
    mov(r9, r2)
    mov(r11, r3)
    ldr(r4, [r3, 0])  # n_in
    ldr(r5, [r3, 4])  # n_out
    push({r5})
    mul(r5, r4)
    ldr(r6, [r3, 8])  # at
    add(r5, r5, r6)
    lsl(r5, r5, 1)
    add(r5, r5, r1)
    mov(r8, r5)
    lsl(r6, r6, 1)
    add(r1, r1, r6)
    add(r4, r4, r0)
    mov(r12, r4)

    label(ROW)
    mov(r3, r11)
    ldr(r4, [r3, 12])  # bias_input
    mov(r5, r8)
    mov(r7, 0)
    data(2, 0x5FEA)  # ldrsh r2, [r5, r7]
    add(r5, 2)
    mov(r8, r5)
    mul(r2, r4)
    mov(r4, r0)
    orr(r4, r1)
    lsl(r4, r4, 30)
    bne(TAIL)
    ldr(r6, [r3, 0])
    lsr(r6, r6, 2)
    beq(TAIL)
    lsl(r6, r6, 2)
    add(r6, r6, r0)
    mov(r10, r6)
    label(FOUR)
    data(2, 0xC918, 0xC820)  # ldm r1!, {r3, r4}; ldm r0!, {r5}
    data(2, 0xB26E, 0xB21F)  # sxtb r6, r5; sxth r7, r3
    mul(r6, r7)
    add(r2, r2, r6)
    lsl(r6, r5, 16)
    asr(r6, r6, 24)
    asr(r3, r3, 16)
    mul(r6, r3)
    add(r2, r2, r6)
    lsl(r6, r5, 8)
    asr(r6, r6, 24)
    data(2, 0xB227)  # sxth r7, r4
    mul(r6, r7)
    add(r2, r2, r6)
    asr(r5, r5, 24)
    asr(r4, r4, 16)
    mul(r5, r4)
    add(r2, r2, r5)
    data(2, 0x4550)  # cmp r0, r10
    bne(FOUR)
    label(TAIL)
    mov(r7, 0)
    b(TEST)
    label(ONE)
    data(2, 0x57C5, 0x5FCE)  # ldrsb r5, [r0, r7]; ldrsh r6, [r1, r7]
    mul(r5, r6)
    add(r2, r2, r5)
    add(r0, 1)
    add(r1, 2)
    label(TEST)
    data(2, 0x4560)  # cmp r0, r12
    bne(ONE)
    mov(r4, r9)
    str(r2, [r4, 0])
    add(r4, 4)
    mov(r9, r4)
    mov(r3, r11)
    ldr(r4, [r3, 0])
    sub(r0, r0, r4)
    pop({r5})
    sub(r5, 1)
    beq(END)
    push({r5})
    b(ROW)
    label(END)
    pop({r4, r5, r6, r7})
    mov(r8, r4)
    mov(r9, r5)
    mov(r10, r6)
    mov(r11, r7)
    mov(r0, 0)


@micropython.asm_thumb
def backward(r0, r1, r2, r3):
    # r0 d, r1 w, r2 acc, r3 layer; r4 a row's delta, r7 a counter
    ldr(r5, [r3, 8])
    lsl(r5, r5, 1)
    add(r1, r1, r5)  # the first row
    ldr(r7, [r3, 0])
    mov(r5, r2)
    mov(r4, 0)
    label(CLEAR)
    str(r4, [r5, 0])
    add(r5, 4)
    sub(r7, 1)
    bne(CLEAR)
    ldr(r7, [r3, 4])
    label(ROW)
    push({r2, r7})
    mov(r6, 0)
    data(2, 0x5F84)  # ldrsh r4, [r0, r6]
    add(r0, 2)
    ldr(r7, [r3, 0])
    cmp(r4, 0)
    bne(WORK)
    lsl(r7, r7, 1)
    add(r1, r1, r7)
    b(NEXT)
    label(WORK)
    label(ONE)
    ldrh(r5, [r1, 0])
    data(2, 0xB22D)
    mul(r5, r4)
    ldr(r6, [r2, 0])
    add(r6, r6, r5)
    str(r6, [r2, 0])
    add(r1, 2)
    add(r2, 4)
    sub(r7, 1)
    bne(ONE)
    label(NEXT)
    pop({r2, r7})
    sub(r7, 1)
    bne(ROW)


@micropython.asm_thumb
def histogram(r0, r1, r2, r3):
    # r0 a, r1 b, r2 counts, r3 block; r4 left, r5 high, r6 the magnitude
    ldr(r4, [r3, 0])
    lsl(r4, r4, 1)
    add(r0, r0, r4)
    ldr(r4, [r3, 4])
    ldr(r5, [r3, 8])
    cmp(r4, 0)
    beq(END)
    label(ONE)
    mov(r7, 0)
    data(2, 0x5FC6, 0x5FCB)  # ldrsh r6, [r0, r7]; ldrsh r3, [r1, r7]
    add(r0, 2)
    add(r1, 2)
    sub(r6, r6, r3)
    bpl(SIZED)
    neg(r6, r6)
    label(SIZED)
    lsr(r7, r6, 8)
    cmp(r5, 0)
    blt(COUNT)
    cmp(r7, r5)
    bne(NEXT)
    mov(r7, 255)
    and_(r7, r6)
    label(COUNT)
    lsl(r7, r7, 2)
    add(r7, r7, r2)
    ldr(r6, [r7, 0])
    add(r6, 1)
    str(r6, [r7, 0])
    label(NEXT)
    sub(r4, 1)
    bne(ONE)
    label(END)
    mov(r0, 0)

