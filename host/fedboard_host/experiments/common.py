"""What experiments share: rows of results, intervals, tables, files and the frame of a plot.

A row is one figure of one seed; inf is an error that diverged, or a goal never reached. Tables show
the mean over seeds with a 95 % interval (Student's t) beside the published figure, where there is
one. A CSV and a file of JSON lines hold the same rows.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from fedboard import DataError
from fedboard_host.export import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind can tell apart, and dashes to go with them.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "x")

# The 97.5 % points of Student's t for 1 to 30 degrees of freedom.
_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One figure. seed None: it has none, it was measured once. bytes_up: of all rounds."""

    experiment: str
    variant: str
    seed: int | None
    metric: str
    published: float | None
    ours: float
    bytes_up: int | None = None
    rounds: int | None = None
    seconds: float | None = None
    bytes_down: int | None = None
    settings: str = ""  # what they were, as a digest: see kept


def interval(values: Sequence[float]) -> tuple[float, float]:
    """(mean, half the width of its 95 % interval); nan for the latter with fewer than two."""
    n = len(values)
    mean = sum(values) / n
    if n < 2:
        return mean, math.nan
    variance = sum((v - mean) ** 2 for v in values) / (n - 1)
    return mean, _T[min(n - 1, len(_T)) - 1] * math.sqrt(variance / n)


def show(value: float, half: float = math.nan) -> str:
    """A figure with as many digits as its interval deserves."""
    if not math.isfinite(value):
        return "∞"
    digits = 3 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    if math.isfinite(half) and 0 < half < 0.01:
        digits = 4
    text = f"{value:,.{digits}f}"
    return text if math.isnan(half) else f"{text} ± {half:,.{digits}f}"


def table(rows: Sequence[Row]) -> list[str]:
    """Markdown lines, one for each metric and variant, in the order in which rows bring them."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for metric in dict.fromkeys(row.metric for row in rows):
        for row in rows:
            if row.metric == metric:
                groups.setdefault((metric, row.variant), []).append(row)
    cells = [
        ["metric", "variant", "published", "ours", "difference", "seeds", "kB up", "kB down",
         "rounds"]
    ]  # fmt: skip
    for (metric, variant), group in groups.items():
        finite = [row.ours for row in group if math.isfinite(row.ours)]
        mean, half = interval(finite) if finite else (math.inf, math.nan)
        ours = show(mean, half)
        if 0 < len(finite) < len(group):
            ours += f"; ∞ for {len(group) - len(finite)}"
        published = group[0].published
        rounds = [row.rounds for row in group if row.rounds is not None]
        cells.append(
            [
                metric,
                variant,
                "–" if published is None else show(published),
                ours,
                "–" if published is None else f"{mean - published:+.3f}",
                "–" if group[0].seed is None else str(len(group)),
                _kilobytes([row.bytes_up for row in group]),
                _kilobytes([row.bytes_down for row in group]),
                f"{max(rounds):,}" if rounds else "–",
            ]
        )
    widths = [max(len(line[k]) for line in cells) for k in range(len(cells[0]))]
    cells.insert(1, ["-" * width for width in widths])
    return [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in cells
    ]


def _kilobytes(sent: Sequence[int | None]) -> str:
    known = [n for n in sent if n is not None]
    return f"{sum(known) / len(known) / 1000:,.0f}" if known else "–"


def finish(
    name: str,
    rows: Sequence[Row],
    out_dir: Path,
    as_json: bool,
    headlines: Sequence[str] = ("",),
    file: TextIO | None = None,
) -> None:
    """save() all rows; print the table, or as_json an object a line.

    headlines: how the metrics begin that the table shows.
    """
    lines = save(name, rows, out_dir)
    shown = [row for row in rows if row.metric.startswith(tuple(headlines))]
    for line in lines if as_json else table(shown):
        print(line, file=file or sys.stdout)


def save(name: str, rows: Sequence[Row], out_dir: Path) -> list[str]:
    """Write NAME.csv and NAME.jsonl with all rows so far; returns the latter's lines."""
    out_dir.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Row)])
    writer.writerows(["" if v is None else v for v in asdict(row).values()] for row in rows)
    write_whole(out_dir / f"{name}.csv", text.getvalue().encode())
    lines = [json.dumps(_told(row)) for row in rows]
    write_whole(out_dir / f"{name}.jsonl", "".join(line + "\n" for line in lines).encode())
    return lines


def read(path: Path) -> list[Row]:
    """The rows of a .jsonl file. Raises DataError."""
    try:
        lines = path.read_text("utf-8").splitlines()
        rows = [Row(**json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: no rows of an experiment: {error}") from None
    return [replace(row, ours=math.inf) if row.ours is None else row for row in rows]


def _told(row: Row) -> dict[str, object]:
    """JSON knows neither inf nor nan: null then. Settings that nobody knows are left out."""
    values = {k: v for k, v in asdict(row).items() if k != "settings" or v}
    bad = [k for k, v in values.items() if isinstance(v, float) and not math.isfinite(v)]
    return {**values, **dict.fromkeys(bad)}


class Clock:
    """Seconds since it was made, and progress on stderr: at most a line every few seconds."""

    def __init__(self, name: str, quiet: bool = False) -> None:
        self._name = name
        self._quiet = quiet
        self._start = self._told = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def tell(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if self._quiet or (now - self._told < 5 and done < total):
            return
        self._told = now
        text = f"{self._name}: {what}: {done:,} of {total:,} ({self.seconds:.0f} s)"
        print(text, file=sys.stderr, flush=True)


def draw(path: Path, paint: Callable[[Figure], None], width: float, height: float) -> bool:
    """Write the PNG that paint(figure) draws; without matplotlib say so on stderr: False."""
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        print(f"no {path.name}: plots need pip install 'fedboard[plots]'", file=sys.stderr)
        return False
    with rc_context({"font.size": 11, "axes.titlesize": 12, "legend.fontsize": 9}):
        figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure)
        data = io.BytesIO()
        figure.savefig(data, format="png")
    write_whole(path, data.getvalue())
    return True
