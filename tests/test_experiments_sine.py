"""The sine experiments run, write what they promise, and say the same of what is known."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest

from fedboard import DataError, model
from fedboard_host import experiments, metalearn
from fedboard_host.experiments import common, inner_loop, sine, tinymetafed, waves
from fedboard_host.experiments.common import Row
from fedboard_host.fleet_float import start_images
from fedboard_host.metalearn import Setting

PNG = b"\x89PNG\r\n"


def test_waves_are_waves():
    stream = waves.Stream((1, 2))
    x, y = stream.next()
    assert x.shape == y.shape == (2, waves.GRID, 1)
    assert np.allclose(np.sort(x[0, :, 0]), np.linspace(-5, 5, waves.GRID))
    for k in range(2):  # y is in the span of sin x and cos x, with an amplitude that may be
        basis = np.stack([np.sin(x[k, :, 0]), np.cos(x[k, :, 0])], 1).astype(float)
        factors, residual, *_ = np.linalg.lstsq(basis, y[k, :, 0].astype(float), rcond=None)
        assert residual[0] < 1e-8
        assert 0.1 <= np.hypot(*factors) <= 5
    assert not np.array_equal(y, stream.next()[1])
    assert np.array_equal(waves.Stream((2,)).next()[1][0], y[1])  # a seed's stream is its own
    assert not np.array_equal(waves.Stream((1, 2), waves.VALIDATION).next()[1], y)
    mixed = waves.Stream((1,), mixed=True).next()[1][0, :, 0].astype(float)
    basis = np.stack([np.sin(x[0, :, 0]), np.cos(x[0, :, 0])], 1).astype(float)
    assert np.linalg.lstsq(basis, mixed, rcond=None)[1][0] > 1


def test_new_tasks_are_fixed_and_judged_by_the_grid():
    tasks = waves.NewTasks(30, 10, waves.TEST)
    assert np.array_equal(tasks.y, waves.NewTasks(30, 10, waves.TEST).y)
    assert not np.array_equal(tasks.y, waves.NewTasks(30, 10, waves.VALIDATION).y)
    spec = model.Spec((1, 8, 1))
    nothing = np.zeros(spec.n_params, np.int64)
    (error,) = tasks.errors(spec, nothing, (0,), 0.01)
    assert error == pytest.approx(float((tasks.query_y**2).mean()), rel=1e-6)
    start = start_images(spec.sizes, (1,))[0]
    many = tasks.errors(spec, start, (0, 1, 200), 0.02)
    assert many[0] == tasks.errors(spec, start, (0,), 0.5)[0]
    assert many[2] < many[0]
    assert tasks.errors(spec, start, (1,), 0.02, batch=False) != many[1:2]


def test_streaming_beats_batches_on_the_same_samples():
    """1,000 tasks are enough to see it: same samples, same network, same outer steps."""
    spec, seeds = model.Spec((1, 24, 24, 1)), (1, 2, 3)
    tasks = waves.NewTasks(60, 10, waves.CURVE)
    found = []
    for setting in (Setting(rate=0.01), Setting(rate=0.02, batch=10)):
        federation = metalearn.learn(spec, [setting], seeds, waves.Stream(seeds), 1000)
        images = federation.phi(0)
        found.append(np.mean([tasks.errors(spec, im, (32,), 0.02)[0] for im in images]))
    assert found[0] < 1
    assert found[0] < 0.5 * found[1]


@pytest.mark.parametrize(
    ("name", "variants"),
    [("sine", {"TinyReptile", "Reptile", "trained jointly", "random start"}),
     ("tinymetafed", {"TinyReptile", "TinyMetaFed"})],
)  # fmt: skip
def test_a_quick_run_writes_everything(name, variants, tmp_path, capsys):
    rows = experiments.load(name).run(True, 5, tmp_path, False, 24)
    assert variants <= {row.variant for row in rows}
    assert all(row.experiment == name for row in rows)
    table = capsys.readouterr().out.splitlines()
    assert table[0].startswith("| metric")
    assert any("TinyReptile" in line for line in table)
    with open(tmp_path / f"{name}.csv", encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(rows)
    lines = (tmp_path / f"{name}.jsonl").read_text().splitlines()
    assert len(lines) == len(rows)
    keys = {"experiment", "variant", "seed", "metric", "published", "ours", "bytes_up", "rounds"}
    assert all(keys | {"seconds"} <= set(json.loads(line)) for line in lines)
    assert (tmp_path / f"{name}.png").read_bytes().startswith(PNG)


def test_tinymetafed_goes_on_with_what_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "draw", lambda *_: True)
    first = tinymetafed.run(True, 5, tmp_path, True, 24)
    study, made = tinymetafed._study, []

    def watched(settings, *rest):
        made.extend(setting.name for setting in settings)
        return study(settings, *rest)

    monkeypatch.setattr(tinymetafed, "_study", watched)
    assert tinymetafed.run(True, 5, tmp_path, True, 24, resume=True) == first
    assert made == []
    monkeypatch.setattr(tinymetafed, "FEW_RATE", 0.005)
    again = tinymetafed.run(True, 5, tmp_path, True, 24, resume=True)
    assert made
    assert all("shared last layer" in name for name in made)
    assert [(r.variant, r.seed, r.metric) for r in again] == [
        (r.variant, r.seed, r.metric) for r in first
    ]
    assert {r.variant for r in again if r not in first} == set(made)


def test_the_sweeps_differ_in_what_they_say():
    settings = [*tinymetafed.sweep(), *tinymetafed.variations()]
    assert len({s.name for s in settings}) == len(settings) == 19
    assert len({(s.local, s.up_permille) for s in tinymetafed.sweep()}) == 10
    assert {s.residual for s in settings} == set(metalearn.RESIDUALS)
    with pytest.raises(DataError, match="no experiment"):
        experiments.load("cosine")


def test_streaming_needs_less_ram_on_a_real_micropython(micropython, monkeypatch):
    monkeypatch.setenv("FEDBOARD_MICROPYTHON", micropython[0])
    stream, batch = inner_loop.measure(sine.SIZES, waves.GRID, (1, 10))
    assert stream.weight_bytes == 4 * model.Spec(sine.SIZES).n_params
    assert stream.n_bytes <= batch.n_bytes / 4


def test_intervals_and_tables(tmp_path, capsys):
    mean, half = common.interval([1, 2, 3, 4, 5])
    assert mean == 3
    assert half == pytest.approx(2.776 * math.sqrt(2.5 / 5))
    assert math.isnan(common.interval([7])[1])
    assert common.show(0.12345, 0.00123) == "0.1235 ± 0.0012"
    assert common.show(math.inf) == "∞"
    rows = [
        Row("e", v, s, m, 0.5, 1.0 * s, 1000 * s, 9) for s in (1, 2) for v in "ab" for m in "pq"
    ]
    rows += [Row("e", "a", None, "r", None, math.inf)]
    rows += [Row("e", "a", s, "s", None, (1, 2, math.inf)[s]) for s in range(3)]
    lines = common.table(rows)
    assert len(lines) == 8
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["p", "p", "q", "q", "r", "s"]
    assert "+1.000" in lines[2]
    assert [line.split("|")[4].strip() for line in lines[6:]] == ["∞", "1.500 ± 6.353; ∞ for 1"]
    common.finish("e", rows, tmp_path, True)
    assert len(capsys.readouterr().out.splitlines()) == len(rows)
    assert json.loads((tmp_path / "e.jsonl").read_text().splitlines()[-4])["ours"] is None
    common.finish("e", rows, tmp_path, False, ("p",))
    assert len(capsys.readouterr().out.splitlines()) == 4
