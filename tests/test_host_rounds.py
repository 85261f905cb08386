"""The policy of rounds: no I/O, time passed in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedboard import DataError, messages
from fedboard_host.rounds import DUPLICATE, Policy, Round, Verdict
from fedboard_host.strategies import BoardInfo, Work

WORK = Work(layers=3)


def infos(n):
    return [BoardInfo(f"b{i}", f"uid{i}", n_samples=5) for i in range(n)]


def opened(n=3, **policy):
    round_ = Round(4, 7, Policy(**{"deadline_ms": 1000, **policy}), 100)
    for info in infos(n):
        round_.ask(info, WORK)
    return round_


def begin(**fields):
    return messages.Begin(**{"round": 4, "version": 7, "n_samples": 5, **fields})


def test_an_update_counts_once():
    round_ = opened()
    assert round_.check("b0", "uid0", begin()) == ""
    round_.accept("b0")
    assert round_.check("b0", "uid0", begin()) == DUPLICATE
    assert round_.accepted == {"b0": "uid0"}


@pytest.mark.parametrize(
    ("name", "uid", "fields", "why"),
    [
        ("b0", "uid0", {"round": 3}, "it is of round 3, round 4 is open"),
        ("b0", "uid0", {"round": 5}, "it is of round 5, round 4 is open"),
        ("b0", "uid0", {"version": 6}, "it is on model 6, this round is on 7"),
        ("b0", "uid1", {}, "this board was not asked in round 4"),
        ("b9", "uid9", {}, "this board was not asked in round 4"),
        ("b0", "uid0", {"n_samples": 0}, "a weight of 0 samples cannot be"),
        ("b0", "uid0", {"n_samples": (1 << 24) + 1}, "a weight of 16777217 samples cannot be"),
    ],
)
def test_what_does_not_count_is_told_why(name, uid, fields, why):
    assert opened().check(name, uid, begin(**fields)) == why


def test_all_have_answered():
    round_ = opened()
    for name in ("b0", "b1"):
        round_.accept(name)
        assert round_.verdict(200) is Verdict.OPEN
    round_.fail("b2", "no room")
    assert round_.verdict(200) is Verdict.CLOSE
    assert round_.failures == {"b2": "no room"}


def test_the_deadline_with_and_without_quorum():
    round_ = opened(quorum=2)
    round_.accept("b0")
    assert round_.verdict(1099) is Verdict.OPEN
    assert round_.remaining_ms(1099) == 1
    assert round_.verdict(1100) is Verdict.SHORT
    round_.accept("b1")
    assert round_.verdict(1100) is Verdict.CLOSE


def test_a_quorum_of_zero_is_all_that_can():
    round_ = opened(quorum=0)
    round_.accept("b0")
    assert round_.verdict(9999) is Verdict.SHORT
    round_.fail("b1", "no room")
    round_.accept("b2")
    assert round_.verdict(200) is Verdict.CLOSE


def test_nobody_can():
    round_ = opened(2)
    round_.fail("b0", "x")
    round_.fail("b1", "x")
    assert round_.verdict(200) is Verdict.STARVED


def test_a_failure_does_not_undo_what_is_in():
    round_ = opened(1)
    round_.accept("b0")
    round_.fail("b0", "later")
    assert round_.n_accepted == 1
    assert round_.failures == {}


def test_who_has_work_left():
    round_ = opened()
    assert round_.work("b0", "uid0") == WORK
    assert round_.work("b0", "other") is None
    assert round_.work("b9", "uid9") is None
    round_.accept("b0")
    round_.fail("b1", "x")
    assert round_.work("b0", "uid0") is None
    assert round_.work("b1", "uid1") is None


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 2**32 - 1), st.randoms())
def test_selection_is_fixed_by_run_and_round(n, n_select, run, rng):
    policy = Policy(n_select=n_select, quorum=0)
    boards = infos(n)
    chosen = policy.select(boards, run, 3)
    assert len(chosen) == (min(n, n_select) if n_select else n)
    assert len({board.name for board in chosen}) == len(chosen)
    rng.shuffle(boards)
    assert policy.select(boards, run, 3) == chosen


def test_selection_gives_everybody_a_turn():
    policy = Policy(n_select=2)
    seen = {b.name for number in range(40) for b in policy.select(infos(8), 1, number)}
    assert len(seen) == 8


def test_policies_that_cannot_be():
    with pytest.raises(DataError, match="never reached"):
        Policy(n_select=2, quorum=3)
    for bad in ({"n_boards": 0}, {"deadline_ms": 0}, {"quorum": -1}, {"n_select": -1}):
        with pytest.raises(DataError, match="positive"):
            Policy(**bad)
    assert not Policy(2).is_ready(1)
    assert Policy(2).is_ready(2)
    assert not Policy(1, quorum=3).is_ready(2)


answers = st.lists(st.tuples(st.sampled_from(["accept", "fail"]), st.integers(0, 4)), max_size=12)


@given(st.integers(1, 5), st.integers(0, 5), answers, st.integers(0, 3000))
def test_whatever_happens_a_round_closes_with_enough_updates_only(n, quorum, heard, now_ms):
    round_ = opened(n, quorum=quorum)
    for what, i in heard:
        if i < n and round_.work(f"b{i}", f"uid{i}"):
            if what == "accept":
                round_.accept(f"b{i}")
            else:
                round_.fail(f"b{i}", "x")
    verdict = round_.verdict(now_ms)
    waiting = any(round_.work(f"b{i}", f"uid{i}") for i in range(n))
    if verdict is Verdict.CLOSE:
        assert round_.n_accepted >= max(1, min(quorum, round_.quorum))
        assert not waiting or now_ms >= 1100
    if verdict is Verdict.STARVED:
        assert not waiting
        assert not round_.n_accepted
    if verdict is Verdict.OPEN:
        assert waiting
        assert now_ms < 1100


def test_boards_in_turn() -> None:
    boards = [BoardInfo(name, "") for name in ("d", "a", "c", "b")]
    policy = Policy(n_boards=4, quorum=3).under(1, True)
    assert (policy.n_select, policy.quorum, policy.n_boards) == (1, 1, 4)
    turns = [policy.select(boards, 7, number)[0].name for number in range(1, 7)]
    assert turns == ["a", "b", "c", "d", "a", "b"]
    three = Policy(n_select=3).under(1, True)
    names = [[b.name for b in three.select(boards, 7, number)] for number in (1, 2)]
    assert names == [["a", "b", "c"], ["a", "b", "d"]]
    assert len(policy.select(boards[:1], 7, 9)) == 1
    assert policy.select([], 7, 9) == []
    assert Policy(quorum=2).under(0, False) == Policy(quorum=2)
