"""The spec, start values, digests, checkpoints and the base in memory."""

import io
import random
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedboard import DataError, StateError
from fedboard.base import MemoryBase
from fedboard.checkpoint import Reader, Writer, params_offset, read_checkpoint, write_checkpoint
from fedboard.model import MAX_PARAMS, MAX_SPEC_BYTES, Spec, init_params, new_params, unpack_spec
from reference import codec

sizes_of = st.lists(st.integers(1, 60), min_size=2, max_size=7)
rules = st.sampled_from(["tifed", "fedboard"])
seeds = st.integers(0, 2**32 - 1)


def random_params(spec, seed=0, largest=32767):
    rng = random.Random(seed)
    return array("h", [rng.randint(-largest, largest) for _ in range(spec.n_params)])


# Spec


def test_layout():
    spec = Spec((64, 32, 10))
    assert (spec.n_layers, spec.n_params) == (2, 65 * 32 + 33 * 10)
    assert [spec.at(l) for l in range(3)] == [0, 2080, 2410]
    assert spec.shape(1) == (32, 10)
    assert spec.n_layer_params(1) == 330
    assert str(spec) == "64-32-10 fedboard"


@given(sizes_of, rules, seeds)
def test_spec_survives_its_bytes(sizes, rule, seed):
    spec = Spec(sizes, rule, seed)
    data = spec.pack()
    assert data == codec.spec_bytes(tuple(sizes), rule, seed)
    assert len(data) <= MAX_SPEC_BYTES <= 64
    again = unpack_spec(data)
    assert again == spec
    assert hash(again) == hash(spec)
    assert (again.sizes, again.rule, again.seed) == (tuple(sizes), rule, seed)


@pytest.mark.parametrize(
    ("sizes", "rule", "seed"),
    [
        ((5,), "tifed", 1),
        ((5, 0), "tifed", 1),
        ((5, -3), "tifed", 1),
        ((4097, 3), "tifed", 1),
        ((2,) * 8, "tifed", 1),
        ((4096, 4096), "tifed", 1),
        ((5, 3), "nonsense", 1),
        ((5, 3), "tifed", -1),
        ((5, 3), "tifed", 2**32),
    ],
)
def test_impossible_specs(sizes, rule, seed):
    with pytest.raises(DataError):
        Spec(sizes, rule, seed)


@given(st.binary(max_size=40))
def test_garbage_is_no_spec(data):
    try:
        spec = unpack_spec(data)
    except DataError:
        return
    assert spec.pack() == data
    assert spec.n_params <= MAX_PARAMS


@given(sizes_of, st.data())
def test_damaged_spec_is_another_or_none(sizes, data):
    good = Spec(sizes, "tifed", 3).pack()
    assert unpack_spec(good).pack() == good
    bad = bytearray(good)
    bad[data.draw(st.integers(0, len(good) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    for damaged in (bytes(bad), good[:-1], good + b"\0"):
        try:
            assert unpack_spec(damaged).pack() == damaged
        except DataError:
            pass


@pytest.mark.parametrize("rule", ["tifed", "fedboard"])
@pytest.mark.parametrize("n_in", [1, 64, 511, 512, 784, 4096])
def test_sums_cannot_overflow(rule, n_in):
    spec = Spec((n_in, 2), rule)
    bias_scale = {"tifed": 1, "fedboard": 128}[rule]
    assert 0 < spec.limit(0) <= 32767
    assert 128 * n_in * spec.limit(0) + bias_scale * 32767 <= 2**31 - 1
    assert codec.limits((n_in, 2), rule).tolist() == [spec.limit(0)] * spec.n_params


# Start values


def test_tifed_starts_at_zero():
    spec = Spec((7, 5, 3), "tifed")
    params = random_params(spec)
    init_params(spec, params)
    assert not any(params)


def test_fedboard_starts_uniform():
    spec = Spec((300, 40, 10), "fedboard", seed=9)
    params = random_params(spec)
    init_params(spec, params)
    for l in range(2):
        n_in, n_out = spec.shape(l)
        at = spec.at(l)
        weights = np.array(params[at : at + n_in * n_out])
        bound = int(np.sqrt(3 / n_in) * 4096)
        assert np.abs(weights).max() in (bound, bound - 1, bound - 2)
        assert abs(weights.mean()) < 4 * bound / np.sqrt(3 * weights.size)
        assert not any(params[at + n_in * n_out : spec.at(l + 1)])
    other = new_params(spec)
    init_params(Spec((300, 40, 10), "fedboard", seed=10), other)
    assert other != params


def test_buffer_of_a_wrong_length():
    spec = Spec((7, 5, 3))
    for n in (0, spec.n_params - 1, spec.n_params + 1):
        buffer = array("h", bytes(2 * n))
        with pytest.raises(StateError, match="parameters"):
            init_params(spec, buffer)
        with pytest.raises(StateError, match="parameters"):
            spec.digest(buffer)


def test_digest_names_model_and_parameters():
    spec = Spec((7, 5, 3))
    params = random_params(spec)
    digest = spec.digest(params)
    assert digest == codec.digest(spec.pack(), np.array(params))
    assert Spec((7, 5, 3), seed=2).digest(params) != digest
    params[4] ^= 1
    assert spec.digest(params) != digest


# Checkpoints


def written(spec, version, params):
    file = io.BytesIO()
    digest = write_checkpoint(file.write, spec, version, params)
    assert digest == spec.digest(params)
    return file.getvalue()


@given(sizes_of, rules, seeds, st.integers(0, 2**32 - 1))
def test_checkpoint_survives(sizes, rule, seed, version):
    spec = Spec(sizes, rule, seed)
    params = random_params(spec, seed)
    data = written(spec, version, params)
    assert data == codec.checkpoint(spec.pack(), version, np.array(params))
    assert read_checkpoint(io.BytesIO(data).read) == (spec, version, params)
    at = params_offset(spec.pack())
    assert data[at : at + 2 * spec.n_params] == bytes(params)


def test_written_in_blocks_and_read_in_dribbles():
    spec = Spec((30, 20, 10))
    params = random_params(spec)
    file = io.BytesIO()
    writer = Writer(file.write, spec.pack())
    for at in range(0, spec.n_params, 100):
        writer.append(params[at : at + 100])
    writer.finish(8, spec.digest(params))
    assert file.getvalue() == written(spec, 8, params)
    file.seek(0)
    reader = Reader(lambda n: file.read(min(n, 7)))  # as a pipe may
    reader.finish()  # nothing but the check
    assert (reader.spec, reader.version, reader.digest) == (spec, 8, spec.digest(params))


def test_cut_or_damaged_anywhere():
    spec = Spec((9, 6, 3), seed=77)
    data = written(spec, 5, random_params(spec))
    for at in range(len(data)):
        with pytest.raises(DataError, match=r"remove it|release"):
            read_checkpoint(io.BytesIO(data[:at]).read)
        for bit in range(8):
            bad = bytearray(data)
            bad[at] ^= 1 << bit
            with pytest.raises(DataError, match=r"remove it|release"):
                read_checkpoint(io.BytesIO(bad).read)
    for tail in (b"\0", data):
        with pytest.raises(DataError, match="behind its end"):
            read_checkpoint(io.BytesIO(data + tail).read)


def test_digest_of_another_model():
    spec = Spec((9, 6, 3))
    file = io.BytesIO()
    writer = Writer(file.write, spec.pack())
    writer.append(random_params(spec, 1))
    writer.finish(5, spec.digest(random_params(spec, 2)))
    with pytest.raises(DataError, match="digest"):
        read_checkpoint(io.BytesIO(file.getvalue()).read)


@given(st.binary(max_size=80))
def test_garbage_is_no_checkpoint(data):
    for prefix in (b"", b"fbck\x01", b"fbck\x01\x0b"):
        with pytest.raises(DataError):
            read_checkpoint(io.BytesIO(prefix + data).read)


def test_impossible_version():
    spec = Spec((2, 2))
    with pytest.raises(StateError):
        write_checkpoint(io.BytesIO().write, spec, -1, new_params(spec))


# The base in memory


def test_base_is_swapped_whole():
    spec = Spec((30, 20, 10))
    first, second = random_params(spec, 1), random_params(spec, 2)
    base = MemoryBase()
    assert (base.version, base.digest, base.spec_bytes) == (0, b"", b"")
    base.begin(spec.pack())
    base.write(first)
    base.commit(1, b"first")
    base.begin(spec.pack())
    base.write(second[:100])
    base.write(second[100:])
    old, new = array("h", bytes(100)), array("h", bytes(100))
    base.read(90, old)
    base.read_staged(90, new)
    assert (old, new) == (first[90:140], second[90:140])
    assert (base.version, base.digest) == (1, b"first")
    base.commit(2, b"second")
    base.read(90, old)
    assert old == second[90:140]
    assert (base.version, base.digest, base.spec_bytes) == (2, b"second", spec.pack())


def test_base_out_of_order():
    base = MemoryBase()
    block = array("h", [1, 2, 3])
    for call in (
        lambda: base.write(block),
        lambda: base.commit(1, b""),
        lambda: base.read(0, block),
        lambda: base.read_staged(0, block),
    ):
        with pytest.raises(StateError):
            call()
    base.begin(b"spec")
    base.write(block)
    base.abort()
    with pytest.raises(StateError):
        base.commit(1, b"")
    assert base.version == 0
