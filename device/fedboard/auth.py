"""Keys and tags: HMAC-SHA256 (RFC 2104) with a pre-shared key; board firmware has no hmac.

    node_key = HMAC(key, "fedboard 1 node" | HELLO's payload | hub nonce)
    hub_key  = HMAC(key, "fedboard 1 hub"  | HELLO's payload | hub nonce)
    tag      = HMAC(key of the sender's direction, header | payload)[:8]

Both sides add a fresh nonce (the node's is in its HELLO), so that a recorded session is worthless
in the next one; each direction has its own key, so that a frame cannot be sent back to its author;
and whoever changes a byte of HELLO on its way gets two sides whose keys differ. The frame's counter
(wire, channel) bars replay within a session. Frames are authenticated, not encrypted.
"""

from binascii import unhexlify

from fedboard import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TAG_BYTES = 8
NONCE_BYTES = 16
KEY_BYTES = 32

try:
    hashlib: "Any" = __import__("hashlib")
except ImportError:  # CircuitPython on the smaller chips
    hashlib = None

try:
    compare_digest: "Any" = __import__("hmac").compare_digest
except (ImportError, AttributeError):  # boards
    compare_digest = None


def sha256() -> "Any":
    """A fresh SHA-256 object: CircuitPython boards have only hashlib.new(), or no hashlib."""
    if hashlib is None:
        from fedboard.sha256 import Sha256

        return Sha256()
    if hasattr(hashlib, "sha256"):
        return hashlib.sha256()
    return hashlib.new("sha256")


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    if len(key) > 64:
        h = sha256()
        h.update(key)
        key = h.digest()
    key = key + bytes(64 - len(key))
    inner = sha256()
    inner.update(bytes(b ^ 0x36 for b in key))
    inner.update(data)
    outer = sha256()
    outer.update(bytes(b ^ 0x5C for b in key))
    outer.update(inner.digest())
    digest: bytes = outer.digest()
    return digest


class Signer:
    """One direction's key, its two pads made once: each tag then costs two short hashes."""

    def __init__(self, key: bytes) -> None:
        key = key + bytes(64 - len(key))
        self._inner = bytes(b ^ 0x36 for b in key)
        self._outer = bytes(b ^ 0x5C for b in key)

    def tag(self, data: "bytes | memoryview") -> bytes:
        inner = sha256()
        inner.update(self._inner)
        inner.update(data)
        outer = sha256()
        outer.update(self._outer)
        outer.update(inner.digest())
        tag: bytes = outer.digest()[:TAG_BYTES]
        return tag


def equal(a: bytes, b: bytes) -> bool:
    """Compare without telling by the time taken where they differ.

    CPython has a function for it; in Python it is as near as the interpreter allows.
    """
    if compare_digest is not None:
        return bool(compare_digest(a, b))
    return _equal(a, b)


def _equal(a: bytes, b: bytes) -> bool:
    if len(a) != len(b):
        return False
    difference = 0
    for i in range(len(a)):
        difference |= a[i] ^ b[i]
    return difference == 0


def signers(key: bytes, hello: bytes, hub_nonce: bytes) -> "tuple[Signer, Signer]":
    """(the node's, the hub's) signer of one session; hello: the payload of the node's HELLO."""
    about = hello + hub_nonce
    return (
        Signer(hmac_sha256(key, b"fedboard 1 node" + about)),
        Signer(hmac_sha256(key, b"fedboard 1 hub" + about)),
    )


def parse_key(text: str) -> bytes:
    """A key from the 64 hex digits of a configuration file. No error ever repeats the text."""
    try:
        key = unhexlify(text.strip())
    except (ValueError, TypeError, AttributeError):
        key = b""
    if len(key) != KEY_BYTES:
        raise DataError("a key is 64 hexadecimal digits (32 bytes): make one with `fedboard key`")
    return key
