"""docs/protocol.md is what the code does: its vectors, its messages, its limits."""

from __future__ import annotations

import hashlib
import hmac
import re
import struct
import zlib

import pytest

import golden_runner
import golden_text
import interpreters
import test_golden
from fedboard import auth, channel, cohort, collect, messages, wire
from fedboard.message import Message
from fedboard_host import connection, gate, roster
from test_docs import blocks

PAGE = interpreters.ROOT / "docs" / "protocol.md"
TEXT = PAGE.read_text("utf-8")
VECTORS = [line for block in blocks(PAGE, "vectors") for line in block.splitlines()]
TYPES = {"B": "u8", "H": "u16", "I": "u32", "s": "text", "b": "bytes", "*": "rest"}


def test_the_page_has_the_rfcs_vectors_and_a_session():
    rfc = [line.partition(" = ")[2] for line in VECTORS if line.startswith("hmac")][:7]
    assert all(
        mine.startswith(known) for mine, known in zip(rfc, test_golden.RFC_4231, strict=True)
    )
    assert sum(line.startswith("frame") for line in VECTORS) == 4


def test_every_interpreter_computes_the_pages_vectors(board_runtime, tmp_path):
    (tmp_path / "page.txt").write_text("\n".join(VECTORS) + "\n", newline="\n")
    printed = interpreters.run(board_runtime, golden_runner.__file__, tmp_path / "page.txt")
    assert printed.decode().splitlines() == VECTORS


def test_they_follow_from_the_page_alone():
    """With the standard library only, as somebody would who writes another implementation."""
    raw = golden_text.raw
    escaped = (0x7D, 0x7E, 0x03, 0x04, 0x0A, 0x0D)
    for line in VECTORS:
        (op, *arguments), result = line.partition(" = ")[0].split(), line.partition(" = ")[2]
        if op == "hmac":
            assert hmac.new(raw(arguments[0]), raw(arguments[1]), "sha256").hexdigest() == result
            continue
        kind, seq, ack, flags, counter = map(int, arguments[:5])
        payload, key, before = map(raw, arguments[5:])
        flags |= 1 if key else 0
        body = struct.pack("<BBBBIH", kind, seq, ack, flags, counter, len(payload)) + payload
        if key:
            body += hmac.new(key, body, hashlib.sha256).digest()[:8]
        body += struct.pack("<I", zlib.crc32(before + body))
        stuffed = b"".join(bytes((0x7D, b ^ 0x20)) if b in escaped else bytes((b,)) for b in body)
        assert (b"\x7e" + stuffed + b"\x7e").hex() == result


def test_node_and_hub_speak_the_pages_handshake_everywhere(board_runtime):
    script = interpreters.ROOT / "tests" / "protocol_board.py"
    said = interpreters.run(board_runtime, script).decode().split()
    assert said == [line.partition(" = ")[2] for line in VECTORS if line.startswith("frame")]


def test_the_session_keys_are_the_pages():
    hello = golden_text.raw(VECTORS[9].split()[6])
    node, hub = auth.signers(bytes(range(32)), hello, b"\xbb" * 16)
    keys = [line.partition(" = ")[2] for line in VECTORS if line.startswith("hmac")][7:]
    for signer, key in zip((node, hub), keys, strict=True):
        assert signer.tag(b"x") == auth.Signer(bytes.fromhex(key)).tag(b"x")


def test_every_message_is_there_with_its_fields():
    kinds = {
        kind.KIND: kind
        for module in (messages, collect, cohort)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Message) and kind.KIND
    }
    rows = re.findall(r"^\| ([0-9A-F]{2}) \| ([A-Z]+) \| \w+ \| (.*) \|$", TEXT, re.M)
    found = {(int(kind, 16), name, fields) for kind, name, fields in rows if name != "ACK"}
    expected = {
        (n, k.__name__.upper(), ", ".join(f"{name} {TYPES[code]}" for name, code in k.FIELDS))
        for n, k in kinds.items()
    }
    assert found == expected, "docs/protocol.md: its table of messages is not the code's"


@pytest.mark.parametrize(
    "said",
    [
        f"payload at most {wire.MAX_PAYLOAD} B; a frame at most {wire.MAX_FRAME} B",
        f"the first {auth.TAG_BYTES} bytes of HMAC-SHA256",
        f"a fresh nonce of {auth.NONCE_BYTES} random bytes",
        f"pre-shared key of {auth.KEY_BYTES} bytes",
        f"repeated after {channel.TIMEOUT_MS} ms",
        f"up to {channel.MAX_TIMEOUT_MS / 1000:g} s; a bare ACK\n(kind {channel.ACK:02X})",
        f"within {channel.ACK_DELAY_MS} ms",
        f"over the kinds from {channel.FIRST_RELIABLE:X} on",
        f"one frame ({wire.MAX_FRAME} B), one HELLO",
        f"| {roster.MAX_STRANGERS}, {roster.MAX_STRANGERS_EACH} from one address |",
        f"{connection._MAX_STRANGER_BYTES // 1024} KiB",
        f"after {gate.FREE_TRIES} from one address",
        f"for {gate.FIRST_WAIT_MS // 1000} s, then 2, 4, ... up to {gate.MAX_WAIT_MS // 1000} s",
        f"{gate.FORGET_MS // 60_000} minutes clear it. {gate.MAX_ADDRESSES} addresses",
    ],
)
def test_limits_are_the_codes(said):
    assert said in TEXT
