"""The host's decoder reads what the boards' does, bit for bit, and refuses what that refuses."""

from __future__ import annotations

import importlib
import importlib.util
import random
from array import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedboard import WireError, delta, sparse, update
from fedboard.base import MemoryBase
from fedboard.model import Spec
from fedboard_host import decode, strategies

SPEC = Spec((30, 20, 7), seed=3)
pytestmark = pytest.mark.usefixtures("loops")  # NumPy's and the compiled ones in turn


def encoded(seed, layers, top_permille, bits, size, density, spec=SPEC):
    """(meta, stream) of a random update."""
    rng = np.random.default_rng(seed)
    change = rng.integers(-size, size + 1, spec.n_params) * (rng.random(spec.n_params) < density)
    base = MemoryBase()
    base.begin(spec.pack())
    base.write(array("h", bytes(2 * spec.n_params)))
    base.commit(1, b"")
    params = array("h", change.astype(np.int16).tobytes())
    made = update.Update(spec, params, base, layers, top_permille, bits)
    made.prepare()
    return made.meta(), b"".join(made.chunks())


updates = st.builds(
    encoded, st.integers(0, 2**32), st.integers(1, 3), st.sampled_from([1, 10, 100, 500, 1000]),
    st.integers(1, 16), st.sampled_from([1, 30, 3000, 32767]), st.sampled_from([0.0, 0.1, 1.0]),
)  # fmt: skip


def plain(found):
    return [
        (l, [int(i) for i in indices], [int(v) for v in values]) for l, indices, values in found
    ]


def host_parse(spec, layers, meta, data):
    return decode.Decoder(spec).parse(layers, meta, data)


def outcome(parse, layers, meta, data):
    try:
        return plain(parse(SPEC, layers, meta, data))
    except WireError:
        return WireError


def check_sums(layers, meta, data, expected):
    """add_to() makes the sums of what parse() tells, or refuses as it does; or does nothing."""
    acc = np.arange(SPEC.n_params, dtype=np.int64)
    sums = acc.copy()
    squares = []
    for l, indices, values in expected if expected is not WireError else ():
        layer = sums[SPEC.at(l) : SPEC.at(l + 1)]
        layer[indices] += 5 * np.array(values, np.int64)
        squares.append((l, sum(v * v for v in values)))
    try:
        told = decode.Decoder(SPEC).add_to(acc, 5, layers, meta, data)
    except WireError:
        assert expected is WireError
        told = []
    if told is None:
        assert acc.tolist() == list(range(SPEC.n_params))
    else:
        assert list(told) == squares
        assert acc.tolist() == sums.tolist()


@settings(max_examples=40)
@given(updates)
def test_the_same_as_the_boards_decoder(made):
    meta, data = made
    expected = plain(delta.parse_update(SPEC, meta[0], meta, data))
    assert plain(host_parse(SPEC, meta[0], meta, data)) == expected
    check_sums(meta[0], meta, data, expected)


@settings(max_examples=40)
@given(updates, st.integers(0, 2**32))
def test_damage_is_refused_where_the_boards_decoder_refuses_it(made, seed):
    meta, data = made
    rng = random.Random(seed)
    for _ in range(8):
        head, body = bytearray(meta), bytearray(data)
        for _ in range(rng.randrange(3)):
            if body:
                body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
        if rng.random() < 0.3:
            head[rng.randrange(len(head))] ^= 1 << rng.randrange(8)
        if rng.random() < 0.3:
            del body[rng.randrange(len(body) + 1) :]
        if rng.random() < 0.3:
            body += rng.randbytes(rng.randrange(3))
        layers = rng.choice([meta[0], head[0], 1])
        args = layers, bytes(head), bytes(body)
        expected = outcome(delta.parse_update, *args)
        assert outcome(host_parse, *args) == expected
        check_sums(*args, expected)


@given(st.binary(max_size=12), st.binary(max_size=60))
def test_nonsense_is_a_wire_error_or_the_same(meta, data):
    layers = meta[0] if meta else 1
    args = layers, meta, data
    expected = outcome(delta.parse_update, *args)
    assert outcome(host_parse, *args) == expected
    check_sums(*args, expected)


@pytest.mark.parametrize("n_bits", [1, 2, 17])
def test_values_of_every_width_in_all_places(n_bits):
    """k = n, and not dense: values of 1 to 17 bits, with no gaps between them."""
    n = SPEC.n_layer_params(1)
    part = sparse.Part(1, SPEC.at(1), n, n, n_bits)
    top = 1 << n_bits - 1
    values = [(-1) ** i * (1 + i * 37 % top) for i in range(n)]
    data = delta.encode([(part, list(range(n)), values)])
    found = host_parse(SPEC, 2, sparse.pack_meta([part]), data)
    assert plain(found) == [(1, list(range(n)), values)]
    check_sums(2, sparse.pack_meta([part]), data, [(1, list(range(n)), values)])


@pytest.mark.parametrize("n_bits", range(1, 18))
@pytest.mark.parametrize("gaps", [(0,), (0, 1, 2), (3, 0, 0, 90, 1), (500,), (0, 0, 0, 0, 0, 290)])
def test_gaps_of_every_length(n_bits, gaps):
    """Long ones do not fit a machine word; short ones come several to a word."""
    n = SPEC.n_layer_params(0)
    indices = []
    at = 0
    for i in range(n):
        at += gaps[i % len(gaps)]
        if at >= n:
            break
        indices.append(at)
        at += 1
    top = 1 << n_bits - 1
    values = [(-1) ** i * (1 + i * 37 % top) for i in range(len(indices))]
    part = sparse.Part(0, 0, n, len(indices), n_bits)
    data = delta.encode([(part, indices, values)])
    meta = sparse.pack_meta([part])
    assert plain(host_parse(SPEC, 1, meta, data)) == [(0, indices, values)]
    check_sums(1, meta, data, [(0, indices, values)])
    check_sums(1, meta, data[:-1], outcome(delta.parse_update, 1, meta, data[:-1]))


@given(st.lists(st.integers(-(2**16), 2**16), min_size=9, max_size=9), st.integers(1, 1 << 24))
def test_add_is_exact(values, weight):
    acc = np.arange(9, dtype=np.int64)
    told = decode.add(acc, array("i", range(9)), array("i", values), weight)
    assert told == sum(v * v for v in values)
    assert decode.add(acc, array("i", [2, 7]), array("i", values[:2]), weight) == sum(
        v * v for v in values[:2]
    )
    expected = [i + v * weight for i, v in enumerate(values)]
    expected[2] += values[0] * weight
    expected[7] += values[1] * weight
    assert acc.tolist() == expected
    assert decode.squares(array("i", values)) == sum(v * v for v in values)


@pytest.mark.parametrize("n", [1 << 19, 1 << 20])
def test_squares_of_the_largest_are_exact(n):
    values = np.full(n, -65535, np.int32)
    values[::3] = 65534
    n_less = len(values[::3])
    expected = n_less * 65534**2 + (n - n_less) * 65535**2
    assert decode.squares(values) == expected
    acc = np.zeros(n, np.int64)
    assert decode.add(acc, np.arange(n, dtype=np.int32), values, 1) == expected
    assert decode.add(acc, np.arange(n - 1, dtype=np.int32), values[1:], 1) < expected


@pytest.mark.parametrize("n", [(1 << 15) - 1, 1 << 15, (1 << 15) + 1, 3 << 15])
@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32])
def test_all_of_a_large_layer_is_added(n, kind):
    values = np.random.default_rng(n).integers(-128, 128, n).astype(kind)
    acc = np.arange(n, dtype=np.int64)
    told = decode.add(acc, np.arange(n, dtype=np.int32), values, 1 << 24)
    assert told == (values.astype(np.int64) ** 2).sum()
    assert (acc == np.arange(n) + (values.astype(np.int64) << 24)).all()


@pytest.mark.parametrize("at", [9, -10, 1 << 30])
def test_an_index_that_is_none_is_our_own_fault(at):
    with pytest.raises(IndexError):
        decode.add(np.zeros(9, np.int64), array("i", [0, at]), array("i", [1, 1]), 1)


def test_numba_is_used_if_it_is_installed_and_wanted(monkeypatch):
    decode.use_compiled(False)
    monkeypatch.setenv("FEDBOARD_NUMBA", "0")
    decode.use_installed()
    assert not decode.is_compiled()
    monkeypatch.delenv("FEDBOARD_NUMBA")
    decode.use_installed()
    assert decode.is_compiled() == (importlib.util.find_spec("numba") is not None)


def test_all_is_compiled_beforehand():
    """Else the first update would stop everything while numba compiles for its types."""
    if not decode.use_compiled():
        pytest.skip("numba is not installed: pip install 'fedboard[fast]'")
    loops = [decode._fast.read, decode._fast.add_all, decode._fast.add_some]
    loops += [decode._sums.add_stream, decode._sums.close]
    steps = importlib.import_module("fedboard_host.lockstep_numba")
    steps.warm_up()
    decode._steps = steps  # also where it is not faster
    loops += [steps.add_streams]
    before = [len(loop.signatures) for loop in loops]
    made = strategies.make("fedavg", {})
    merger = made.merger(SPEC)
    merger.start(array("h", bytes(2 * SPEC.n_params)))
    decoder = decode.Decoder(SPEC)
    sizes = (30, 30, 30, 30000)  # the last is far longer than those before: it is clipped
    for i, (bits, permille) in enumerate(((4, 100), (16, 1000), (8, 1000), (3, 1000))):
        for k, size in enumerate(sizes):
            meta, data = encoded(i, 3, permille, bits, size, 1.0)
            merger.take(decoder, 3, meta, data, 10, f"board {k}")
            merger.add(decoder.parse(3, meta, data), 10, f"board {k + 4}")
            merger.take_all(decoder, [(10, 3, meta, data)] * 9, [f"board {k + 5}"] * 9)
        merger.merge()
    assert [len(loop.signatures) for loop in loops] == before
