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

from fedboard import DataError
from fedboard.dfa import Network
from fedboard.features import Features
from fedboard.model import init_params, new_params
from fedboard.reptile import FewShot, Start
from fedboard_host import cli, experiments
from fedboard_host.dataset import Set
from fedboard_host.experiments import fewshot, gestures, newcomers, people, permuted, speech
from fedboard_host.experiments.fewshot import PASSES, NewClients, Way
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


def test_nobody_has_a_say_in_his_own_settings_as_a_newcomer() -> None:
    """Whatever his samples are."""
    those = few()
    ways = [Way("random"), Way("FedAvg", "fedavg", {"rate": 7, "carry": False}, 2)]
    before = newcomers.choose(those, ways, 5, (6, 8), 3)
    for person in range(3):
        after = newcomers.choose(without_anything_of(those, person), ways, 5, (6, 8), 3)
        assert all(after[key][person] == value[person] for key, value in before.items())
        others = [p for p in range(3) if p != person]
        assert any(after[k][p] != v[p] for k, v in before.items() for p in others)


def test_choose_prints_the_best_setting_for_each_newcomer(monkeypatch, capsys) -> None:
    for grid, values in (
        ("RATES", (7,)), ("ROUNDS", (1,)), ("ADAPT_RATES", (6, 8)), ("HIDDEN", 5),
    ):  # fmt: skip
        monkeypatch.setattr(gestures, grid, values)
    looks = ("3x5 centred", "3x5 fedboard", "4x4 centred")
    motions = gestures.Motions(lambda *_: few(), looks, (gestures.SCRATCH, gestures.FEDAVG), 1)
    monkeypatch.setattr(gestures, "SETS", {"few": motions})
    gestures.choose("few")
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "NEWCOMERS, few:", "NEWCOMERS, few, features chosen:",
    ]  # fmt: skip
    told = ast.literal_eval("{" + "".join(line.partition("#")[0] for line in lines[1:3]) + "}")
    assert {(look, rate, rounds) for look, rate, rounds, *_ in told["FedAvg"]} <= {
        (look, 7, 1) for look in looks[:2]
    }
    assert len(told["FedAvg"]) == len(told["random start"]) == 3


def test_settings_are_chosen_for_every_newcomer_that_there_is() -> None:
    sizes = {"punchflex": 7, "wand": 3}
    for name, motions in gestures.SETS.items():
        for kind, among in motions.kinds.items():
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
