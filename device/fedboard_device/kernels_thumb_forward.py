# mypy: ignore-errors
"""kernels_thumb's forward and forward_relu: 6.5 cycles a product, and some 45 a row.

How instructions are written that the assembler lacks: see kernels_thumb.
"""

import micropython


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
def forward_relu(r0, r1, r2, r3):
    # As forward, but r9 is where the next activation goes.
    # r8 the bias, r10 and r12 where x's words and x end, r11 layer; on the stack: rows left
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
    asr(r2, r2, 12)
    bpl(POSITIVE)
    mov(r2, 0)
    label(POSITIVE)
    cmp(r2, 127)
    ble(STORE)
    mov(r2, 127)
    label(STORE)
    mov(r4, r9)
    strb(r2, [r4, 0])
    add(r4, 1)
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
