"""What hostile bytes are fed to, on any interpreter: each function takes bytes and says what came.

    frame         a stream into a host's session with a key, and into the parsers behind it
    long          one into the session of a board that takes frames of 2048 bytes, from its buffer
    message       a message's kind and payload
    update        what a board sends: head and stream
    delta         what a host sends: a model, dense or as changes, over an old one
    checkpoint    a file on a board's flash, or on the host
    settings      a board's fedboard.json

The answer is the refusal's text, or ACCEPTED for input that turned out well-formed: it is just what
our own writer would have written. Input that is accepted and is not raises Malformed, a frame
without the key Forged; whatever else comes out of here is a bug as well. In the language subset of
boards.
"""

import struct
from array import array
from binascii import unhexlify

from fedboard import (
    DataError,
    WireError,
    auth,
    checkpoint,
    messages,
    model,
    sparse,
    wire,
)
from fedboard.base import MemoryBase
from fedboard.channel import FIRST_RELIABLE, Channel
from fedboard.delta import encode, parse_update
from fedboard.rebase import Rebase
from fedboard_device import config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

ACCEPTED = "accepted"
SPEC = model.Spec((12, 9, 4), "fedboard", 5)
KEY = bytes(range(32))
HELLO = b"\x01\x01\x01\x10" + b"n" * 16 + b"\x00\x07kitchen"
HUB_NONCE = b"h" * 16
NODE, HUB = auth.signers(KEY, HELLO, HUB_NONCE)


def unstuffed(body: bytes) -> bytes:
    """What is in a frame between its flags."""
    buffer = bytearray(body)
    n = wire.unstuff(buffer, len(buffer))
    return bytes(memoryview(buffer)[:n])


class Malformed(Exception):
    """Accepted, although no writer of ours makes it."""


class Forged(Exception):
    """A session with a key took a frame that its peer did not send."""


# What the board of the fuzzed session really sends: kinds and payloads. They are literal, so that
# the corpora stay what they are when messages get more fields.
_SAID = (
    (0x10, unhexlify("0474657374047075726500000000070000000c000000000008313233343536373800000000")),
    (0x15, unhexlify("01000000030000000900000002000000d2040000")),
    (0x12, unhexlify("0201000000010000000000000000000000002800000000037e")),
    (0x13, bytes(4) + bytes(range(100))),
    (0x13, b"\x64\0\0\0" + b"\x7e\x7d\x03\x04\x0a\x0d" * 9),
    (0x14, unhexlify("9a00000004037d7e")),
    (0x1C, unhexlify("0774686520656e64")),
)


# And what its host sends: a model, in frames as long as this board takes.
LONGEST = 2048
_TOLD = (
    (0x12, unhexlify("0101000000020000000100000000d00700000000000008313233343536373801")),
    (0x13, bytes(4) + bytes([(7 * i) & 0xFF for i in range(1900)])),
    (0x13, b"\x70\x07\0\0" + b"\x7e\x7d\x03\x04\x0a\x0d" * 50),
    (0x13, b"\x9c\x08\0\0" + bytes(400)),
    (0x14, unhexlify("d007000004037d7e")),
    (0x19, unhexlify("07000000")),
)


def _frames(
    said: "tuple[tuple[int, bytes], ...]", flags: int, sign: "Callable[[bytes], bytes]"
) -> "list[bytes]":
    """What is between the flags of their frames."""
    frames = []
    for i in range(len(said)):
        kind, payload = said[i]
        frames.append(wire.pack(kind, i, 0, flags, i + 1, payload, sign, LONGEST)[1:-1])
    return frames


GENUINE = _frames(_SAID, 0, NODE.tag)
GENUINE_LONG = _frames(_TOLD, wire.FROM_HUB, HUB.tag)
_SIGNED = [unstuffed(data)[:-4] for data in GENUINE + GENUINE_LONG]


def frame(data: bytes) -> str:
    channel = Channel(True)
    channel.start(HUB, NODE, 4)
    return _taken(channel, wire.FLAG + data + wire.FLAG)


def long_frame(data: bytes) -> str:
    """Unstuffed in the buffer that it came in, where it is one frame."""
    channel = Channel(False, LONGEST)
    channel.start(NODE, HUB, 4)
    stream = wire.FLAG + data + wire.FLAG
    return _taken(channel, memoryview(bytearray(stream)))


def _taken(channel: Channel, stream: "Any") -> str:
    text = "nothing"
    limit = channel.decoder.limit
    for body in wire.Decoder(limit).feed(bytes(stream)):
        try:
            found = wire.unpack(body, limit)
        except WireError as error:
            text = str(error)
            continue
        text = "not this session's"
        said = (found.kind, found.seq, found.ack, found.flags, found.counter, len(found.payload))
        if struct.pack("<BBBBIH", *said) + found.payload + found.tag != unstuffed(body)[:-4]:
            raise Malformed("a frame that reads otherwise than it is")
        message(bytes((found.kind,)) + found.payload)
    for taken in channel.frames(stream):
        if taken.kind >= FIRST_RELIABLE:
            if bytes(taken.signed) + taken.tag not in _SIGNED:
                raise Forged("a session with a key took it")
            text = ACCEPTED
    if len(channel.decoder.pending()) > limit:
        raise Malformed("an unbounded buffer")
    return text


def message(data: bytes) -> str:
    if not data:
        return "nothing"
    try:
        found = messages.unpack(data[0], data[1:])
    except WireError as error:
        return str(error)
    if data[0] != found.KIND or found.pack() != data[1:]:
        raise Malformed("a message that reads otherwise than it is")
    return ACCEPTED


def update_(data: bytes) -> str:
    n = data[0] if data else 0
    meta, stream = data[1 : 1 + n], data[1 + n :]
    try:
        found = parse_update(SPEC, meta[0] if meta else 1, meta, stream)
    except WireError as error:
        return str(error)
    coded = []
    parts = sparse.unpack_meta(SPEC, meta)
    for p in range(len(parts)):
        part = parts[p]
        _, indices, values = found[p]
        last = -1
        for i in range(len(indices)):
            if not last < indices[i] < part.n or not -65536 <= values[i] <= 65536:
                raise Malformed("an entry that cannot be")
            last = indices[i]
        if len(indices) != part.k:
            raise Malformed("not as many entries as announced")
        coded.append((part, indices, [value >> part.shift for value in values]))
    if encode(coded) != stream or sparse.pack_meta(parts) != meta:
        raise Malformed("an update that reads otherwise than it is")
    return ACCEPTED


def delta(data: bytes) -> str:
    """encoding u8 | piece u8 | head's length u8 | digest 8 B | head | stream"""
    if len(data) < 11:
        return "nothing"
    encoding, piece, n = data[0], 1 + data[1] % 200, data[2]
    meta, stream = data[11 : 11 + n], data[11 + n :]
    params = array("h", [5] * SPEC.n_params)
    base = MemoryBase()
    base.begin(SPEC.pack())
    base.write(array("h", range(SPEC.n_params)))
    base.commit(1, b"12345678")
    text = None  # of the refusal
    try:
        taken = Rebase(SPEC, params, base, encoding, meta, len(stream), 2, data[3:11], True)
        for at in range(0, len(stream), piece):
            taken.feed(stream[at : at + piece])
        taken.finish()
    except WireError as error:
        text = str(error)
        if base.version != 1 or params != array("h", [5] * SPEC.n_params):
            text = ""
    if text == "":
        raise Malformed("a transfer that failed has changed something")
    if text:
        return text
    held = array("h", bytes(2 * SPEC.n_params))
    base.read(0, held)
    if base.version != 2 or SPEC.digest(held) != data[3:11]:
        raise Malformed("a model that is not what was announced")
    return ACCEPTED


def checkpoint_(data: bytes) -> str:
    at = [0]

    def read(n: int) -> bytes:
        at[0] += n
        return data[at[0] - n : at[0]]

    try:
        spec, version, params = checkpoint.read_checkpoint(read)
    except DataError as error:
        return str(error)
    again = bytearray()
    checkpoint.write_checkpoint(lambda block: again.extend(bytes(block)), spec, version, params)
    if again != data:
        raise Malformed("a checkpoint that reads otherwise than it is")
    return ACCEPTED


def settings(data: bytes) -> str:
    """What is wrong is told, and the rest holds: no input may be an error."""
    problems = "; ".join(config.parse(data, "fedboard.json").problems)
    if "secret" in problems:  # the password
        raise Malformed(problems)
    return problems or ACCEPTED


TARGETS = {
    "frame": frame, "long": long_frame, "message": message, "update": update_, "delta": delta,
    "checkpoint": checkpoint_, "settings": settings,
}  # fmt: skip


def unpack_corpus(data: bytes) -> "list[bytes]":
    """A corpus file: the inputs, a u16 of its length before each."""
    found = []
    at = 0
    while at < len(data):
        n = struct.unpack("<H", data[at : at + 2])[0]
        found.append(bytes(data[at + 2 : at + 2 + n]))
        at += 2 + n
    return found


def pack_corpus(inputs: "list[bytes]") -> bytes:
    return b"".join([struct.pack("<H", len(each)) + each for each in inputs])
