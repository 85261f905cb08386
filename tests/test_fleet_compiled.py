"""The fleet's compiled loops give the bits of its products, and are taken where they pay."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from fedboard.model import Spec
from fedboard_host import fleet_compiled, strategies
from fedboard_host.dataset import Set
from fedboard_host.fleet import Fleet
from fedboard_host.fleet_rounds import FleetFederation


@pytest.fixture(autouse=True)
def numpy_again():
    yield
    fleet_compiled.use_compiled(False)


@pytest.fixture
def compiled():
    if importlib.util.find_spec("numba") is None:
        pytest.skip("numba is not installed: pip install 'fedboard[fast]'")
    assert fleet_compiled.use_compiled()


def pictures(shape, n_in, n_out, background, seed=0):
    """x (*shape, n_in), a fifth of it lit; y (*shape)."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (*shape, n_in)).astype(np.int8)
    x[rng.random(x.shape) < 0.8] = background
    return x, rng.integers(0, n_out, shape)


def pair(spec, boards, lanes):
    """A Fleet in NumPy, one of the loops; both with these lanes."""
    fleets = []
    for wanted in (False, True):
        fleet_compiled.use_compiled(wanted)
        fleets.append(Fleet(spec, boards))
        fleets[-1].load(lanes)
    return fleets


@pytest.mark.parametrize("background", [-128, 0, 127])
@pytest.mark.parametrize(
    ("sizes", "batch", "rate", "layers"),
    [((12, 10, 4), 1, 0, 0), ((20, 16, 9, 5), 7, 1, 0), ((20, 16, 9, 5), 25, 256, 5),
     ((7, 3), 4, 16, 0), ((120, 200, 10), 25, 64, 0), ((120, 200, 10), 500, 1, 1)],
)  # fmt: skip
def test_loops_and_products_are_equal(compiled, background, sizes, batch, rate, layers):
    spec = Spec(sizes, "tifed", 7)
    x, y = pictures((3, 40), sizes[0], sizes[-1], background)
    lanes = np.arange(spec.n_params, dtype=np.float32) % 19
    plain, fast = pair(spec, 3, lanes)
    for lengths in (None, np.array([40, 26, 0])):
        plain.learn(x, y, batch, layers, rate, lengths)
        fast.learn(x, y, batch, layers, rate, lengths)
        assert fast._ahead is not None
        assert plain._ahead is None
        assert fast.summed_changes(lanes).tolist() == plain.summed_changes(lanes).tolist()
        assert fast.travel >= np.abs(fast._ahead.words - lanes).max()
    fast.learn(-x - 1, y, batch, layers, rate)  # of another background, from where they are
    plain.learn(-x - 1, y, batch, layers, rate)
    assert fast.lanes.tolist() == plain.lanes.tolist()
    assert fast.predict(x).tolist() == plain.predict(x).tolist()
    x[:] = np.random.default_rng(1).integers(-128, 128, x.shape)
    fast.learn(x, y, batch, layers, rate)  # nothing is background: by products
    plain.learn(x, y, batch, layers, rate)
    assert fast._ahead is None
    assert fast.lanes.tolist() == plain.lanes.tolist()


def test_sums_at_the_limits_wrap_to_the_right_ones(compiled):
    """All weights at a limit, all inputs far from the background: parts pass 2**31, sums do not."""
    spec = Spec((784, 40, 10), "tifed", 3)
    lanes = np.empty((2, spec.n_params), np.float32)
    for l in range(2):
        lanes[0, spec.at(l) : spec.at(l + 1)] = spec.limit(l)
        lanes[1, spec.at(l) : spec.at(l + 1)] = -spec.limit(l)
    x = np.full((2, 50, 784), -128, np.int8)
    x[:, 30:, :] = 127
    y = np.arange(100).reshape(2, 50) % 10
    x[:, :, ::2] = -128
    plain, fast = pair(spec, 2, lanes)
    for rate in (1, 1 << 20):
        plain.learn(x, y, 50, 0, rate)
        fast.learn(x, y, 50, 0, rate)
        assert fast._ahead is not None
        assert fast.lanes.tolist() == plain.lanes.tolist()


@pytest.mark.parametrize(
    ("rule", "batch", "rate", "label"),
    [("fedboard", 5, 0, 0), ("tifed", 5, 300, 0), ("tifed", 501, 2, 0)],
)
def test_what_loops_cannot_do_is_left_to_products(compiled, rule, batch, rate, label):
    spec = Spec((12, 10, 4), rule, 7)
    x, y = pictures((3, 20), 12, 4, -128)
    fleet = Fleet(spec, 3)
    fleet.learn(x, y, batch, 0, rate)
    assert fleet._ahead is None


def test_labels_that_are_none_do_no_harm(compiled):
    fleet = Fleet(Spec((12, 10, 4), "tifed", 7), 1)
    x, y = pictures((1, 20), 12, 4, -128)
    with pytest.raises(IndexError):
        fleet.learn(x, y + 4, 5)


@pytest.mark.parametrize("name", ["tifed-full", "tifed-single-layer"])
def test_federations_are_equal(compiled, name):
    spec = Spec((60, 30, 5), "tifed", 5)
    own = Set(*pictures((200,), 60, 5, -128))
    models = []
    for wanted in (False, True):
        fleet_compiled.use_compiled(wanted)
        strategy = strategies.make(name, {"batch": 5, "epochs": 2, "rate": 64})
        rows = np.split(np.arange(200), [10, 65, 90, 91])
        federation = FleetFederation(spec, strategy, own, rows, threads=2)
        for _ in range(4):
            federation.round()
        models.append(federation.params.tolist())
    assert models[0] == models[1]


def test_numba_is_used_if_it_is_wanted(monkeypatch):
    monkeypatch.setenv("FEDBOARD_NUMBA", "0")
    fleet_compiled.use_installed()
    assert Fleet(Spec((12, 10, 4), "tifed", 7), 1)._compiled is None
    monkeypatch.delenv("FEDBOARD_NUMBA")
    fleet_compiled.use_installed()
    found = Fleet(Spec((12, 10, 4), "tifed", 7), 1)._compiled
    assert (found is not None) == (importlib.util.find_spec("numba") is not None)
