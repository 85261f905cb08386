"""Labelled samples as a run of bytes: a file on a board's flash, written here or by the host.

    "fbsm" | format u8 | age u8 | n_in u16 LE | records: n_in int8 features, label u8

The number of records follows from the length. A record that is cut short (the power went while it
was written) does not count. What is no such run is a DataError. `age` is 0 in a file that begins
anew, as the host's do; in one that goes on where another was full, the next of that one's.
"""

import struct
from array import array

from fedboard import DataError

HEADER_BYTES = 8
MAX_INPUTS = 4096
_MAGIC = b"fbsm\x01"


def pack_header(n_in: int, age: int = 0) -> bytes:
    """The first bytes of a file of samples with n_in features each."""
    if not 1 <= n_in <= MAX_INPUTS:
        raise DataError(f"a sample has 1 to {MAX_INPUTS} features, not {n_in}")
    return _MAGIC + struct.pack("<BH", age, n_in)


def unpack_header(data: bytes) -> int:
    """n_in of the file that begins with `data`. Raises DataError if it holds no samples."""
    if len(data) < HEADER_BYTES or data[:5] != _MAGIC:
        raise DataError("no file of fedboard samples of this release: remove it, record anew")
    n_in: int = struct.unpack("<H", data[6:HEADER_BYTES])[0]
    if not 1 <= n_in <= MAX_INPUTS:
        raise DataError(f"file of samples with {n_in} features: remove it, record anew")
    return n_in


def age_of(header: bytes) -> int:
    return header[5]


def next_age(age: int) -> int:
    """1 to 255, and around again: never that of a file that begins anew."""
    return age % 255 + 1


def n_records(n_bytes: int, n_in: int) -> int:
    """How many whole records a file of n_bytes has."""
    return max(0, n_bytes - HEADER_BYTES) // (n_in + 1)


def pack_record(x: "array[int]", label: int) -> bytes:
    """One sample: x is array('b'), the label 0 to 255."""
    if not 0 <= label <= 255:
        raise DataError(f"a label is a number from 0 to 255, not {label}")
    return bytes(x) + bytes((label,))
