"""Checkpoints: one model as a run of bytes that can be written and checked in small blocks.

    "fbck" | format u8 | spec length u8 | spec | crc32 u32
    parameters int16... | version u32 | digest 8 B | crc32 u32

All little endian. The second CRC is over all bytes behind the first, which keeps a damaged header
from making a reader reserve memory. The trailer comes last, so that a model can be written while it
is received. `write(data)` and `read(n_bytes)` are any callables, such as a file's: nothing in here
knows of files. A run that is cut anywhere, has a flipped bit or goes on behind its end is a
DataError.
"""

import struct
from array import array
from binascii import crc32

from fedboard import DataError, StateError
from fedboard.model import BLOCK, DIGEST_BYTES, MAX_SPEC_BYTES, Spec, new_params, unpack_spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MAGIC = b"fbck\x01"


def params_offset(spec_bytes: bytes) -> int:
    """Where in a checkpoint the parameters begin, in bytes: number i is at offset + 2 * i."""
    return len(_MAGIC) + 1 + len(spec_bytes) + 4


class Writer:
    """Writes one checkpoint as its parameters come in. The caller sees to their number."""

    def __init__(self, write: "Callable[[Any], object]", spec_bytes: bytes) -> None:
        self._write = write
        head = _MAGIC + bytes((len(spec_bytes),)) + spec_bytes
        write(head + struct.pack("<I", crc32(head) & 0xFFFFFFFF))
        self._crc = 0

    def append(self, block: "array[int] | bytes | memoryview") -> None:
        """The next parameters, any number of them, or their bytes."""
        self._put(block)

    def finish(self, version: int, digest: bytes) -> None:
        """The trailer. digest: Spec.digest() of what was written."""
        self._put(struct.pack("<I", version) + digest)
        self._write(struct.pack("<I", self._crc))

    def _put(self, data: "bytes | memoryview | array[int]") -> None:
        self._crc = crc32(data, self._crc) & 0xFFFFFFFF
        self._write(data)


class Reader:
    """Reads and checks one checkpoint in blocks: the header now, all the rest in finish()."""

    def __init__(self, read: "Callable[[int], bytes]") -> None:
        self._read = read
        self._crc = 0
        head = self._take(len(_MAGIC) + 1)
        if head[:-1] != _MAGIC or head[-1] > MAX_SPEC_BYTES:
            raise DataError("no fedboard checkpoint of this release: remove it or restore another")
        spec_bytes = self._take(head[-1])
        self._check()
        self.spec = unpack_spec(spec_bytes)
        self.version = 0
        self.digest = b""

    def finish(self, params: "array[int] | None" = None) -> None:
        """Check the rest; `params`, if given, receives the parameters. Then version, digest hold.

        On a DataError `params` holds what was read so far and must not be used.
        """
        spec = self.spec
        if params is not None:
            spec.check(params)
        h = spec.start_digest()
        for at in range(0, spec.n_params, BLOCK):
            data = self._take(2 * min(BLOCK, spec.n_params - at))
            h.update(data)
            if params is not None:
                block = array("h", data)
                for i in range(len(block)):
                    params[at + i] = block[i]
        tail = self._take(4 + DIGEST_BYTES)
        self._check()
        if self._read(1):
            raise DataError("checkpoint with more behind its end: remove it or restore another")
        if h.digest()[:DIGEST_BYTES] != tail[4:]:
            raise DataError("checkpoint with another model's digest: remove it or restore another")
        self.version = struct.unpack("<I", tail[:4])[0]
        self.digest = tail[4:]

    def _check(self) -> None:
        crc = self._crc
        if struct.unpack("<I", self._take(4))[0] != crc:
            raise DataError("damaged checkpoint (wrong checksum): remove it or restore another")
        self._crc = 0

    def _take(self, n: int) -> bytes:
        data = self._read(n)
        while len(data) < n:
            more = self._read(n - len(data))
            if not more:
                raise DataError("checkpoint that is cut short: remove it or restore another")
            data += more
        self._crc = crc32(data, self._crc) & 0xFFFFFFFF
        return data


def write_checkpoint(
    write: "Callable[[Any], object]",
    spec: Spec,
    version: int,
    params: "array[int]",
) -> bytes:
    """Write a whole model. Returns its digest. version: u32, the number of merges behind it."""
    if not 0 <= version <= 0xFFFFFFFF:
        raise StateError(f"a model's version is 0 to 4294967295, not {version}")
    digest = spec.digest(params)
    writer = Writer(write, spec.pack())
    writer.append(params)
    writer.finish(version, digest)
    return digest


def read_checkpoint(read: "Callable[[int], bytes]") -> "tuple[Spec, int, array[int]]":
    """(spec, version, parameters) of a whole model. Raises DataError unless all of it is sound."""
    reader = Reader(read)
    params = new_params(reader.spec)
    reader.finish(params)
    return reader.spec, reader.version, params
