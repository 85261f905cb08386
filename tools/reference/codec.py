"""An independent codec, from the formats' text alone: what shared/fedboard must equal to the byte.

It shares no code with the package and no style: NumPy arrays and strings of "0" and "1" in place of
buffers and shifts. It is slow, short, and does whole things at once.

    spec_bytes(sizes, rule, seed)      digest(spec, params)      checkpoint(spec, version, params)
    pick(change, n_top)                quantise(change, bits)    update(...) -> meta, stream
    encode(parts) / decode(...)        bound_bits(n, k, bits)
"""

from __future__ import annotations

import binascii
import hashlib
import itertools
import math
import struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
RULES = {"tifed": 0, "fedboard": 1}


class Part(NamedTuple):
    """One layer in a stream: k of n changes; `values` are ±1..±2**(bits-1), or if dense any."""

    layer: int
    n: int
    bits: int
    shift: int
    dense: bool
    indices: Ints
    values: Ints


def spec_bytes(sizes: tuple[int, ...], rule: str, seed: int) -> bytes:
    n = len(sizes)
    return struct.pack(f"<BBBI{n}H", 1, RULES[rule], n - 1, seed, *sizes)


def digest(spec: bytes, params: Ints) -> bytes:
    return hashlib.sha256(spec + params.astype("<i2").tobytes()).digest()[:8]


def checkpoint(spec: bytes, version: int, params: Ints) -> bytes:
    head = b"fbck" + bytes([1, len(spec)]) + spec
    body = params.astype("<i2").tobytes() + struct.pack("<I", version) + digest(spec, params)
    return (
        head
        + struct.pack("<I", binascii.crc32(head))
        + body
        + struct.pack("<I", binascii.crc32(body))
    )


def layer_slices(sizes: tuple[int, ...]) -> list[slice]:
    ends = np.cumsum([0] + [(a + 1) * b for a, b in itertools.pairwise(sizes)]).tolist()
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


def limits(sizes: tuple[int, ...], rule: str) -> Ints:
    """Each parameter's largest magnitude: no sum of n_in products and a bias exceeds int32."""
    bias_scale = {"tifed": 1, "fedboard": 128}[rule]
    found = []
    for n_in, n_out in itertools.pairwise(sizes):
        limit = min(32767, (2**31 - 1 - 32767 * bias_scale) // (128 * n_in))
        found += [limit] * ((n_in + 1) * n_out)
    return np.array(found, np.int64)


def pick(change: Ints, n_top: int) -> Ints:
    """The indices of the n_top largest magnitudes but zero, ties by index; in index order."""
    order = np.lexsort((np.arange(len(change)), -np.abs(change)))[:n_top]
    return np.sort(order[change[order] != 0])


def scale(largest: int, bits: int) -> int:
    """The shift of an update's values: the least that reaches the largest change.

    A change of more than 8 bits is taken for the largest of its high byte; 16 bits in all; a lone
    sign stands for half.
    """
    if largest > 255:
        largest |= 255
    shift = min(max(0, math.ceil(math.log2(max(1, largest)) - bits + 1)), 16 - bits)
    return max(0, shift - 1) if bits == 1 else shift


def part_of(layer: int, change: Ints, top_permille: int, bits: int) -> Part:
    """What a board sends of one layer: the top changes that do not round to zero."""
    n = len(change)
    n_top = -(-n * top_permille // 1000)
    shift = scale(int(np.abs(change).max()), bits)
    worth = np.abs(change) >= (2**shift // 2 if bits > 1 else 1)
    indices = pick(np.where(worth, change, 0), n_top)
    magnitude = np.abs(change[indices])
    step = 2**shift
    sparse_bits = sum(measure(n, len(indices), bits))
    dense = n_top == n and bits > 1 and n * bits <= sparse_bits
    if dense:
        indices = np.arange(n)
        magnitude = np.abs(change)
    coded = (magnitude + step // 2) // step
    top = 2 ** (bits - 1)
    coded = np.clip(coded, 0, top - 1) if dense else np.clip(coded, 1, top)
    return Part(layer, n, bits, shift, dense, indices, np.sign(change[indices]) * coded)


def rice(n: int, k: int) -> int:
    """The least r whose q, squared r times in 24 bits, is at most 10368889."""
    q = (n - k) * 2**24 // n
    r = 0
    while q > 10368889:
        q, r = q * q // 2**24, r + 1
    return r


def measure(n: int, k: int, bits: int) -> tuple[int, int]:
    """(bits of a sparse part with the least gaps, the most bits that gaps can add)."""
    if k in (0, n):
        return k * bits, 0
    return k * (bits + 1 + rice(n, k)), (n - k) // 2 ** rice(n, k)


def _binary(value: int, width: int) -> str:
    """Lowest bit first."""
    return format(value, f"0{width}b")[::-1] if width else ""


def encode(parts: list[Part]) -> tuple[bytes, bytes]:
    """(meta, stream)."""
    meta = bytes([sum(2**part.layer for part in parts)])
    text = ""
    for part in parts:
        k = len(part.indices)
        meta += struct.pack("<I", k)[:3] + bytes([part.bits + 128 * part.dense, part.shift])
        gaps = np.diff(np.concatenate([[-1], part.indices])) - 1
        for gap, value in zip(gaps.tolist(), part.values.tolist(), strict=True):
            if k < part.n:
                r = rice(part.n, k)
                text += "0" * (gap // 2**r) + "1" + _binary(gap % 2**r, r)
            if part.dense:
                text += _binary(value % 2**part.bits, part.bits)
            else:
                text += ("1" if value < 0 else "0") + _binary(abs(value) - 1, part.bits - 1)
    text += "0" * (-len(text) % 8)
    stream = bytes(int(text[i : i + 8][::-1], 2) for i in range(0, len(text), 8))
    return meta, stream


def update(
    sizes: tuple[int, ...],
    rule: str,
    params: Ints,
    base: Ints,
    layers: int,
    top_permille: int,
    bits: int,
) -> tuple[bytes, bytes, Ints]:
    """(meta, stream, the parameters after it was accepted)."""
    parts = []
    settled = params.copy()
    for layer, where in enumerate(layer_slices(sizes)):
        if layers >> layer & 1:
            part = part_of(layer, params[where] - base[where], top_permille, bits)
            parts.append(part)
            settled[where][part.indices] -= part.values * 2**part.shift
    meta, stream = encode(parts)
    limit = limits(sizes, rule)
    return meta, stream, np.clip(settled, -limit, limit)


def decode(sizes: tuple[int, ...], meta: bytes, stream: bytes) -> dict[int, tuple[Ints, Ints]]:
    """{layer: (indices, values with their scale)} of a sound update."""
    bits_of = np.unpackbits(np.frombuffer(stream, np.uint8), bitorder="little")
    text = "".join(map(str, bits_of.tolist()))
    at = 0
    found = {}
    heads = iter(meta[1 + 5 * i : 6 + 5 * i] for i in range(len(meta) // 5))
    for layer, where in enumerate(layer_slices(sizes)):
        if not meta[0] >> layer & 1:
            continue
        n = where.stop - where.start
        head = next(heads)
        k, bits, shift = int.from_bytes(head[:3], "little"), head[3] % 128, head[4]
        index = -1
        indices, values = [], []
        for _ in range(k):
            index += 1
            if k < n:
                zeros = text.index("1", at) - at
                r = rice(n, k)
                low = text[at + zeros + 1 : at + zeros + 1 + r]
                index += zeros * 2**r + int("0" + low[::-1], 2)
                at += zeros + 1 + r
            code = text[at : at + bits]
            at += bits
            if head[3] >= 128:
                value = int(code[::-1], 2)
                value -= 2**bits if value >= 2 ** (bits - 1) else 0
            else:
                value = (1 + int("0" + code[:0:-1], 2)) * (-1 if code[0] == "1" else 1)
            indices.append(index)
            values.append(value * 2**shift)
        found[layer] = (np.array(indices, np.int64), np.array(values, np.int64))
    return found


def bound_bits(n: int, k: int, bits: int) -> float:
    """What no code can beat for k of n random places with values of `bits` bits."""
    places = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return k * bits + places / math.log(2)


def delta(sizes: tuple[int, ...], old: Ints, new: Ints) -> tuple[int, bytes, bytes]:
    """(encoding, meta, data) of a new base: exact changes, or dense where that is no longer.

    A layer's values have the largest shift that keeps them whole and the least bits that hold the
    largest; the layer is dense where the longest stream of gaps would be longer.
    """
    parts = []
    for layer, where in enumerate(layer_slices(sizes)):
        change = new[where] - old[where]
        indices = np.flatnonzero(change)
        if not len(indices):
            continue
        shift = int(np.log2(np.gcd.reduce(change) & -np.gcd.reduce(change)))
        change //= 2**shift
        n = len(change)
        bits = math.ceil(math.log2(int(np.abs(change).max()))) + 1
        whole_bits = bits + bool(change.max() == 2 ** (bits - 1))
        dense = n * whole_bits < sum(measure(n, len(indices), bits))
        if dense:
            indices, bits = np.arange(n), whole_bits
        parts.append(Part(layer, n, bits, shift, dense, indices, change[indices]))
    meta, data = encode(parts)
    raw = new.astype("<i2").tobytes()
    return (1, meta, data) if len(meta) + len(data) < len(raw) else (0, b"", raw)
