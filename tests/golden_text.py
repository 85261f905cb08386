"""How the golden vectors write numbers and bytes, and what their ops share. See golden_runner."""

from array import array
from binascii import crc32, hexlify, unhexlify

from fedboard import model
from fedboard.base import MemoryBase


def numbers(text):
    """rand:SEED:N:LOW:HIGH, fill:N:VALUE, or the numbers themselves, with commas; - is none."""
    parts = text.split(":")
    if parts[0] == "rand":
        state, n, low, high = [int(part) for part in parts[1:]]
        found = []
        for _ in range(n):
            state = (state * 1103515245 + 12345) & 0x7FFFFFFF
            found.append(low + (state >> 8) % (high - low + 1))
        return found
    if parts[0] == "fill":
        return [int(parts[2])] * int(parts[1])
    return [] if text == "-" else [int(part) for part in text.split(",")]


def shown(values):
    """Up to 16 numbers as they are, more as the CRC of their 32-bit words."""
    if len(values) > 16:
        crc = 0
        for at in range(0, len(values), 64):  # a board has no room for a copy of them all
            crc = crc32(bytes(array("i", values[at : at + 64])), crc)
        return f"crc32:{crc & 0xFFFFFFFF:08x}"
    return ",".join([str(value) for value in values]) or "-"


def raw(text):
    if text == "-":
        return b""
    parts = text.split(":")
    return bytes([int(parts[1])] * int(parts[2])) if parts[0] == "byte" else unhexlify(text)


def hexed(data):
    return hexlify(data).decode() or "-"


def spec_of(sizes, rule, seed="1"):
    return model.Spec([int(size) for size in sizes.split("-")], rule, int(seed))


def based(spec, params):
    base = MemoryBase()
    base.begin(spec.pack())
    base.write(params)
    base.commit(1, spec.digest(params))
    return base
