"""Samples as a run of bytes: a file on a board's flash, written here or by the host.

    "fbsm" | 3 | age u8       | n_in u16 LE | made u32 LE | records: n_in int8 features, label u8
    "fbsm" | 4 | n_targets u8 | n_in u16 LE | 0 u32       | records: n_in int8 features,
                                                            n_targets int16 LE

A target is a number to predict, with 12 fractional bits (4096 is 1.0), so within ±8; such a file is
the host's: boards record labels.

The number of records follows from the length. A record that is cut short (the power went while it
was written) does not count. What is no such run is a DataError. `age` is 0 in a file that begins
anew, as the host's do; in one that goes on where another was full, the next of that one's.
`made` says by which settings the board's sensor made the features: other ones mean something else,
however many they are. 0: nobody knows, as in the host's files.
"""

import struct
from array import array

from fedboard import DataError

HEADER_BYTES = 12
MAX_INPUTS = 4096
MAX_TARGETS = 255
_MAGIC = b"fbsm"
_LABELS = 3
_TARGETS = 4


def pack_header(n_in: int, age: int = 0, made: int = 0) -> bytes:
    """The first bytes of a file of samples with n_in features each."""
    if not 1 <= n_in <= MAX_INPUTS:
        raise DataError(f"a sample has 1 to {MAX_INPUTS} features, not {n_in}")
    return _MAGIC + struct.pack("<BBHI", _LABELS, age, n_in, made)


def pack_targets_header(n_in: int, n_targets: int) -> bytes:
    """The same for samples with n_targets targets each."""
    if not 1 <= n_in <= MAX_INPUTS or not 1 <= n_targets <= MAX_TARGETS:
        raise DataError(f"samples have 1 to {MAX_INPUTS} features, 1 to {MAX_TARGETS} targets")
    return _MAGIC + struct.pack("<BBHI", _TARGETS, n_targets, n_in, 0)


def unpack_header(data: bytes) -> int:
    """n_in of the file that begins with `data`. Raises DataError if it holds no samples."""
    if len(data) < HEADER_BYTES or data[:4] != _MAGIC or data[4] not in (_LABELS, _TARGETS):
        raise DataError("no file of fedboard samples of this release: remove it, record anew")
    n_in: int = struct.unpack("<H", data[6:8])[0]
    if not 1 <= n_in <= MAX_INPUTS or (data[4] == _TARGETS and not data[5]):
        raise DataError(f"file of samples with {n_in} features: remove it, record anew")
    return n_in


def n_targets_of(header: bytes) -> int:
    """0: there are labels."""
    return header[5] if header[4] == _TARGETS else 0


def age_of(header: bytes) -> int:
    return header[5] if header[4] == _LABELS else 0


def made_of(header: bytes) -> int:
    made: int = struct.unpack("<I", header[8:HEADER_BYTES])[0]
    return made


def next_age(age: int) -> int:
    """1 to 255, and around again: never that of a file that begins anew."""
    return age % 255 + 1


def record_bytes(n_in: int, n_targets: int = 0) -> int:
    return n_in + (2 * n_targets or 1)


def n_records(n_bytes: int, n_in: int, n_targets: int = 0) -> int:
    """How many whole records a file of n_bytes has."""
    return max(0, n_bytes - HEADER_BYTES) // record_bytes(n_in, n_targets)


def pack_record(x: "array[int]", target: "int | array[int]") -> bytes:
    """One sample: x is array('b'); a label 0 to 255, or targets, array('h')."""
    if not isinstance(target, int):
        return bytes(x) + bytes(target)
    if not 0 <= target <= 255:
        raise DataError(f"a label is a number from 0 to 255, not {target}")
    return bytes(x) + bytes((target,))
