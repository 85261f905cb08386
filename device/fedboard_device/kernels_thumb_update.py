# mypy: ignore-errors
"""kernels_thumb's update_shift, for a batch of any size: four weights at a time, summed over it.

How instructions are written that the assembler lacks: see kernels_thumb.
"""

from array import array

import micropython

# What _update_batch works on, in words: 0 to 6 a layer's record; 7 w, 8 x, then in use: 9 rows left,
# 10 the row, 11 half, 12 its bias, 13 its first d; 14 to 17 four sums; 18 what takes part in a row:
# for each sample with a delta there the address of its x and that delta.
_HEAD = 18
_work = array("i", range(_HEAD + 2 * 8))


@micropython.asm_thumb
def _update_batch(r0, r1, r2, r3):
    # r0 work, r1 w, r2 x, r3 d
    # r8 the sum of a row's deltas, r9 where its list ends, r10 the column, r11 work
    mov(r4, r8)
    mov(r5, r9)
    mov(r6, r10)
    mov(r7, r11)
    push({r4, r5, r6, r7})
    mov(r11, r0)
    str(r2, [r0, 32])
    str(r3, [r0, 52])
    ldr(r4, [r0, 0])
    ldr(r5, [r0, 4])
    str(r5, [r0, 36])
    mul(r4, r5)
    ldr(r5, [r0, 8])
    lsl(r4, r4, 1)
    lsl(r5, r5, 1)
    add(r5, r5, r1)
    str(r5, [r0, 40])
    add(r4, r4, r5)
    str(r4, [r0, 48])
    mov(r4, 1)
    ldr(r5, [r0, 24])
    lsl(r4, r5)
    lsr(r4, r4, 1)
    str(r4, [r0, 44])

    label(ROW)
    mov(r0, r11)
    ldr(r1, [r0, 32])
    ldr(r2, [r0, 52])
    ldr(r3, [r0, 20])  # samples left
    ldr(r4, [r0, 0])
    ldr(r5, [r0, 4])
    lsl(r5, r5, 1)
    add(r0, 72)
    mov(r6, r0)
    mov(r7, 0)
    mov(r8, r7)
    mov(r10, r7)
    label(SAMPLE)
    mov(r7, 0)
    data(2, 0x5FD7)  # ldrsh r7, [r2, r7]
    add(r2, r2, r5)
    cmp(r7, 0)
    beq(NONE)
    data(2, 0xC682, 0x44B8)  # stm r6!, {r1, r7}; add r8, r7
    label(NONE)
    add(r1, r1, r4)
    sub(r3, 1)
    bne(SAMPLE)
    cmp(r6, r0)
    bne(SOME)
    b(NEXT)
    label(SOME)
    mov(r9, r6)

    label(COLUMN)
    mov(r0, r11)
    ldr(r7, [r0, 0])
    mov(r6, r10)
    sub(r7, r7, r6)
    bgt(SUM)
    b(BIAS)
    label(SUM)
    add(r0, 72)
    mov(r4, 0)
    cmp(r7, 4)
    blt(EACH1)
    mov(r5, 0)
    mov(r6, 0)
    mov(r7, 0)
    label(EACH4)
    data(2, 0xC806, 0x4451)  # ldm r0!, {r1, r2}; add r1, r10
    ldrb(r3, [r1, 0])
    data(2, 0xB25B)  # sxtb r3, r3
    mul(r3, r2)
    add(r4, r4, r3)
    ldrb(r3, [r1, 1])
    data(2, 0xB25B)
    mul(r3, r2)
    add(r5, r5, r3)
    ldrb(r3, [r1, 2])
    data(2, 0xB25B)
    mul(r3, r2)
    add(r6, r6, r3)
    ldrb(r3, [r1, 3])
    data(2, 0xB25B)
    mul(r3, r2)
    add(r7, r7, r3)
    data(2, 0x4548)  # cmp r0, r9
    bne(EACH4)
    mov(r0, r11)
    add(r0, 56)
    data(2, 0xC0F0)  # stm r0!, {r4, r5, r6, r7}
    mov(r7, 4)
    b(APPLY)
    label(EACH1)
    data(2, 0xC806, 0x4451)
    ldrb(r3, [r1, 0])
    data(2, 0xB25B)
    mul(r3, r2)
    add(r4, r4, r3)
    data(2, 0x4548)
    bne(EACH1)
    mov(r7, 1)
    mov(r0, r11)
    str(r4, [r0, 56])
    label(APPLY)
    mov(r0, r11)
    ldr(r1, [r0, 40])
    mov(r2, r10)
    lsl(r3, r2, 1)
    add(r1, r1, r3)
    add(r2, r2, r7)
    mov(r10, r2)
    bl(CHANGES)
    b(COLUMN)

    label(BIAS)
    ldr(r1, [r0, 48])
    ldr(r4, [r0, 12])
    mov(r5, r8)
    mul(r4, r5)
    str(r4, [r0, 56])
    mov(r7, 1)
    bl(CHANGES)
    label(NEXT)
    mov(r0, r11)
    ldr(r1, [r0, 40])
    ldr(r2, [r0, 0])
    lsl(r2, r2, 1)
    add(r1, r1, r2)
    str(r1, [r0, 40])
    ldr(r1, [r0, 48])
    add(r1, 2)
    str(r1, [r0, 48])
    ldr(r1, [r0, 52])
    add(r1, 2)
    str(r1, [r0, 52])
    ldr(r1, [r0, 36])
    sub(r1, 1)
    str(r1, [r0, 36])
    beq(END)
    b(ROW)

    # The r7 weights from r1 on, by the sums in work: r2 half, r3 rate, r4 limit, r5 a change
    label(CHANGES)
    ldr(r2, [r0, 44])
    ldr(r3, [r0, 24])
    ldr(r4, [r0, 16])
    add(r0, 56)
    label(CHANGE)
    data(2, 0xC820)  # ldm r0!, {r5}
    add(r5, r5, r2)
    asr(r5, r3)
    beq(SAME)
    ldrh(r6, [r1, 0])
    data(2, 0xB236)  # sxth r6, r6
    sub(r6, r6, r5)
    cmp(r6, r4)
    bgt(HIGH)
    add(r5, r6, r4)
    bmi(LOW)
    label(STORE)
    strh(r6, [r1, 0])
    label(SAME)
    add(r1, 2)
    sub(r7, 1)
    bne(CHANGE)
    bx(lr)
    label(HIGH)
    mov(r6, r4)
    b(STORE)
    label(LOW)
    neg(r6, r4)
    b(STORE)

    label(END)
    pop({r4, r5, r6, r7})
    mov(r8, r4)
    mov(r9, r5)
    mov(r10, r6)
    mov(r11, r7)
    mov(r0, 0)


_room = 8  # samples


def _make_room(n):
    global _work, _room
    _work = array("i", range(_HEAD + 2 * n))
    _room = n


@micropython.viper
def update_shift(w, x, d, layer):
    fields = ptr32(layer)
    n = fields[5]
    if n > int(_room):
        _make_room(n)
    work = ptr32(_work)
    i = 0
    while i < 7:
        work[i] = fields[i]
        i += 1
    _update_batch(_work, w, x, d)
