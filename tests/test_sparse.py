"""The bitstream of gaps and values: against the reference, against the bound, against garbage."""

import itertools
import math
import random
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedboard import StateError, WireError, delta
from fedboard.model import Spec
from fedboard.sparse import (
    Decoder,
    Encoder,
    Part,
    max_bytes,
    min_bytes,
    pack_meta,
    rice_parameter,
    unpack_meta,
)
from reference import codec

SIZES = (12, 9, 4)
SPEC = Spec(SIZES)


@st.composite
def streams(draw):
    """[(Part, indices, coded values)] of some layers of SPEC."""
    found = []
    for l in range(SPEC.n_layers):
        if not draw(st.booleans()):
            continue
        n = SPEC.n_layer_params(l)
        bits = draw(st.integers(1, 17))
        shift = draw(st.integers(0, 17 - bits))
        dense = draw(st.booleans()) and draw(st.booleans())
        top = 2 ** (bits - 1)
        if dense:
            indices = list(range(n))
            value = st.integers(-top, top - 1)
        else:
            indices = sorted(draw(st.sets(st.integers(0, n - 1))))
            value = st.integers(1, top) | st.integers(-top, -1)
        values = draw(st.lists(value, min_size=len(indices), max_size=len(indices)))
        part = Part(l, SPEC.at(l), n, len(indices), bits, shift, dense)
        found.append((part, indices, values))
    return found


encoded = delta.encode


def decoded(parts, chunks):
    decoder = Decoder(parts)
    found = []
    for chunk in chunks:
        decoder.feed(chunk)
        while decoder.next():
            found.append((decoder.part.layer, decoder.index, decoder.value))
    decoder.finish()
    return found


def one_part(n, indices, values, bits):
    return [(Part(0, 0, n, len(indices), bits), indices, values)]


def random_part(n, k, bits, rng):
    indices = sorted(rng.sample(range(n), k))
    values = [rng.choice((-1, 1)) * rng.randint(1, 2 ** (bits - 1)) for _ in range(k)]
    return one_part(n, indices, values, bits)


@given(streams(), st.data())
def test_round_trip_in_any_chunks(stream, data):
    parts = [part for part, _, _ in stream]
    coded = encoded(stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(coded)), max_size=10)))
    chunks = [coded[a:b] for a, b in itertools.pairwise([0, *cuts, len(coded)])]
    expected = [
        (part.layer, index, value << part.shift)
        for part, indices, values in stream
        for index, value in zip(indices, values, strict=True)
    ]
    assert decoded(parts, chunks) == expected
    assert decoded(parts, [bytes([byte]) for byte in coded]) == expected
    assert min_bytes(parts) <= len(coded) <= max_bytes(parts)


@given(streams())
def test_equals_the_reference(stream):
    parts = [part for part, _, _ in stream]
    meta, coded = codec.encode(
        [
            codec.Part(p.layer, p.n, p.bits, p.shift, p.dense, np.array(i, int), np.array(v, int))
            for p, i, v in stream
        ]
    )
    assert pack_meta(parts) == meta
    assert encoded(stream) == coded
    assert [vars(p) for p in unpack_meta(SPEC, meta)] == [vars(p) for p in parts]
    found = codec.decode(SIZES, meta, coded)
    for part, indices, values in stream:
        assert found[part.layer][0].tolist() == indices
        assert found[part.layer][1].tolist() == [value << part.shift for value in values]


@pytest.mark.parametrize("bits", [4, 5, 6, 7, 8])
@pytest.mark.parametrize("percent", [1, 5, 10, 20])
@pytest.mark.parametrize("n", [2000, 2410, 10050, 159010])
def test_within_five_percent_of_the_bound(n, percent, bits):
    rng = random.Random(n + 100 * percent + bits)
    k = n * percent // 100
    n_bytes = 0
    n_draws = 3
    for _ in range(n_draws):
        n_bytes += len(encoded(random_part(n, k, bits, rng)))
    assert 8 * n_bytes / n_draws <= 1.05 * codec.bound_bits(n, k, bits)


def test_rice_parameter_is_the_best():
    """Of random places, by their expected code length; it must equal the reference exactly."""
    for n in (2, 3, 10, 100, 2410, 159010, 1 << 20):
        for k in {1, 2, n // 1000, n // 100, n // 20, n // 5, n // 2, n - 1} & set(range(1, n)):
            r = rice_parameter(n, k)
            assert r == codec.rice(n, k)
            assert (n - k) >> r <= 2 * k + 1  # wherever the places are

            def cost(r, left_out=(n - k) / n):
                x = left_out ** (2**r)
                return r + 1 + x / (1 - x)

            assert cost(r) <= min(cost(other) for other in range(24)) + 0.01


def test_places_in_a_row_or_far_apart():
    for n, k in ((2000, 100), (2000, 999), (10000, 1)):
        for indices in (list(range(k)), list(range(n - k, n)), list(range(0, n, n // k))[:k]):
            stream = one_part(n, indices, [-8] * k, 4)
            parts = [stream[0][0]]
            coded = encoded(stream)
            assert decoded(parts, [coded]) == [(0, i, -8) for i in indices]
            assert min_bytes(parts) <= len(coded) <= max_bytes(parts)


@given(streams(), st.binary(min_size=1, max_size=3))
def test_cut_or_longer(stream, more):
    parts = [part for part, _, _ in stream]
    coded = encoded(stream)
    for at in range(len(coded)):
        with pytest.raises(WireError, match=r"cut short|beyond"):
            decoded(parts, [coded[:at]])
    with pytest.raises(WireError, match="more bits"):
        decoded(parts, [coded + more])
    with pytest.raises(WireError, match="more bits"):
        decoded(parts, [coded, more])


def test_padding_must_be_zero():
    part = Part(0, 0, 100, 3, 4)
    stream = [(part, [5, 50, 99], [1, -1, 8])]
    coded = bytearray(encoded(stream))
    n_free = 0
    for bit in range(8):
        bad = bytearray(coded)
        bad[-1] |= 1 << bit
        if bad != coded:
            try:
                assert decoded([part], [bytes(bad)]) != decoded([part], [bytes(coded)])
            except WireError:
                n_free += 1
    assert n_free


@given(st.binary(max_size=60), st.binary(max_size=12))
def test_garbage_is_refused_or_decodes_to_what_it_encodes(data, head):
    try:
        parts = unpack_meta(SPEC, head)
    except WireError:
        parts = [Part(1, SPEC.at(1), SPEC.n_layer_params(1), 7, 4)]
    try:
        found = decoded(parts, [data])
    except WireError:
        return
    stream = []
    for part in parts:
        own = [(i, v >> part.shift) for l, i, v in found if l == part.layer]
        stream.append((part, [i for i, _ in own], [v for _, v in own]))
        assert all(0 <= i < part.n for i, _ in own)
    assert encoded(stream) == data  # one way to say a thing


@given(st.binary(max_size=14))
def test_garbage_is_no_meta(meta):
    try:
        parts = unpack_meta(SPEC, meta)
    except WireError:
        return
    assert pack_meta(parts) == meta
    for part in parts:
        assert part.k <= part.n == SPEC.n_layer_params(part.layer)
        assert 1 << part.bits - 1 + part.shift <= 1 << 16


@pytest.mark.parametrize(
    "meta",
    [
        b"",
        b"\x04" + bytes(5),  # no layer 2
        b"\x01",
        b"\x01" + bytes(4),
        b"\x01" + bytes([0, 0, 0, 0, 0]),  # no bits
        b"\x01" + bytes([0, 0, 0, 18, 0]),
        b"\x01" + bytes([0, 0, 0, 8, 10]),  # values beyond 16 bits
        b"\x01" + bytes([118, 0, 0, 4, 0]),  # 118 of 117
        b"\x01" + bytes([116, 0, 0, 0x84, 0]),  # dense, but not all
        b"\x01" + bytes([0, 0, 0, 4, 0, 0]),
        b"\x03" + bytes([0, 0, 0, 4, 0]),
    ],
)
def test_impossible_meta(meta):
    with pytest.raises(WireError):
        unpack_meta(SPEC, meta)


def test_chunk_must_be_used_up():
    part = Part(0, 0, 100, 3, 4)
    decoder = Decoder([part])
    decoder.feed(encoded([(part, [5, 50, 99], [1, -1, 8])]))
    with pytest.raises(StateError):
        decoder.feed(b"\0")


@pytest.mark.parametrize("size", [1, 2, 7, 184, 4000])
def test_chunks_are_the_stream_in_pieces(size):
    """Also where the zeros of a gap alone fill chunks."""
    n = 60000
    indices = [*range(0, 2000, 7), 50000, 50001, n - 1]
    values = [(-1) ** i * (1 + i % 30000) for i in indices]
    [(part, _, _)] = stream = one_part(n, indices, values, 16)
    encoder = Encoder(size)
    encoder.part(part)
    chunks = []
    for at in range(0, n, 256):
        mine = [(i, v) for i, v in zip(indices, values, strict=True) if at <= i < at + 256]
        entries = array("i", [v << 8 | i - at for i, v in mine])
        encoder.add(entries, len(entries), at)
        while encoder.is_full():
            chunks.append(encoder.take())
    encoder.finish()
    chunks.append(encoder.take())
    assert {len(chunk) for chunk in chunks[:-1]} <= {size}
    assert len(chunks[-1]) <= size
    assert b"".join(chunks) == encoded(stream)
    assert encoder.take() == b""


def test_bound_is_the_exact_one():
    assert math.isclose(codec.bound_bits(2000, 100, 4), 400 + math.log2(math.comb(2000, 100)))
