# mypy: ignore-errors
"""wire's loops over bytes in inline assembler; see kernels_thumb. Bit-identical to wire's own."""

import micropython

name = "thumb"


@micropython.asm_thumb
def unstuff(r0, r1):
    # r0 next, r1 end, r2 out, r3 a byte, r4 the one behind an escape, r5 the buffer
    mov(r5, r0)
    mov(r2, r0)
    add(r1, r0, r1)
    b(NEXT)
    label(ONE)
    ldrb(r3, [r0, 0])
    add(r0, 1)
    cmp(r3, 0x7D)
    beq(ESCAPE)
    label(PUT)
    strb(r3, [r2, 0])
    add(r2, 1)
    label(NEXT)
    cmp(r0, r1)
    bcc(ONE)
    sub(r0, r2, r5)
    b(END)
    label(ESCAPE)
    cmp(r0, r1)
    bcs(PUT)
    ldrb(r4, [r0, 0])
    cmp(r4, 0x5D)
    beq(KNOWN)
    cmp(r4, 0x5E)
    beq(KNOWN)
    cmp(r4, 0x23)
    beq(KNOWN)
    cmp(r4, 0x24)
    beq(KNOWN)
    cmp(r4, 0x2A)
    beq(KNOWN)
    cmp(r4, 0x2D)
    bne(PUT)
    label(KNOWN)
    mov(r3, 0x20)
    eor(r3, r4)
    add(r0, 1)
    b(PUT)
    label(END)


@micropython.asm_thumb
def count(r0, r1, r2):
    # r0 next, r1 end, r2 what is counted, r3 a byte, r4 how many
    mov(r4, 0)
    add(r1, r0, r1)
    b(NEXT)
    label(ONE)
    ldrb(r3, [r0, 0])
    add(r0, 1)
    cmp(r3, r2)
    bne(NEXT)
    add(r4, 1)
    label(NEXT)
    cmp(r0, r1)
    bcc(ONE)
    mov(r0, r4)
