"""Updates to the host: exact, repeatable, proof to failure. (To the board: test_rebase.)"""

import random
import time
from array import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedboard import DataError, StateError, WireError, kernels
from fedboard.base import MemoryBase
from fedboard.delta import parse_update
from fedboard.model import Spec
from fedboard.update import Update
from reference import codec

SPEC = Spec((12, 9, 4), seed=5)


def based(params, spec=SPEC, version=1):
    base = MemoryBase()
    base.begin(spec.pack())
    base.write(params)
    base.commit(version, spec.digest(params))
    return base


def whole(base, spec=SPEC):
    out = array("h", bytes(2 * spec.n_params))
    base.read(0, out)
    return out


def clamped(spec, values):
    limits = codec.limits(spec.sizes, spec.rule)
    return array("h", np.clip(np.array(values), -limits, limits).tolist())


@st.composite
def pairs(draw, spec=SPEC):
    """(old, new) parameters: from no change at all to every change the largest."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    size = draw(st.sampled_from([0, 1, 3, 40, 300, 3000, 65534]))
    density = draw(st.sampled_from([0.02, 0.3, 1.0]))
    largest = draw(st.sampled_from([3000, 32767]))
    old, new = [], []
    for _ in range(spec.n_params):
        a = rng.randint(-largest, largest)
        b = a + rng.randint(-size, size) if rng.random() < density else a
        old.append(a)
        new.append(b)
    return clamped(spec, old), clamped(spec, new)


top_permilles = st.sampled_from([1, 10, 50, 200, 999, 1000])
widths = st.sampled_from([1, 2, 4, 5, 8, 16])
masks = st.integers(1, 3)


# Board to host


@given(pairs(), masks, top_permilles, widths)
def test_update_equals_the_reference(pair, layers, top_permille, bits):
    old, new = pair
    params = array("h", new)
    update = Update(SPEC, params, based(old), layers, top_permille, bits)
    update.prepare()
    meta, stream = update.meta(), b"".join(update.chunks())
    expected_meta, expected, settled = codec.update(
        SPEC.sizes, SPEC.rule, np.array(new, int), np.array(old, int), layers, top_permille, bits
    )
    assert (meta, stream) == (expected_meta, expected)
    found = parse_update(SPEC, layers, meta, stream)
    reference = codec.decode(SPEC.sizes, meta, stream)
    assert [layer for layer, _, _ in found] == list(reference)
    for layer, indices, values in found:
        assert list(indices) == reference[layer][0].tolist()
        assert list(values) == reference[layer][1].tolist()
    assert params == new
    update.settle()
    assert list(params) == settled.tolist()


@given(pairs(), st.integers(1, 400), top_permilles, widths)
def test_chunks_are_repeatable_and_of_any_size(pair, size, top_permille, bits):
    old, new = pair
    update = Update(SPEC, new, based(old), 3, top_permille, bits)
    update.prepare()
    stream = b"".join(update.chunks())
    chunks = list(update.chunks(size))
    assert b"".join(chunks) == stream
    assert all(len(chunk) == size for chunk in chunks[:-1])
    interrupted = update.chunks(size)
    next(interrupted, None)  # the link broke
    assert list(update.chunks(size)) == chunks


@given(pairs())
def test_all_of_it_is_exact(pair):
    old, new = pair
    params = array("h", new)
    update = Update(SPEC, params, based(old), 3, 1000, 16)
    update.prepare()
    host = array("h", old)
    for layer, indices, values in parse_update(SPEC, 3, update.meta(), b"".join(update.chunks())):
        for i, value in zip(indices, values, strict=True):
            host[SPEC.at(layer) + i] += value
    update.settle()
    rest = np.array(new, int) - np.array(host, int)
    exact = np.abs(np.array(new, int) - np.array(old, int)) <= 32767
    assert not rest[exact].any()
    assert (np.array(params, int) - np.array(old, int) == rest).all()  # the rest is residual


@given(pairs(), masks)
def test_residual_reaches_the_host_in_the_end(pair, layers):
    """Whatever rounding and selection leave out comes later: nothing that was learned is lost.

    (But for parameters near a limit: rounding up may send more than fits, the rest is cut.)
    """
    old, new = (array("h", np.clip(params, -30000, 30000).tolist()) for params in pair)
    params = array("h", new)
    host = np.array(old, int)
    base = based(old)
    for _ in range(200):
        update = Update(SPEC, params, base, layers, 200, 4)
        update.prepare()
        found = parse_update(SPEC, layers, update.meta(), b"".join(update.chunks()))
        if not any(len(indices) for _, indices, _ in found):
            break
        for layer, indices, values in found:
            host[SPEC.at(layer) + np.array(indices, int)] += np.array(values, int)
        update.settle()
    for l in range(SPEC.n_layers):
        where = slice(SPEC.at(l), SPEC.at(l + 1))
        assert host[where].tolist() == list((new if layers >> l & 1 else old)[where])


def test_ties_go_by_index_and_zero_is_not_sent():
    old = array("h", bytes(2 * SPEC.n_params))
    new = array("h", old)
    for i in (3, 7, 50, 80, 100):
        new[i] = 5
    new[60] = -6
    update = Update(SPEC, new, based(old), 1, 30, 8)  # 4 of 117
    update.prepare()
    ((_, indices, values),) = parse_update(SPEC, 1, update.meta(), b"".join(update.chunks()))
    assert (list(indices), list(values)) == ([3, 7, 50, 60], [5, 5, 5, -6])
    update = Update(SPEC, array("h", old), based(old), 3, 30, 8)
    update.prepare()
    assert b"".join(update.chunks()) == b""
    assert parse_update(SPEC, 3, update.meta(), b"") == [
        (0, array("i"), array("i")),
        (1, array("i"), array("i")),
    ]
    update.settle()


def test_faster_kernels_give_the_same_update():
    class Counted:
        name = "counted"
        n = 0

        def histogram(self, a, b, counts, block):
            self.n += 1
            pure(a, b, counts, block)

    rng = random.Random(3)
    old = array("h", [rng.randint(-900, 900) for _ in range(SPEC.n_params)])
    new = array("h", [rng.randint(-900, 900) for _ in range(SPEC.n_params)])
    pure = kernels.histogram
    counted = Counted()
    streams = []
    for backend in (None, counted):
        kernels.use(backend)
        update = Update(SPEC, new, based(old), 3, 50, 4)
        update.prepare()
        streams.append((update.meta(), list(update.chunks())))
    kernels.use(None)
    assert streams[0] == streams[1]
    assert counted.n == 4


def test_update_out_of_order():
    old = array("h", bytes(2 * SPEC.n_params))
    update = Update(SPEC, old, based(old), 3, 50, 4)
    for call in (update.meta, lambda: next(update.chunks()), update.settle):
        with pytest.raises(StateError, match="prepare"):
            call()
    update.prepare()
    update.settle()
    with pytest.raises(StateError, match="once"):
        update.settle()


def test_learning_during_an_upload_is_noticed():
    rng = random.Random(3)
    old = array("h", bytes(2 * SPEC.n_params))
    for change in (lambda p, i: 0, lambda p, i: p + 4000):
        new = array("h", [rng.randint(-900, 900) for _ in range(SPEC.n_params)])
        update = Update(SPEC, new, based(old), 3, 50, 4)
        update.prepare()
        list(update.chunks())
        for i in range(len(new)):
            new[i] = change(new[i], i)
        with pytest.raises(StateError, match="changed during an upload"):
            list(update.chunks())


def test_impossible_updates():
    params = array("h", bytes(2 * SPEC.n_params))
    base = based(params)
    for layers, top_permille, bits in ((0, 50, 4), (4, 50, 4), (3, 0, 4), (3, 1001, 4),
                                       (3, 50, 0), (3, 50, 17)):  # fmt: skip
        with pytest.raises(DataError):
            Update(SPEC, params, base, layers, top_permille, bits)
    with pytest.raises(StateError, match="base"):
        Update(SPEC, params, MemoryBase(), 3, 50, 4)
    with pytest.raises(StateError, match="base"):
        Update(Spec((12, 9, 4), seed=6), params, base, 3, 50, 4)
    with pytest.raises(StateError, match="parameters"):
        Update(SPEC, params[1:], base, 3, 50, 4)


@given(st.binary(max_size=11), st.binary(max_size=40), masks)
def test_garbage_is_no_update(meta, data, layers):
    try:
        found = parse_update(SPEC, layers, meta, data)
    except WireError:
        return
    assert sum(1 << layer for layer, _, _ in found) == layers
    for layer, indices, values in found:
        assert all(0 <= i < SPEC.n_layer_params(layer) for i in indices)
        assert all(abs(value) <= 65536 for value in values)


@given(pairs(), top_permilles, widths)
@settings(max_examples=20)
def test_cut_update(pair, top_permille, bits):
    old, new = pair
    update = Update(SPEC, new, based(old), 3, top_permille, bits)
    update.prepare()
    meta, stream = update.meta(), b"".join(update.chunks())
    for at in range(len(stream)):
        with pytest.raises(WireError):
            parse_update(SPEC, 3, meta, stream[:at])
    for at in range(len(meta)):
        with pytest.raises(WireError):
            parse_update(SPEC, 3, meta[:at], stream)
    with pytest.raises(WireError):
        parse_update(SPEC, 3, meta, stream + b"\0")
    for layers in (1, 2):
        with pytest.raises(WireError, match="were trained"):
            parse_update(SPEC, layers, meta, stream)


def test_host_reads_an_update_fast():
    spec = Spec((200, 50, 10))
    rng = random.Random(1)
    old = array("h", bytes(2 * spec.n_params))
    new = array("h", [rng.randint(-900, 900) for _ in range(spec.n_params)])
    update = Update(spec, new, based(old, spec), 3, 50, 4)
    update.prepare()
    meta, stream = update.meta(), b"".join(update.chunks())
    times = []
    for _ in range(5):
        start = time.perf_counter()
        parse_update(spec, 3, meta, stream)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.010  # about 0.4 ms on an idle machine
