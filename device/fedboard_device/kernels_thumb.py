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

from fedboard_device.kernels_thumb_back import (  # noqa: F401
    backward,
    errors_softmax,
    gate,
)
from fedboard_device.kernels_thumb_change import encode, histogram, pick  # noqa: F401
from fedboard_device.kernels_thumb_forward import forward, forward_relu  # noqa: F401
from fedboard_device.kernels_thumb_one import update_one  # noqa: F401
from fedboard_device.kernels_thumb_update import update_shift  # noqa: F401
from fedboard_device.kernels_viper_update import argmax, put, run, update_divide  # noqa: F401

name = "thumb"


@micropython.asm_thumb
def output_shift(r0, r1):
    # r0 out, r1 their number, r2 which, r3 the largest, r4 which it is, r5 a logit
    ldr(r1, [r1, 4])
    mov(r2, 0)
    mov(r4, 0)
    ldr(r3, [r0, 0])
    asr(r3, r3, 12)
    label(ONE)
    ldr(r5, [r0, 0])
    asr(r5, r5, 12)
    data(2, 0xC020)  # stm r0!, {r5}
    cmp(r5, r3)
    ble(LESS)
    mov(r3, r5)
    mov(r4, r2)
    label(LESS)
    add(r2, 1)
    cmp(r2, r1)
    bne(ONE)
    mov(r0, r4)
