"""Few-shot experiments: people and permuted labels; the quick runs, and that they add up."""

from __future__ import annotations

import ast
import json
from array import array
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fedboard import DataError, centre
from fedboard.dfa import Network
from fedboard.features import Features
from fedboard.model import init_params, new_params
from fedboard.reptile import FewShot, Start
from fedboard_host import cli, experiments
from fedboard_host.dataset import Set
from fedboard_host.experiments import fewshot, gestures, newcomers, owners, people, permuted, speech
from fedboard_host.experiments.fewshot import PASSES, NewClients, Way
from fedboard_host.experiments.owners import Setting, Split
from fedboard_host.selection import dense_bytes


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No data set is at hand."""
    from fedboard_host.experiments import images

    for module in (people, images):
        monkeypatch.setattr(module, "_BESIDE", tmp_path)


def few(seed: int = 1) -> people.People:
    """Three people, two classes, four features, two views."""
    rng = np.random.default_rng(seed)
    y = np.arange(60) % 2
    person = np.arange(60) // 20
    x = rng.integers(-20, 21, (60, 4)) + 60 * (2 * y[:, None] - 1) * (1 + person[:, None] % 2)
    return people.People("few", np.stack([x, x + 3]).astype(np.int8), y, person, ("a", "b", "c"))


def test_adaptation_is_what_a_board_does() -> None:
    """One sample a step, from the start, in some order: with one sample there is only one."""
    those = few()
    spec = those.spec(5, 7)
    start = new_params(spec)
    init_params(spec, start)
    x, y = those.views[0, :1], those.y[:1]
    new = NewClients(x[None, None], y[None], those.views[0][None], those.y[None])
    found = fewshot.adapted(spec, np.array(start), new, 6, 1)
    assert found.shape == (len(PASSES), 1)
    net = Network(spec, new_params(spec), 1, 0, 6)
    board = FewShot(net, Start(start))
    for accuracy, passes in zip(found[:, 0], PASSES, strict=True):
        for _ in board.adapt(Set(x, y), array("b", bytes(4)), passes):
            pass
        right = [net.predict(array("b", row.tobytes())) for row in those.views[0]] == those.y
        assert accuracy == right.mean()


def test_draws_are_of_one_person_and_judged_by_the_rest() -> None:
    those = few()
    new = fewshot.draws(those, 1, 3, 5, seed=2)
    assert new.views.shape == (2, 5, 6, 4)
    assert new.y.sum(axis=1).tolist() == [3] * 5
    for k in range(5):
        both = np.concatenate([new.views[0, k], new.query[k]])
        assert sorted(both.tolist()) == sorted(those.views[0, those.person == 1].tolist())
    assert np.array_equal(new.views[1], new.views[0] + 3)


def test_nothing_is_learned_from_who_is_left_out() -> None:
    those = few()
    way = Way("FedAvg", "fedavg", {"rate": 8, "carry": False}, 3)
    start = newcomers.without(those, (1,), [way], 5, 1)["FedAvg"]
    others = people.People(
        "", np.where((those.person == 1)[:, None], 99, those.views).astype(np.int8), those.y,
        those.person, those.names,
    )  # fmt: skip
    again = newcomers.without(others, (1,), [way], 5, 1)["FedAvg"]
    assert np.array_equal(start.params, again.params)
    assert start.bytes_up == 3 * 2 * dense_bytes(those.spec(5, 1))
    nothing = newcomers.without(those, (1,), [Way("random")], 5, 1)["random"]
    assert not np.array_equal(start.params, nothing.params)
    pooled = Way("", "tinyreptile", {"rate": 8, "n_max": 20, "rounds": 3}, 3, pooled=True)
    alone = Way("", "tinyreptile", {"rate": 8, "n_max": 20, "rounds": 3}, 3)
    found = [newcomers.without(those, (1,), [w], 5, 1)[""].params for w in (pooled, alone)]
    assert not np.array_equal(*found)


def looks_at(those: people.People) -> people.Looks:
    """The same features whatever the look; its rule."""
    return lambda look: replace(those, rule=look.split()[1])


def without_anything_of(those: people.People, person: int) -> people.People:
    """The same people, but everything about one of them is another's."""
    views = those.views.copy()
    mine = those.rows(person)
    views[:, mine] = np.random.default_rng(9).integers(-99, 100, views[:, mine].shape)
    return replace(those, views=views)


def test_no_sample_of_a_split_both_teaches_and_judges() -> None:
    those = few()
    split = Split(looks_at(those), 5, "4x0 fedboard", 3, 5)
    for person, kept in enumerate(split.kept):
        learned = split.learned[person]
        assert not set(learned) & set(kept)
        assert set(those.person[learned]) | set(those.person[kept]) == {person}
        assert (len(learned), len(kept)) == (10, 10)
    fewer = Split(looks_at(those), 5, "4x0 fedboard", 3, 2)
    assert all(np.array_equal(a, b) for a, b in zip(fewer.kept, split.kept, strict=True))


@pytest.mark.parametrize("rule", ["fedboard", "centred"])
def test_a_board_of_the_fleet_learns_as_if_it_were_alone(rule: str) -> None:
    """A split's boards, judged in one go: each as a network of its own would be."""
    those = few()
    look = f"4x0 {rule}"
    split = Split(looks_at(those), 5, look, 3, 5)
    start, bytes_up = split.federated(look, 8, 2)
    way = Way("", "fedavg", {"rate": 8, "carry": False}, 2)
    samples = Set(those.views[0], those.y)
    same = fewshot.learn(way, split.spec(look), samples, list(split.learned))
    assert np.array_equal(start, same.params)
    assert bytes_up == same.bytes_up
    rngs = [np.random.default_rng((3, 4, p)) for p in split.everyone]
    passes = [[rng.permutation(split.learned[p]) for p, rng in enumerate(rngs)] for _ in range(3)]
    each = []
    for person, kept in enumerate(split.kept):
        kind = centre.Network if rule == "centred" else Network
        net = kind(split.spec(look), array("h", start.tobytes()), 1, 0, 7)
        for order in passes:
            for row in order[person]:
                net.learn(array("b", those.views[0, row].tobytes()), int(those.y[row]))
        right = [net.predict(array("b", row.tobytes())) for row in those.views[0, kept]]
        each.append(np.mean(right == those.y[kept]))
    who = [2, 0, 1, 0]  # whoever is judged beside whom
    found = split.judged(look, np.stack([start] * 4), who, 7, (0, 3))
    assert found[1] == pytest.approx([each[p] for p in who])
    mean, _ = gestures.accuracies(split, [Setting(look, 8, 2, 7, 3)])
    assert mean == pytest.approx(np.mean(each))


def test_nobody_has_a_say_in_the_settings_that_are_his_own(monkeypatch) -> None:
    """On boards and as a newcomer; whatever his samples are."""
    for grid, values in (
        ("RATES", (7,)),
        ("ROUNDS", (1, 3)),
        ("OWN_RATES", (7,)),
        ("PASSES", (0, 2)),
        ("ALONE_RATES", (5, 8)),
        ("ALONE_PASSES", (1, 4)),
    ):
        monkeypatch.setattr(owners, grid, values)  # fmt: skip
    names = ("4x0 fedboard", "4x0 centred")
    those = few()
    ways = [Way("random"), Way("FedAvg", "fedavg", {"rate": 7, "carry": False}, 2)]

    def found(of: people.People) -> tuple[dict, dict]:
        return (
            owners.scores(looks_at(of), 5, names, 2, (5, 6)),
            newcomers.choose(of, ways, 5, (6, 8), 3),
        )

    everyone = found(those)
    assert {way for setting in everyone[0] for way in setting.ways} == {
        owners.ALONE, owners.ALL, owners.PERSONAL,
    }  # fmt: skip
    for person in range(3):
        for before, after in zip(everyone, found(without_anything_of(those, person)), strict=True):
            assert all(after[key][person] == value[person] for key, value in before.items())
            others = [p for p in range(3) if p != person]
            assert any(after[k][p] != v[p] for k, v in before.items() for p in others)
    best = owners.best(everyone[0], owners.PERSONAL, names[1:])
    assert [setting.look for setting in best] == ["4x0 centred"] * 3
    for person, setting in enumerate(best):
        mine = {s: v[person] for s, v in everyone[0].items() if s.look == setting.look and s.rounds}
        assert mine[setting] == max(mine.values())


def test_choose_prints_the_best_setting_for_each_person(monkeypatch, capsys) -> None:
    for module, grid, values in (
        (owners, "RATES", (7,)), (owners, "ROUNDS", (1,)), (owners, "OWN_RATES", (7,)),
        (owners, "PASSES", (0, 1)), (owners, "ALONE_RATES", (5,)), (owners, "ALONE_PASSES", (1, 4)),
        (owners, "OWN", (2,)), (gestures, "OWN", (2,)), (gestures, "RATES", (7,)),
        (gestures, "ROUNDS", (1,)), (gestures, "ADAPT_RATES", (6, 8)), (gestures, "HIDDEN", 5),
    ):  # fmt: skip
        monkeypatch.setattr(module, grid, values)
    looks = ("3x5 centred", "3x5 fedboard", "4x4 centred")
    motions = gestures.Motions(lambda *_: few(), looks, (gestures.SCRATCH, gestures.FEDAVG), 2, 1)
    monkeypatch.setattr(gestures, "SETS", {"few": motions})
    gestures.choose("few")
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "BOARDS, few, 2:", "BOARDS, few, features chosen, 2:",
        "NEWCOMERS, few:", "NEWCOMERS, few, features chosen:",
    ]  # fmt: skip
    told = ast.literal_eval("{" + "".join(lines[1:4]).partition("#")[0] + "}")
    found = owners.scores(looks_at(few()), 5, looks, 2, (20_101, 20_102))
    best = owners.best(found, owners.ALONE, looks[:2])
    assert told[owners.ALONE] == tuple(tuple(setting) for setting in best)


def test_settings_are_chosen_for_every_person_that_there_is() -> None:
    sizes = {"punchflex": 7, "wand": 3}
    for name, motions in gestures.SETS.items():
        for kind, among in motions.kinds.items():
            for own in owners.OWN:
                chosen = gestures.chosen(name + kind, own)
                assert list(chosen) == [owners.ALONE, owners.ALL, owners.PERSONAL]
                for way, each in chosen.items():
                    assert len(each) == sizes[name]
                    assert all(way in setting.ways and setting.look in among for setting in each)
            newcomer = gestures.NEWCOMERS[name + kind]
            assert all(len(each) == sizes[name] for each in newcomer.values())
            assert {look for each in newcomer.values() for look, *_ in each} <= set(among)


def test_features_are_a_boards() -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(-3000, 3000, (2, 40, 3)).astype(np.int16)
    made = people.features(x, np.array([40, 30]), 4, 1)
    out = array("b", bytes(made.shape[1]))
    Features(30, 3, 4, 1).compute(array("h", x[1, :30].ravel().tolist()), out)
    assert made[1].tolist() == list(out)


def test_of_the_wand_only_strokes_are_used(tmp_path: Path) -> None:
    """Not what is recorded in another unit: that alone would tell them apart."""
    rng = np.random.default_rng(1)
    y = np.arange(40) % 4
    x = np.where((y == 3)[:, None, None], 1000, 1) * rng.integers(-3, 4, (40, 128, 3))
    person = np.where(y == 3, 0, 8 + np.arange(40) % 3)
    np.savez(tmp_path / "gestures_wand.npz", x=x.astype(np.int16), y=y, person=person,
             length=np.full(40, 60))  # fmt: skip
    those = people.wand(tmp_path)
    assert those.views.shape == (1, 30, 30)
    assert np.array_equal(those.y, y[y < 3])
    assert those.names == ("person 1", "person 2", "person 3")
    assert those.views.std(axis=1).min() > 0  # of whole g no feature is taken for noise


def test_permuted_clients_have_labels_of_their_own() -> None:
    y = np.arange(500) % 10
    clients = permuted.Clients(Set(np.stack([y, y], 1).astype(np.int8), y), 1)
    orders = set()
    for _ in range(5):
        one = clients.round(1)
        pairs = {(int(label), int(x[0])) for x, label in zip(one.x, one.y, strict=True)}
        assert sorted(label for label, _ in pairs) == list(range(5))
        assert len({digit for _, digit in pairs}) == 5
        orders.add(tuple(sorted(pairs)))
    assert len(orders) == 5
    new = clients.new(3, 5)
    assert new.views.shape == (1, 3, 25, 2)
    assert new.query.shape == (3, 100, 2)


@pytest.mark.parametrize("module", [speech, gestures, permuted])
def test_quick_runs_need_no_data(module, nobody, monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setattr(fewshot, "PASSES", (0, 1))
    assert len(module.run(True, 5, None, tmp_path, True, 2)) > 10
    lines = (tmp_path / f"{module.NAME}.jsonl").read_text().splitlines()
    assert capsys.readouterr().out.splitlines() == lines
    rows = [json.loads(line) for line in lines]
    keys = {"experiment", "variant", "seed", "metric", "published", "ours", "bytes_up", "rounds"}
    assert all(keys | {"seconds"} <= set(row) and -1 <= row["ours"] <= 1 for row in rows)
    assert {way.name for way in module.WAYS} <= {row["variant"] for row in rows}
    assert (tmp_path / f"{module.NAME}.png").stat().st_size > 1000


@pytest.mark.parametrize(("name", "usual"), [("gestures", 30), ("speech", 5)])
def test_reproduce_runs_as_many_seeds_as_the_page_has(name, usual, monkeypatch) -> None:
    """Unless told otherwise; with --all too, which asks for none either."""
    asked = []
    module = experiments.load(name)
    monkeypatch.setattr(module, "run", lambda **options: asked.append(options["seeds"]))
    monkeypatch.setattr(experiments, "NAMES", (name,))
    for options in ([name], ["--all"], [name, "--seeds", "3"]):
        result = CliRunner().invoke(cli.cli, ["reproduce", *options])
        assert result.exit_code == 0, result.output
    assert asked == [usual, usual, 3]


def test_each_way_on_boards_has_its_own_cost(monkeypatch) -> None:
    """Who adapts pays for the model that it starts from, not for the one that is best unadapted."""
    look = "4x0 fedboard"
    settings = {
        owners.ALONE: [(look, 0, 0, 7, 1)],
        owners.ALL: [(look, 8, 3, 0, 0)],
        owners.PERSONAL: [(look, 8, 1, 8, 1), (look, 8, 2, 8, 1), (look, 8, 2, 7, 1)],
    }
    monkeypatch.setattr(gestures, "BOARDS", {"few": dict.fromkeys(owners.OWN, settings)})
    rows = gestures.on_boards("few", looks_at(few()), 1, 1)
    split = Split(looks_at(few()), gestures.HIDDEN, look, 150, 2)
    up = [split.federated(look, 8, rounds)[1] for rounds in range(4)]
    prefix = "few, on boards, 2 own samples, "
    of = {row.variant: row for row in rows if row.metric == prefix + "accuracy"}
    assert {way: (row.bytes_up, row.rounds) for way, row in of.items()} == {
        owners.ALONE: (None, None),
        owners.ALL: (up[3], 3),
        owners.PERSONAL: (round((up[1] + 2 * up[2]) / 3), 2),
    }
    gains = {row.metric: row.ours for row in rows if row.variant == "personal, above each alone"}
    gain = of[owners.PERSONAL].ours - of[owners.ALONE].ours
    assert gains.pop(prefix + "paired") == gain
    together = gains.pop("few, on boards, the mean over 1, 2 and 5 own samples, paired")
    assert together == pytest.approx((gain + sum(gains.values())) / 3)


def test_many_starts_adapt_as_each_alone() -> None:
    """Also a centred one whose mean nobody has measured yet, beside one that has its own."""
    those = replace(few(), rule="centred")
    spec = those.spec(5, 7)
    ways = [Way("random"), Way("FedAvg", "fedavg", {"rate": 7, "carry": False}, 2)]
    starts = [s.params for s in newcomers.without(those, (1,), ways, 5, 7).values()]
    assert not starts[0][: spec.at(1)].any()
    new = fewshot.draws(those, 1, 2, 3, seed=4)
    each = np.stack([fewshot.adapted(spec, start, new, 6, 4) for start in starts], axis=1)
    assert np.array_equal(fewshot.adapted_each(spec, np.stack(starts), new, 6, 4), each)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "fsdd_mfcc.npz", x=np.zeros(3))
    with pytest.raises(DataError, match="needs arrays x, y, speaker"):
        people.speech(tmp_path)
