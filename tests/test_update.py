"""Updates to the host, new bases to the board: exact, repeatable, in blocks, proof to failure."""

import io
import random
import time
from array import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedboard import DataError, StateError, WireError, delta, kernels, sparse
from fedboard.base import MemoryBase
from fedboard.checkpoint import Writer
from fedboard.delta import encode_delta, parse_update, toward
from fedboard.model import Spec, init_params
from fedboard.rebase import DENSE, SPARSE, Rebase
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


# Host to board


def send(old, new, local, carry, size=50, base=None, spec=SPEC):
    """Rebase a board with `local` parameters. Returns (parameters, base, encoding)."""
    params = array("h", local)
    encoding, meta, data = encode_delta(spec, old, new)
    if base is None:
        base = MemoryBase() if old is None else based(old, spec)
    rebase = Rebase(spec, params, base, encoding, meta, len(data), 2, spec.digest(new), carry)
    for at in range(0, len(data), size):
        rebase.feed(data[at : at + size])
    rebase.finish()
    return params, base, encoding


@given(pairs(), pairs(), st.booleans(), st.booleans(), st.integers(1, 300))
def test_board_gets_the_new_base(pair, other, from_nothing, carry, size):
    old, new = pair
    _, local = other
    params, base, _ = send(None if from_nothing else old, new, local, carry, size)
    assert (base.version, base.digest, whole(base)) == (2, SPEC.digest(new), new)
    if carry and not from_nothing:
        expected = np.array(local, int) + np.array(new, int) - np.array(old, int)
        assert params == clamped(SPEC, expected)
    else:
        assert params == new


@given(pairs())
def test_delta_is_exact_and_never_larger(pair):
    old, new = pair
    encoding, meta, data = encode_delta(SPEC, old, new)
    assert len(meta) + len(data) <= 2 * SPEC.n_params
    if encoding == SPARSE:
        host = np.array(old, int)
        for layer, (indices, values) in codec.decode(SPEC.sizes, meta, data).items():
            host[SPEC.at(layer) + indices] += values
        assert host.tolist() == list(new)
    else:
        assert (encoding, meta, data) == (DENSE, b"", bytes(new))


def test_same_model_costs_nothing():
    old = array("h", range(SPEC.n_params))
    assert encode_delta(SPEC, old, old) == (SPARSE, b"\0", b"")
    params, base, _ = send(old, old, old, True)
    assert params == old
    assert base.version == 2


@given(pairs(), st.sampled_from([10, 50, 200]), st.sampled_from([4, 6, 8]))
def test_sparse_way_down(pair, top_permille, bits):
    """What toward() chooses, encode_delta() says as briefly as a board its update."""
    old, new = pair
    given = toward(SPEC, old, new, top_permille, bits)
    encoding, _, data = encode_delta(SPEC, old, given)
    n_top = sum(-(-SPEC.n_layer_params(l) * top_permille // 1000) for l in range(2))
    assert sum(a != b for a, b in zip(old, given, strict=True)) <= n_top
    assert encoding == SPARSE
    if max(map(abs, old)) < 16000 and max(map(abs, new)) < 16000:  # else limits may cut values
        update = Update(SPEC, new, based(old), 3, top_permille, bits)
        update.prepare()
        assert len(data) <= len(b"".join(update.chunks())) + 1
    for _ in range(400):
        closer = toward(SPEC, given, new, top_permille, bits)
        if closer == given:
            break
        given = closer
    assert given == new


def transfer(params, base, encoding, meta, n_bytes, digest, chunks):
    rebase = Rebase(SPEC, params, base, encoding, meta, n_bytes, 2, digest, True)
    for chunk in chunks:
        rebase.feed(chunk)
    rebase.finish()


def broken_transfers(old, new):
    """(what, encoding, meta, n_bytes, digest, chunks) of transfers that must fail."""
    digest = SPEC.digest(new)
    for encoding, meta, data in ((DENSE, b"", bytes(new)), encode_delta(SPEC, old, new)):
        n = len(data)
        yield "digest", encoding, meta, n, SPEC.digest(old), [data]
        yield "missing", encoding, meta, n, digest, [data[:-1]]
        yield "more bytes", encoding, meta, n, digest, [data, b"\0"]
        yield "cut|length", encoding, meta, 0, digest, [data[: n // 2]]
        yield "possible", encoding, meta, 1, digest, [data]
        flipped = bytearray(data)
        flipped[n // 3] ^= 4
        yield "not received", encoding, meta, n, digest, [bytes(flipped)]
    yield "more", SPARSE, meta, 0, digest, [data + bytes(20)]
    yield "head", SPARSE, meta[:-1], n, digest, [data]
    yield "head", DENSE, meta, n, digest, [data]
    yield "encoding", 2, b"", n, digest, [data]
    yield "digest", DENSE, b"", n, b"short", [data]


def test_broken_transfer_costs_nothing():
    rng = random.Random(8)
    old = clamped(SPEC, [rng.randint(-3000, 3000) for _ in range(SPEC.n_params)])
    new = array("h", old)
    for i in rng.sample(range(SPEC.n_params), 60):
        new[i] += rng.randint(1, 200)
    local = clamped(SPEC, [value + rng.randint(-50, 50) for value in old])
    assert encode_delta(SPEC, old, new)[0] == SPARSE
    for what, encoding, meta, n_bytes, digest, chunks in broken_transfers(old, new):
        params, base = array("h", local), based(old)
        with pytest.raises(WireError, match=what):
            transfer(params, base, encoding, meta, n_bytes, digest, chunks)
        assert params == local, what
        assert (base.version, base.digest, whole(base)) == (1, SPEC.digest(old), old), what
        assert send(old, new, local, True, base=base)[1].version == 2, what


def test_changes_to_a_model_that_is_not_here():
    params = array("h", range(SPEC.n_params))
    other = Spec((12, 9, 4), seed=6)
    for base in (MemoryBase(), based(params, other)):
        with pytest.raises(WireError, match="dense"):
            Rebase(SPEC, params, base, SPARSE, b"\0", 0, 2, bytes(8), True)
    with pytest.raises(WireError, match="version"):
        Rebase(SPEC, params, based(params), DENSE, b"", 0, 0, bytes(8), True)


@given(st.binary(max_size=11), st.binary(max_size=60), st.integers(0, 1))
def test_garbage_is_no_model(meta, data, encoding):
    old = array("h", range(SPEC.n_params))
    params, base = array("h", old), based(old)
    with pytest.raises(WireError):
        transfer(params, base, encoding, meta, 0, bytes(8), [data])
    assert params == old
    assert whole(base) == old


def test_parameter_beyond_int16():
    old = array("h", [32767] * SPEC.n_params)
    part = sparse.Part(0, 0, SPEC.n_layer_params(0), 1, 4)
    data = delta.encode([(part, [5], [1])])
    rebase = Rebase(SPEC, old, based(old), SPARSE, sparse.pack_meta([part]), 0, 2, bytes(8), True)
    with pytest.raises(WireError, match="beyond int16"):
        rebase.feed(data)


def test_out_of_limits_is_clamped():
    spec = Spec((1000, 2))
    assert spec.limit(0) < 32767
    new = array("h", [-32768] * spec.n_params)
    params, base, _ = send(None, new, array("h", bytes(2 * spec.n_params)), False, 187, spec=spec)
    assert whole(base, spec) == new
    assert list(params) == [-spec.limit(0)] * 2002


class FailingBase(MemoryBase):
    """Flash that gives up after so many blocks."""

    def __init__(self, n_good):
        super().__init__()
        self.n_good = n_good

    def _use(self):
        self.n_good -= 1
        if self.n_good < 0:
            raise DataError("the flash is full")

    def read_staged(self, at, out):
        self._use()
        super().read_staged(at, out)

    def commit(self, version, digest):
        self._use()
        super().commit(version, digest)


def test_flash_that_fails_at_the_end():
    """finish() says by `touched` whether the parameters must be read from the base again."""
    old = array("h", range(SPEC.n_params))
    init_params(SPEC, new := array("h", old))
    for n_good in range(4):
        base = FailingBase(100)
        base.begin(SPEC.pack())
        base.write(old)
        base.commit(1, b"")
        base.n_good = n_good
        params = array("h", old)
        rebase = Rebase(SPEC, params, base, DENSE, b"", 0, 2, SPEC.digest(new), True)
        rebase.feed(bytes(new))
        assert not rebase.touched
        if n_good < 3:  # a block of each layer, then the commit
            with pytest.raises(DataError):
                rebase.finish()
            assert rebase.touched
        else:
            rebase.finish()
            assert params == new


def test_checkpoint_from_a_transfer():
    """A base in a file: what begin(), write() and commit() get makes a sound checkpoint."""

    class FileBase(MemoryBase):
        def begin(self, spec_bytes):
            super().begin(spec_bytes)
            self.file = io.BytesIO()
            self.writer = Writer(self.file.write, spec_bytes)

        def write(self, block):
            super().write(block)
            self.writer.append(block)

        def commit(self, version, digest):
            super().commit(version, digest)
            self.writer.finish(version, digest)

    init_params(SPEC, new := array("h", bytes(2 * SPEC.n_params)))
    _, base, _ = send(None, new, array("h", bytes(2 * SPEC.n_params)), True, base=FileBase())
    assert base.file.getvalue() == codec.checkpoint(SPEC.pack(), 2, np.array(new))
