"""Frames and tags from the formats' text, byte by byte, with the standard library's HMAC."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import struct

ESCAPED = {0x7E, 0x7D, 0x03, 0x04, 0x0D, 0x0A}


def stuff(body: bytes) -> bytes:
    out = bytearray()
    for byte in body:
        out += bytes([0x7D, byte ^ 0x20]) if byte in ESCAPED else bytes([byte])
    return bytes(out)


def frame(
    kind: int,
    seq: int,
    ack: int,
    counter: int,
    payload: bytes,
    key: bytes | None = None,
    from_hub: bool = False,
    before: bytes = b"",
) -> bytes:
    """before: the handshake's payloads that the checksum covers, too, but of kinds 1, 2 and 5."""
    flags = (key is not None) + 2 * from_hub
    body = struct.pack("<4BIH", kind, seq, ack, flags, counter, len(payload)) + payload
    if key is not None:
        body += hmac.digest(key, body, "sha256")[:8]
    covered = body if kind in (1, 2, 5) else before + body
    body += struct.pack("<I", binascii.crc32(covered))
    return b"\x7e" + stuff(body) + b"\x7e"


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def session_keys(key: bytes, hello: bytes, hub_nonce: bytes) -> tuple[bytes, bytes]:
    """(the node's, the hub's) key of one session; hello: the payload of the node's HELLO."""
    about = hello + hub_nonce
    node, hub = (hmac_sha256(key, b"fedboard 1 " + who + about) for who in (b"node", b"hub"))
    return node, hub
