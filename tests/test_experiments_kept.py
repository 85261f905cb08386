"""--resume keeps the rows of an earlier run that the same settings would make again, no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedboard_host.experiments import common, images, permuted
from fedboard_host.experiments.common import Row
from fedboard_host.experiments.kept import Kept

SETTINGS = {"x": ("rate", 1), "y": ("rate", 2)}


def rows(variants: str = "xyz", seeds: int = 2) -> list[Row]:
    return [Row("a", v, seed, "m", None, seed) for v in variants for seed in range(1, seeds + 1)]


def test_rows_of_the_same_settings_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    first = Kept("a", tmp_path, True, SETTINGS, 2)
    assert (first.rows, first.done) == ([], set()), "there are none yet"
    made = first.stamped(rows("xy", 3))
    common.save("a", [*made, Row("a", "z", 1, "m", None, 1)], tmp_path)
    before = (tmp_path / "a.jsonl").read_bytes()
    assert Kept("a", tmp_path, False, SETTINGS, 2).rows == []
    again = Kept("a", tmp_path, True, dict(SETTINGS), 2)
    assert again.rows == [row for row in made if row.seed != 3]
    assert again.done == {("x", 1), ("x", 2), ("y", 1), ("y", 2)}
    assert "2 rows are of seeds above 2" in capsys.readouterr().err
    assert (tmp_path / "a.jsonl.old").read_bytes() == before, "hours of computing"
    assert Kept("a", tmp_path, True, SETTINGS, 3).rows == made
    assert capsys.readouterr().err == ""


def test_rows_of_other_settings_are_made_anew_and_not_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    common.save("a", Kept("a", tmp_path, True, SETTINGS, 2).stamped(rows("xy")), tmp_path)
    before = (tmp_path / "a.jsonl").read_bytes()
    found = Kept("a", tmp_path, True, {**SETTINGS, "y": ("rate", 3)}, 2)
    assert found.done == {("x", 1), ("x", 2)}
    said = capsys.readouterr().err
    assert "of other settings, made anew: y." in said
    assert (tmp_path / "a.jsonl.old").read_bytes() == before


def test_rows_that_say_no_settings_are_kept_and_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    common.save("a", rows(), tmp_path)
    assert "settings" not in json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0])
    found = Kept("a", tmp_path, True, SETTINGS, 2)
    assert found.rows == rows("xy")
    assert "4 rows do not say what settings they are of" in capsys.readouterr().err


def test_an_experiment_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn.datasets")
    monkeypatch.setattr(images, "_BESIDE", tmp_path)  # no data set: digits
    monkeypatch.setattr(common, "draw", lambda *_: True)
    monkeypatch.setattr(permuted, "WAYS", permuted.WAYS[:1])
    first = permuted.run(quick=True, out_dir=tmp_path, as_json=True)
    learn = permuted._learn
    monkeypatch.setattr(permuted, "_learn", lambda *_: pytest.fail("it was there"))
    assert permuted.run(quick=True, out_dir=tmp_path, as_json=True, resume=True) == first
    monkeypatch.setattr(permuted, "_learn", learn)
    monkeypatch.setattr(permuted, "HIDDEN", 32)
    other = permuted.run(quick=True, out_dir=tmp_path, as_json=True, resume=True)
    assert {row.settings for row in other}.isdisjoint({row.settings for row in first})
    assert len({row.settings for row in other}) == 1
