"""The kernels, pure and NumPy's, against the reference: random, extreme and worst cases."""

import types
from array import array

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fedboard import kernels
from fedboard.dfa import LARGEST_BATCH
from fedboard.model import Spec
from fedboard_host import kernels_numpy
from reference import kernels as reference

INT16 = 32767
LIMITS = [INT16, 21399, 100, 1]


@pytest.fixture(params=["pure", "numpy"], autouse=True, scope="module")
def backend(request):
    kernels.use(kernels_numpy if request.param == "numpy" else None)
    yield request.param
    kernels.use(None)


def ints(code, values):
    return array(code, [int(v) for v in values])


class Case:
    """A layer's record and buffers of its sizes; `extreme` draws from the ends of the ranges."""

    def __init__(self, seed, n_in, n_out, at, bias_input, limit, batch, rate, extreme):
        self.rng = np.random.default_rng(seed)
        self.extreme = extreme
        self.layer = [n_in, n_out, at, bias_input, limit, batch, rate]
        self.record = array("i", self.layer)
        self.w = self.draw(at + (n_in + 1) * n_out + 3, limit)
        self.x = self.draw(batch * n_in, 128, -128, 127)
        self.d = self.draw(batch * n_out, INT16)

    def draw(self, n, most, low=None, high=None):
        low, high = -most if low is None else low, most if high is None else high
        if self.extreme:
            return self.rng.choice([low, low, high, high, 0, 1, -1], n).astype(np.int64)
        drawn = self.rng.integers(low, high + 1, n)
        return drawn * self.rng.integers(0, 2, n)  # half of them zero, as behind a ReLU


@st.composite
def cases(draw):
    return Case(
        seed=draw(st.integers(0, 2**32)),
        n_in=draw(st.integers(1, 12)),
        n_out=draw(st.integers(1, 9)),
        at=draw(st.integers(0, 5)),
        bias_input=draw(st.sampled_from([1, -1, 128])),
        limit=draw(st.sampled_from(LIMITS)),
        batch=draw(st.integers(1, 7)),
        rate=draw(st.integers(1, 20)),
        extreme=draw(st.booleans()),
    )


@given(cases())
def test_forward(case):
    n_in, n_out = case.layer[:2]
    acc = array("i", bytes(4 * n_out))
    x = case.x[:n_in]
    kernels.forward(ints("b", x), ints("h", case.w), acc, case.record)
    assert acc.tolist() == reference.forward(case.layer, x, case.w).tolist()


@given(cases())
def test_forward_relu(case):
    n_in, n_out = case.layer[:2]
    a = array("b", bytes(n_out))
    x, w = case.x[:n_in], case.w
    if case.layer[4] > 1000:
        w = w >> case.rng.integers(0, 8)  # or nearly all are at the ends
    kernels.forward_relu(ints("b", x), ints("h", w), a, case.record)
    assert a.tolist() == reference.forward_relu(case.layer, x, w).tolist()


@given(cases())
def test_activate_tanh(case):
    n_out = case.layer[1]
    sums = case.rng.integers(-(2**31), 2**31, n_out) >> case.rng.integers(0, 31, n_out)
    sums = np.maximum(sums, -(2**31) + 1)  # a limit's worth
    a, d = array("b", bytes(n_out)), array("h", bytes(2 * n_out))
    kernels.activate_tanh(ints("i", sums), a, d, case.record)
    values, slopes = reference.activate_tanh(case.layer, sums)
    assert (a.tolist(), d.tolist()) == (values.tolist(), slopes.tolist())


@pytest.mark.parametrize("sign", [1, -1])
def test_every_piece_of_tanh(sign):
    """All v from -140 to 140, the published values and slopes at the joints."""
    n = 281
    layer = [2, n, 0, sign, INT16, 1, 1]
    sums = sign * 512 * np.arange(-140, 141) + (511 if sign > 0 else -511) * (np.arange(n) % 2)
    a, d = array("b", bytes(n)), array("h", bytes(2 * n))
    kernels.activate_tanh(ints("i", sums), a, d, ints("i", layer))
    values, slopes = reference.activate_tanh(layer, sums)
    assert (a.tolist(), d.tolist()) == (values.tolist(), slopes.tolist())
    published = {128: (128, 128), 127: (119, 8), 75: (106, 8), 74: (106, 2), 32: (64, 2),
                 31: (62, 1), 0: (0, 1), -31: (-62, 1), -32: (-64, 2), -74: (-106, 2),
                 -75: (-107, 8), -127: (-120, 8), -128: (-127, 128)}  # fmt: skip
    for v, (value, slope) in published.items():
        assert (-a[v + 140], d[v + 140]) == (value, slope), v


def layer_of(n_out):
    return array("i", [1, n_out, 0, 128, INT16, 1, 1])


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=12))
@example([4096, 4100, 8191, 0])  # equal once they are shifted
def test_output_shift(sums):
    out = array("i", sums)
    found = kernels.output_shift(out, layer_of(len(out)))
    logits, expected = reference.output_shift(np.array(sums))
    assert (out.tolist(), found) == (logits.tolist(), expected)


LOGITS = st.one_of(st.integers(-(2**19), 2**19 - 1), st.integers(-900, 900), st.integers(-70, 70))


@given(st.lists(LOGITS, min_size=1, max_size=40), st.integers(0, 39))
@example([0] * 200, 3)
@example([5, -900], 1)
def test_errors_softmax(logits, label):
    label %= len(logits)
    e = array("h", bytes(2 * len(logits)))
    loss = kernels.errors_softmax(ints("i", logits), e, label, layer_of(len(logits)))
    errors, expected_loss = reference.errors_softmax(np.array(logits), label)
    assert (e.tolist(), loss) == (errors.tolist(), expected_loss)
    assert sum(e) == 0
    assert all(v == 0 or v >= kernels.DEAD_ZONE for k, v in enumerate(e) if k != label)
    assert 0 <= loss <= 128


@given(cases(), st.integers(1, 11))
def test_feedback_divide(case, n):
    n_out = case.layer[1]
    e, b = case.draw(n, 144), case.draw(n * n_out, 443)
    slopes = case.rng.choice([1, 2, 8, 128], n_out)
    d = ints("h", slopes)
    kernels.feedback_divide(ints("h", e), ints("h", b), d, case.record)
    assert d.tolist() == reference.feedback_divide(case.layer, e, b, slopes).tolist()


@given(cases())
def test_backward_and_gate(case):
    """Deltas as large as gate() lets them be: sums fit int32, with the half that gate() adds."""
    n_in, n_out = case.layer[:2]
    deltas = case.draw(n_out, kernels.LARGEST_BACK // (n_out + 1))
    acc = array("i", [5] * n_in)
    kernels.backward(ints("h", deltas), ints("h", case.w), acc, case.record)
    sums = reference.backward(case.layer, deltas, case.w)
    assert acc.tolist() == sums.tolist()
    units = case.rng.choice([0, 1, 60, 126, 127], n_in)
    below = [1, n_in, 0, 128, INT16, 1, 1]
    d = ints("h", [7] * n_in)
    kernels.gate(acc, ints("b", units), d, ints("i", below))
    assert d.tolist() == reference.gate(below, sums, units).tolist()


@given(cases())
def test_updates(case):
    for kernel, formula in (
        (kernels.update_shift, reference.update_shift),
        (kernels.update_divide, reference.update_divide),
    ):
        w = ints("h", case.w)
        kernel(w, ints("b", case.x), ints("h", case.d), case.record)
        assert w.tolist() == formula(case.layer, case.w, case.x, case.d).tolist()


@given(cases())
def test_update_one(case):
    """Whatever the record's BATCH is."""
    n_in, n_out = case.layer[:2]
    x, d = case.x[:n_in], case.d[:n_out]
    w = ints("h", case.w)
    kernels.update_one(w, ints("b", x), ints("h", d), case.record)
    layer = [*case.layer[:5], 1, case.layer[6]]
    assert w.tolist() == reference.update_shift(layer, case.w, x, d).tolist()


def test_put_and_argmax():
    batch = array("h", bytes(12))
    kernels.put(array("h", [1, -2, 3]), batch, 3, 3)
    assert batch.tolist() == [0, 0, 0, 1, -2, 3]
    assert [kernels.argmax(array("i", v)) for v in ([7], [1, 3, 3], [-5, -6], [0, 0])] == [
        0,
        1,
        0,
        0,
    ]


@given(st.integers(0, 2**32), st.integers(1, 60), st.booleans())
@settings(max_examples=40)
def test_histogram(seed, n, extreme):
    rng = np.random.default_rng(seed)
    low, high = (-32768, 32768) if extreme else (-300, 300)
    a, b = rng.integers(low, high, n + 4), rng.integers(low, high, n)
    if extreme:
        a[2], b[0] = 32767, -32768
    highs = {-1} | set((np.abs(a[2 : 2 + n] - b) >> 8).tolist()[:5])
    for high_byte in highs:
        counts = array("i", [1] * 256)
        block = [2, n, high_byte]
        kernels.histogram(ints("h", a), ints("h", b), counts, ints("i", block))
        assert (np.array(counts) - 1).tolist() == reference.histogram(block, a, b).tolist()


@pytest.mark.parametrize("rule", ["tifed", "fedboard"])
@pytest.mark.parametrize("n_in", [1, 64, 511, 512, 784, 4096])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_worst_sums_fit_int32(rule, n_in, sign):
    """Every weight at its limit, every input at -128: array('i') would refuse more on CPython."""
    spec = Spec((n_in, 1), rule)
    limit = spec.limit(0)
    bias_input = 128 if rule == "fedboard" else 1
    layer = [n_in, 1, 0, bias_input, limit, 1, 1]
    w = np.array([-sign * limit] * n_in + [sign * INT16])
    x = np.full(n_in, -128)
    acc = array("i", [0])
    kernels.forward(ints("b", x), ints("h", w), acc, ints("i", layer))
    assert acc[0] == int(reference.forward(layer, x, w)[0])
    assert abs(acc[0]) < 2**31


@pytest.mark.parametrize("bias_input", [1, -1, 128])
@pytest.mark.parametrize("rate", [1, 8, 29])
def test_the_worst_batch_fits_int32(bias_input, rate):
    n = LARGEST_BATCH
    layer = [2, 1, 0, bias_input, INT16, n, rate]
    x, d, w = np.full(2 * n, -128), np.full(n, -INT16), np.zeros(3, np.int64)
    assert n * 128 * INT16 + 2**29 < 2**31
    for kernel, formula in (
        (kernels.update_shift, reference.update_shift),
        (kernels.update_divide, reference.update_divide),
    ):
        got = ints("h", w)
        kernel(got, ints("b", x), ints("h", d), ints("i", layer))
        assert got.tolist() == formula(layer, w, x, d).tolist()


def test_use_installs_what_is_offered_and_returns(backend):
    offered = types.SimpleNamespace(name="mine", argmax=lambda out: 42)
    try:
        kernels.use(offered)
        assert kernels.backend == "mine"
        assert kernels.argmax(array("i", [1, 2])) == 42
        assert kernels.put.__module__ == "fedboard.kernels"  # what it lacks is pure
        kernels.use(None)
        assert kernels.backend == "pure"
        assert kernels.argmax(array("i", [1, 2])) == 1
    finally:
        kernels.use(kernels_numpy if backend == "numpy" else None)


@given(
    st.integers(0, 2**32),
    st.integers(1, 60),
    st.sampled_from([0, 1, 40, 65535]),
    st.integers(0, 30),
    st.integers(0, 60),
    st.integers(0, 15),
)
@settings(max_examples=60)
def test_pick(seed, n, least, n_least, left, shift):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-32768, 32768, n + 4), rng.integers(-32768, 32768, n)
    a[3 : 3 + n // 2] = b[: n // 2] + rng.choice([40, -40, 1, 0, 39, 50], n // 2)
    a = a.clip(-32768, 32767)
    found = array("i", bytes(4 * n))
    block = array("i", [3, n, least, n_least, left, shift, 1, 300])
    k = kernels.pick(ints("h", a), ints("h", b), found, block)
    expected = reference.pick([3, n, least, n_least, left, shift, 1, 300], a, b)
    assert [(entry & 255, entry >> 8) for entry in found[:k]] == expected
    equal = sum(abs(a[3 + i] - b[i]) == least for i, _ in expected)
    assert list(block) == [3, n, least, n_least - equal, left - k, shift, 1, 300]
