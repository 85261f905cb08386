# mypy: ignore-errors
"""Float kernels for the RP2040, which has no floating-point unit: by the routines in its boot ROM.

MicroPython adds and multiplies by the same ones, so the results are equal; what is saved is all
around them: an object for each number, and the bytecode. Some 140 cycles a product, not 4,100.
A whole step makes no object. Other chips have no such routines: an ImportError.

How instructions are written that the assembler lacks: see kernels_thumb; BLX rm is 0x4780 + 8 rm.
The table of data in the ROM (its address is at 0x16, that of its search at 0x18) names by "SF" a
table of functions: the first adds r1 to r0, the third multiplies; r0 to r3 and r12 are theirs. A
kernel has them in r8 and r9.
"""

import micropython

# First: this one knows an RP2040.
from fedboard_device.kernels_float_rp2_units import (  # noqa: F401
    activate_relu,
    activate_tanh,
    put,
    scaled,
    slope_relu,
    slope_tanh,
)

from fedboard_device.kernels_float_rp2_loss import (  # noqa: F401 # isort: skip
    cross_entropy,
    largest,
    squared,
)

name = "rp2040"


@micropython.asm_thumb
def forward(r0, r1, r2, r3):
    # r4 x, r5 W, r6 the sum, r7 where x ends, r10 out, r11 the bias; stack: bytes of a row, rows
    mov(r4, r8)
    mov(r5, r9)
    mov(r6, r10)
    mov(r7, r11)
    push({r4, r5, r6, r7})
    mov(r4, r0)
    mov(r5, r1)
    mov(r10, r2)
    mov(r7, r3)
    mov(r0, 0x16)
    ldrh(r0, [r0, 0])
    mov(r1, 0x46)
    lsl(r1, r1, 8)
    add(r1, 0x53)
    mov(r3, 0x18)
    ldrh(r3, [r3, 0])
    data(2, 0x4798)  # blx r3
    ldr(r1, [r0, 0])
    mov(r8, r1)
    ldr(r1, [r0, 8])
    mov(r9, r1)
    ldr(r0, [r7, 0])
    ldr(r1, [r7, 4])
    ldr(r2, [r7, 8])
    lsl(r2, r2, 2)
    add(r5, r5, r2)
    mov(r3, r0)
    mul(r3, r1)
    lsl(r3, r3, 2)
    add(r3, r3, r5)
    mov(r11, r3)
    lsl(r0, r0, 2)
    add(r7, r4, r0)
    push({r0, r1})
    label(ROW)
    mov(r3, r11)
    data(2, 0xCB40)  # ldm r3!, {r6}
    mov(r11, r3)
    label(ONE)
    data(2, 0xCC01, 0xCD02)  # ldm r4!, {r0}; ldm r5!, {r1}
    data(2, 0x47C8)  # blx r9
    mov(r1, r6)
    data(2, 0x47C0)  # blx r8
    mov(r6, r0)
    cmp(r4, r7)
    bne(ONE)
    mov(r3, r10)
    data(2, 0xC340)  # stm r3!, {r6}
    mov(r10, r3)
    data(2, 0x9800)  # ldr r0, [sp, 0]
    sub(r4, r4, r0)
    data(2, 0x9801)  # ldr r0, [sp, 4]
    sub(r0, 1)
    data(2, 0x9001)  # str r0, [sp, 4]
    bne(ROW)
    pop({r0, r1})
    pop({r4, r5, r6, r7})
    mov(r8, r4)
    mov(r9, r5)
    mov(r10, r6)
    mov(r11, r7)
    mov(r0, 0)


@micropython.asm_thumb
def backward(r0, r1, r2, r3):
    # r4 down a column of W, r5 d, r6 the sum, r7 where d ends, r10 back, r11 bytes of a row
    # stack: columns left, d, the column
    mov(r4, r8)
    mov(r5, r9)
    mov(r6, r10)
    mov(r7, r11)
    push({r4, r5, r6, r7})
    mov(r4, r0)
    mov(r5, r1)
    mov(r10, r2)
    mov(r7, r3)
    mov(r0, 0x16)
    ldrh(r0, [r0, 0])
    mov(r1, 0x46)
    lsl(r1, r1, 8)
    add(r1, 0x53)
    mov(r3, 0x18)
    ldrh(r3, [r3, 0])
    data(2, 0x4798)
    ldr(r1, [r0, 0])
    mov(r8, r1)
    ldr(r1, [r0, 8])
    mov(r9, r1)
    ldr(r0, [r7, 0])
    ldr(r1, [r7, 4])
    ldr(r2, [r7, 8])
    lsl(r2, r2, 2)
    add(r2, r2, r4)
    lsl(r1, r1, 2)
    add(r7, r5, r1)
    lsl(r3, r0, 2)
    mov(r11, r3)
    mov(r1, r5)
    push({r0, r1, r2})
    label(COLUMN)
    data(2, 0x9C02, 0x9D01)  # ldr r4, [sp, 8]; ldr r5, [sp, 4]
    add(r0, r4, 4)
    data(2, 0x9002)  # str r0, [sp, 8]
    mov(r6, 0)
    label(ONE)
    ldr(r0, [r4, 0])
    data(2, 0x445C, 0xCD02)  # add r4, r11; ldm r5!, {r1}
    data(2, 0x47C8)
    mov(r1, r6)
    data(2, 0x47C0)
    mov(r6, r0)
    cmp(r5, r7)
    bne(ONE)
    mov(r3, r10)
    data(2, 0xC340)
    mov(r10, r3)
    data(2, 0x9800)
    sub(r0, 1)
    data(2, 0x9000)  # str r0, [sp, 0]
    bne(COLUMN)
    pop({r0, r1, r2})
    pop({r4, r5, r6, r7})
    mov(r8, r4)
    mov(r9, r5)
    mov(r10, r6)
    mov(r11, r7)
    mov(r0, 0)


@micropython.asm_thumb
def update(r0, r1, r2, r3):
    # r4 W, r5 x, r6 a delta, r7 where x ends, r10 d, r11 the bias
    # stack: bytes of a row, rows, rows left, samples left, W, the first bias
    mov(r4, r8)
    mov(r5, r9)
    mov(r6, r10)
    mov(r7, r11)
    push({r4, r5, r6, r7})
    mov(r4, r0)
    mov(r5, r1)
    mov(r10, r2)
    mov(r7, r3)
    mov(r0, 0x16)
    ldrh(r0, [r0, 0])
    mov(r1, 0x46)
    lsl(r1, r1, 8)
    add(r1, 0x53)
    mov(r3, 0x18)
    ldrh(r3, [r3, 0])
    data(2, 0x4798)
    ldr(r1, [r0, 0])
    mov(r8, r1)
    ldr(r1, [r0, 8])
    mov(r9, r1)
    ldr(r0, [r7, 0])
    ldr(r1, [r7, 4])
    ldr(r2, [r7, 8])
    lsl(r2, r2, 2)
    add(r4, r4, r2)
    ldr(r3, [r7, 12])
    mov(r6, r0)
    mul(r6, r1)
    lsl(r6, r6, 2)
    add(r6, r6, r4)
    lsl(r0, r0, 2)
    add(r7, r5, r0)
    push({r6})
    push({r4})
    mov(r2, r1)
    push({r0, r1, r2, r3})
    label(SAMPLE)
    data(2, 0x9C04, 0x9805)  # ldr r4, [sp, 16]; ldr r0, [sp, 20]
    mov(r11, r0)
    data(2, 0x9801, 0x9002)  # ldr r0, [sp, 4]; str r0, [sp, 8]
    label(ROW)
    mov(r3, r10)
    data(2, 0xCB40)
    mov(r10, r3)
    lsl(r0, r6, 1)  # but for the sign
    beq(SKIP)
    label(ONE)
    data(2, 0xCD01)  # ldm r5!, {r0}
    mov(r1, r6)
    data(2, 0x47C8)
    ldr(r1, [r4, 0])
    data(2, 0x47C0)
    data(2, 0xC401)  # stm r4!, {r0}
    cmp(r5, r7)
    bne(ONE)
    mov(r3, r11)
    ldr(r1, [r3, 0])
    mov(r0, r6)
    data(2, 0x47C0)
    mov(r3, r11)
    str(r0, [r3, 0])
    data(2, 0x9800)
    sub(r5, r5, r0)
    b(NEXT)
    label(SKIP)
    data(2, 0x9800)
    add(r4, r4, r0)
    label(NEXT)
    mov(r3, r11)
    add(r3, 4)
    mov(r11, r3)
    data(2, 0x9802)
    sub(r0, 1)
    data(2, 0x9002)
    bne(ROW)
    data(2, 0x9800)
    add(r5, r5, r0)
    add(r7, r7, r0)
    data(2, 0x9803)
    sub(r0, 1)
    data(2, 0x9003)  # str r0, [sp, 12]
    bne(SAMPLE)
    pop({r0, r1, r2, r3})
    pop({r0, r1})
    pop({r4, r5, r6, r7})
    mov(r8, r4)
    mov(r9, r5)
    mov(r10, r6)
    mov(r11, r7)
    mov(r0, 0)
