"""The integer network of convolutions: same bits everywhere, right gradients, small enough."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

import get_micropython
import interpreters
from fedboard import DataError, StateError, ckernels, conv, cselftest
from fedboard.model import Spec, init_params, new_params, unpack_spec
from fedboard_host.fleet_conv import ConvFleet, FloatConvFleet

SCRIPT = interpreters.ROOT / "tests" / "conv_board.py"
SHAPES = [((81, 4, 6, 8, 5), "conv2"), ((81, 3, 4), "conv1"), ((256, 3, 5, 7, 6), "conv3")]
OMNIGLOT = Spec((784, 16, 32, 64, 32, 5), "conv3")
HEAP_BYTES = 160 << 10  # what MicroPython leaves of 256 kB


def start(spec: Spec, rng: np.random.Generator) -> array[int]:
    """Start values, and a last layer that sends deltas back."""
    params = new_params(spec)
    init_params(spec, params)
    end = spec.at(spec.n_layers - 1)
    for i in range(end, spec.n_params):
        params[i] = int(rng.integers(-3000, 3000))
    return params


def test_a_spec_of_convolutions() -> None:
    spec = OMNIGLOT
    assert spec.sides == (28, 13, 6, 2)
    assert [spec.shape(l) for l in range(5)] == [(9, 16), (144, 32), (288, 64), (256, 32), (32, 5)]
    assert spec.n_params == 31685 == spec.at(5)
    assert unpack_spec(spec.pack()) == spec
    for l in range(5):
        n_in, n_out = spec.shape(l)
        assert (128 * n_in + 128) * spec.limit(l) < 1 << 31
        assert l == 0 or n_out * spec.limit(l) * 2047 < 1 << 31
    params = new_params(spec)
    init_params(spec, params)
    assert max(params) <= 8191
    assert not any(params[spec.at(4) :])
    assert all(any(params[spec.at(l) : spec.at(l + 1)]) for l in range(4))


@pytest.mark.parametrize(
    ("sizes", "rule", "text"),
    [
        ((80, 4, 3), "conv1", "square"),
        ((25, 4, 4, 4, 3), "conv3", "square"),
        ((81, 4), "conv1", "dense"),
        ((784, 4, 5), "conv2", "dense"),
    ],
)
def test_what_is_no_spec(sizes, rule, text) -> None:
    with pytest.raises(DataError, match=text):
        Spec(sizes, rule)


@pytest.mark.parametrize(("sizes", "rule"), SHAPES)
@pytest.mark.parametrize("wild", [False, True])
def test_the_fleet_has_the_same_bits(sizes, rule, wild) -> None:
    """wild: weights, inputs and rates that saturate everything that can."""
    spec = Spec(sizes, rule, 7)
    rng = np.random.default_rng(3)
    params = start(spec, rng)
    if wild:
        for l in range(spec.n_layers):
            for i in range(spec.at(l), spec.at(l + 1)):
                params[i] = int(rng.choice([-1, 1])) * spec.limit(l)
    before = array("h", params)
    net, fleet = conv.Network(spec, params), ConvFleet(spec, 2)
    fleet.load(np.array(params))
    for t in range(40):
        x = rng.integers(-128 if wild else 0, 128, sizes[0])
        label = int(rng.integers(sizes[-1]))
        layers = 0 if t % 2 else int(rng.integers(1 << spec.n_layers))
        rate = int(rng.integers(1, 9 if wild else 4))
        net.configure(1, layers, rate)
        guess = net.predict(array("b", x.tolist()))
        assert (fleet.predict(np.stack([x, x])) == np.array(net.out)).all()
        seen = net.n_correct
        net.learn(array("b", x.tolist()), label)
        right = fleet.learn(np.stack([x, x]), np.array([label, label]), rate, layers)
        assert right.tolist() == [guess == label] * 2
        assert net.n_correct - seen == right[0]
        assert (fleet.params == np.array(params)).all(), t
    for l in range(spec.n_layers):
        assert params[spec.at(l) : spec.at(l + 1)] != before[spec.at(l) : spec.at(l + 1)]


def test_float_gradients_are_differences() -> None:
    spec = Spec((81, 4, 6, 5), "conv2", 1)
    rng = np.random.default_rng(1)
    w = rng.normal(0, 0.3, spec.n_params)
    x, label = rng.random((1, 81)), np.array([2])
    fleet = FloatConvFleet(spec, 1)

    def loss(params: np.ndarray) -> float:
        fleet.load(params)
        logits = fleet.predict(x)[0].astype(np.float64)
        return float(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[2])

    fleet.load(w)
    fleet.learn(x, label, 1.0)
    moved = w - fleet.params[0]
    for i in range(0, spec.n_params, 7):
        at = np.zeros_like(w)
        at[i] = 1e-3
        assert moved[i] == pytest.approx((loss(w + at) - loss(w - at)) / 2e-3, abs=3e-3)


def test_integers_follow_the_float_gradient() -> None:
    """One sample's step in integers points where the float network's does, layer by layer."""
    spec = Spec((225, 8, 12, 10, 5), "conv2", 1)
    rng = np.random.default_rng(2)
    whole = np.array(start(spec, rng), np.float64)
    x = (rng.random((1, 225)) < 0.3) * 100
    integers, floats = ConvFleet(spec, 1), FloatConvFleet(spec, 1)
    integers.load(whole)
    as_floats = whole / (1 << 14)
    as_floats[spec.at(3) :] *= 128 * np.log(2) / 16  # the softmax's temperature
    floats.load(as_floats)
    integers.learn(x, np.array([3]), 6)
    floats.learn(x / 128, np.array([3]), 1.0)
    for l in range(spec.n_layers):
        at = slice(spec.at(l), spec.at(l + 1))
        one = integers.params[0, at] - whole[at]
        other = floats.params[0, at] - as_floats[at]
        assert one @ other > 0.9 * np.linalg.norm(one) * np.linalg.norm(other), l


def test_what_it_refuses() -> None:
    spec = Spec((81, 4, 3), "conv1")
    params = new_params(spec)
    with pytest.raises(StateError, match="buffer"):
        conv.Network(spec, params[1:])
    with pytest.raises(StateError, match="no convolutions"):
        conv.Network(Spec((9, 3)), new_params(Spec((9, 3))))
    net = conv.Network(spec, params)
    for batch, layers, rate in ((2, 0, 0), (1, 4, 0), (1, 0, 99)):
        with pytest.raises(DataError):
            net.configure(batch, layers, rate)
    with pytest.raises(DataError, match="features"):
        net.predict(array("b", bytes(80)))
    with pytest.raises(DataError, match="class"):
        net.learn(array("b", bytes(81)), 3)


def test_same_bits_on_every_interpreter(board_runtime) -> None:
    expected = interpreters.run("cpython", SCRIPT, "small")
    assert interpreters.run(board_runtime, SCRIPT, "small") == expected


def test_compiled_kernels_have_the_same_bits(micropython) -> None:
    expected = interpreters.run("cpython", SCRIPT, "small")
    paths = (interpreters.SHARED, interpreters.DEVICE)
    assert interpreters.run("micropython", SCRIPT, "small", "viper", paths=paths) == expected


def test_a_self_test_finds_every_wrong_kernel() -> None:
    assert cselftest.failing(ckernels) == ""

    for name in ckernels.KERNELS:

        class Wrong:
            pass

        def wrong(first, second, third, fourth, name=name) -> None:
            ckernels.PURE[name](first, second, third, fourth)
            changed = {"squash": second, "forward": third, "backward": third, "gate": third}
            changed.get(name, first)[0] ^= 1

        setattr(Wrong, name, staticmethod(wrong))
        assert cselftest.failing(Wrong) == name


def narrow() -> interpreters.Runtime:
    found = get_micropython.narrow()
    if not found.command:
        pytest.skip(found.note)
    return interpreters.Runtime("micropython", list(found.command), found.note)


def test_a_sample_allocates_nothing() -> None:
    paths = (interpreters.SHARED, interpreters.DEVICE)
    printed = interpreters.run(narrow(), SCRIPT, "memory", "viper", paths=paths)
    weights, network, garbage = map(int, printed.split())
    assert weights < 2 * OMNIGLOT.n_params + 1000
    assert network < OMNIGLOT.image_bytes + 5000
    assert garbage < 100  # of calling and counting


def test_a_board_of_256_kb_adapts() -> None:
    """5-way 5-shot with the experiment's network, compiled kernels, in 5/8 of its RAM."""
    paths = (interpreters.SHARED, interpreters.DEVICE)
    printed = interpreters.run(
        narrow(), SCRIPT, "real", "viper", paths=paths, heap_bytes=HEAP_BYTES, timeout_s=300
    )
    expected = interpreters.run("cpython", SCRIPT, "real", timeout_s=300)
    assert printed == expected
