"""The float network: exact gradients; NumPy, the fleet and every machine take the same steps."""

from __future__ import annotations

import gc
import itertools
import math
import tracemalloc
from array import array

import numpy as np
import pytest

import interpreters
from fedboard import DataError, StateError, fkernels, mlp, model
from fedboard.image import Image
from fedboard_host import fkernels_numpy
from fedboard_host.fleet_float import FloatFleet, start_images

SIZES = (3, 7, 6, 4)
RATE = 2048  # 1/32


@pytest.fixture(params=["pure", "numpy"])
def kernels(request):
    fkernels.use(fkernels_numpy if request.param == "numpy" else None)
    yield request.param
    fkernels.use(None)


def network(sizes=SIZES, seed=3, **options):
    spec = model.Spec(sizes, seed=seed)
    image = model.new_params(spec)
    model.init_params(spec, image)
    net = mlp.Network(spec, mlp.new_params(spec), **options)
    net.load(image)
    return net


def samples(n, n_in=3, n_out=4, seed=5):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, n_in)).astype(np.float32)
    return x, rng.integers(0, n_out, n), rng.normal(size=(n, n_out)).astype(np.float32)


def layers_of(params, sizes=SIZES):
    """[(W, b), ...] in float64, of flat parameters."""
    flat = np.array(params, np.float64)
    found, at = [], 0
    for n_in, n_out in itertools.pairwise(sizes):
        weights = flat[at : at + n_in * n_out].reshape(n_out, n_in)
        at += n_in * n_out
        found.append((weights, flat[at : at + n_out]))
        at += n_out
    return found


def loss_of(params, x, target, hidden, sizes=SIZES):
    """An independent loss, in float64: cross-entropy for a class, else the sum of squares."""
    a = np.asarray(x, np.float64)
    layers = layers_of(params, sizes)
    for weights, biases in layers[:-1]:
        a = weights @ a + biases
        a = np.tanh(a) if hidden == "tanh" else np.maximum(a, 0)
    out = layers[-1][0] @ a + layers[-1][1]
    if np.ndim(target):
        return float(((out - target) ** 2).sum())
    return float(np.log(np.exp(out - out.max()).sum()) - (out[target] - out.max()))


@pytest.mark.parametrize("hidden", mlp.HIDDEN)
@pytest.mark.parametrize("loss", mlp.LOSSES)
def test_a_step_is_the_gradient(loss, hidden, kernels):
    x, classes, vectors = samples(4)
    net = network(loss=loss, hidden=hidden, rate=RATE)
    for i in range(4):
        target = int(classes[i]) if loss == "softmax" else vectors[i]
        before = np.array(net.params)
        expected = np.empty(len(before))
        for k in range(len(before)):
            up, down = before.astype(np.float64), before.astype(np.float64)
            up[k] += 1e-5
            down[k] -= 1e-5
            up_loss = loss_of(up, x[i], target, hidden)
            expected[k] = (up_loss - loss_of(down, x[i], target, hidden)) / 2e-5
        assert net.learn(x[i], target)
        step = (before - np.array(net.params)) / (RATE / 65536)
        assert step == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("loss", mlp.LOSSES)
def test_a_batch_is_the_mean_of_its_samples(loss, kernels):
    x, classes, vectors = samples(5)
    targets = [int(c) for c in classes] if loss == "softmax" else list(vectors)
    start = np.array(network().params, np.float64)
    steps = []
    for i in range(5):
        net = network(loss=loss, rate=RATE)
        net.learn(x[i], targets[i])
        steps.append(np.array(net.params, np.float64) - start)
    for n, batch in ((5, 5), (3, 8)):
        net = network(loss=loss, rate=RATE, batch=batch)
        applied = [net.learn(x[i], targets[i]) for i in range(n)]
        assert applied == [i == batch - 1 for i in range(n)]
        assert net.flush() == (n < batch)
        assert not net.flush()
        change = np.array(net.params, np.float64) - start
        assert change == pytest.approx(np.mean(steps[:n], axis=0), abs=1e-6)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("mask", range(1, 8))
def test_frozen_layers_stay_and_the_others_learn_the_same(mask, batch):
    x, classes, _ = samples(2)
    every, some = network(batch=batch), network(batch=batch, layers=mask)
    start = layers_of(some.params)
    for i in range(batch):
        every.learn(x[i], int(classes[i]))
        some.learn(x[i], int(classes[i]))
    for l in range(3):
        expected = layers_of(every.params)[l] if mask >> l & 1 else start[l]
        for found, wanted in zip(layers_of(some.params)[l], expected, strict=True):
            assert (found == wanted).all()


def test_it_learns_to_classify_and_to_regress(kernels):
    rng = np.random.default_rng(1)
    net = network((2, 16, 3), rate=3000)
    centres = [(-1, 0), (1, 1), (1, -1)]
    for _ in range(400):
        label = int(rng.integers(3))
        net.learn(rng.normal(centres[label], 0.3).astype(np.float32), label)
    assert net.n_seen == 400
    assert net.n_correct > 340
    assert [net.predict(array("f", centre)) for centre in centres] == [0, 1, 2]
    net = network((1, 16, 1), loss="squared", rate=1000)
    losses = []
    for _ in range(1500):
        x = rng.uniform(-2, 2)
        net.reset_counters()
        net.learn((x,), (math.sin(x),))
        losses.append(net.loss_sum / mlp.LOSS_SCALE)
    assert np.mean(losses[-200:]) < 0.5 * np.mean(losses[:50])


def test_int8_features_and_counters():
    a, b = network(x_scale=1 / 128), network()
    x = array("b", (-128, 64, 127))
    assert a.predict(x) == b.predict(array("f", (-1, 0.5, 127 / 128)))
    assert a.out == b.out
    a.learn(x, 2)
    expected = loss_of(b.params, (-1, 0.5, 127 / 128), 2, "tanh")
    assert abs(a.loss_sum - 1000 * expected) <= 1
    a.reset_counters()
    assert (a.n_seen, a.n_correct, a.loss_sum) == (0, 0, 0)


def test_the_wire_image():
    net = network()
    image = array("h", bytes(2 * net.spec.n_params))
    net.store(image)
    wanted = model.new_params(net.spec)
    model.init_params(net.spec, wanted)
    assert image == wanted
    rng = np.random.default_rng(2)
    for i, value in enumerate(rng.normal(0, 3, len(net.params))):
        net.params[i] = value
    for i, value in enumerate((8, -8, 100, -100, 7.9999, -7.9999, 0.5 / 4096, -0.5 / 4096)):
        net.params[i] = value
    net.store(image)
    assert image.tolist()[:8] == [32767, -32767, 32767, -32767, 32767, -32767, 1, 0]
    exact = np.clip(np.array(net.params, np.float64), -32767 / 4096, 32767 / 4096)
    assert np.abs(np.array(image) / 4096 - exact).max() <= 0.5 / 4096
    fleet = FloatFleet(net.spec, 1)
    fleet.params[0] = net.params
    assert fleet.store()[0].tolist() == image.tolist()
    block = array("h", bytes(10))
    net.store(block, 40)
    assert block == image[40:45]
    view = Image(net.params)
    assert [view[i] for i in range(len(view))] == image.tolist()
    view[5] = -4097
    assert net.params[5] == -4097 / 4096
    other = network()
    for at in range(0, len(image), 16):
        other.load(image[at : at + 16], at)
    assert [Image(other.params)[i] for i in range(len(image))] == image.tolist()


def test_what_cannot_be_is_refused():
    spec = model.Spec(SIZES)
    params = mlp.new_params(spec)
    with pytest.raises(StateError, match="a buffer of"):
        mlp.Network(spec, params[1:])
    for options in (
        {"loss": "mse"}, {"hidden": "relu6"}, {"batch": 0}, {"batch": 256}, {"layers": 8},
        {"rate": -1}, {"rate": 65536},
    ):  # fmt: skip
        with pytest.raises(DataError):
            mlp.Network(spec, params, **options)
    net = network(batch=2)
    for target in (4, -1, (0.0,) * 4):
        with pytest.raises(DataError, match="target"):
            net.learn((0, 0, 0), target)
    net.learn((0, 0, 0), 1)
    with pytest.raises(StateError, match="flush"):
        net.configure()
    net = network(loss="squared")
    for target in (1, (0.0,) * 3):
        with pytest.raises(DataError, match="target"):
            net.learn((0, 0, 0), target)


@pytest.mark.parametrize("value", [math.inf, math.nan])
@pytest.mark.parametrize("loss", mlp.LOSSES)
def test_a_diverged_network_says_so(loss, value):
    net = network(loss=loss)
    net.params[30] = value
    for _ in range(3):
        net.learn((1, -1, 1), 1 if loss == "softmax" else (1, -1, 1, 0))
    assert net.loss_sum <= 3 * 10**9
    with pytest.raises(DataError, match="diverged"):
        net.store(array("h", bytes(2 * net.spec.n_params)))


@pytest.mark.parametrize(("loss", "batch"), [("softmax", 1), ("softmax", 4), ("squared", 1)])
def test_a_thousand_samples_take_no_memory(loss, batch):
    """CPython's floats are objects too, but gone with their last use: a dozen at a time."""
    net = network((3, 8, 4), loss=loss, batch=batch)
    x = array("f", (0.5, -1, 2))
    vector = array("f", (1, 0, -1, 0.5))

    def learn(n):
        for i in range(n):
            net.learn(x, i % 4 if loss == "softmax" else vector)

    learn(4)
    gc.collect()
    tracemalloc.start()
    try:
        learn(100)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        learn(1000)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 500  # less than a byte a sample: counters have grown
    assert peak - before < 1500


@pytest.mark.parametrize("hidden", mlp.HIDDEN)
@pytest.mark.parametrize("loss", mlp.LOSSES)
@pytest.mark.parametrize("batch", [1, 3])
def test_the_fleet_takes_the_same_steps(loss, hidden, batch):
    lanes, rates = 3, (RATE, RATE // 2, RATE // 4)
    spec = model.Spec(SIZES)
    fleet = FloatFleet(spec, lanes, loss, hidden)
    fleet.load(start_images(SIZES, (3, 4, 5)))
    nets = [
        network(seed=3 + i, loss=loss, hidden=hidden, batch=batch, rate=rates[i])
        for i in range(lanes)
    ]
    every = fleet.rates([rate / 65536 for rate in rates])
    some = fleet.rates([rate / 65536 for rate in rates], 0b101)
    x, classes, vectors = samples(lanes * 30 * batch)
    shape = (30, lanes) if batch == 1 else (30, lanes, batch)
    x = x.reshape(*shape, 3)
    targets = classes.reshape(shape) if loss == "softmax" else vectors.reshape(*shape, 4)
    for i in range(30):
        fleet.learn(x[i], targets[i], some if i >= 20 else every)
        for k, net in enumerate(nets):
            if i == 20:
                net.configure(batch, 0b101, rates[k])
            if batch == 1:
                net.learn(x[i, k], targets[i, k] if loss == "squared" else int(targets[i, k]))
            for j in range(batch if batch > 1 else 0):
                target = targets[i, k, j]
                net.learn(x[i, k, j], target if loss == "squared" else int(target))
    for k, net in enumerate(nets):
        assert fleet.params[k] == pytest.approx(np.array(net.params), abs=1e-5)
    out = fleet.predict(x[0].reshape(lanes, -1, 3))
    nets[1].predict(x[0, 1] if batch == 1 else x[0, 1, 0])
    assert out[1, 0] == pytest.approx(np.array(nets[1].out), abs=1e-5)


SCRIPT = """
from array import array
from fedboard import mlp, model
spec = model.Spec((3, 7, 6, 4), seed=3)
image = model.new_params(spec)
model.init_params(spec, image)
for loss in mlp.LOSSES:
    net = mlp.Network(spec, mlp.new_params(spec), 1, 0, 2048, loss)
    net.load(image)
    for i in range(60):
        x = array("f", [(i * 7 % 11 - 5) / 4, (i * 5 % 13 - 6) / 4, (i * 3 % 7 - 3) / 4])
        net.learn(x, i % 4 if loss == "softmax" else array("f", [x[0], x[1] * x[2], 0.5, -x[1]]))
    print(",".join(["%.9g" % w for w in net.params]))
    out = model.new_params(spec)
    net.store(out)
    print(",".join([str(w) for w in out]))
"""


def test_machines_agree_to_rounding(board_runtime, tmp_path):
    """float32 is what is stored; sums have the machine's width and tanh its own last bit."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    wanted, found = (
        [line.split(b",") for line in interpreters.run(each, script).splitlines()]
        for each in ("cpython", board_runtime)
    )
    for k in (0, 2):
        assert np.array(found[k], float) == pytest.approx(np.array(wanted[k], float), abs=2e-6)
        images = np.array(found[k + 1], int) - np.array(wanted[k + 1], int)
        assert np.abs(images).max() <= 1  # a value next to a half may round either way


def test_the_fallback_for_tanh(monkeypatch):
    import importlib.util
    import sys

    monkeypatch.delattr(math, "tanh")
    found = importlib.util.spec_from_file_location("fkernels_copy", fkernels.__file__)
    copy = importlib.util.module_from_spec(found)
    found.loader.exec_module(copy)
    assert copy.tanh is not fkernels.tanh
    monkeypatch.undo()
    for x in (-1000, -9.5, -3, -0.1, 0, 1e-3, 2, 8.9, 50):
        assert copy.tanh(x) == pytest.approx(math.tanh(x), abs=1e-7)
    assert "fkernels_copy" not in sys.modules


def test_backends_are_replaced_by_name():
    class Half:
        name = "half"

        @staticmethod
        def activate_relu(a, layer):
            a[0] = 42.0

    fkernels.use(Half)
    try:
        a = array("f", (0.0,))
        fkernels.activate_relu(a, array("i", (1, 1, 0, 1)))
        assert (a[0], fkernels.backend) == (42.0, "half")
    finally:
        fkernels.use(None)
    assert fkernels.backend == "pure"


def test_a_step_allocates_nothing_that_stays(micropython):
    """Floats are objects on MicroPython: pure Python's results are garbage. But no buffer is made.

    Each parameter takes part in three multiplications and sums a step: at most twelve objects, of
    16 or 32 bytes. Compiled kernels make none: see test_kernels_float.
    """
    script = interpreters.ROOT / "tests" / "mlp_board.py"
    lines = interpreters.run("micropython", script).decode().split("\n")
    found = [line.split() for line in lines if line.strip()]
    assert [line[1:3] for line in found] == [
        ["float", "1"], ["float", "4"], ["float-squared", "1"], ["fedboard", "1"]
    ]  # fmt: skip
    for sizes, rule, _, garbage, stays in found:
        assert int(stays) <= 64  # the numbers of the measurement itself
        if rule == "fedboard":
            assert int(garbage) <= 64, "integers make none at all"
        else:
            n_params = model.Spec([int(n) for n in sizes.split("-")]).n_params
            assert int(garbage) <= 14 * 32 * n_params
