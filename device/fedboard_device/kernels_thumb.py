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

from array import array

import micropython

from fedboard.kernels import EXP2
from fedboard_device.kernels_thumb_change import histogram, pick  # noqa: F401
from fedboard_device.kernels_thumb_update import update_shift  # noqa: F401
from fedboard_device.kernels_viper import (  # noqa: F401
    argmax,
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
def activate_relu(r0, r1, r2, r3):
    # r0 acc, r1 a, r2 d, r3 left; r4 the activation, r5 its slope
    ldr(r3, [r3, 4])
    label(ONE)
    data(2, 0xC810)  # ldm r0!, {r4}
    mov(r5, 0)
    asr(r4, r4, 12)
    cmp(r4, 0)
    ble(NONE)
    mov(r5, 1)
    cmp(r4, 127)
    blt(STORE)
    mov(r4, 127)
    mov(r5, 0)
    b(STORE)
    label(NONE)
    mov(r4, 0)
    label(STORE)
    strb(r4, [r1, 0])
    strh(r5, [r2, 0])
    add(r1, 1)
    add(r2, 2)
    sub(r3, 1)
    bne(ONE)
    mov(r0, 0)


_errors_record = array("i", range(6))  # out, e, d, label, their number, EXP2


@micropython.asm_thumb
def _errors(r0):
    # r8 the record; powers: r0 EXP2, r1 out, r2 e, r3 left, r4 the largest, r7 the sum
    mov(r4, r8)
    mov(r5, r9)
    mov(r6, r10)
    push({r4, r5, r6})
    mov(r8, r0)
    ldr(r1, [r0, 0])
    ldr(r2, [r0, 4])
    ldr(r3, [r0, 16])
    ldr(r4, [r1, 0])
    label(MAX)
    data(2, 0xC920)  # ldm r1!, {r5}
    cmp(r5, r4)
    ble(LESS)
    mov(r4, r5)
    label(LESS)
    sub(r3, 1)
    bne(MAX)
    ldr(r1, [r0, 0])
    ldr(r3, [r0, 16])
    ldr(r0, [r0, 20])
    mov(r7, 0)
    label(POWER)
    data(2, 0xC920)
    sub(r5, r4, r5)
    asr(r5, r5, 2)
    mov(r6, 0)
    cmp(r5, 208)
    bge(SMALL)
    mov(r6, 15)
    and_(r6, r5)
    lsl(r6, r6, 1)
    data(2, 0x5F86)  # ldrsh r6, [r0, r6]
    lsr(r5, r5, 4)
    lsr(r6, r5)
    label(SMALL)
    strh(r6, [r2, 0])
    add(r2, 2)
    add(r7, r7, r6)
    sub(r3, 1)
    bne(POWER)
    # errors: r0 d, r1 classes to the label, r2 e, r3 left, r4 / r7 = r5, r6 bits left
    # r9 the sum of the wrong ones, r10 the loss
    mov(r6, r8)
    ldr(r0, [r6, 8])
    ldr(r1, [r6, 12])
    ldr(r2, [r6, 4])
    ldr(r3, [r6, 16])
    mov(r4, 0)
    mov(r9, r4)
    label(CLASS)
    ldrh(r4, [r2, 0])
    mov(r5, 0)
    mov(r6, 8)
    label(BIT)
    lsl(r5, r5, 1)
    cmp(r4, r7)
    bcc(NOT)
    sub(r4, r4, r7)
    add(r5, 1)
    label(NOT)
    lsl(r4, r4, 1)
    sub(r6, 1)
    bne(BIT)
    cmp(r1, 0)
    bne(OTHER)
    mov(r6, 128)
    sub(r6, r6, r5)
    mov(r10, r6)
    b(ZERO)
    label(OTHER)
    cmp(r5, 8)
    bge(SET)
    label(ZERO)
    mov(r5, 0)
    label(SET)
    strh(r5, [r2, 0])
    strh(r5, [r0, 0])
    data(2, 0x44A9)  # add r9, r5
    add(r2, 2)
    add(r0, 2)
    sub(r1, 1)
    sub(r3, 1)
    bne(CLASS)
    mov(r6, r8)
    ldr(r3, [r6, 12])
    lsl(r3, r3, 1)
    ldr(r2, [r6, 4])
    add(r2, r2, r3)
    ldr(r0, [r6, 8])
    add(r0, r0, r3)
    mov(r4, r9)
    neg(r4, r4)
    strh(r4, [r2, 0])
    strh(r4, [r0, 0])
    mov(r0, r10)
    pop({r4, r5, r6})
    mov(r8, r4)
    mov(r9, r5)
    mov(r10, r6)


@micropython.viper
def errors_softmax(out: ptr32, e, d: ptr16, label: int) -> int:
    record = ptr32(_errors_record)
    record[0] = int(out)
    record[1] = int(ptr16(e))
    record[2] = int(d)
    record[3] = label
    record[4] = int(len(e))
    record[5] = int(ptr16(EXP2))
    return int(_errors(_errors_record))


@micropython.asm_thumb
def backward(r0, r1, r2, r3):
    # r0 d, r1 w, r2 acc, r3 a sum; r4 a row's delta, r5 r6 weights, r7 a counter; r12 layer
    mov(r12, r3)
    ldr(r5, [r3, 8])
    lsl(r5, r5, 1)
    add(r1, r1, r5)  # the first row
    ldr(r7, [r3, 0])
    mov(r5, r2)
    mov(r4, 0)
    label(CLEAR)
    data(2, 0xC510)  # stm r5!, {r4}
    sub(r7, 1)
    bne(CLEAR)
    ldr(r7, [r3, 4])
    label(ROW)
    push({r2, r7})
    mov(r6, 0)
    data(2, 0x5F84)  # ldrsh r4, [r0, r6]
    add(r0, 2)
    mov(r3, r12)
    ldr(r7, [r3, 0])
    cmp(r4, 0)
    bne(WORK)
    lsl(r7, r7, 1)
    add(r1, r1, r7)
    b(NEXT)
    label(WORK)
    lsl(r5, r1, 30)
    bne(ONE)
    sub(r7, 2)
    bmi(LAST)
    label(TWO)
    data(2, 0xC920, 0xB22E)  # ldm r1!, {r5}; sxth r6, r5
    mul(r6, r4)
    ldr(r3, [r2, 0])
    add(r3, r3, r6)
    str(r3, [r2, 0])
    asr(r5, r5, 16)
    mul(r5, r4)
    ldr(r3, [r2, 4])
    add(r3, r3, r5)
    str(r3, [r2, 4])
    add(r2, 8)
    sub(r7, 2)
    bpl(TWO)
    label(LAST)
    add(r7, 2)
    beq(NEXT)
    label(ONE)
    ldrh(r5, [r1, 0])
    data(2, 0xB22D)  # sxth r5, r5
    mul(r5, r4)
    ldr(r3, [r2, 0])
    add(r3, r3, r5)
    str(r3, [r2, 0])
    add(r1, 2)
    add(r2, 4)
    sub(r7, 1)
    bne(ONE)
    label(NEXT)
    pop({r2, r7})
    sub(r7, 1)
    bne(ROW)
    mov(r0, 0)
