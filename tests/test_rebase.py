"""New bases to the board: exact, in blocks, proof to failure. (To the host: test_update.)"""

import io
import random
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedboard import DataError, WireError, delta, sparse
from fedboard.base import MemoryBase
from fedboard.checkpoint import Writer
from fedboard.delta import encode_delta, toward
from fedboard.model import Spec, init_params
from fedboard.rebase import DENSE, SPARSE, Rebase
from fedboard.update import Update
from reference import codec
from test_update import SPEC, based, clamped, pairs, whole


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
