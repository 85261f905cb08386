"""Merging against plain Python integers: any order, any split of boards, any saved state."""

from __future__ import annotations

from array import array
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedboard import DataError, StateError, WireError, delta, update
from fedboard.base import MemoryBase
from fedboard.model import Spec
from fedboard_host import aggregate, decode, strategies
from fedboard_host.means import MAX_GAIN, MeanMerger, TruncatedMerger
from fedboard_host.robust import Merging
from fedboard_host.strategies import BoardInfo, reptile
from fedboard_host.strategies.tifed import assign_layers

SPEC = Spec((3, 4, 2), "fedboard", 1)
N = SPEC.n_params
pytestmark = pytest.mark.usefixtures("loops")  # NumPy's and the compiled ones in turn

params = st.lists(st.integers(-32767, 32767), min_size=N, max_size=N)


@st.composite
def updates(draw):
    """Boards' updates: (layers' changes, weight)."""
    found = []
    for _ in range(draw(st.integers(1, 5))):
        layers = []
        for l in draw(st.lists(st.sampled_from([0, 1]), min_size=1, max_size=2, unique=True)):
            n = SPEC.n_layer_params(l)
            where = sorted(draw(st.lists(st.integers(0, n - 1), unique=True)))
            values = [draw(st.integers(-65535, 65535)) for _ in where]
            layers.append((l, array("i", where), array("i", values)))
        found.append((layers, draw(st.integers(1, 1 << 24))))
    return found


def merged(merger, start, found):
    merger.start(array("h", start))
    for layers, weight in found:
        merger.add(layers, weight)
    return merger.merge()


def limit(i):
    return SPEC.limit(0 if i < SPEC.at(1) else 1)


def clamp(value, i):
    return max(-limit(i), min(limit(i), value))


@given(params, updates())
def test_mean_is_the_weighted_mean_rounded(start, found):
    """master = start + round(sum(w * change) / sum(w), to 1/256); params = round(master)."""
    start = [clamp(v, i) for i, v in enumerate(start)]
    result = merged(MeanMerger(SPEC), start, found)
    for l in range(2):
        own = [(dict(zip(w, v, strict=True)), weight)
               for layers, weight in found for layer, w, v in layers if layer == l]  # fmt: skip
        total = sum(weight for _, weight in own)
        for k in range(SPEC.n_layer_params(l)):
            i = SPEC.at(l) + k
            change = Fraction(sum(w * c.get(k, 0) for c, w in own), total) if own else Fraction(0)
            master = start[i] * 256 + (change * 256 + Fraction(1, 2)).__floor__()
            master = max(-limit(i) * 256, min(limit(i) * 256, master))
            assert result[i] == clamp((Fraction(master, 256) + Fraction(1, 2)).__floor__(), i)


@given(params, updates())
def test_truncated_is_the_plain_mean_of_parameters_toward_zero(start, found):
    start = [clamp(v, i) for i, v in enumerate(start)]
    merger = TruncatedMerger(SPEC)
    assert {merger.weight(n) for n in (1, 50, 1000)} == {1}
    result = merged(merger, start, [(layers, 1) for layers, _ in found])
    for l in range(2):
        own = [dict(zip(w, v, strict=True))
               for layers, _ in found for layer, w, v in layers if layer == l]  # fmt: skip
        for k in range(SPEC.n_layer_params(l)):
            i = SPEC.at(l) + k
            mean = start[i]
            if own:
                mean = int(Fraction(sum(start[i] + c.get(k, 0) for c in own), len(own)))
            assert result[i] == clamp(mean, i)


@pytest.mark.parametrize("total", [1, 7, 129, 170, 171, 1 << 24])
def test_truncated_means_do_not_round_up(total):
    """Means just short of an integer, near the limits: in float32, and above 170 in float64."""
    spec = Spec((20, 5), "tifed", 1)
    rng = np.random.default_rng(total)
    start = rng.integers(-32767, 32768, spec.n_params)
    whole = rng.integers(-2, 3, spec.n_params) + rng.choice([-32767, -9, 0, 32766], spec.n_params)
    sums = whole * total + rng.integers(-1, 2, spec.n_params)
    merger = TruncatedMerger(spec)
    merger.start(array("h", start.tolist()))
    merger.add_sums(1, sums - start * total, [total], np.zeros((1, 1), np.int64))
    means = [abs(s) // total * (1 if s > 0 else -1) for s in sums.tolist()]
    assert merger.merge().tolist() == np.clip(means, -spec.limit(0), spec.limit(0)).tolist()


@given(params, updates(), st.randoms())
@pytest.mark.parametrize("kind", [MeanMerger, TruncatedMerger])
def test_the_order_of_updates_does_not_matter(kind, start, found, rng):
    first = merged(kind(SPEC), start, found)
    rng.shuffle(found)
    assert merged(kind(SPEC), start, found) == first


MAKERS = {
    "mean": lambda: MeanMerger(SPEC),
    "average": lambda: MeanMerger(SPEC, average_shift=2),
    "down": lambda: MeanMerger(SPEC, 1, down_permille=100, down_bits=4),
    "truncated": lambda: TruncatedMerger(SPEC),
}


@given(params, st.lists(updates(), min_size=2, max_size=4))
@pytest.mark.parametrize("name", MAKERS)
def test_a_restored_merger_goes_on_bit_identically(name, start, rounds):
    straight, broken = MAKERS[name](), MAKERS[name]()
    straight.start(array("h", start))
    broken.start(array("h", start))
    for found in rounds:
        for layers, weight in found:
            straight.add(layers, weight)
            broken.add(layers, weight)
        assert straight.merge() == broken.merge()
        assert straight.result() == broken.result()
        state = broken.state()
        broken = MAKERS[name]()
        broken.restore(state)
        assert broken.params() == straight.params()


def one(value, weight=1):
    """A board that changes parameter 0 by `value`."""
    return [(0, array("i", [0]), array("i", [value]))], weight


def test_small_changes_are_not_lost_between_rounds():
    merger = MeanMerger(SPEC)
    merger.start(array("h", bytes(2 * N)))
    for _ in range(10):
        merger.add(*one(1))
        for _ in range(9):
            merger.add([(0, array("i"), array("i"))], 1)  # nine boards changed nothing
        merger.merge()
    assert merger.params()[0] == 1


def test_the_running_average_does_not_start_cold():
    merger = MeanMerger(SPEC, average_shift=3)
    merger.start(array("h", bytes(2 * N)))
    merger.add(*one(1000))
    merger.merge()
    assert merger.result()[0] == 1000
    merger.add(*one(1000))
    merger.merge()
    assert merger.params()[0] == 2000
    assert merger.result()[0] == 1500
    for _ in range(60):
        merger.add([(0, array("i"), array("i"))], 1)
        merger.merge()
    assert abs(merger.result()[0] - 2000) <= 1


def test_sparse_down_holds_the_rest_back_and_catches_up():
    spec = Spec((8, 8, 2), "fedboard", 1)
    merger = MeanMerger(spec, down_permille=100, down_bits=4)
    merger.start(array("h", bytes(2 * spec.n_params)))
    n = spec.n_layer_params(0)
    merger.add([(0, array("i", range(n)), array("i", range(1, n + 1)))], 1)
    merger.merge()
    assert list(merger.result()[:n]) == list(range(1, n + 1))
    assert sum(v != 0 for v in merger.params()) == -(-n // 10)
    for _ in range(40):
        merger.add([(0, array("i"), array("i"))], 1)
        merger.merge()
    assert merger.params() == merger.result()


def test_a_model_that_goes_down_whole_first_and_in_part_later():
    """What boards have is then no longer what is aimed at."""
    spec = Spec((8, 8, 2), "fedboard", 1)
    merger = reptile.ReptileMerger(spec, (1 << 12, 1 << 12), 4, (1000, 100), 16)
    merger.start(array("h", bytes(2 * spec.n_params)))
    n = spec.n_layer_params(0)
    held_back = []
    for _ in range(4):
        before = merger.params()
        merger.add([(0, array("i", range(n)), array("i", range(100, n + 100)))], 1)
        after = merger.merge()
        assert after == delta.toward(spec, before, merger.result(), *merger._down)
        held_back.append(after != merger.result())
    assert held_back == [False, True, True, True]


def test_gain_stretches_the_mean():
    merger = MeanMerger(SPEC, gain=3)
    merger.start(array("h", bytes(2 * N)))
    merger.add(*one(10))
    merger.add([(0, array("i"), array("i"))], 1)
    assert merger.merge()[0] == 15


def test_sums_cannot_overflow():
    merger = MeanMerger(SPEC, gain=MAX_GAIN)
    merger.start(array("h", [32767] * N))
    merger._totals = [aggregate.MAX_TOTAL - aggregate.MAX_WEIGHT] * 2
    merger._acc[:] = 65535 * merger._totals[0]
    merger.add([(0, array("i", [0]), array("i", [65535]))], aggregate.MAX_WEIGHT)
    assert merger.merge()[0] == limit(0)
    merger._totals = [aggregate.MAX_TOTAL] * 2
    with pytest.raises(StateError, match="too many updates"):
        merger.add(*one(1))
    with pytest.raises(StateError, match="weight is 1 to"):
        merger.add(*one(1, 0))
    with pytest.raises(StateError, match="weight is 1 to"):
        merger.add(*one(1, aggregate.MAX_WEIGHT + 1))


def test_a_state_of_another_merger_or_model_is_refused():
    merger = MeanMerger(SPEC)
    merger.start(array("h", bytes(2 * N)))
    for state in (TruncatedMerger(SPEC).state(), {}, MeanMerger(Spec((2, 2))).state(),
                  {**merger.state(), "master": np.zeros(N, np.int32)}):  # fmt: skip
        with pytest.raises(DataError, match="another strategy"):
            MeanMerger(SPEC).restore(state)


def boards(*n_samples, **fields):
    return [BoardInfo(f"b{i}", "", n_samples=n, **fields) for i, n in enumerate(n_samples)]


def test_layers_are_spread_evenly_and_large_ones_go_where_the_samples_are():
    spec = Spec((64, 32, 10), "tifed", 1)
    layers = assign_layers(spec, boards(10, 80, 20, 70, 30, 60, 40, 50), 25, 0)
    assert [layers[f"b{i}"] for i in range(8)] == [1, 0, 1, 0, 1, 0, 1, 0]
    turned = assign_layers(spec, boards(10, 80, 20, 70, 30, 60, 40, 50), 25, 1)
    assert all(turned[name] == 1 - layers[name] for name in layers)


def test_with_fewer_boards_than_layers_the_layers_take_turns():
    spec = Spec((8, 8, 8, 2), "tifed", 1)
    seen = {assign_layers(spec, boards(5), 25, turn)["b0"] for turn in range(3)}
    assert seen == {0, 1, 2}


def test_a_board_of_little_ram_gets_a_layer_that_fits():
    spec = Spec((784, 200, 10), "tifed", 1)
    tight = 2 * spec.n_params + 12288 + 25 * 300
    found = [BoardInfo("small", "", free_ram=tight, n_samples=99), *boards(5, 6, 7)]
    for turn in (0, 1):
        assert assign_layers(spec, found, 25, turn)["small"] == 1


@given(st.lists(st.tuples(st.integers(0, 300_000), st.integers(0, 99)), max_size=9),
       st.integers(0, 5), st.randoms())  # fmt: skip
def test_the_plan_depends_on_the_boards_not_on_their_order(found, turn, rng):
    spec = Spec((64, 32, 10), "tifed", 1)
    some = [BoardInfo(f"b{i}", "", free_ram=ram, n_samples=n) for i, (ram, n) in enumerate(found)]
    layers = assign_layers(spec, some, 25, turn)
    assert set(layers) == {board.name for board in some}
    rng.shuffle(some)
    assert assign_layers(spec, some, 25, turn) == layers


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("fedavgg", {}, "no strategy 'fedavgg': did you mean 'fedavg'"),
        ("zzz", {}, "use one of fedavg, fedavg-single-layer"),
        ("fedavg", {"epocs": 2}, "no parameter 'epocs': did you mean 'epochs'"),
        ("fedavg", {"epochs": 0}, "epochs = 0: use a whole number from 1 to 255"),
        ("fedavg", {"epochs": "2"}, "epochs = 2"),
        ("fedavg", {"batch": True}, "batch = True"),
        ("fedavg", {"bits": 17}, "bits = 17"),
        ("fedavg", {"top_percent": 0}, "top_percent = 0: use a number from 0.1 to 100"),
        ("fedavg", {"top_percent": "all"}, "top_percent = all"),
        ("fedavg", {"down_percent": 101}, "down_percent = 101"),
        ("fedavg", {"carry": 1}, "carry = 1: use true or false"),
        ("tifed-full", {"rotate": True}, "no parameter 'rotate'"),
        ("tifed-single-layer", {"rotate": 2}, "rotate = 2"),
    ],
)
def test_bad_parameters_are_named(name, values, text):
    with pytest.raises(DataError) as caught:
        strategies.make(name, values)
    assert text in str(caught.value)


def test_strategies_say_what_boards_do():
    assert strategies.names() == [
        "fedavg", "fedavg-single-layer", "tifed-full", "tifed-single-layer",
        "reptile", "tinyreptile", "tinymetafed",
    ]  # fmt: skip
    spec = Spec((64, 32, 10), "tifed", 1)
    found = boards(5, 6)
    work = strategies.make("fedavg", {"top_percent": 2.5, "bits": 4}).plan(spec, found, 1)["b0"]
    assert (work.layers, work.top_permille, work.bits, work.carry) == (3, 25, 4, True)
    work = strategies.make("tifed-full", {}).plan(spec, found, 1)["b1"]
    assert (work.layers, work.top_permille, work.bits, work.carry) == (3, 1000, 16, False)
    plan = strategies.make("tifed-single-layer", {}).plan(spec, found, 1)
    assert sorted(w.layers for w in plan.values()) == [1, 2]


def encoded(spec, change, top_permille, bits):
    """(meta, stream) of a change of all parameters, by the board's own code."""
    base = MemoryBase()
    base.begin(spec.pack())
    base.write(array("h", bytes(2 * spec.n_params)))
    base.commit(1, b"")
    made = update.Update(spec, array("h", change), base, 3, top_permille, bits)
    made.prepare()
    return made.meta(), b"".join(made.chunks())


@pytest.mark.parametrize("kind", ["mean", "median"])
def test_take_is_parse_and_add(kind):
    """Sparse, dense and far too long updates, merged or held: the same model and opinions."""
    spec = Spec((12, 6, 4), "fedboard", 1)
    ways = [MeanMerger(spec), MeanMerger(spec)]
    decoder = decode.Decoder(spec)
    rng = np.random.default_rng(3)
    for merger in ways:
        merger.set_up(Merging(kind))
        merger.start(array("h", bytes(2 * spec.n_params)))
    for turn in range(3):
        for b in range(6):
            size = 3000 if b == 4 and turn else 30
            change = rng.integers(-size, size + 1, spec.n_params).tolist()
            wire = encoded(spec, change, *((1000, 16) if b == 5 else (300, 4)))
            ways[0].take(decoder, 3, *wire, 5 + b, f"b{b}")
            ways[1].add(decoder.parse(3, *wire), 5 + b, f"b{b}")
            if b == 3:
                sparse = wire
        with pytest.raises(WireError):  # what was summed before its end was missed is taken back
            ways[0].take(decoder, 3, sparse[0], sparse[1][:-1], 5, "b9")
        assert ways[0].merge() == ways[1].merge()
        assert ways[0].opinions == ways[1].opinions
        assert [one.clipped for one in ways[0].opinions] == [b == 4 and turn > 0 for b in range(6)]
        for key, value in ways[0].state().items():
            assert value.tolist() == ways[1].state()[key].tolist(), key
