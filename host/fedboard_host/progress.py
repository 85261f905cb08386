"""What people see while boards learn: a live table, plain lines, or JSON for scripts.

    Live     a terminal: a line a board (state, last seen, samples, loss), rounds, accuracy, bytes
    Plain    not a terminal: a line for each round and for whatever a person should know
    Json     --json: each event as one object a line

A view is a context manager; call it with events as they come: Federation(on_event=view).
Bytes are those on the links, frames, acknowledgements and repeats included.
"""

from __future__ import annotations

import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from fedboard_host import events, jsontext
from fedboard_host.events import Event
from fedboard_host.units import SPARKS, ago, percent, size, span, spark
from fedboard_host.watch import Watch

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live as RichLive

    from fedboard_host.server import BoardView

_STYLES = {
    "training": "cyan",
    "receiving": "blue",
    "sending": "magenta",
    "done": "green",
    "failed": "bold red",
    "gone": "red",
}


class View(ABC):
    """Shows events. Use in a `with`; note() is for words of the command itself."""

    def __enter__(self) -> View:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    @abstractmethod
    def __call__(self, event: Event) -> None: ...

    def watch_boards(self, boards: Callable[[], list[BoardView]]) -> None:
        """Where to ask when a board was last heard: Federation.boards."""
        return None

    def note(self, text: str) -> None:
        self(events.Note("info", text))


def make(
    n_rounds: int, *, title: str = "", as_json: bool = False, file: TextIO | None = None
) -> View:
    """The view that suits where the output goes."""
    out = file or sys.stdout
    if as_json:
        return Json(out)
    if out.isatty():
        from rich.console import Console

        console = Console(file=out)
        if console.is_terminal and not console.is_dumb_terminal:
            return Live(n_rounds, console, title)
    return Plain(n_rounds, out)


class Json(View):
    """One object a line: {"event": "RoundClosed", ...}; see events."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def __call__(self, event: Event) -> None:
        print(jsontext.dumps(events.as_dict(event)), file=self._file, flush=True)


class Plain(View):
    """Lines that read well in a log file."""

    def __init__(
        self, n_rounds: int, file: TextIO, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.watch = Watch(n_rounds, clock)
        self._file = file

    def __call__(self, event: Event) -> None:
        watch = self.watch
        watch.update(event)
        if isinstance(event, events.BoardJoined):
            self._print(
                f"{event.board} joined ({event.firmware or event.link}, "
                f"{event.kernels or 'pure'} kernels, {event.n_samples} samples)"
            )
        elif isinstance(event, events.BoardLeft):
            if not watch.finished:
                self._print(f"{event.board} left: {event.reason}")
        elif isinstance(event, events.BoardState) and event.state == "failed":
            self._print(f"{event.board} failed: {event.detail}")
        elif isinstance(event, events.UpdateReceived) and not event.accepted:
            self._print(f"{event.board}: update of round {event.round} not used: {event.reason}")
        elif isinstance(event, events.RoundClosed):
            self._print(self._round(event))
        elif isinstance(event, events.Note):
            level = "" if event.level == "info" else event.level + ": "
            self._print(level + event.text)
        elif isinstance(event, events.Finished) and event.stopped:
            self._print(f"stopped after round {event.round}: go on with --resume")

    def _round(self, event: events.RoundClosed) -> str:
        parts = [f"round {event.round}/{self.watch.n_rounds}"]
        if event.accuracy is not None:
            parts.append(f"accuracy {percent(event.accuracy)}")
        if event.epsilon is not None:
            parts.append(f"epsilon {event.epsilon:.3g}")
        parts.append(f"{event.n_updates} of {event.n_boards} boards")
        parts.append(f"up {size(event.bytes_up)}, down {size(event.bytes_down)}")
        eta_s = self.watch.eta_s
        if eta_s is not None:
            parts.append(f"about {span(eta_s)} to go")
        return ", ".join(parts)

    def _print(self, text: str) -> None:
        print(text, file=self._file, flush=True)


class Live(View):
    """The live table. rich redraws it from a thread of its own: hence the lock."""

    def __init__(
        self,
        n_rounds: int,
        console: Console,
        title: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.watch = Watch(n_rounds, clock)
        self._console = console
        self._title = title
        self._boards: Callable[[], list[BoardView]] | None = None
        self._lock = threading.Lock()
        self._live: RichLive | None = None
        self._fancy = _can_encode(SPARKS + "━…", console.encoding)

    def __enter__(self) -> View:
        from rich.live import Live as RichLive

        self._live = RichLive(
            get_renderable=self.render, console=self._console, refresh_per_second=8,
            vertical_overflow="crop",
        )  # fmt: skip
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)
            self._live = None

    def watch_boards(self, boards: Callable[[], list[BoardView]]) -> None:
        self._boards = boards

    def __call__(self, event: Event) -> None:
        with self._lock:
            self.watch.update(event)
            if self._boards is not None:
                self._look()
        if isinstance(event, events.Note):
            style = {"warning": "yellow", "error": "bold red"}.get(event.level, "")
            self._console.print(event.text, style=style, markup=False, highlight=False)
        elif isinstance(event, events.UpdateReceived) and not event.accepted:
            text = f"{event.board}: update of round {event.round} not used: {event.reason}"
            self._console.print(text, style="yellow", markup=False, highlight=False)
        elif isinstance(event, events.BoardLeft) and not self.watch.finished:
            text = f"{event.board} left: {event.reason}"
            self._console.print(text, style="yellow", markup=False, highlight=False)

    def _look(self) -> None:
        """Take over when boards were last heard, which few events tell. In the loop's thread."""
        assert self._boards is not None
        for board in self._boards():
            row = self.watch.boards.get(board.name)
            if row is not None:
                row.seen_s = self.watch.clock() - board.last_seen_s

    def render(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        with self._lock:
            parts: list[RenderableType] = []
            if self._title:
                parts.append(Text(self._title, style="bold", no_wrap=True, overflow="ellipsis"))
            parts.append(self._table())
            parts += self._footer()
            return Group(*parts)

    def _table(self) -> RenderableType:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        width = self._console.width
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=False, header_style="bold")
        table.add_column("board", no_wrap=True, max_width=24)
        table.add_column("state", no_wrap=True, min_width=9)
        table.add_column("last seen", justify="right", no_wrap=True)
        table.add_column("samples", justify="right", no_wrap=True)
        table.add_column("loss", justify="right", no_wrap=True)
        table.add_column("right", justify="right", no_wrap=True)
        table.add_column("", no_wrap=True, overflow="ellipsis", max_width=max(10, width - 66))
        rows = sorted(self.watch.boards.values(), key=lambda row: (len(row.name), row.name))
        room = max(1, self._console.height - 8)
        hidden = max(0, len(rows) - room)
        now_s = self.watch.clock()
        for row in rows[: len(rows) - hidden]:
            table.add_row(
                row.name,
                Text(row.state, style=_STYLES.get(row.state, "")),
                ago(now_s - row.seen_s),
                f"{row.done}/{row.total}" if row.total else str(row.n_samples),
                "" if row.loss is None else f"{row.loss:.1f}",
                percent(row.n_correct / row.done) if row.done else "",
                row.notice or self._bar(row.done, row.total, 10),
            )
        if hidden:
            table.add_row(f"and {hidden} more", style="dim")
        if not rows:
            table.add_row("none yet", "waiting", style="dim")
        return table

    def _footer(self) -> list[RenderableType]:
        from rich.text import Text

        watch = self.watch
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"round {watch.round}/{watch.n_rounds} ", style="bold")
        line.append(self._bar(watch.round, watch.n_rounds, 20), style="cyan")
        if watch.accuracies:
            line.append("  accuracy ")
            line.append(percent(watch.accuracies[-1]), style="bold green")
            room = min(40, self._console.width - 60)
            if self._fancy and room >= 8:
                line.append("  " + spark(watch.accuracies, room), style="green")
        each = (
            f" ({size(watch.bytes_up / watch.n_asked)} a board and round)" if watch.n_asked else ""
        )
        numbers = [f"up {size(watch.bytes_up)}{each}", f"down {size(watch.bytes_down)}"]
        numbers.append(f"{span(watch.clock() - watch.started_s)} so far")
        if watch.eta_s is not None:
            numbers.append(f"ETA {span(watch.eta_s)}")
        return [line, Text(", ".join(numbers), style="dim", no_wrap=True, overflow="ellipsis")]

    def _bar(self, done: int, total: int, width: int) -> str:
        if not total:
            return ""
        full = min(width, done * width // total)
        filled, empty = ("━", "┄") if self._fancy else ("#", ".")
        return filled * full + empty * (width - full)


def _can_encode(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True


def final_json(values: dict[str, Any], file: TextIO | None = None) -> None:
    """A command's result as its last line."""
    print(jsontext.dumps(values), file=file or sys.stdout, flush=True)
