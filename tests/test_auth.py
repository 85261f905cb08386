"""HMAC-SHA256 against RFC 4231, tags, keys."""

import hashlib
import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedboard import DataError, auth
from interpreters import run

# RFC 4231, cases 1, 2, 3, 4, 6, 7: (key, data, HMAC-SHA-256)
RFC_4231 = [
    (b"\x0b" * 20, b"Hi There",
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (b"Jefe", b"what do ya want for nothing?",
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (b"\xaa" * 20, b"\xdd" * 50,
     "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (bytes(range(1, 26)), b"\xcd" * 50,
     "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
    (b"\xaa" * 131, b"Test Using Larger Than Block-Size Key - Hash Key First",
     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
    (b"\xaa" * 131, b"This is a test using a larger than block-size key and a larger than "
     b"block-size data. The key needs to be hashed before being used by the HMAC algorithm.",
     "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "data", "digest"), RFC_4231)
def test_rfc_4231(key, data, digest):
    assert auth.hmac_sha256(key, data).hex() == digest


@given(st.binary(max_size=64), st.binary(max_size=300))
def test_tag_is_the_truncated_hmac(key, data):
    whole = hmac.new(key, data, hashlib.sha256).digest()
    assert auth.hmac_sha256(key, data) == whole
    assert auth.Signer(key).tag(data) == whole[: auth.TAG_BYTES]


def test_each_direction_hello_and_nonce_has_its_own_key():
    signers = []
    for hello, nonce in [(b"one", b"h"), (b"two", b"h"), (b"one", b"g")]:
        signers += auth.signers(b"k" * 32, hello, nonce * 16)
    assert len({s.tag(b"data") for s in signers}) == len(signers)


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_equal(a, b):
    assert auth.equal(a, b) == (a == b)
    assert auth.equal(a, bytes(a))


def test_parse_key():
    assert auth.parse_key(" " + "ab" * 32 + "\n") == b"\xab" * 32
    for text in ["", "ab" * 31, "zz" * 32, "ab" * 33, "secret"]:
        with pytest.raises(DataError, match="64 hexadecimal digits") as caught:
            auth.parse_key(text)
        assert not text or text not in str(caught.value)


def test_sha256_without_hashlib(board_runtime):
    """As on CircuitPython boards that have none."""
    out = run(board_runtime, Path(__file__).with_name("sha256_board.py")).decode().split()
    data = bytes(i * 7 & 255 for i in range(300))
    assert out == [hmac.new(data[:32], data, "sha256").hexdigest()]
