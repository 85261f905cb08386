"""Robust merging against plain Python, and against one bad board among eight."""

from __future__ import annotations

import asyncio
import json
import math
import sqlite3
import statistics
from array import array
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fedboard import DataError
from fedboard.model import Spec
from fedboard_host import clip, config, simulate, strategies
from fedboard_host.cli import cli
from fedboard_host.dataset import Set
from fedboard_host.events import Note, Suspected
from fedboard_host.experiments import robust as experiment
from fedboard_host.experiments.common import Row
from fedboard_host.fleet_rounds import FleetFederation
from fedboard_host.means import MASTER_BITS, MeanMerger
from fedboard_host.robust import KINDS, Merging, Opinion
from fedboard_host.rounds import Policy
from fedboard_host.suspicion import Watchlist
from fedboard_host.virtual import ArraySamples, VirtualBoard
from fedboard_host.watch import Watch
from federations import N_CLASSES, SPARSE, Fleet, blobs

SPEC = Spec((3, 4, 2), "fedboard", 1)
N = SPEC.n_params
changes = st.lists(st.integers(-2000, 2000) | st.just(0), min_size=N, max_size=N)


def coded(change):
    """As delta.parse_update() gives it: what is 0 is not there."""
    found = []
    for l in range(SPEC.n_layers):
        own = change[SPEC.at(l) : SPEC.at(l + 1)]
        where = [i for i, v in enumerate(own) if v]
        found.append((l, array("i", where), array("i", [own[i] for i in where])))
    return found


def merged(merging, boards, order=None):
    """(the master's move, opinions) after one round of these changes."""
    merger = MeanMerger(SPEC)
    merger.start(array("h", bytes(2 * N)))
    merger.compare(merging.rule(SPEC))
    for b in order or range(len(boards)):
        merger.add(coded(boards[b]), 1, f"b{b}")
    merger.merge()
    return merger.state()["master"].tolist(), merger.opinions


def cut_all(boards):
    """The norm clip, in fractions where it can be."""
    boards = [list(change) for change in boards]
    for l in range(SPEC.n_layers):
        at, end = SPEC.at(l), SPEC.at(l + 1)
        norms = [math.isqrt(sum(v * v for v in change[at:end])) for change in boards]
        changed = [n for n in norms if n]
        if len(changed) < 3:
            continue
        most = clip.FACTOR * statistics.median_low(changed)
        for change, n in zip(boards, norms, strict=True):
            if n > most:
                change[at:end] = [int(Fraction(v * most, n)) for v in change[at:end]]
    return boards


def rounded(mean):
    return math.floor(Fraction(mean) * (1 << MASTER_BITS) + Fraction(1, 2))


@given(st.lists(changes, min_size=5, max_size=9), st.sampled_from(KINDS[1:]), st.randoms())
def test_rules_are_what_they_say(boards, kind, rng):
    merging = Merging(kind)
    found, opinions = merged(merging, boards)
    cut = cut_all(boards)
    assert [one.clipped for one in opinions] == [a != b for a, b in zip(boards, cut, strict=True)]
    if kind == "median":
        wanted = [statistics.median(map(Fraction, column)) for column in zip(*cut, strict=True)]
    elif kind == "trimmed-mean":
        wanted = [
            Fraction(sum(sorted(column)[1:-1]), len(cut) - 2) for column in zip(*cut, strict=True)
        ]
    else:

        def distance(a, b):
            return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))

        scores = [
            sum(sorted(distance(a, b) for j, b in enumerate(cut) if j != i)[: len(cut) - 3])
            for i, a in enumerate(cut)
        ]
        worst = max(range(len(cut)), key=lambda i: (scores[i], i))
        assert [one.rejected for one in opinions] == [i == worst for i in range(len(cut))]
        kept = [change for i, change in enumerate(cut) if i != worst]
        wanted = [Fraction(sum(column), len(kept)) for column in zip(*kept, strict=True)]
    assert found == [rounded(mean) for mean in wanted]
    order = list(range(len(boards)))
    rng.shuffle(order)
    assert merged(merging, boards, order) == (found, opinions)


@given(st.lists(changes, min_size=3, max_size=6))
def test_agreement_is_the_cosine_to_the_others(boards):
    _, opinions = merged(Merging("median"), boards)
    cut = np.array(cut_all(boards), float)
    for own, opinion in zip(cut, opinions, strict=True):
        others = cut.sum(axis=0) - own
        scale = np.linalg.norm(own) * np.linalg.norm(others)
        if opinion.agreement is None:
            assert scale == 0
        else:
            assert opinion.agreement == pytest.approx(1000 * own @ others / scale, abs=1.5)


def test_the_mean_cuts_what_is_longer_than_the_round_before():
    merger = MeanMerger(SPEC)
    merger.start(array("h", bytes(2 * N)))
    for scale in (1, 2, 3):
        merger.add(coded([scale] * N), 1, f"b{scale}")
    merger.merge()
    assert not any(one.clipped for one in merger.opinions)
    other = MeanMerger(SPEC)
    other.restore(merger.state())
    for each in (merger, other):  # in a resumed run, too
        for b, scale in enumerate((1, 2, 800)):
            each.add(coded([scale] * N), 1, f"b{b}")
    before = np.array(merger.state()["master"])
    bounds = merger.clip.bounds
    assert merger.merge() == other.merge()
    assert [one.board for one in merger.opinions if one.clipped] == ["b2"]
    moved = (np.array(merger.state()["master"]) - before) / (1 << MASTER_BITS)
    for l, most in enumerate(bounds):
        own = moved[SPEC.at(l) : SPEC.at(l + 1)]
        assert 3 * np.linalg.norm(own) <= most + 3 * math.sqrt(len(own)) * 3


def test_two_boards_have_no_usual_norm():
    assert clip.bound([5, 900]) == clip.bound([0, 0, 5, 900]) == 0
    assert clip.bound([0, 5, 900, 6]) == 6 * clip.FACTOR


@pytest.mark.parametrize(
    ("kind", "faulty", "least"),
    [("mean", 1, 1), ("median", 1, 3), ("median", 3, 7), ("trimmed-mean", 1, 3),
     ("trimmed-mean", 2, 5), ("multi-krum", 1, 5), ("multi-krum", 2, 7)],
)  # fmt: skip
def test_minima(kind, faulty, least, tmp_path):
    merging = Merging(kind, faulty)
    assert merging.least == least
    merging.check(least, "")
    if kind == "mean":
        return
    with pytest.raises(DataError, match=f"needs {least} updates a round, not {least - 1}: do"):
        merging.check(least - 1, "do")
    with pytest.raises(DataError, match="use more boards"):
        FleetFederation(
            SPEC, SPARSE, Set(np.zeros((9, 3), np.int8), np.zeros(9, int)),
            [np.arange(1)] * (least - 1), merging=merging,
        )  # fmt: skip
    boards = "".join(f'[[board]]\nname = "b{n}"\nlink = "serial:{n}"\n' for n in range(least - 1))
    text = (
        f'[federation]\nname = "a"\nmerge = "{kind}"\nfaulty = {faulty}\n[model]\nlayers = [3, 2]\n'
    )
    with pytest.raises(DataError, match=rf"home.toml:3: .*needs {least} updates a round"):
        config.parse(text + boards, Path("home.toml"))
    more = '[[board]]\nname = "more"\nlink = "serial:m"\n'
    home = config.parse(text + boards + more, Path("home.toml"))
    assert home.merging == merging
    with pytest.raises(DataError, match=f"set quorum = {least}"):
        config.parse(text.replace("[model]", "quorum = 1\n[model]") + boards + more, Path("h"))


def test_wrong_words():
    with pytest.raises(DataError, match="use one of mean, median"):
        Merging("krum")
    with pytest.raises(DataError, match="faulty = 0"):
        Merging("median", 0)
    text = (
        '[federation]\nname = "a"\n{}\n[model]\nlayers = [3, 2]\n'
        '[[board]]\nname = "b"\nlink = "serial:1"\n'
    )
    with pytest.raises(DataError, match="did you mean multi-krum"):
        config.parse(text.format('merge = "multikrum"'), Path("h"))
    with pytest.raises(DataError, match='set merge = "multi-krum"'):
        config.parse(text.format("faulty = 1"), Path("h"))
    with pytest.raises(DataError, match="use select = 0"):
        config.parse(text.format('strategy = "tinyreptile"\nmerge = "median"'), Path("h"))


def test_a_round_waits_for_the_minimum_and_asks_no_more_than_fit():
    assert Policy(2, quorum=2).compared(5, 100).quorum == 5
    assert Policy(2, quorum=8).compared(5, 100).quorum == 8
    assert Policy(2, 20).compared(5, 10).n_select == Policy(2).compared(5, 10).n_select == 10
    assert Policy(2).compared(1, 0) == Policy(2)
    with pytest.raises(DataError, match="needs 5 updates"):
        Policy(2, 3).compared(5, 10)
    large = Spec((784, 200, 10), "fedboard", 1)
    assert Merging("median").at_most(large) * large.n_params * 8 <= 1 << 28
    assert Merging("mean").at_most(large) == 0


def test_a_layer_of_too_few_boards_stays():
    merger = MeanMerger(SPEC)
    merger.start(array("h", bytes(2 * N)))
    rule = Merging("median").rule(SPEC)
    merger.compare(rule)
    for b in range(3):
        merger.add(coded([7] * N)[: 2 if b else 1], 1, f"b{b}")
    params = merger.merge()
    assert set(params[: SPEC.at(1)]) == {7}
    assert set(params[SPEC.at(1) :]) == {0}
    assert rule.check() == "layers 1 stay as they were: median needs updates of 3 boards to each"


def test_the_watchlist_names_who_is_often_odd_and_forgets():
    watchlist = Watchlist()
    good = [Opinion(f"b{b}", agreement=100 + b) for b in range(4)]
    for _ in range(4):
        watchlist.note([*good, Opinion("bad", True, agreement=-50)])
    assert watchlist.suspects() == []  # too early to tell
    watchlist.note([*good, Opinion("bad", True, agreement=-50)])
    (found,) = watchlist.suspects()
    assert (found.board, found.score) == ("bad", 2.0)
    assert found.reason == "far longer than usual in 5, against the others' in 5 of 5 rounds"
    for _ in range(30):
        watchlist.note([*good, Opinion("bad", agreement=90)])
    assert watchlist.suspects() == []
    for _ in range(30):  # somebody always is left out, and that alone is no reason
        watchlist.note([*good, Opinion("odd", rejected=True, agreement=90)])
    assert watchlist.suspects() == []


def test_among_few_boards_nobody_is_named():
    watchlist = Watchlist()
    for _ in range(30):
        few = [Opinion(f"b{b}", agreement=100) for b in range(3)]
        watchlist.note([*few, Opinion("odd", True, agreement=-50)])
    assert watchlist.suspects() == []


def test_simulate_takes_a_rule(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 200)
    np.savez(tmp_path / "d.npz", x=(rng.integers(0, 40, (200, 6)) + 70 * y[:, None]), y=y)
    base = {"strategy": "fedavg", "data": str(tmp_path / "d.npz"), "hidden": (4,), "rounds": 3}
    found = simulate.run(
        simulate.Settings(**base, boards=5, merge="multi-krum"), tmp_path / "out"
    )  # fmt: skip
    assert found[-1].round == 3
    told = CliRunner().invoke(cli, [
        "simulate", "fedavg", "--data", str(tmp_path / "d.npz"), "--boards", "4",
        "--merge", "multi-krum", "--out", str(tmp_path / "b"),
    ])  # fmt: skip
    assert told.exit_code == 1
    assert "needs 5 updates a round, not 4" in told.output


def boards_with_one_liar(n=6):
    """b1 has wrong labels."""
    found = []
    for b in range(n):
        own = blobs(b, 24)
        if b == 1:
            x = [list(own._rows[i]) for i in range(len(own))]
            own = ArraySamples(x, [N_CLASSES - 1 - int(own._labels[i]) for i in range(len(own))])
        found.append(own)
    return found


@pytest.mark.parametrize("kind", ["mean", "multi-krum", "trimmed-mean"])
def test_real_boards_give_the_simulators_model_and_the_liar_is_named(tmp_path, kind):
    samples = boards_with_one_liar()
    spec = Spec((12, 10, 4), "fedboard", 7)
    strategy = strategies.make("fedavg", {"batch": 4, "top_percent": 60, "bits": 4})

    async def real():
        boards = [VirtualBoard(f"b{b}", own) for b, own in enumerate(samples)]
        async with Fleet(
            tmp_path / "run", 6, spec=spec, strategy=strategy, boards=boards, merging=Merging(kind)
        ) as fleet:
            for board in boards:
                board._clock = fleet.clock
            await fleet.until_ready(6)
            result = await fleet.run(7)
            return result, fleet.of(Note, level="warning"), fleet.of(Suspected)

    result, notes, suspected = asyncio.run(real())
    x = np.array([list(row) for own in samples for row in own._rows], np.int8)
    y = np.array([label for own in samples for label in own._labels])
    fleet = FleetFederation(
        spec, strategy, Set(x, y), np.split(np.arange(len(y)), 6), run=11,
        names=[f"b{b}" for b in range(6)], merging=Merging(kind),
    )  # fmt: skip
    for _ in range(7):
        fleet.round()
    assert fleet.params.tolist() == list(result.params)
    if kind == "mean":
        return
    assert set(suspected[-1].reasons) == {"b1"}
    assert any(note.board == "b1" and "suspicious" in note.text for note in notes)
    told = CliRunner().invoke(cli, ["report", str(tmp_path / "run")])
    assert told.exit_code == 0, told.output
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "b1 looks suspicious: its updates are" in page
    with closing(sqlite3.connect(tmp_path / "run" / "log.sqlite")) as db:
        rows = db.execute("SELECT data FROM events WHERE kind = 'Suspected'").fetchall()
    assert json.loads(rows[-1][0])["reasons"].keys() == {"b1"}


def test_the_live_table_shows_it():
    watch = Watch(10)
    for name in ("b0", "b1"):
        watch.update(_joined(name))
    watch.update(Suspected(6, {"b1": "against the others' in 5 of 6 rounds"}))
    assert watch.boards["b1"].notice == "suspicious: against the others' in 5 of 6 rounds"
    watch.update(Suspected(7, {}))
    assert watch.boards["b1"].notice == ""


def _joined(name):
    from fedboard_host.events import BoardJoined

    return BoardJoined(name, "aa", "", "", "", 0, 5, 0)


@pytest.mark.parametrize("attack", experiment.ATTACKS[1:])
def test_one_bad_board_of_eight_costs_little_and_is_named(attack):
    (digits,) = experiment.tasks(None, True)
    clean = experiment.learn(digits, "none", "mean", 1)
    found = experiment.learn(digits, attack, "multi-krum", 1)
    assert clean.accuracy > 0.95
    assert found.accuracy > clean.accuracy - 0.02
    assert (found.named, found.blamed) == (True, 0)
    assert (clean.named, clean.blamed) == (False, 0)
    if attack == "-x100":
        assert experiment.learn(digits, attack, "mean", 1).accuracy < clean.accuracy - 0.02


def test_the_experiment_has_uneven_boards_too():
    even, uneven = (t for t in experiment.tasks(None, False) if t.name.startswith("digits"))
    assert (even.alpha, uneven.alpha, uneven.name) == (0, 0.3, "digits (Dirichlet 0.3)")
    found = [experiment.learn(replace(t, rounds=2), "none", "mean", 1) for t in (even, uneven)]
    assert found[0] != found[1]
    rows = [
        Row("robust", f"none, {kind}", 1, f"{uneven.name}, {what}", None, 0.5)
        for kind in KINDS
        for what in ("accuracy", "cost", "named", "blamed")
    ]
    lines = experiment.table(rows)
    assert lines[0].startswith("| digits (Dirichlet 0.3) | mean |")
    assert "50.0 (-50.0); named 50%; blamed 0.5" in lines[2]
