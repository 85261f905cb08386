"""docs/results.md: every experiment's table, plot, command and notes, made of the rows on file.

    folder/NAME.jsonl    rows, as `fedboard reproduce NAME --out folder` wrote them
    folder/NAME.png      the plot

An experiment's module may have NOTES (Markdown: what was reached, what was tried, what bounds it)
and HEADLINES (how the metrics begin that the table shows), or a table(rows) of its own. All figures
come from the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fedboard_host import experiments
from fedboard_host.experiments import common
from fedboard_host.experiments.common import Row
from fedboard_host.experiments.figures import Missing
from fedboard_host.experiments.goals import GOALS, Goal

FLAGS = ("--shared-arrays",)  # whose rows have a file of their own

_HEAD = """# Results

Made by `.venv/bin/python tools/results.py` from the rows in [results](results), which the command
above each table wrote: tables, plots and what was reached are computed from them; the texts, and
the figures in them, were written by hand. Figures are means over seeds, with 95 % intervals
(Student's t). "Published" are the papers' figures, where there are any. kB: all boards and rounds.
`fedboard reproduce --all --out docs/results` repeats everything, in hours; `--quick` shows in
seconds that it works, and `--resume` goes on with a long one that was stopped. Settings were chosen
on validation data, never on what the tables show.

## The data
{data}

Without a data set an experiment takes scikit-learn's digits, or makes its tasks, and says so.

## What was to be shown
{goals}

"Beyond the aim" has no target of its own: it is what happens where boards are as uneven as homes
are.

That the integer strategies give the same model bits in the simulator, in a federation in memory and
on MicroPython boards, tests show: `tests/test_fleet.py`, `test_demo.py` and `test_golden.py`.
"""

_DATA = """\
Files are sought in a folder `shared/data` beside the checkout, or where `--data` says. They are plain
npz; docs/formats.md tells what else is read.

| name | what | where the original is |
|---|---|---|
| `mnist` | handwritten digits, 60,000 + 10,000 | MNIST, LeCun and Cortes: yann.lecun.com/exdb/mnist |
| `fashion` | clothing, 60,000 + 10,000 | Fashion-MNIST, Zalando Research, MIT: github.com/zalandoresearch/fashion-mnist |
| `omniglot28` | 242 characters of 8 alphabets, 20 drawings each | Omniglot, Lake et al., MIT: github.com/brendenlake/omniglot, the two small background sets |
| `fsdd_mfcc` | 3,000 spoken digits of 6 speakers, 20 frames of 13 MFCC | Free Spoken Digit Dataset, CC BY-SA 4.0: github.com/Jakobovski/free-spoken-digit-dataset |
| `gestures_punchflex` | 226 motions of 7 owners of an Arduino Nano 33 BLE, 2 kinds | recordings of public tutorials, licence unclear |
| `gestures_wand` | 253 strokes of 3 people, 3 kinds | the magic wand of TensorFlow Lite's examples, no licence stated |
| `sine` | made up: random waves | Finn et al., 2017 |"""  # noqa: E501


def render(folder: Path) -> str:
    """The page, for a `folder` named results beside it."""
    known = {path.stem: common.read(path) for path in sorted(folder.glob("*.jsonl"))}
    parts = [_HEAD.format(data=_DATA, goals="\n".join(_goals(known)))]
    for name in experiments.NAMES:
        parts.append(_section(name, folder, known))
    return "\n".join(parts)


def _goals(known: dict[str, list[Row]]) -> list[str]:
    lines = ["| experiment | what | target | reached | |", "|---|---|---|---|---|"]
    for goal in GOALS:
        reached, verdict = judge(goal, known.get(goal.results))
        where = f"[{goal.results}](#{goal.results})"
        lines.append(f"| {where} | {goal.says} | {goal.wanted} | {reached} | {verdict} |")
    return lines


def judge(goal: Goal, rows: Sequence[Row] | None) -> tuple[str, str]:
    """(figure, yes or no) of a goal; without its rows: not run."""
    if rows is None:
        return "–", "not run"
    try:
        value = goal.figure(rows)
    except Missing as error:
        return "–", f"not known: {error}"
    return goal.show(value), "yes" if goal.met(value) else "**no**"


def _section(name: str, folder: Path, known: dict[str, list[Row]]) -> str:
    module = experiments.load(name)
    parts = [f"## {name}", experiments.summary(name) + "."]
    notes = getattr(module, "NOTES", "").strip()
    if notes:
        parts.append(notes)
    headlines = getattr(module, "HEADLINES", ("",))
    for flag in ("", *FLAGS):
        stem = name + flag.replace("--", "-", 1)
        if stem not in known:
            continue
        if flag:
            parts.append(f"### {stem}")
        rows = [row for row in known[stem] if row.metric.startswith(tuple(headlines))]
        parts.append(f"```\n{_command(name, flag, known[stem])}\n```")
        if (folder / f"{stem}.png").exists():
            parts.append(f"![{stem}: plot](results/{stem}.png)")
        parts.append("\n".join(getattr(module, "table", common.table)(rows)))
    if name not in known:
        parts.append(f"Not run yet: `fedboard reproduce {name} --out docs/results`.")
    return "\n\n".join(parts) + "\n"


def _command(name: str, flag: str, rows: Sequence[Row]) -> str:
    seeds = len({row.seed for row in rows if row.seed is not None})
    usual = experiments.seeds(name)
    words = ["fedboard reproduce", name, flag, f"--seeds {seeds}" if seeds != usual else ""]
    return " ".join([word for word in words if word] + ["--out docs/results"])
