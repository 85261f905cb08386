"""What a run looks like: on a terminal, in a log file, for scripts."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from fedboard_host import events, progress


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def play(view: progress.View, clock: Clock, n_boards: int = 2, rounds: int = 2) -> None:
    names = tuple(f"board-{b}" for b in range(n_boards))
    for name in names:
        view(events.BoardJoined(name, "00", "memory", "micropython 1.25", "viper", 0, 40, 1))
    for round_no in range(1, rounds + 1):
        view(events.RoundStarted(round_no, round_no, names))
        for name in names:
            view(events.BoardState(name, "training", round_no))
            view(events.BoardProgress(name, round_no, 20, 40, 15, 33.25))
            clock.now_s += 1
            view(events.UpdateReceived(name, round_no, 40, 150, True))
        view(
            events.RoundClosed(
                round_no,
                round_no + 1,
                n_boards,
                n_boards,
                0.5 + 0.1 * round_no,
                20.0,
                400 * n_boards,
                600 * n_boards,
                150 * n_boards,
                2.0,
            )
        )


def rendered(view: progress.Live, console: Console) -> str:
    with console.capture() as capture:
        console.print(view.render())
    return capture.get()


def test_plain_lines() -> None:
    clock, out = Clock(), io.StringIO()
    view = progress.Plain(4, out, clock)
    play(view, clock)
    view(events.Note("warning", "board-1: out of memory", "board-1"))
    view(events.UpdateReceived("board-0", 2, 40, 9, False, "it is of round 2, round 3 is open"))
    view(events.BoardLeft("board-1", "the port is gone"))
    view(events.Finished(2, 3, True))
    view(events.BoardLeft("board-0", "stopped"))
    assert out.getvalue().splitlines() == [
        "board-0 joined (micropython 1.25, viper kernels, 40 samples)",
        "board-1 joined (micropython 1.25, viper kernels, 40 samples)",
        "round 1/4, accuracy 60.0 %, 2 of 2 boards, up 800 B, down 1.2 kB, about 6 s to go",
        "round 2/4, accuracy 70.0 %, 2 of 2 boards, up 800 B, down 1.2 kB, about 4 s to go",
        "warning: board-1: out of memory",
        "board-0: update of round 2 not used: it is of round 2, round 3 is open",
        "board-1 left: the port is gone",
        "stopped after round 2: go on with --resume",
    ]


def test_json_lines() -> None:
    clock, out = Clock(), io.StringIO()
    play(progress.Json(out), clock, 1, 1)
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [f["event"] for f in found] == [
        "BoardJoined", "RoundStarted", "BoardState", "BoardProgress", "UpdateReceived",
        "RoundClosed",
    ]  # fmt: skip
    assert found[-1]["accuracy"] == 0.6


@pytest.mark.parametrize("width", [80, 120])
def test_live_table_fits_and_tells(width: int) -> None:
    clock = Clock()
    console = Console(width=width, height=30, file=io.StringIO(), force_terminal=True)
    view = progress.Live(4, console, "kitchen: 64-32-10 fedboard, fedavg", clock)
    play(view, clock)
    view(events.BoardLeft("board-1", "the port is gone: is it plugged in?"))
    clock.now_s += 3
    text = Console(width=width, height=30, file=io.StringIO())
    shown = rendered(view, text)
    lines = shown.splitlines()
    assert all(len(line) <= width for line in lines)
    first = next(line for line in lines if "board-0" in line)
    assert all(part in first for part in ("training", "4.0 s", "20/40", "33.2", "75.0 %"))
    assert "gone" in next(line for line in lines if "board-1" in line)
    assert "round 2/4" in shown
    assert "70.0 %" in shown
    assert "400 B a board and round" in shown
    assert "ETA" in shown


def test_live_with_too_many_boards_keeps_the_footer() -> None:
    clock = Clock()
    console = Console(width=80, height=24, file=io.StringIO())
    view = progress.Live(4, console, "", clock)
    play(view, clock, 40, 1)
    shown = rendered(view, console)
    assert len(shown.splitlines()) <= 24
    assert "and 24 more" in shown
    assert "round 1/4" in shown


def test_live_on_a_console_without_unicode() -> None:
    clock = Clock()
    file = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    console = Console(width=80, height=24, file=file, legacy_windows=False)
    view = progress.Live(4, console, "", clock)
    play(view, clock)
    bar = next(line for line in rendered(view, console).splitlines() if "round 2/4" in line)
    bar.encode("cp1252")
    assert "##########.........." in bar


def test_nothing_to_show_yet() -> None:
    console = Console(width=80, height=24, file=io.StringIO())
    shown = rendered(progress.Live(4, console, "", Clock()), console)
    assert "waiting" in shown


def test_view_that_suits(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(progress.make(3, as_json=True), progress.Json)
    assert isinstance(progress.make(3, file=io.StringIO()), progress.Plain)
    with progress.make(3, file=io.StringIO()) as view:
        view.note("hello")


def test_words() -> None:
    assert progress.size(999) == "999 B"
    assert progress.size(1234567) == "1.2 MB"
    assert progress.span(59.4) == "59 s"
    assert progress.span(61) == "1 min 1 s"
    assert progress.span(3700) == "1 h 1 min"
    assert progress.spark([0, 1, 2, 3], 8) == "▁▃▆█"
    assert progress.spark([1, 1], 8) == "▁▁"
    assert len(progress.spark([float(n) for n in range(100)], 20)) == 20
