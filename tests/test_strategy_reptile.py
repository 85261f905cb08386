"""Reptile as a strategy: the merger loses nothing to rounding, and resumes."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

from fedboard import DataError, model, reptile
from fedboard_host.strategies import BoardInfo
from fedboard_host.strategies.reptile import Reptile, TinyReptile

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
        assert works["a"].layers == ALL
        assert not works["a"].carry
    assert strategy.name == "reptile"
    for wrong in ({"alpha": 1.5}, {"alpha_last": True}, {"rounds": 0}, {"top_percent": 0}):
        with pytest.raises(DataError, match="use a"):
            TinyReptile(**wrong)
