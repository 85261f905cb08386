"""How golden vectors write arguments and results: see tests/vectors/README.md."""

from __future__ import annotations

import binascii
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def numbers(text: str) -> Ints:
    kind, *parts = text.split(":")
    if kind == "rand":
        state, n, low, high = map(int, parts)
        states = []
        for _ in range(n):
            state = (1103515245 * state + 12345) % 2**31
            states.append(state)
        return low + np.array(states, np.int64) // 256 % (high - low + 1)
    if kind == "fill":
        return np.full(int(parts[0]), int(parts[1]), np.int64)
    return np.array([] if text == "-" else text.split(","), np.int64)


def shown(values: Ints | Sequence[int]) -> str:
    flat = np.asarray(values, np.int64)
    if len(flat) > 16:
        return f"crc32:{binascii.crc32(flat.astype('<i4').tobytes()):08x}"
    return ",".join(map(str, flat.tolist())) or "-"


def raw(text: str) -> bytes:
    if text.startswith("byte:"):
        _, value, n = text.split(":")
        return bytes([int(value)]) * int(n)
    return b"" if text == "-" else bytes.fromhex(text)


def hexed(data: bytes) -> str:
    return data.hex() or "-"


def sizes_of(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("-")))
