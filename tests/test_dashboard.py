"""What the page and the report show is what the log has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from fedboard_host import cli, presence
from fedboard_host.dashboard import fragments, page
from fedboard_host.dashboard.feed import Feed, State, thin
from fedboard_host.store import Store
from page_lab import NASTY, made_run


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return made_run(tmp_path / "run")


def test_the_feed_reads_the_log(run_folder: Path) -> None:
    state = Feed(run_folder, ("wave", "idle")).read()
    assert len(state.rounds) == 30
    assert state.updates["door"][-1] == (30, 0.8, 9.5)
    assert state.counts == [[5, 1], [0, 4]]
    assert state.events[0]["text"] == NASTY
    html = fragments.all_of(state)
    assert "30 of 50" in html["summary"]
    assert "75.0 %" in html["summary"]
    assert "wave" in html["confusion"]
    assert "80.0 %" in html["boards"]
    assert 'aria-label="Held-out accuracy over 30 rounds, now 75.0 %"' in html["accuracy"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.03, "less than 0.1 s"), (0.1, "0.1 s"), (8.24, "8.2 s"), (61, "1 min")]
)
def test_how_long_a_round_takes(seconds: float, text: str) -> None:
    state = State("run", None, rounds=[
        {"round": 1, "accuracy": None, "bytes_up": 1, "bytes_down": 1, "seconds": seconds}
    ])  # fmt: skip
    assert f"<dt>a round takes</dt><dd>{text}" in fragments.summary(state, live=False)


def test_nothing_that_was_said_becomes_html(run_folder: Path) -> None:
    text = page.live(Feed(run_folder, (NASTY,)).read(), True)
    assert "<img" not in text
    assert text.count("&lt;img") >= 4
    (choice,) = re.findall(r'<select id="board" >(.*?)</select>', text)
    assert choice.count("<option>") == 2


def test_it_sees_what_is_new_while_another_writes(run_folder: Path) -> None:
    feed = Feed(run_folder)
    before = feed.change()
    assert feed.change() == before
    with Store(run_folder.parent / "other"):
        pass
    import sqlite3

    with sqlite3.connect(run_folder / "log.sqlite") as db:
        db.execute("INSERT INTO events (at, kind, board, data) VALUES (1, 'Note', '', '{}')")
    db.close()
    assert feed.change() != before


def test_a_host_that_is_gone_has_no_boards(run_folder: Path) -> None:
    path = run_folder / presence.FILE
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "at": told["at"] - 500}))
    html = fragments.all_of(Feed(run_folder).read())
    assert "not running, last heard 8 min 20 s ago" in html["summary"]
    assert html["boards"].count('class="state unknown"') == 2


def test_a_report_says_when_not_how_long_ago(run_folder: Path) -> None:
    html = fragments.all_of(Feed(run_folder).read(), live=False)["boards"]
    assert "ago" not in html
    assert "state" not in html
    assert re.search(r"<td>20\d\d-\d\d-\d\d \d\d:\d\d</td>", html)


def test_an_empty_run_and_no_run(tmp_path: Path) -> None:
    with Store(tmp_path / "run"):
        pass
    text = page.live(Feed(tmp_path / "run").read(), False)
    assert "No board has been here yet" in text
    assert '<input id="label" type="number"' in text
    presence.write(tmp_path / "run", "home", 9, 0, [], labels=("idle", "wave"))
    text = page.live(Feed(tmp_path / "run").read(), True)
    assert '<option value="0">idle<option value="1">wave</select>' in text
    done = CliRunner().invoke(cli.cli, ["report", str(tmp_path)])
    assert done.exit_code == 1
    assert "holds no run" in done.stderr


def test_the_report_is_one_file(run_folder: Path) -> None:
    done = CliRunner().invoke(cli.cli, ["report", str(run_folder)])
    assert done.exit_code == 0, done.output
    text = (run_folder / "report.html").read_text()
    assert text.count("<svg") >= 4
    assert not re.search(r"""(src|href)=["'](?!data:)""", text)
    assert "<script" not in text
    assert "http" not in text


def test_charts_of_odd_numbers() -> None:
    for points in ([(1, 0.0)], [(1, 5), (2, 5)], [(1, -3), (9, 1e9)], [(1, 0), (2, 1e-9)]):
        svg = fragments.chart([("a", points)], "text", "")
        assert "nan" not in svg
        assert 2 <= svg.count('class="grid"') <= 8
    assert thin(list(range(1000)), 10)[-1] == 999
    assert len(thin(list(range(1000)), 10)) <= 11


def test_state_without_anything() -> None:
    html = fragments.all_of(State("x", None))
    assert "No round yet" in html["bytes"]
