"""Updates that are added up together: the same sums, and the same refusals, as one by one."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import random
import subprocess
import sys
import threading
from array import array
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedboard import WireError, delta, sparse
from fedboard.model import Spec
from fedboard_host import decode, lockstep
from fedboard_host.aggregate import MAX_WEIGHT
from fedboard_host.beside import MAX_THREADS, Beside, at_once, n_threads
from fedboard_host.head import MAX_FIXED, Head
from fedboard_host.means import MASTER_BITS, MAX_GAIN, MeanMerger
from fedboard_host.strategies import FedAvg, centring
from test_decode import SPEC, encoded

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="pip install 'fedboard[fast]'"
)


@pytest.fixture(autouse=True)
def in_step():
    """Also on processors on which it is not faster."""
    assert decode.use_compiled()
    decode._steps = importlib.import_module("fedboard_host.lockstep_numba")
    yield
    decode.use_compiled(False)


@contextlib.contextmanager
def threads(n):
    """So many, however little there is to read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lockstep, "PAYS", 1)
        patch.setattr(lockstep, "n_threads", lambda: n)
        yield


def watch(patch, tell):
    """tell(arguments, answer) of each call of the loops."""
    loops = decode._steps
    add_streams = loops.add_streams

    def watched(*args):
        answer = add_streams(*args)
        tell(args, answer)
        return answer

    patch.setattr(loops, "add_streams", watched)


def one_by_one(spec, updates):
    """(sums, {update: its squares}, {update: why it is refused}), by add_to()."""
    decoder = decode.Decoder(spec)
    acc = np.arange(spec.n_params, dtype=np.int64)
    squares, refused = {}, {}
    for i, update in enumerate(updates):
        try:
            squares[i] = list(decoder.add_to(acc, *update))
        except WireError as error:
            refused[i] = str(error)
    return acc.tolist(), squares, refused


def together(spec, updates, n_threads=1):
    acc = np.arange(spec.n_params, dtype=np.int64)
    beside = Beside(spec.n_params)
    with threads(n_threads):
        added, refused, left = decode.Decoder(spec).add_all(acc, updates, beside)
    beside.move_to(acc)
    assert not left
    squares = {}
    for members, layers, rows in added:
        for i, row in zip(members, rows.tolist(), strict=True):
            squares[i] = list(zip(layers, row, strict=True))
    return acc.tolist(), squares, {i: str(error) for i, error in refused.items()}


def damaged(wire, rng):
    """With a bit changed, cut short, or longer; its head too, now and then."""
    weight, layers, meta, data = wire
    body, head = bytearray(data), bytearray(meta)
    what = rng.randrange(4)
    if what == 0 and body:
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    elif what == 1:
        del body[rng.randrange(len(body) + 1) :]
    elif what == 2:
        body += rng.randbytes(1 + rng.randrange(3))
    else:
        head[rng.randrange(len(head))] ^= 1 << rng.randrange(8)
    return weight, layers, bytes(head), bytes(body)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 7),
    st.sampled_from([(100,), (30,), (10, 100, 300)]), st.sampled_from([0, 1, 3]),
    st.sampled_from([40, MAX_WEIGHT]), st.sampled_from([1, 2, 4]),
)  # fmt: skip
def test_the_same_as_one_by_one(seed, n, bits, shares, n_damaged, heaviest, n_cores):
    rng = random.Random(seed)
    updates = []
    for i in range(n):
        size, density = rng.choice([1, 30, 3000]), rng.choice([0.1, 1.0])
        wire = encoded(seed + i, rng.choice([3, 3, 1]), rng.choice(shares), bits, size, density)
        updates.append((rng.randint(1, heaviest), wire[0][0], *wire))
    for _ in range(n_damaged):
        i = rng.randrange(n)
        updates[i] = damaged(updates[i], rng)
    assert together(SPEC, updates, n_cores) == one_by_one(SPEC, updates)


@pytest.mark.parametrize("bits", [1, 4, 7])
@pytest.mark.parametrize("n", [lockstep.LEAST, 10, 11, 16, 17, 38])
def test_gaps_of_every_length_side_by_side(bits, n):
    """In some lanes four entries fit a window, in others not one gap does."""
    size = SPEC.n_layer_params(0)
    patterns = [(0,), (0, 1, 2), (3, 0, 0, 90, 1), (500,), (0, 0, 0, 0, 0, 290), (40, 1, 1, 1),
                (27, 26, 28, 25), (9, 60)]  # fmt: skip
    updates = []
    for lane in range(n):
        gaps = patterns[lane % len(patterns)]
        indices = []
        at = lane % 3
        for i in range(size):
            at += gaps[i % len(gaps)]
            if at >= size or len(indices) == 200:
                break
            indices.append(at)
            at += 1
        top = 1 << bits - 1
        values = [(-1) ** i * (1 + i * 37 % top) << lane % 4 for i in range(len(indices))]
        part = sparse.Part(0, 0, size, len(indices), bits, lane % 4)
        coded = [v >> lane % 4 for v in values]
        data = delta.encode([(part, indices, coded)])
        updates.append((1 + lane, 1, sparse.pack_meta([part]), data))
    assert together(SPEC, updates) == one_by_one(SPEC, updates)


def test_what_it_takes():
    """Sparse entries that are short enough, of a model that is not tiny."""
    wire = encoded(1, 3, 100, 4, 3000, 1.0)
    assert Head(SPEC, wire[0]).kind
    assert Head(SPEC, wire[0]).kind == Head(SPEC, encoded(2, 3, 300, 4, 30, 1.0)[0]).kind
    assert Head(SPEC, wire[0]).kind != Head(SPEC, encoded(1, 3, 100, 5, 3000, 1.0)[0]).kind
    assert not Head(SPEC, encoded(1, 3, 100, MAX_FIXED, 3000, 1.0)[0]).kind
    assert not Head(SPEC, encoded(1, 3, 1000, 4, 3000, 1.0)[0]).kind  # dense
    small = Spec((3, 2), seed=3)
    part = sparse.Part(0, 0, small.n_params, 2, 4)
    assert not Head(small, sparse.pack_meta([part])).kind


def test_one_that_is_malformed_is_found_among_sixteen(monkeypatch):
    """All are taken off again, and added one by one."""
    calls = []
    watch(monkeypatch, lambda args, answer: calls.append(answer))
    wires = [encoded(i, 3, 100, 4, 3000, 1.0) for i in range(32)]
    updates = [(i + 1, 3, *wire) for i, wire in enumerate(wires)]
    updates[5] = (6, 3, wires[5][0], wires[5][1][:-1])
    found = together(SPEC, updates)
    assert list(found[2]) == [5]
    assert found == one_by_one(SPEC, updates)
    assert calls in ([False, False, True], [True, False, False])


def test_nothing_is_touched_behind_the_sums():
    """Where a malformed one is given up late, in a model that hardly has more parameters."""
    if sys.platform != "linux":
        pytest.skip("takes a page's rights away as Linux does")
    code = Path(__file__).with_name("lockstep_edge.py")
    subprocess.run([sys.executable, code], check=True, timeout=300)


def test_threads_share_the_groups_and_have_sums_of_their_own():
    wires = [encoded(i, 3, 100, 4, 3000, 1.0) for i in range(70)]
    updates = [(i + 1, 3, *wire) for i, wire in enumerate(wires)]
    updates[40] = (41, 3, wires[40][0], wires[40][1][:-1])
    beside = Beside(SPEC.n_params)
    acc = np.zeros(SPEC.n_params, np.int64)
    seen = []
    with threads(2), pytest.MonkeyPatch.context() as patch:
        watch(patch, lambda args, _: seen.append((threading.current_thread(), id(args[5]))))
        decode.Decoder(SPEC).add_all(acc, updates, beside)
    assert len(seen) == 6  # five groups, of which one is taken off again
    here = threading.current_thread()
    assert {sums for thread, sums in seen if thread is here} == {id(acc)}
    assert {sums for thread, sums in seen if thread is not here} == {id(beside.of(1))}
    beside.drop()
    before = acc.copy()
    beside.move_to(acc)
    assert (acc == before).all()


def test_few_bytes_are_not_worth_a_thread(monkeypatch):
    monkeypatch.setattr(lockstep, "n_threads", lambda: 4)
    wires = [encoded(i, 3, 100, 4, 3000, 1.0) for i in range(64)]
    assert sum(len(data) for _, data in wires) < lockstep.PAYS
    beside = Beside(SPEC.n_params)
    monkeypatch.setattr(beside, "of", None)
    acc = np.zeros(SPEC.n_params, np.int64)
    decode.Decoder(SPEC).add_all(acc, [(1, 3, *wire) for wire in wires], beside)
    assert acc.any()


def test_others_are_waited_for_whatever_happens_here():
    goes_on, done = threading.Event(), []

    def fails():
        goes_on.set()
        raise ValueError("here")

    def other():
        assert goes_on.wait(60)
        done.append(1)

    with pytest.raises(ValueError, match="here"):
        at_once([fails, other, other])
    assert done == [1, 1]
    assert 1 <= n_threads() <= MAX_THREADS


@pytest.mark.parametrize("n_cores", [1, 3])
def test_a_merger_takes_many_as_it_adds_each(n_cores):
    """Clipped ones, refused ones, dense ones; in their order. What was dropped is not there."""
    ways = [MeanMerger(SPEC), MeanMerger(SPEC)]
    decoder = decode.Decoder(SPEC)
    for merger in ways:
        merger.start(array("h", bytes(2 * SPEC.n_params)))
    for turn in range(3):
        updates, boards = [], []
        for b in range(40):
            size = 30000 if b in (4, 7) and turn else 30
            wire = encoded(100 * turn + b, 3, *((1000, 16) if b == 9 else (300, 4)), size, 1.0)
            boards.append(f"b{b}")
            updates.append((5 + b, 3, wire[0], wire[1][:-1] if b == 11 else wire[1]))
        with threads(n_cores):
            ways[0].take_all(decoder, updates, boards)
            ways[0].drop()
            refused = ways[0].take_all(decoder, updates, boards)
        assert list(refused) == [11]
        for (weight, layers, meta, data), board in zip(updates, boards, strict=True):
            if board != "b11":
                ways[1].add(decoder.parse(layers, meta, data), weight, board)
        assert ways[0].n_updates == ways[1].n_updates == 39
        assert ways[0].merge() == ways[1].merge()
        assert ways[0].opinions == ways[1].opinions
        cut = [one.board for one in ways[0].opinions if one.clipped]
        assert cut == ["b4", "b7"] * bool(turn)
        for key, value in ways[0].state().items():
            assert value.tolist() == ways[1].state()[key].tolist(), key


def test_a_centred_model_takes_many_as_it_adds_each():
    """First the mean, then updates of the layers behind it."""
    spec = Spec((40, 40, 30, 5), "centred", 7)
    ways = [centring.for_model(FedAvg(), spec).merger(spec) for _ in range(2)]
    decoder = decode.Decoder(spec)
    boards = [f"b{b}" for b in range(20)]
    for merger in ways:
        merger.start(array("h", bytes(2 * spec.n_params)))
    for turn, layers in enumerate((1, 6, 6)):
        before = ways[0].params()
        wires = [encoded(20 * turn + b, layers, 300, 4, 90, 1.0, spec) for b in range(20)]
        updates = [(5 + b, layers, *wire) for b, wire in enumerate(wires)]
        updates[7] = (*updates[7][:3], updates[7][3][:-1])
        assert list(ways[0].take_all(decoder, updates, boards)) == [7]
        for (weight, *wire), board in zip(updates, boards, strict=True):
            if board != "b7":
                ways[1].add(decoder.parse(*wire), weight, board)
        assert ways[0].n_updates == ways[1].n_updates == 19
        assert ways[0].merge() == ways[1].merge() != before
        assert ways[0].opinions == ways[1].opinions
        for key, value in ways[0].state().items():
            assert value.tolist() == ways[1].state()[key].tolist(), key


@pytest.mark.parametrize("total", [1, 3, 4000, (1 << 22) - 1, 1 << 22, (1 << 22) + 1, 1 << 33])
@pytest.mark.parametrize("gain", [1, MAX_GAIN])
def test_a_round_ends_in_exact_quotients(total, gain):
    """Also where one is next to a half, and at the ends of what sums can be."""
    rng = np.random.default_rng(total)
    most = total << 16
    step = max(1, total // (gain << MASTER_BITS))
    sums = [0, 1, -1, most, -most, most - 1, 1 - most]
    for _ in range(400):  # just at, and beside, the edges of rounding
        near = int(rng.integers(-(1 << 24), 1 << 24)) * total // (gain << MASTER_BITS + 1)
        sums += [near + i for i in (-step, -1, 0, 1, step) if abs(near + i) <= most]
    sums += rng.integers(-most, most, 400, endpoint=True).tolist()
    acc = np.array(sums)
    limit = 32767
    master = rng.integers(-(limit << 8), limit << 8, len(sums), np.int32, endpoint=True)
    expected = []
    for one, m in zip(sums, master.tolist(), strict=True):
        quotient = ((one * gain << MASTER_BITS + 1) + total) // (2 * total)
        expected.append(min(max(m + quotient, -limit << MASTER_BITS), limit << MASTER_BITS))
    sent = np.zeros(len(sums), np.int16)
    decode.compiled_sums().close(acc, total, gain, limit, MASTER_BITS, master, sent)
    assert master.tolist() == expected
    half = 1 << MASTER_BITS >> 1
    assert sent.tolist() == [min(max(m + half >> MASTER_BITS, -limit), limit) for m in expected]
    assert not acc.any()
