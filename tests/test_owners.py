"""People as boards: alone, together, personal; and how settings are chosen without who judges."""

from __future__ import annotations

from array import array
from dataclasses import replace

import numpy as np
import pytest

from fedboard import DataError, centre
from fedboard.dfa import Network
from fedboard.model import init_params, new_params
from fedboard_host.dataset import Set
from fedboard_host.experiments import fewshot, gestures, owners, people
from fedboard_host.experiments.fewshot import Way
from fedboard_host.experiments.owners import Home, Split
from test_experiments_people import few, looks_at


def test_no_sample_of_a_split_both_teaches_and_judges() -> None:
    those = few()
    home = Home(looks_at(those), 5, "4x0 fedboard", 3)
    most, fewer = home.split(5), home.split(2)
    for person, kept in enumerate(most.kept):
        learned = most.learned[person]
        assert not set(learned) & set(kept)
        assert set(those.person[learned]) | set(those.person[kept]) == {person}
        assert (len(learned), len(kept)) == (10, 10)
        assert set(fewer.learned[person]) < set(learned)
        assert np.bincount(those.y[fewer.learned[person]]).tolist() == [2, 2]
    assert all(np.array_equal(a, b) for a, b in zip(fewer.kept, most.kept, strict=True))


def test_folds_are_of_what_boards_learn_from() -> None:
    those = few()
    home = Home(looks_at(those), 5, "4x0 fedboard", 3)
    learned = home.split(5).learned
    for own in owners.LEARNED:
        folds = list(home.folds(own))
        assert len({fold.seed for fold in folds}) == len(folds) == owners.N_FOLDS
        assert len({fold.learned.tobytes() for fold in folds}) > 1
        for fold in folds:
            for person, mine in enumerate(learned):
                teach, judge = fold.learned[person], fold.kept[person]
                assert sorted([*teach, *judge]) == sorted(mine)
                assert np.bincount(those.y[teach]).tolist() == [own, own]


@pytest.mark.parametrize("rule", ["fedboard", "centred"])
def test_a_board_of_the_fleet_learns_as_if_it_were_alone(rule: str) -> None:
    """A split's boards, judged in one go: each as a network of its own would be."""
    those = few()
    look = f"4x0 {rule}"
    split = Home(looks_at(those), 5, look, 3).split(5)
    start, bytes_up = split.federated(look, 0, 2)
    way = Way("", "fedavg", {"rate": owners.RATE, "carry": False}, 2)
    samples = Set(those.views[0], those.y)
    same = fewshot.learn(way, split.spec(look), samples, list(split.learned))
    assert np.array_equal(start, same.params)
    assert bytes_up == same.bytes_up
    assert (
        boards(split, those, rule, start, 7, 3)
        == split.logits(look, np.stack([start] * 3), 0, 7, (0, 3))[1].tolist()
    )
    assert np.array_equal(
        split.together(look, 0, 2), split.logits(look, np.stack([start] * 3), 0, 7, (0, 3))[0]
    )
    first = new_params(split.spec(look))
    init_params(split.spec(look), first)
    assert (
        boards(split, those, rule, np.array(first), 6, 2)
        == split.alone(look, 0, 6, (2,))[0].tolist()
    )


def boards(
    split: Split, those: people.People, rule: str, start: np.ndarray, rate: int, passes: int
) -> list[list[list[int]]]:
    """What boards of the split answer, each learning from this start; rows repeat as logits()'s."""
    rngs = [np.random.default_rng((split.seed, 4, p)) for p in split.everyone]
    orders = [
        [rng.permutation(split.learned[p]) for p, rng in enumerate(rngs)] for _ in range(passes)
    ]
    spec = split.spec(f"4x0 {rule}")
    longest = max(map(len, split.kept))
    answers = []
    for person, kept in enumerate(split.kept):
        net = (centre.Network if rule == "centred" else Network)(spec, array("h", start.tobytes()))
        if rule == "centred" and not start[: spec.at(1)].any():
            net.configure(1, 1)
            for row in split.learned[person]:
                net.learn(array("b", those.views[0, row].tobytes()), int(those.y[row]))
            net.flush()
        net.configure(1, 0, rate)
        for order in orders:
            for row in order[person]:
                net.learn(array("b", those.views[0, row].tobytes()), int(those.y[row]))
        mine = []
        for row in np.resize(kept, longest):
            net.predict(array("b", those.views[0, row].tobytes()))
            mine.append(list(net.out))
        answers.append(mine)
    return answers


def vague(seed: int = 1) -> people.People:
    """Like few(), hard to tell apart; people have unequally many samples."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(3), (60, 34, 26))
    y = np.arange(120) % 2
    x = rng.normal(0, 35, (120, 4)) + 16 * (2 * y[:, None] - 1) * (1 + person[:, None] % 2)
    views = np.clip(x, -127, 127).astype(np.int8)[None]
    return people.People("vague", views, y, person, ("a", "b", "c"))


def test_people_with_fewer_samples_count_as_much() -> None:
    those = vague()
    split = Home(looks_at(those), 5, "4x0 fedboard", 3).split(2)
    assert [len(rows) for rows in split.kept] == [50, 24, 16]
    answers = split.together("4x0 fedboard", 0, 3)
    each = [
        np.mean(answers[p, : len(rows)].argmax(axis=1) == those.y[rows])
        for p, rows in enumerate(split.kept)
    ]
    assert split.accuracy("4x0 fedboard", answers) == pytest.approx(np.mean(each))
    start = split.federated("4x0 fedboard", 0, 3)[0]
    assert boards(split, those, "fedboard", start, 8, 0) == answers.tolist()
    with pytest.raises(DataError, match="c: more than 5 samples"):
        Home(
            looks_at(replace(those, y=np.where(those.person == 2, 1, those.y))),
            5,
            "4x0 fedboard",
            3,
        )


def test_a_federation_with_jitter_measures_the_mean_without() -> None:
    look = "4x0 centred"
    split = Home(looks_at(vague()), 5, look, 3).split(5)
    plain, seen = (split.federated(look, jitter, 3)[0] for jitter in (0, 28))
    mean = slice(0, split.spec(look).at(1))
    assert plain[mean].any()
    assert np.array_equal(plain[mean], seen[mean])
    assert not np.array_equal(plain, seen)


def test_with_jitter_each_feature_is_off_by_so_much_at_most() -> None:
    x = np.array([[-127, 0, 126, 60]] * 400, np.int8)
    seen = owners.blurred(x, 3, np.random.default_rng(1)).astype(int)
    assert set(seen[:, 1]) == set(range(-3, 4))
    assert set(seen[:, 0]) == {-127, -126, -125, -124}
    assert set(seen[:, 2]) == {123, 124, 125, 126, 127}
    assert len({tuple(row) for row in seen}) > 100


def test_a_personal_model_answers_with_the_mean_of_both() -> None:
    look = "4x0 fedboard"
    those = vague(2)
    split = Home(looks_at(those), 5, look, 1).split(2)
    settings = {
        owners.ALONE: owners.Setting(look, 28, 5, 0, 4),
        owners.ALL: owners.Setting(look, 3, 5, 3, 0),
    }
    judged = owners.judge(split, settings, 30)
    start, bytes_up = split.federated(look, 3, 3)
    assert (judged.bytes_up, judged.rounds) == (bytes_up, 3)
    starts = np.stack([start] * 3)
    common = split.logits(look, starts, 0, 0, (0,))[0]
    own = split.logits(look, starts, 28, 8, (30,))[0]
    exact = split.logits(look, starts, 0, 8, (30,))[0]
    alone = split.alone(look, 28, 5, (4,))[0]
    assert judged.accuracies == {
        owners.ALONE: split.accuracy(look, alone),
        owners.ALL: split.accuracy(look, common),
        owners.PERSONAL: split.accuracy(look, (own + common) // 2),
        owners.NO_JITTER: split.accuracy(look, (exact + common) // 2),
        owners.NO_BLEND: split.accuracy(look, own),
        owners.BOTH: split.accuracy(look, (alone + common) // 2),
    }
    assert len(set(judged.accuracies.values())) == 6  # none could stand for another
    assert not np.array_equal(alone, split.alone(look, 0, 5, (4,))[0])


def test_who_judges_has_no_say_in_the_settings(monkeypatch) -> None:
    """Whatever the samples are that figures are made of, the same settings are chosen."""
    for grid, values in (("ROUNDS", (1, 3)), ("ALONE_PASSES", (1, 4)), ("N_FOLDS", 2)):
        monkeypatch.setattr(owners, grid, values)
    names = ("4x0 fedboard", "4x0 centred")
    those = vague(2)

    def scores(of: people.People) -> dict[str, dict[owners.Setting, float]]:
        """By hand, of every setting."""
        home = Home(looks_at(of), 5, names[0], 6)
        found: dict[str, dict[owners.Setting, float]] = {owners.ALONE: {}, owners.ALL: {}}
        for split in [fold for own in (1, 2, 4) for fold in home.folds(own)]:
            for look in names:
                for jitter in (0, 28):
                    for rate in owners.ALONE_RATES:
                        for passes in (1, 4):
                            key = owners.Setting(look, jitter, rate, 0, passes)
                            answers = split.alone(look, jitter, rate, (passes,))[0]
                            of_way = found[owners.ALONE]
                            of_way[key] = of_way.get(key, 0) + split.accuracy(look, answers)
                    for rounds in (1, 3):
                        key = owners.Setting(look, jitter, owners.RATE, rounds, 0)
                        answers = split.together(look, jitter, rounds)
                        of_way = found[owners.ALL]
                        of_way[key] = of_way.get(key, 0) + split.accuracy(look, answers)
        return found

    before = scores(those)
    settings = owners.choose(Home(looks_at(those), 5, names[0], 6), names)
    for way, setting in settings.items():
        values = before[way].values()
        assert before[way][setting] == max(values) > min(values)
    views = those.views.copy()
    split = Home(looks_at(those), 5, names[0], 6).split(5)
    views[:, np.concatenate(split.kept)] = 99
    assert scores(replace(those, views=views)) == before
    views[:, split.learned] = 99
    assert scores(replace(those, views=views)) != before


def test_rows_of_boards_tell_what_is_gained(monkeypatch) -> None:
    """Settings are each split's own, the same for all numbers of samples."""
    look = "4x0 fedboard"
    asked = []

    def choose(home: Home, names, most: int) -> dict[str, owners.Setting]:
        asked.append(home)
        rounds = len(asked)
        return {
            owners.ALONE: owners.Setting(look, 0, 7, 0, 1),
            owners.ALL: owners.Setting(look, 0, 5, rounds, 0),
        }

    monkeypatch.setattr(owners, "choose", choose)
    monkeypatch.setattr(gestures, "_DEFAULT", look)
    rows = gestures.on_boards("few", looks_at(few()), 1, 2, 3)
    assert len(asked) == 2
    first, second = (home.split(2) for home in asked)
    prefix = "few, on boards, 2 own samples, "
    of = {row.variant: row for row in rows if row.metric == prefix + "accuracy"}
    up = [split.federated(look, 0, n)[1] for split, n in ((first, 1), (second, 2))]
    assert (of[owners.ALONE].bytes_up, of[owners.ALONE].rounds) == (None, None)
    assert {(of[way].bytes_up, of[way].rounds) for way in of if way != owners.ALONE} == {
        (round(sum(up) / 2), 2)
    }
    alone = [split.accuracy(look, split.alone(look, 0, 7, (1,))[0]) for split in (first, second)]
    assert of[owners.ALONE].ours == pytest.approx(np.mean(alone))
    gains = {row.metric: row.ours for row in rows if row.variant == "personal, above each alone"}
    gain = of[owners.PERSONAL].ours - of[owners.ALONE].ours
    assert gains.pop(prefix + "paired") == gain
    together = gains.pop("few, on boards, the mean over 1, 2 and 5 own samples, paired")
    assert together == pytest.approx((gain + sum(gains.values())) / 3)
    over_all = [row for row in rows if row.metric.endswith("1, 2 and 5 own samples, accuracy")]
    (mean,) = [row.ours for row in over_all if row.variant == owners.ALL]
    each = [
        row.ours for row in rows
        if row.variant == owners.ALL and row.metric.endswith(" own samples, accuracy")
    ]  # fmt: skip
    assert len(each) == 4
    assert mean == pytest.approx(np.mean(each))
