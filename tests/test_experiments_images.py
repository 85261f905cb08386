"""The experiments on pictures, quick and on scikit-learn's digits: whole, and true all the same."""

from __future__ import annotations

import importlib.util
import json
import math
from array import array

import numpy as np
import pytest

from fedboard.dfa import Network
from fedboard.model import Spec, init_params, new_params
from fedboard_host import experiments, fleet_compiled
from fedboard_host.experiments import common, course_run, images, own_rule, tifed, tifed_transfer


@pytest.fixture(autouse=True)
def no_data(monkeypatch, tmp_path):
    """As for somebody who has no data sets."""
    pytest.importorskip("sklearn.datasets")
    monkeypatch.setattr(images, "_BESIDE", tmp_path)


def quick(name, tmp_path, **options):
    rows = experiments.load(name).run(quick=True, seeds=1, out_dir=tmp_path, **options)
    name = rows[0].experiment
    lines = (tmp_path / f"{name}.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["metric"] for line in lines] == [row.metric for row in rows]
    assert common.read(tmp_path / f"{name}.jsonl")
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    return rows


def test_tifed(tmp_path, capsys):
    has_numba = importlib.util.find_spec("numba") is not None
    fleet_compiled.use_compiled(has_numba)
    try:
        rows = quick("tifed-mnist", tmp_path)
    finally:
        fleet_compiled.use_compiled(False)
    said = capsys.readouterr()
    assert "digits" in said.err  # the stand-in is told
    assert "true copies, per epoch" in said.out
    figures = {(row.variant, row.metric): row.ours for row in rows}
    for title in ("speed", "speed with numba")[: 1 + has_numba]:
        variant = f"{title}: full-network, 1/η 2048, true copies, per epoch"
        assert figures[variant, "parameters that the plain loop has the same"] == 1
        what = "µs a sample, to begin and merge a round of an epoch"
        assert (f"{title}: what bounds it", what) in figures
    assert all(row.published is None for row in rows)  # nothing was published of digits
    assert figures["full-network, 1/η 2048, true copies, per epoch",
                   "test accuracy, buffer 12"] > 0.3  # fmt: skip


def test_tifed_with_a_shared_array(tmp_path):
    """Trained in turn in place, the eight workers' steps add up: it learns faster than copies."""
    shared = quick("tifed-fashion", tmp_path, shared_arrays=True)
    pictures = images.find("fashion", None, tifed.SCALE)
    copies = tifed.train(pictures, tifed.Variant("buffer", 2048), 1, 3).accuracy[3]
    assert tifed.train(pictures, tifed.Variant("shared", 2048), 1, 3).accuracy[3] > copies
    assert {row.experiment for row in shared} == {"tifed-fashion-shared-arrays"}


@pytest.mark.parametrize("name", ["fedboard-mnist", "fedboard-fashion"])
def test_own_rule(name, tmp_path):
    rows = quick(name, tmp_path, only=range(1, 5))
    found = {row.variant: row for row in rows if row.metric.startswith("test accuracy")}
    assert set(found) == {variant.name for variant in own_rule.variants("mnist")[1:5]}
    sparse = found["fedboard, full-network, Top-1 % of 4 bits"]
    dense = found["fedboard, full-network, merged per buffer"]
    assert sparse.rounds == 5 * dense.rounds
    assert 5 * sparse.bytes_up < dense.bytes_up
    assert all(row.ours > 0.5 for row in found.values())


def test_transfer(tmp_path, monkeypatch):
    variants = tifed_transfer.variants
    monkeypatch.setattr(tifed_transfer, "variants", lambda task: variants(task)[2:4])
    rows = quick("tifed-transfer", tmp_path)
    assert {row.variant.split(": ")[1] for row in rows} == {
        "float FedAvg, averaged by the host", "fedboard, full-network",
    }  # fmt: skip
    assert all(row.ours > 0.7 for row in rows)


def test_features_are_of_every_sample():
    """A head's features are what the network itself sees, sample by sample."""
    pictures = images.find("mnist", None, course_run.SCALE)
    spec = Spec(pictures.sizes, "fedboard", 1)
    params = new_params(spec)
    init_params(spec, params)
    seen = tifed_transfer._hidden(spec, np.asarray(params, np.int64), pictures.train.x)
    net = Network(spec, params)
    for i in (0, 499, 500, len(seen) - 1):
        net.predict(array("b", pictures.train.x[i].tobytes()))
        assert seen[i].tolist() == [2 * a for a in net.features(0)]


def test_courses_deal_every_sample_once_a_pass():
    course = images.course(1000, 3, passes=2, workers=4, buffer=20)
    assert course.shape == (24, 4, 20)
    for part in (course[:12], course[12:]):
        assert len(np.unique(part)) == 960
    assert not np.array_equal(course[:12], course[12:])


def test_a_goal_that_is_not_reached_is_infinite(tmp_path):
    pictures = images.find("mnist", None, course_run.SCALE)
    variant = own_rule.variants("mnist")[0]
    outcome = course_run.train(pictures, variant, 1, 2, 0.99)
    rows = own_rule._rows("e", variant, 1, outcome, 0.99, False, pictures)
    assert next(row.ours for row in rows if row.metric.startswith("buffers")) == math.inf
