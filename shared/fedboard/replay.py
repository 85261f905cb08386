"""A sensor's readings in a file, to be played again as if they came live: made by the host.

    "fbrp" | format u8 | n_axes u8 | 0 0 | readings: n_axes int16 LE each

What is no such file is a DataError.
"""

from fedboard import DataError

HEADER_BYTES = 8
_MAGIC = b"fbrp\x01"


def pack_header(n_axes: int) -> bytes:
    if not 1 <= n_axes <= 255:
        raise DataError(f"a reading has 1 to 255 axes, not {n_axes}")
    return _MAGIC + bytes((n_axes, 0, 0))


def unpack_header(data: bytes) -> int:
    """n_axes of the file that begins with `data`."""
    if len(data) < HEADER_BYTES or data[:5] != _MAGIC or not data[5]:
        raise DataError("no file of readings: make one with `fedboard pack`")
    return data[5]
