"""Frames: round trip, any chunking, damage, bounds."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedboard import StateError, WireError, wire

payloads = st.binary(max_size=105)  # the worst case of escapes still fits
headers = st.tuples(
    st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), st.sampled_from([0, 2]),
    st.integers(0, 2**32 - 1),
)  # fmt: skip


def frames_of(stream: bytes, sizes: "list[int]") -> "list[bytes]":
    decoder = wire.Decoder()
    found = []
    at = 0
    for size in [*sizes, len(stream)]:
        found += decoder.feed(stream[at : at + size])
        at += size
    return found


@given(headers, payloads, st.booleans())
def test_round_trip(header, payload, signed):
    sign = (lambda data: bytes(range(8))) if signed else None
    stream = wire.pack(*header, payload, sign)
    assert stream.startswith(wire.FLAG)
    assert len(stream) <= wire.MAX_FRAME
    assert not set(b"\x03\x04\x0d\x0a") & set(stream), "a REPL or a terminal would act upon it"
    (body,) = wire.Decoder().feed(stream)
    frame = wire.unpack(body)
    assert (frame.kind, frame.seq, frame.ack, frame.flags & 2, frame.counter) == header
    assert frame.payload == payload
    assert frame.tag == (bytes(range(8)) if signed else b"")


@given(st.lists(payloads, max_size=5), st.lists(st.integers(0, 60), max_size=20), st.binary())
def test_any_chunking_gives_the_same_frames(parts, sizes, noise):
    noise = noise.replace(wire.FLAG, b"")[:200]
    stream = noise + b"".join(wire.pack(16, i, 0, 0, i + 1, p) for i, p in enumerate(parts))
    bytewise = frames_of(stream, [1] * len(stream))
    assert frames_of(stream, sizes) == bytewise == wire.Decoder().feed(stream)
    good = [b for b in bytewise if b != noise]
    assert [wire.unpack(b).payload for b in good] == parts


@given(st.binary(max_size=300))
def test_garbage_raises_nothing_but_wire_error(data):
    for body in [data, *wire.Decoder().feed(data + wire.FLAG)]:
        with contextlib.suppress(WireError):
            wire.unpack(body)


def test_every_damaged_and_every_cut_frame_is_refused():
    (body,) = wire.Decoder().feed(
        wire.pack(16, 1, 2, 0, 3, b"weights \x7e\x7d\x03", lambda d: b"T" * 8)
    )
    for at in range(len(body)):
        with pytest.raises(WireError):
            wire.unpack(body[:at])
        for bit in range(8):
            damaged = bytearray(body)
            damaged[at] ^= 1 << bit
            with pytest.raises(WireError):
                wire.unpack(bytes(damaged))


@given(st.binary(min_size=1, max_size=400), st.integers(0, 4))
def test_fit_cuts_so_that_the_worst_frame_fits(data, n_head):
    n = wire.fit(data, n_head)
    assert 1 <= n <= len(data)
    worst = b"\x7e" * n_head + data[:n]
    frame = wire.pack(0x7E, 0x7E, 0x7E, 2, 0x7E7E7E7E, worst, lambda d: b"\x7e" * 8)
    assert len(frame) <= wire.MAX_FRAME


def test_fit_takes_ordinary_data_whole():
    assert wire.fit(bytes(range(192)), 0) == 192
    assert wire.fit(b"\x7e" * 192) >= 100


def test_a_payload_too_long_is_our_own_fault():
    with pytest.raises(StateError, match="fit"):
        wire.pack(16, 0, 0, 0, 0, bytes(wire.MAX_PAYLOAD + 1))
    with pytest.raises(StateError, match="fit"):
        wire.pack(16, 0, 0, 0, 0, b"\x7e" * wire.MAX_PAYLOAD)


def test_a_run_without_flags_is_dropped_in_bounded_memory():
    decoder = wire.Decoder()
    for _ in range(100):
        assert decoder.feed(b"x" * 1000) == []
        assert len(decoder.pending()) <= wire.MAX_FRAME
    assert decoder.n_oversized == 1
    assert decoder.feed(wire.FLAG) == []  # the tail of what was dropped is no frame
    (body,) = decoder.feed(wire.pack(16, 0, 0, 0, 1, b"ok"))
    assert wire.unpack(body).payload == b"ok"


def test_text_between_frames_is_told_apart():
    stream = (
        wire.pack(16, 0, 0, 0, 1, b"a") + b"Traceback: boom\r\n" + wire.pack(16, 1, 0, 0, 2, b"b")
    )
    bodies = wire.Decoder().feed(stream)
    assert [wire.unpack(bodies[0]).payload, bodies[1], wire.unpack(bodies[2]).payload] == [
        b"a", b"Traceback: boom\r\n", b"b",
    ]  # fmt: skip


@pytest.mark.parametrize("sign", [None, lambda data: b"12345678"])
@pytest.mark.parametrize(("n", "known"), [(0, False), (31, False), (32, True), (192, True)])
def test_a_long_frames_header_tells_how_much_follows(sign, n, known):
    frame = wire.pack(20, 1, 2, wire.FROM_HUB, 5, bytes(n), sign)
    body = bytearray(frame[1:-1])
    rest = wire.unstuff(body, len(body)) - wire.HEADER_BYTES + len(wire.FLAG)
    assert wire.n_due(bytearray(body[: wire.HEADER_BYTES])) == (rest if known else 0)


def test_no_header_promises_more_than_a_frame():
    for flags in range(256):
        for length in (0, 32, 192, 193, 0xFFFF):
            header = bytearray([1, 2, 3, flags, 0, 0, 0, 0, length & 0xFF, length >> 8])
            due = wire.n_due(header)
            assert 0 <= due <= wire.MAX_FRAME
            assert not due or (flags in (2, 3) and length in (32, 192))
