"""docs/results.md is what its rows say, and each goal is computed from them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import results
from fedboard import DataError
from fedboard_host import experiments
from fedboard_host.experiments import common, figures, page
from fedboard_host.experiments.common import Row
from fedboard_host.experiments.goals import GOALS, Goal

ROWS = results.DOCS / "results"
FILES = sorted(ROWS.glob("*.jsonl"))


def test_the_page_is_what_its_rows_say() -> None:
    assert results.main(["--check"]) == 0, "run tools/results.py"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_results_are_of_whole_runs(path: Path) -> None:
    """A quick run has two seeds at most; every goal of a file can be computed."""
    rows = common.read(path)
    assert len({row.seed for row in rows if row.seed is not None}) >= 5
    assert path.with_suffix(".png").exists()
    for goal in GOALS:
        if goal.results == path.stem:
            assert page.judge(goal, rows)[1] in ("yes", "**no**"), goal.says


def test_every_goal_is_some_experiments() -> None:
    stems = [name + flag.replace("--", "-", 1) for name in experiments.NAMES
             for flag in ("", *page.FLAGS)]  # fmt: skip
    assert {goal.results for goal in GOALS} <= set(stems)
    assert {path.stem for path in FILES} <= set(stems)


def row(variant: str, seed: int, ours: float, up: int | None = 10) -> Row:
    return Row("sine", variant, seed, "error", 0.5, ours, up, 9, bytes_down=30)


def test_goals_are_computed_from_rows() -> None:
    rows = [row("a", 1, 0.2), row("a", 2, 0.4), row("a, too", 1, 1.0), row("b", 1, 0.9, 20)]
    mean = figures.mean("error", "a")
    assert mean(rows) == pytest.approx(0.3)
    assert figures.mean("err*", "a, *")(rows) == 1
    assert figures.ratio(mean, figures.mean("error", "b"))(rows) == pytest.approx(1 / 3)
    assert figures.minus(mean, 0.1)(rows) == pytest.approx(0.2)
    assert figures.distance(mean, figures.published("error", "b"))(rows) == pytest.approx(0.2)
    assert figures.least(mean, figures.mean("error", "b"))(rows) == mean(rows)
    assert figures.bytes_both("error", "b")(rows) == 50
    assert figures.first(figures.mean("error", "c"), mean, figures.mean("error", "b"))(
        rows
    ) == mean(rows)
    middle, half = common.interval([-0.1, 0.1])
    pairs = [*rows, row("c", 1, 0.3), row("c", 2, 0.3), row("c", 3, 9.0)]
    assert figures.above(("error", "a"), ("error", "c"))(pairs) == pytest.approx(middle - half)
    with pytest.raises(figures.Missing):  # one pair has no interval
        figures.above(("error", "a"), ("error", "b"))(rows)
    middle, half = common.interval([0.2, 0.4])
    assert figures.lowest(("error", "a"))(pairs) == pytest.approx(middle - half)
    both = figures.lowest(("error", "a"), ("error", "c"))
    middle, half = common.interval([0.25, 0.35])  # the third seed is of one of them only
    assert both(pairs) == pytest.approx(middle - half)
    with pytest.raises(figures.Missing, match="no two seeds"):
        figures.lowest(("error", "b"))(pairs)
    for missing in (figures.mean("error", "c"), figures.bytes_up("error", "d")):
        with pytest.raises(figures.Missing):
            missing([*rows, row("d", 1, 1.0, None)])
    least = Goal("sine", "", mean, 0.25, unit="%")
    assert page.judge(least, rows) == ("30.00 %", "yes")
    most = Goal("sine", "", mean, 0.25, True)
    assert (most.wanted, *page.judge(most, rows)) == ("≤ 0.25", "0.3", "**no**")
    assert page.judge(most, [row("a", 1, math.inf)]) == ("∞", "**no**")
    assert page.judge(least, None) == ("–", "not run")
    assert page.judge(least, [])[1].startswith("not known")


def test_a_page_of_one_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row("a", seed, 0.1 * seed) for seed in range(1, 4)] + [row("b", 1, math.inf)]
    common.finish("sine", rows, tmp_path, True)
    capsys.readouterr()
    assert common.read(tmp_path / "sine.jsonl") == rows
    text = page.render(tmp_path)
    assert "fedboard reproduce sine --seeds 3 --out docs/results\n" in text
    assert "Not run yet: `fedboard reproduce tifed-mnist" in text
    (tmp_path / "bad.jsonl").write_text('{"experiment": 1}\n')
    with pytest.raises(DataError, match="no rows"):
        page.render(tmp_path)
