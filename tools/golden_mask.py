"""The golden vectors of masked updates, for golden.py: from tools/reference, as all others."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from reference import masks
from reference.notation import hexed, numbers, raw, shown, sizes_of

_KEY = "byte:100:32"
_ABOUT = "byte:7:32"


def mask_cases() -> Iterator[str]:
    for a, b in ((0x57, 0x83), (1, 255), (0, 9), (2, 0x80), (255, 255)):
        yield f"times {a} {b} = {masks.times(a, b)}"
    for sizes, layers, permille, run, number in (
        ("9-7-4", 3, 300, 77, 5), ("9-7-4", 2, 1000, 1, 1), ("64-32-10", 3, 20, 2**32 - 1, 60),
        ("64-32-10", 1, 1, 3, 2**31),
    ):  # fmt: skip
        found = masks.places(sizes_of(sizes), layers, permille, run, number)
        yield f"places {sizes} {layers} {permille} {run} {number} = {shown(found)}"
    for names, seed in (("a,b,c", 0), ("a,b,c", 9), ("kitchen,attic,cellar,x", 9)):
        task, seed_at = _task(seed)
        nonce = "000102030405060708090a0b0c0d0e0f"
        digest = masks.about(task, seed_at, raw(nonce), names.split(","))
        yield f"about {task.hex()} {nonce} {names} = {digest.hex()}"
    for n, own, changes in (
        (3, 0, "1,-1,0,300,-300"), (3, 1, "1,-1,0,300,-300"), (3, 2, "fill:51:32767"),
        (8, 7, "rand:91:51:-5000:5000"), (32, 5, "rand:92:51:-1200:1200"),
    ):  # fmt: skip
        words = masks.masked(raw(_ABOUT), raw(_KEY), n, own, numbers(changes).tolist())
        yield f"masked {_ABOUT} {_KEY} {n} {own} {changes} = {hexed(words)}"
    for n, survivors, i, j in (
        (3, 7, 0, 0),
        (4, 11, 1, 2),
        (8, 0b11110111, 7, 3),
        (32, 2**32 - 1, 31, 31),
    ):
        share = masks.share(raw(_ABOUT), raw(_KEY), n, survivors, i)
        sealed = masks.sealed(raw(_ABOUT), raw(_KEY), survivors, i, j)
        yield f"opening {_ABOUT} {_KEY} {n} {survivors} {i} {j} = {share.hex()} {sealed.hex()}"


def _task(seed: int) -> tuple[bytes, int]:
    """(a TASK as docs/protocol.md has its fields, where its seed is)."""
    head = struct.pack("<III", 77, 5, 1) + b"\x08" + bytes(range(8))
    head += struct.pack("<BBHBBHHBI", 1, 16, 3, 1, 16, 0, 300, 16, 0)
    spec = struct.pack("<BBBI3H", 1, 1, 2, 5, 9, 7, 4)
    return head + struct.pack("<I", seed) + bytes([len(spec)]) + spec + bytes(6), len(head)
