"""Frames on a byte stream that other things share (a REPL, print(), Ctrl-C).

    7E | stuffed( kind u8 | seq u8 | ack u8 | flags u8 | counter u32 | length u16
                  | payload | [tag 8 B] | crc32 u32 ) | 7E        little endian

Stuffing is PPP's (RFC 1662): 7D, then the byte xor 20. Beside 7E and 7D it escapes 03, 04, 0D
and 0A, so that a frame never holds a Ctrl-C, and a terminal driver that rewrites line ends does
no harm. A stuffed frame is at most MAX_FRAME bytes, with MAX_PAYLOAD: it fits the 260-byte receive
buffer of an ESP32. A board may say that it takes longer ones: that is what `limit` is. The CRC is
over all before it; the tag (auth.tag) is over header and payload. The CRC goes on from that of the
handshake before the frame, the `bond`: what belongs to another is noise, with or without a key.
Pure: bytes in, frames out. Anything that is no frame raises WireError in unpack() and nothing else.
"""

import struct
from binascii import crc32

from fedboard import StateError, WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

FLAG = b"\x7e"
MAX_FRAME = 256  # stuffed, both flags included
MAX_PAYLOAD = 192
KEYED = 0x01  # flags: a tag follows the payload
FROM_HUB = 0x02  # flags: the direction, so that an echo (a REPL's) is nobody's word
TAG_BYTES = 8

_HEADER = "<BBBBIH"
HEADER_BYTES = 10
# The header, tag and CRC may all need escaping: what is left for a stuffed payload is the rest.
_AROUND = 2 + 2 * (HEADER_BYTES + TAG_BYTES + 4)
MARGIN = MAX_FRAME - MAX_PAYLOAD  # those, and some escapes in the payload
_LONG = 32
_NUMBERED = 0x10  # channel.FIRST_RELIABLE
_UNBOUND = (0x01, 0x02, 0x05)  # KNOCK, HELLO, DENY: their CRC starts from 0
_ESCAPES = (  # 7D first when stuffing, last when unstuffing
    (b"\x7d", b"\x7d\x5d"),
    (b"\x7e", b"\x7d\x5e"),
    (b"\x03", b"\x7d\x23"),
    (b"\x04", b"\x7d\x24"),
    (b"\x0a", b"\x7d\x2a"),
    (b"\x0d", b"\x7d\x2d"),
)


def stuff(body: bytes) -> bytes:
    for raw, escaped in _ESCAPES:
        body = body.replace(raw, escaped)
    return body


def unstuff(buffer: "bytearray | memoryview", n: int) -> int:
    """Take the escapes out of the first n bytes, in place. Returns how many are left.

    What is no escape stays as it is. Boards may have it in native code: see use().
    """
    body = bytes(memoryview(buffer)[:n])
    for i in range(len(_ESCAPES) - 1, -1, -1):
        raw, escaped = _ESCAPES[i]
        body = body.replace(escaped, raw)
    memoryview(buffer)[: len(body)] = body
    return len(body)


def count(buffer: "Any", n: int, byte: int) -> int:
    """How often `byte` is among the first n of the buffer. Boards may have this in native code."""
    return bytes(memoryview(buffer)[:n]).count(bytes((byte,)))


_PURE = {"unstuff": unstuff, "count": count}


def use(offered: "Any") -> None:
    """Install the unstuff() and count() of a module that has faster ones; None: those above."""
    for name in _PURE:
        globals()[name] = getattr(offered, name, _PURE[name])


def fit(data: bytes, n_head: int = 0, limit: int = MAX_FRAME) -> int:
    """How many bytes of data fit one frame behind n_head other payload bytes, escapes counted.

    The head is charged as if every byte of it needed escaping.
    """
    n = min(len(data), limit - MARGIN - n_head)
    budget = limit - _AROUND - 2 * n_head
    while n:
        size = n
        for raw, _ in _ESCAPES:
            size += data.count(raw, 0, n)
        if size <= budget:
            break
        n -= max(1, (size - budget) // 2)
    return n


class Frame:
    """One received frame, cut up only on demand: a board has no room for copies.

    Where it lies in the link's buffer, it is there until the link reads again.
    """

    def __init__(self, body: "bytearray | memoryview", end: int) -> None:
        """end: of the payload; behind it is the tag, if any."""
        self.kind, self.seq, self.ack, self.flags, self.counter, _ = struct.unpack_from(
            _HEADER, body, 0
        )
        self._body = body
        self._end = end

    @property
    def view(self) -> memoryview:
        """The payload, no copy."""
        return memoryview(self._body)[HEADER_BYTES : self._end]

    @property
    def payload(self) -> bytes:
        return bytes(self.view)

    @property
    def tag(self) -> bytes:
        """b"" when the frame has none."""
        n_tag = TAG_BYTES if self.flags & KEYED else 0
        return bytes(memoryview(self._body)[self._end : self._end + n_tag])

    @property
    def signed(self) -> memoryview:
        """What the tag covers."""
        return memoryview(self._body)[: self._end]


def pack(
    kind: int,
    seq: int,
    ack: int,
    flags: int,
    counter: int,
    payload: bytes,
    sign: "Callable[[bytes], bytes] | None" = None,
    limit: int = MAX_FRAME,
    bond: int = 0,
) -> bytes:
    """One frame as bytes. `sign(data) -> 8 bytes` makes its tag; None leaves it out.

    Raises StateError for a payload that does not fit: callers cut theirs with fit().
    """
    if sign is not None:
        flags |= KEYED
    body = struct.pack(_HEADER, kind, seq, ack, flags, counter, len(payload)) + payload
    if sign is not None:
        body += sign(body)
    body += struct.pack("<I", crc32(body, 0 if kind in _UNBOUND else bond) & 0xFFFFFFFF)
    frame = FLAG + stuff(body) + FLAG
    if len(payload) > limit - MARGIN or len(frame) > limit:
        raise StateError(f"payload of {len(payload)} bytes, frame of {len(frame)}: fit() it")
    return frame


def unpack(
    stuffed: "bytes | bytearray | memoryview", limit: int = MAX_FRAME, bond: int = 0
) -> Frame:
    """The frame between two flags. Raises WireError for whatever is none.

    Unless it is bytes it is unstuffed where it lies, and the frame is a view of it.
    """
    body = bytearray(stuffed) if isinstance(stuffed, bytes) else stuffed
    n = unstuff(body, len(body))
    if n < HEADER_BYTES + 4:
        raise WireError(f"frame of {n} bytes is too short: cut, or text")
    if n > HEADER_BYTES + limit - MARGIN + TAG_BYTES + 4:
        raise WireError(f"frame of {n} bytes is too long")
    crc = crc32(memoryview(body)[: n - 4], 0 if body[0] in _UNBOUND else bond)
    if crc & 0xFFFFFFFF != struct.unpack_from("<I", body, n - 4)[0]:
        raise WireError("frame with a wrong checksum: damaged, text, or of another session")
    flags = body[3]
    end = HEADER_BYTES + (body[8] | body[9] << 8)
    n_tag = TAG_BYTES if flags & KEYED else 0
    if flags > KEYED | FROM_HUB or end + n_tag + 4 != n:
        raise WireError("frame whose length or flags do not fit its size")
    return Frame(body, end)


def n_due(header: "bytes | bytearray", limit: int = MAX_FRAME) -> int:
    """How many bytes of a hub's frame are sure to follow this header: 0 if it is none.

    And 0 for a frame of the handshake, or a short one: it is not repeated when some of it gets
    lost, and who waits for all of it would wait for ever.
    """
    if header[0] < _NUMBERED:
        return 0
    flags = header[3]
    length = header[8] | header[9] << 8
    if not flags & FROM_HUB or flags > KEYED | FROM_HUB or not _LONG <= length <= limit - MARGIN:
        return 0
    return length + (TAG_BYTES if flags & KEYED else 0) + 4 + len(FLAG)


class Decoder:
    """Cuts a byte stream at the flags; feed it pieces of any size.

    What lies between two flags may be a frame or text that a program printed: unpack() tells.
    The buffer is bounded; a longer run without a flag is dropped and counted in n_oversized.
    One frame in a view of a buffer, as from a link that knows where one ends, is not copied.
    """

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self.limit = limit
        self._skipping = False
        self.n_oversized = 0

    def feed(self, data: "Any") -> "list[Any]":
        """The non-empty runs between flags, still stuffed, that `data` brings to an end."""
        if not isinstance(data, bytes):
            last = len(data) - 1
            is_fresh = not self._buffer and not self._skipping and 1 < last <= self.limit
            if is_fresh and data[0] == data[last] == 0x7E and count(data, last, 0x7E) == 1:
                return [memoryview(data)[1:last]]
            data = bytes(data)
        found: list[Any] = []
        at = 0
        while at < len(data):
            end = data.find(FLAG, at)
            stop = len(data) if end < 0 else end
            if not self._skipping:
                if len(self._buffer) + stop - at > self.limit:
                    self._skipping = True
                    self.n_oversized += 1
                    self._buffer = bytearray()
                elif end < 0 or self._buffer:
                    self._buffer.extend(data[at:stop])
            if end < 0:
                break
            if self._buffer:
                found.append(self._buffer)
                self._buffer = bytearray()
            elif stop > at and not self._skipping:
                found.append(data[at:stop])  # all of it at once, as most are
            self._skipping = False
            at = end + 1
        return found

    def pending(self) -> bytes:
        """What came since the last flag: the start of a frame, or text such as a REPL prompt."""
        return bytes(self._buffer)
