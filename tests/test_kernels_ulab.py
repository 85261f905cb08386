"""The ulab kernels on a strict make-believe ulab: equal to pure bit for bit, case by case.

By hand they also ran on real ones (CircuitPython, 32-bit objects of representation C; 64-bit).
"""

from __future__ import annotations

import sys
import types
from array import array

import numpy
import pytest

import golden_runner
import kernel_cases
import ulab_fake
from fedboard import kernels, selftest
from fedboard.dfa import LARGEST_BATCH
from fedboard_device import backends
from interpreters import ROOT

N_CASES = 10_000
HERE = ("forward", "put", "backward", "update_shift", "update_divide")


@pytest.fixture(scope="module")
def ulab():
    with ulab_fake.installed() as module:
        yield module


@pytest.fixture
def pure():
    yield
    kernels.use(None)


def copies(arguments):
    return [each if isinstance(each, int) else type(each)(*_rest(each)) for each in arguments]


def _rest(buffer):
    return (buffer.typecode, buffer) if isinstance(buffer, array) else (buffer,)


def test_10_000_random_and_extreme_cases(ulab):
    cases = kernel_cases.Cases()
    for i in range(N_CASES):
        name = HERE[i % len(HERE)]
        mine = cases.make(name)
        its = copies(mine)
        kernels.PURE[name](*mine)
        getattr(ulab, name)(*its)
        assert list(mine) == its, (i, name)


def layer_of(n_in, n_out, limit, batch=1, rate=8, bias_input=128, at=0):
    return array("i", (n_in, n_out, at, bias_input, limit, batch, rate))


def both(ulab, name, *arguments):
    its = copies(arguments)
    kernels.PURE[name](*arguments)
    getattr(ulab, name)(*its)
    assert list(arguments) == its


@pytest.mark.parametrize("n_in", [1, 127, 128, 129, 256, 511])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_sums_forward(ulab, n_in, sign):
    w = array("h", [-sign * 32767] * n_in + [sign * 32767] * n_in + [sign * 32767, -32768])
    for x in (-128, 127):
        inputs = array("b", [x] * n_in)
        both(ulab, "forward", inputs, w, array("i", [0, 0]), layer_of(n_in, 2, 32767))


def near(rng, low, high, n):
    """Numbers at the ends of a range, no two sums of which share many factors."""
    return rng.choice([low, low + 1, low + 3, high, high, high - 1, high - 2], n).tolist()


@pytest.mark.parametrize("seed", range(8))
def test_large_sums_are_exact_to_the_last_bit(ulab, seed):
    rng = numpy.random.default_rng(seed)
    n_in, n_out, batch = 300, 2, 200
    x = array("b", near(rng, 120, 127, n_in))
    w = array("h", rng.choice([32767, -1, -257, 511, 32511], (n_in + 1) * n_out).tolist())
    both(ulab, "forward", x, w, array("i", [0, 0]), layer_of(n_in, n_out, 32767))
    n_in = 60
    x = array("b", near(rng, 120, 127, n_in * batch))
    for most in (32767, 900):
        d = array("h", near(rng, most - 40, most, n_out * batch))
        for rate in (8, 9, 10, 14, 20, 24, 26):
            w = array("h", rng.integers(-9000, 29000, (n_in + 1) * n_out).tolist())
            both(ulab, "update_shift", w, x, d, layer_of(n_in, n_out, 32767, batch, rate))
            one = layer_of(n_in, n_out, 32767, 1, rate)
            both(ulab, "update_shift", w, x[:n_in], d[:n_out], one)
            layer = layer_of(n_in, n_out, 32767, batch, 1 << rate % 15)
            both(ulab, "update_divide", w, x, d, layer)


@pytest.mark.parametrize("n_out", [1, 5, 255])
def test_the_largest_sums_backward(ulab, n_out):
    """|d| of all rows together are LARGEST_BACK."""
    rng = numpy.random.default_rng(n_out)
    for sign in (1, -1):
        share = kernels.LARGEST_BACK // n_out
        d = array("h", [sign * min(share, 32767)] * n_out)
        for w in ([-32768, 32767, -1, 255], rng.integers(-32768, 32768, 4)):
            rows = array("h", [int(v) for v in w] * n_out + [0] * n_out)
            both(ulab, "backward", d, rows, array("i", [0] * 4), layer_of(4, n_out, 32767))


@pytest.mark.parametrize("kernel", ["update_shift", "update_divide"])
@pytest.mark.parametrize("batch", [1, 3, 25, LARGEST_BATCH])
def test_the_largest_batches(ulab, kernel, batch):
    rng = numpy.random.default_rng(batch)
    for k in (1, 7, 8, 9, 16, 23, 24, 25, 28):
        rate = k if kernel == "update_shift" else min(1 << k, 1 << 14) + (k == 28)
        for most in (32767, 300, 1):
            x = array("b", rng.integers(-128, 128, 6 * batch).tolist())
            d = array("h", rng.choice([-most, 0, most, most], 3 * batch).tolist())
            if k == 16:
                x, d = array("b", [-128] * len(x)), array("h", [-most] * len(d))
            w = array("h", rng.integers(-20000, 20001, 2 + 7 * 3).tolist())
            layer = layer_of(6, 3, 20000, batch, rate, -1 if k & 1 else 128, at=2)
            both(ulab, kernel, w, x, d, layer)


@pytest.mark.parametrize("area", ["kernels", "learning"])
def test_golden_vectors(ulab, area, pure):
    kernels.use(ulab)
    path = ROOT / "tests" / "vectors" / f"{area}.txt"
    n_cases = 0
    for line in path.read_text("utf-8").splitlines():
        said, is_case, expected = line.partition(" = ")
        if is_case and (area == "kernels" or "64-32-10" in said):  # others take long here
            words = said.split(" ")
            assert golden_runner.compute(words) == expected, said[:200]
            n_cases += 1
    assert n_cases > 2


def test_passes_the_self_test(ulab):
    assert selftest.failing(ulab) == ""


# The choice among backends


def offered(name, **functions):
    module = types.ModuleType(f"fedboard_device.kernels_{name}")
    module.name = name
    for each, function in functions.items():
        setattr(module, each, function)
    return module


@pytest.fixture
def choose(monkeypatch, pure):
    """Choose among these modules: (what was chosen, what was said)."""
    import fedboard_device

    def choose(*modules):
        said = []
        names = [module.name for module in modules]
        for module in modules:
            monkeypatch.setitem(sys.modules, module.__name__, module)
            monkeypatch.setattr(fedboard_device, f"kernels_{module.name}", module, raising=False)
        monkeypatch.setattr(backends, "NAMES", (*names, "none_such"))
        return backends.choose(said.append), said

    return choose


def test_a_wrong_backend_is_refused_and_the_next_one_used(ulab, choose):
    assert backends.NAMES == ("thumb", "viper", "ulab")
    wrong = offered("wrong", forward=lambda x, w, acc, layer: None)
    raising = offered("raising", argmax=lambda out: 1 // 0)
    chosen, said = choose(wrong, raising, ulab)
    assert chosen == kernels.backend == "ulab"
    assert kernels.forward is ulab.forward
    assert kernels.argmax is kernels.PURE["argmax"]  # which ulab leaves to pure Python
    assert [text.split(" here")[0] for text in said] == [
        "kernels 'wrong' fail in forward", "kernels 'raising' fail in argmax",
    ]  # fmt: skip
    chosen, said = choose(wrong)
    assert (chosen, kernels.backend, len(said)) == ("pure", "pure", 1)
    assert kernels.forward is kernels.PURE["forward"]


def test_a_ulab_of_another_kind_is_refused(ulab, choose, monkeypatch):
    """Say one whose dot() wraps, as integers would."""
    right = ulab.np.dot

    def wrapping(a, b):
        wrong = right(a, b)
        return ulab_fake.ndarray(wrong._a.astype("int64").astype("int16").astype("float32"))

    monkeypatch.setattr(ulab.np, "dot", wrapping)
    chosen, said = choose(ulab)
    assert (chosen, len(said)) == ("pure", 1)
    assert "'ulab' fail in forward" in said[0]


# The make-believe itself is as strict as it says


def ints(code, *values):
    return ulab_fake.frombuffer(array(code, values), dtype=ulab_fake._CODES[code])


def test_integers_wrap_and_an_int16_less_a_float_is_wrong():
    assert (ints("b", 100) * ints("b", 2)).tolist() == [-56]
    assert (ints("B", 200) + 100).tolist() == [44]
    assert (ints("h", 30000) + ints("b", 120) * ints("h", 100)).tolist() == [-23536]
    assert (ints("h", -100) - 1.0).tolist() == [65435.0]
    assert (1.0 * ints("h", -100)).tolist() == [-100.0]


def test_floats_have_24_bits_and_python_gets_22():
    big = ints("h", 4096) * 4096.0
    assert (big + 1.0)._a.tolist() == big._a.tolist() == [float(1 << 24)]
    assert (ints("h", 4096) * 1024.0 + 1.0).tolist() == [float(1 << 22)]
    long = ulab_fake.dot(ints("h", 4096, 1).reshape((1, 2)), ints("h", 4096, 1).reshape((2, 1)))
    assert long._a.tolist() == [[float(1 << 24)]]


def test_what_is_not_there_or_would_dangle_raises():
    a = ints("h", 1, 2, 3, 4)
    for wrong in (
        lambda: a // 2,
        lambda: a >> 1,
        lambda: a @ a,
        lambda: a.astype(float),
        lambda: ulab_fake.sign(a),
        lambda: a[0],
        lambda: ulab_fake.frombuffer(memoryview(array("h", [1, 2]))[1:], dtype=numpy.int16),
        lambda: ulab_fake.frombuffer(array("h", [1]), dtype=numpy.int16, offset=1),
        lambda: a.reshape((2, 2))[:, 0:1].reshape((2,)),
        lambda: a.__setitem__(slice(0, 1), ints("h", 30000)[0:1] * 2.0),
        lambda: a * 0.1,
    ):
        with pytest.raises((AssertionError, TypeError, AttributeError)):
            wrong()
