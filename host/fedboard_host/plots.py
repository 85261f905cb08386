"""Pictures of a run: accuracy and bytes over rounds, as a PNG. Needs matplotlib: fedboard[plots].

Drawn without any global state of pyplot, so it works in any thread and without a display. Colours
are Okabe and Ito's, which the colour-blind can tell apart; lines differ in their dashes too.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedboard import DataError
from fedboard_host.export import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY, SKY = "#0072B2", "#D55E00", "#009E73", "#555555", "#56B4E9"


@dataclass(frozen=True)
class Level:
    """A horizontal line to compare with, e.g. what central training reaches (0 to 1)."""

    label: str
    accuracy: float
    colour: str
    dash: str = "--"


@dataclass(frozen=True)
class Dense:
    """What one board would send in a round without sparse updates, in bytes of parameters."""

    label: str
    n_bytes: int
    colour: str
    dash: str = "--"


def run_picture(
    path: Path,
    rounds: Sequence[dict[str, Any]],
    *,
    title: str,
    levels: Sequence[Level] = (),
    dense: Sequence[Dense] = (),
    means: tuple[float, float],
) -> None:
    """Write the PNG, with its legend as its Description, for whoever cannot see it.

    rounds: as Store.rounds() gives them, the fields of events.RoundClosed. means: bytes up and down
    per board and round, with what came between the rounds.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise DataError("plots need matplotlib: pip install 'fedboard[plots]'") from None
    with rc_context({"font.size": 12, "font.family": "sans-serif", "axes.titlesize": 13}):
        figure = Figure(figsize=(9, 8), dpi=130, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, fontsize=14)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        _draw_accuracy(top, rounds, levels)
        _draw_bytes(bottom, rounds, dense, means)
        _save(figure, path)


def _draw_accuracy(axes: Axes, rounds: Sequence[dict[str, Any]], levels: Sequence[Level]) -> None:
    known = [(r["round"], 100 * r["accuracy"]) for r in rounds if r["accuracy"] is not None]
    axes.set_ylabel("held-out samples\nclassified right (%)")
    axes.grid(True, alpha=0.3)
    for level in levels:
        axes.axhline(
            100 * level.accuracy, color=level.colour, linestyle=level.dash, linewidth=1.8,
            label=f"{level.label}: {100 * level.accuracy:.1f} %",
        )  # fmt: skip
    if known:
        x, y = zip(*known, strict=True)
        axes.plot(
            x, y, color=BLUE, linewidth=2.2, marker="o", markersize=3.5 if len(x) < 80 else 0,
            label=f"merged model: {y[-1]:.1f} %",
        )  # fmt: skip
        axes.set_ylim(0, 102)
        axes.legend(loc="lower right", framealpha=0.95)
    else:
        axes.text(0.5, 0.5, "not evaluated", ha="center", va="center", transform=axes.transAxes)


def _draw_bytes(
    axes: Axes,
    rounds: Sequence[dict[str, Any]],
    dense: Sequence[Dense],
    means: tuple[float, float],
) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.set_xlabel("round")
    axes.set_ylabel("per board and round\n(1 kB = 1000 bytes)")
    axes.set_yscale("log")
    axes.grid(True, which="major", alpha=0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for line in dense:
        axes.axhline(
            line.n_bytes, color=line.colour, linestyle=line.dash, linewidth=1.8,
            label=f"{line.label}: {line.n_bytes:,} B".replace(",", "\u202f"),
        )  # fmt: skip
    asked = [r for r in rounds if r["n_boards"]]
    x = [r["round"] for r in asked]
    for mean, key, label, colour, dash in (
        (means[0], "bytes_up", "up, on the wire", BLUE, "-"),
        (means[1], "bytes_down", "down, on the wire", GREEN, "-."),
    ):
        y = [max(1.0, r[key] / r["n_boards"]) for r in asked]
        told = f"{mean:,.0f}".replace(",", "\u202f")
        axes.plot(x, y, color=colour, linestyle=dash, linewidth=2, label=f"{label}: mean {told} B")
    low, high = axes.get_ylim()
    axes.set_ylim(low / 2, high * 6)  # room for the legend
    axes.yaxis.set_major_formatter(EngFormatter(unit="B"))
    axes.legend(loc="upper center", ncols=2, framealpha=0.95)


def _save(figure: Figure, path: Path) -> None:
    data = io.BytesIO()
    labels = [text for axes in figure.axes for text in axes.get_legend_handles_labels()[1]]
    told = "; ".join(labels).replace("\u202f", "")
    figure.savefig(data, format="png", metadata={"Description": told})
    write_whole(path, data.getvalue())
