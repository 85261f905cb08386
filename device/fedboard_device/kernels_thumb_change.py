# mypy: ignore-errors
"""kernels_thumb's histogram and pick: what an update to the host is chosen by.

How instructions are written that the assembler lacks: see kernels_thumb.
"""

import micropython


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



@micropython.asm_thumb
def pick(r0, r1, r2, r3):
    # r0 a, r1 b, r2 found, r3 the number, r4 n, r5 least, r6 the magnitude, r7 0; r12 found
    mov(r12, r2)
    ldr(r4, [r3, 0])
    lsl(r4, r4, 1)
    add(r0, r0, r4)
    ldr(r4, [r3, 4])
    ldr(r5, [r3, 8])
    mov(r3, 0)
    label(ONE)
    mov(r7, 0)
    data(2, 0x5FC6, 0x5FCF)  # ldrsh r6, [r0, r7]; ldrsh r7, [r1, r7]
    add(r0, 2)
    add(r1, 2)
    sub(r6, r6, r7)
    bpl(SIZED)
    neg(r6, r6)
    label(SIZED)
    cmp(r6, r5)
    blt(NEXT)
    strb(r3, [r2, 0])
    add(r2, 1)
    label(NEXT)
    add(r3, 1)
    cmp(r3, r4)
    bne(ONE)
    mov(r3, r12)
    sub(r0, r2, r3)
