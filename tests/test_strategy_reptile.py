"""Reptile as a strategy: the merger loses nothing to rounding, and resumes."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

from fedboard import DataError, model, reptile
from fedboard_host.strategies import BoardInfo
from fedboard_host.strategies.reptile import Reptile, TinyMetaFed, TinyReptile

SPEC = model.Spec((4, 6, 3), seed=9)
ALL = 0b11


def changes(phi, tuned):
    """An update of everything, exact."""
    found = []
    for l in range(SPEC.n_layers):
        at, end = SPEC.at(l), SPEC.at(l + 1)
        values = array("i", [tuned[i] - phi[i] for i in range(at, end)])
        found.append((l, array("i", range(end - at)), values))
    return found


def test_one_board_a_round_is_the_exact_interpolation():
    rng = np.random.default_rng(3)
    strategy = TinyReptile(alpha=0.7, alpha_last=0.1, rounds=40)
    merger = strategy.merger(SPEC)
    phi = model.new_params(SPEC)
    model.init_params(SPEC, phi)
    merger.start(phi)
    exact = np.array(phi, np.int64) << reptile.ALPHA_BITS
    first, last = round(0.7 * 4096), round(0.1 * 4096)
    for t in range(60):
        tuned = array("h", [int(v) for v in rng.integers(-5000, 5001, SPEC.n_params)])
        if t == 20:  # another process takes over
            state = merger.state()
            merger = strategy.merger(SPEC)
            merger.restore(state)
        given = merger.params()
        alpha = reptile.linear(first, last, t, 40)
        exact += alpha * (np.array(tuned, np.int64) - np.array(given, np.int64))
        merger.add(changes(given, tuned), merger.weight(50))
        merger.merge()
        wanted = (exact + (1 << reptile.ALPHA_BITS >> 1)) >> reptile.ALPHA_BITS
        assert np.abs(np.array(merger.params()) - wanted).max() <= 1  # master bits round first
    state = merger.state()
    assert ((state["master"] << 16) + state["rest"] == exact << 24 - reptile.ALPHA_BITS).all()


def test_boards_count_alike_and_the_limit_holds():
    merger = TinyReptile(alpha=1, alpha_last=1).merger(SPEC)
    phi = model.new_params(SPEC)
    merger.start(phi)
    for value, n in ((100, 7), (301, 7000)):
        tuned = array("h", [value] * SPEC.n_params)
        merger.add(changes(phi, tuned), merger.weight(n))
    assert merger.merge().tolist() == [201] * SPEC.n_params  # 200.5, halves up
    for _ in range(3):
        far = array("h", [32767] * SPEC.n_params)
        merger.add(changes(phi, far), 1)
        merger.merge()
    assert merger.params().tolist() == [SPEC.limit(0)] * SPEC.at(1) + [SPEC.limit(1)] * (
        SPEC.n_params - SPEC.at(1)
    )


def test_plans():
    boards = [BoardInfo(name, "") for name in ("a", "b")]
    for strategy, batch in ((TinyReptile(rate=7, top_percent=5, bits=4), 1), (Reptile(), 10)):
        works = strategy.plan(SPEC, boards, 3)
        assert set(works) == {"a", "b"}
        assert works["a"].batch == batch
        assert works["a"].layers == works["a"].sent == ALL
        assert not works["a"].carry
        assert not works["a"].stream
    assert Reptile(batch=4, n_max=9).plan(SPEC, boards, 1)["b"].stream
    assert (strategy.name, strategy.selection()) == ("reptile", (0, False))
    assert TinyReptile(in_turn=True).selection() == (1, True)
    for wrong in (
        {"alpha": 1.5}, {"alpha_last": True}, {"rounds": 0}, {"top_percent": 0}, {"carry": 1},
        {"down_percent_last": 101}, {"select": -1},
    ):  # fmt: skip
        with pytest.raises(DataError, match="use "):
            TinyReptile(**wrong)
    with pytest.raises(DataError, match="needs rate"):
        TinyReptile(rate_last=3)
    with pytest.raises(DataError, match="use a whole"):
        Reptile(batch=0)


def test_what_is_annealed():
    strategy = TinyReptile(
        rate=8, rate_last=4, rounds=8, top_percent=50, top_percent_last=10, down_percent=20,
        down_percent_last=5,
    )  # fmt: skip
    works = [strategy.plan(SPEC, [BoardInfo("a", "")], t)["a"] for t in (1, 2, 5, 9, 99)]
    assert [w.rate for w in works] == [8, 7, 6, 4, 4]
    assert [w.top_permille for w in works] == [500, 450, 300, 100, 100]
    merger = strategy.merger(SPEC)
    phi = model.new_params(SPEC)
    merger.start(phi)
    rng = np.random.default_rng(1)
    moved = []
    for _ in range(9):
        before = merger.params()
        tuned = array("h", [int(v) for v in rng.integers(-5000, 5001, SPEC.n_params)])
        merger.add(changes(before, tuned), 1)
        now = merger.merge()
        moved.append(sum(a != b for a, b in zip(before, now, strict=True)))
    tops = [reptile.linear(200, 50, t, 8) for t in range(9)]
    wanted = [sum(-(-SPEC.n_layer_params(l) * top // 1000) for l in range(2)) for top in tops]
    assert moved == wanted


def test_local_layers_stay_away():
    strategy = TinyMetaFed(n_local=5, n_max=30)
    work = strategy.plan(SPEC, [BoardInfo("a", "")], 1)["a"]
    assert (work.layers, work.local, work.sent, work.n_local) == (ALL, 0b10, 0b01, 5)
    assert work.carry
    assert work.stream
    start = strategy.start(SPEC)
    usual = TinyReptile().start(SPEC)
    assert start[: SPEC.at(1)] == usual[: SPEC.at(1)]
    assert any(usual[SPEC.at(1) :])
    assert not any(start[SPEC.at(1) :])
    for wrong in (
        {"local": 6}, {"local": 0, "n_local": 1}, {"local": 0, "keep_local": True},
        {"carry": False, "keep_local": True}, {"keep_local": 1},
    ):
        with pytest.raises(DataError):
            TinyMetaFed(**wrong)
    with pytest.raises(DataError, match="some must be shared"):
        TinyMetaFed(local=2).start(SPEC)
