"""The integer network: against the reference, one layer at a time, and on real digits."""

import itertools
from array import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import interpreters
from fedboard import DataError, StateError, kernels, kernels_update
from fedboard.dfa import LARGEST_BATCH, Network
from fedboard.model import Spec, init_params, new_params
from fedboard_host import kernels_numpy
from reference import learning

RULES = ("tifed", "fedboard")
RATES = {"tifed": 64, "fedboard": 7}


@pytest.fixture(params=["pure", "numpy"], scope="module")
def backend(request):
    kernels.use(kernels_numpy if request.param == "numpy" else None)
    yield request.param
    kernels.use(None)


@pytest.fixture
def numpy_kernels():
    kernels.use(kernels_numpy)
    yield
    kernels.use(None)


def make(sizes, rule, seed=3, **how):
    spec = Spec(sizes, rule, seed)
    params = new_params(spec)
    init_params(spec, params)
    return Network(spec, params, **how), learning.Net(sizes, rule, seed)


def features(rng, n, n_in, extreme=False):
    if extreme:
        return rng.choice([-128, -127, 0, 126, 127], (n, n_in)).astype(np.int8)
    return rng.integers(-128, 128, (n, n_in)).astype(np.int8)


def teach(net, x, labels):
    for row, label in zip(x, labels, strict=True):
        net.learn(array("b", row.tobytes()), int(label))


@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    rule=st.sampled_from(RULES),
    seed=st.integers(0, 2**32 - 1),
    batch=st.integers(1, 6),
    rate=st.integers(1, 12),
    mask=st.integers(0, 15),
    extreme=st.booleans(),
    scale=st.sampled_from([0, 300, 32767]),
)
@settings(max_examples=150)
def test_every_network_equals_the_reference(
    backend, sizes, rule, seed, batch, rate, mask, extreme, scale
):
    """Any shape, layers and batch; weights from the start or anywhere up to their limits."""
    rng = np.random.default_rng(seed)
    rate = 2**rate if rule == "tifed" else rate
    mask &= (1 << (len(sizes) - 1)) - 1
    net, reference = make(sizes, rule, seed, batch=batch, layers=mask, rate=rate)
    if scale:
        parts = [
            rng.integers(-1, 2, (n_in + 1) * n_out) * min(scale, net.spec.limit(l))
            for l, (n_in, n_out) in enumerate(itertools.pairwise(sizes))
        ]
        net.params[:] = array("h", np.concatenate(parts).astype(np.int16).tobytes())
        reference.load(np.concatenate(parts))
    layers = [l for l in range(len(sizes) - 1) if not mask or mask >> l & 1]
    n = 3 * batch + 2
    x, labels = features(rng, n, sizes[0], extreme), rng.integers(0, sizes[-1], n)
    loss = correct = 0
    for at in range(0, n, batch):
        these = slice(at, at + batch)
        logits = reference.logits(x[these])
        loss += sum(learning.losses(rule, logits, labels[these]))
        correct += int((logits.argmax(axis=1) == labels[these]).sum())
        reference.step(x[these], labels[these], layers, rate)
        teach(net, x[these], labels[these])
        if at + batch <= n:
            assert net.params.tolist() == reference.flat().tolist()
    net.flush()
    assert net.params.tolist() == reference.flat().tolist()
    assert (net.n_seen, net.n_correct, net.loss_sum) == (n, correct, loss)
    guess = net.predict(array("b", x[0].tobytes()))
    assert net.out.tolist() == reference.logits(x[:1])[0].tolist()
    assert guess == int(np.argmax(net.out))


def test_tifed_on_mnist_equals_the_reference_for_200_minibatches(real_data, numpy_kernels):
    """784-200-10, minibatches of 25; pure Python takes part for the first few."""
    data = np.load(real_data / "mnist.npz")
    n = 200 * 25
    x = (data["x_train"][:n].reshape(n, 784).astype(np.int16) - 128).astype(np.int8)
    labels = data["y_train"][:n]
    fast, reference = make((784, 200, 10), "tifed", batch=25, rate=2048)
    kernels.use(None)
    slow, _ = make((784, 200, 10), "tifed", batch=25, rate=2048)
    kernels.use(kernels_numpy)
    most = 0
    for turn in range(200):
        these = slice(25 * turn, 25 * turn + 25)
        reference.step(x[these].astype(np.int64), labels[these], (0, 1), 2048)
        teach(fast, x[these], labels[these])
        expected = reference.flat()
        most = max(most, int(np.abs(expected).max()))
        assert np.array_equal(np.frombuffer(fast.params, np.int16), expected), turn
        if turn < 2:
            teach(slow, x[these], labels[these])
            assert slow.params == fast.params, turn
    assert most < reference.limit(0), "a clamp was at work: this is not the published arithmetic"
    assert fast.n_correct > n // 2  # and it learns


@pytest.mark.parametrize("rule", RULES)
def test_single_layer_steps_leave_the_others_alone(backend, rule):
    rng = np.random.default_rng(1)
    x, labels = features(rng, 12, 20), rng.integers(0, 4, 12)
    for l in range(3):
        net, _ = make((20, 7, 6, 4), rule, batch=4, layers=1 << l, rate=RATES[rule])
        for i in range(net.spec.n_params):  # a zero start would leave hidden layers at zero
            net.params[i] = int(rng.integers(-4000, 4000))
        before = array("h", net.params)
        teach(net, x, labels)
        changed = {
            k for k in range(3) for i in range(net.spec.at(k), net.spec.at(k + 1))
            if net.params[i] != before[i]
        }  # fmt: skip
        assert changed == {l}


@pytest.mark.parametrize("rule", RULES)
def test_layers_trained_in_turn_are_a_full_step_when_from_the_same_weights(backend, rule):
    """DFA: a layer's step depends on no other layer's step."""
    rng = np.random.default_rng(2)
    x, labels = features(rng, 5, 12), rng.integers(0, 3, 5)
    full, _ = make((12, 8, 3), rule, batch=5, rate=RATES[rule])
    teach(full, x, labels)
    pieces = array("h")
    for l in range(2):
        part, _ = make((12, 8, 3), rule, batch=5, layers=1 << l, rate=RATES[rule])
        teach(part, x, labels)
        pieces.extend(part.params[part.spec.at(l) : part.spec.at(l + 1)])
    assert pieces == full.params


def test_a_head_learns_over_frozen_features(backend):
    """Transfer learning: the features of one network's hidden layer, a new head of one layer."""
    rng = np.random.default_rng(5)
    centres = rng.integers(-100, 100, (4, 16))
    labels = rng.integers(0, 4, 400)
    x = np.clip(centres[labels] + rng.integers(-40, 41, (400, 16)), -128, 127).astype(np.int8)
    body, _ = make((16, 24, 9), "fedboard")
    frozen = []
    for row in x:
        body.predict(array("b", row.tobytes()))
        frozen.append(array("b", body.features(0)))
    head, _ = make((24, 4), "fedboard", batch=8, rate=7)
    for _ in range(3):
        head.reset_counters()
        for row, label in zip(frozen, labels, strict=True):
            head.learn(row, int(label))
    assert head.n_correct >= 380


def test_samples_without_error_count_in_the_batch_but_take_no_room():
    net, _ = make((4, 2), "fedboard", batch=3, rate=4)
    sure = array("b", [127, 0, 0, 0])
    for i, value in enumerate([32767, 0, 0, 0, -32767, 0, 0, 0, 0, 0]):
        net.params[i] = value
    before = array("h", net.params)
    assert [net.learn(sure, 0) for _ in range(3)] == [False, False, False]
    assert net.params == before
    assert [net.learn(sure, 0), net.learn(sure, 1), net.learn(sure, 0)] == [False, False, True]
    assert net.params != before
    assert not net.flush()


def test_flush_is_the_step_of_a_smaller_batch(backend):
    rng = np.random.default_rng(7)
    x, labels = features(rng, 3, 10), rng.integers(0, 5, 3)
    small, _ = make((10, 6, 5), "tifed", batch=3)
    large, _ = make((10, 6, 5), "tifed", batch=200)
    teach(small, x, labels)
    teach(large, x, labels)
    assert large.flush()
    assert large.params == small.params


def test_configure_is_refused_while_samples_wait():
    net, _ = make((3, 2), "fedboard", batch=2)
    net.learn(array("b", [1, 2, 3]), 0)
    with pytest.raises(StateError, match=r"flush\(\)"):
        net.configure(4)
    net.flush()
    net.configure(4, 1, 9)
    assert (net.batch, net.layers, net.rate) == (4, 1, 9)
    net.configure()
    assert (net.batch, net.layers, net.rate) == (1, 1, net.rule.default_rate)


@pytest.mark.parametrize(
    "how",
    [
        {"batch": 0},
        {"batch": LARGEST_BATCH + 1},
        {"layers": 4},
        {"layers": -1},
        {"rate": -1},
        {"rate": 29},
    ],
)
def test_settings_that_cannot_be_are_refused(how):
    with pytest.raises(DataError):
        make((3, 4, 2), "fedboard", **how)


def test_samples_that_cannot_be_are_refused():
    net, _ = make((3, 2), "fedboard")
    with pytest.raises(DataError, match="2 outputs"):
        net.learn(array("b", [1, 2, 3]), 2)
    with pytest.raises(DataError, match="3 inputs"):
        net.predict(array("b", [1, 2]))
    with pytest.raises(StateError, match="8 parameters"):
        Network(net.spec, array("h", [0] * 9))


@pytest.mark.parametrize(
    ("sizes", "batch", "most"),
    [
        ((64, 32, 10), 1, 1500),
        ((64, 32, 10), 16, 4096),
        ((200, 50, 10), 8, 5000),
        ((200, 50, 10), 16, 8000),
    ],
)
def test_work_buffers_are_small(sizes, batch, most):
    """All but the parameters."""
    kernels_update._row = array("i")
    net, _ = make(sizes, "fedboard", batch=batch)
    x = array("b", bytes(sizes[0]))
    for label in range(batch):
        net.learn(x, label % 10)
    buffers = {id(each): each for each in arrays([kernels_update._row, net])}
    del buffers[id(net.params)]
    assert len(buffers) > 8
    assert sum(len(each) * each.itemsize for each in buffers.values()) < most


def arrays(found):
    """All arrays in lists, tuples and objects of ours."""
    for each in found:
        if isinstance(each, array):
            yield each
        elif isinstance(each, list | tuple):
            yield from arrays(each)
        elif type(each).__module__ in ("fedboard.dfa", "fedboard.rules"):
            yield from arrays(list(vars(each).values()))


@pytest.mark.parametrize(("rule", "rate", "least"), [("fedboard", 7, 0.94), ("tifed", 2048, 0.86)])
def test_it_learns_real_digits(numpy_kernels, rule, rate, least):
    """scikit-learn's bundled handwriting: 1,400 samples to learn, 397 of other writers to judge."""
    datasets = pytest.importorskip("sklearn.datasets")
    pixels, labels = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    x, labels = (pixels[order] * 8 - 64).astype(np.int8), labels[order]
    net, _ = make((64, 32, 10), rule, batch=16, rate=rate)
    for _ in range(8):
        teach(net, x[:1400], labels[:1400])
    net.flush()
    right = sum(
        net.predict(array("b", row.tobytes())) == label
        for row, label in zip(x[1400:], labels[1400:], strict=True)
    )
    assert right / 397 >= least


ALLOCATION = """
import gc
from array import array
from fedboard.dfa import Network
from fedboard.model import Spec, init_params, new_params

for rule in ("fedboard", "tifed"):
    spec = Spec((64, 32, 10), rule)
    params = new_params(spec)
    init_params(spec, params)
    net = Network(spec, params, 4)
    x = array("b", bytes(64))
    for turn in range(3):
        gc.collect()
        gc.disable()
        before = gc.mem_alloc()
        for label in range(10):
            for i in range(64):
                x[i] = (i * 37 + label * 91) % 256 - 128
            net.learn(x, label)
        grown = gc.mem_alloc() - before
        gc.enable()
    print(rule, grown)
"""


def test_a_step_allocates_nothing_on_micropython(micropython, tmp_path):
    script = tmp_path / "allocation.py"
    script.write_text(ALLOCATION, encoding="utf-8")
    said = interpreters.run("micropython", script).decode().split()
    grown = dict(zip(said[::2], map(int, said[1::2]), strict=True))
    assert grown["fedboard"] < 200, grown
    assert grown["tifed"] < 200, grown
