"""`fedboard demo`: options in, virtual boards that learn, a summary for people or scripts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fedboard_host.demo import Summary

_PATH = click.Path(path_type=Path)


@click.command()
@click.option(
    "--task",
    default="digits",
    show_default=True,
    type=click.Choice(["digits", "sine", "labels"]),
    help="digits: one model for all; the others: learn to learn a new board's task.",
)
@click.option("--boards", default=0, type=click.IntRange(0, 64), help="0: the task's own, 8 or 16.")
@click.option("--rounds", default=0, type=click.IntRange(0, 10_000), help="0: the strategy's own.")
@click.option("--seed", default=2, show_default=True, type=click.IntRange(0, 0xFFFFFFFF))
@click.option("--strategy", default="", help="See docs/strategies.md.  [default: the task's own]")
@click.option("--top-percent", type=float, help="Of a layer's changes, to send.")
@click.option("--bits", type=int, help="Per value sent: 1 to 8, or 16 for exact.")
@click.option(
    "--runtime",
    default="memory",
    show_default=True,
    type=click.Choice(["memory", "micropython", "cpython"]),
    help="Boards in this process, or each in one of its own.",
)
@click.option("--micropython", default="", metavar="PROGRAM", help="For --runtime micropython.")
@click.option("--key", "keyed", is_flag=True, help="Authenticate every frame with a fresh key.")
@click.option("--secure", is_flag=True, help="Boards mask their updates: see docs/privacy.md.")
@click.option(
    "--compare/--no-compare", default=True, show_default=True, help="With training alone."
)
@click.option("--out", type=_PATH, help="Folder for the results.  [default: fedboard-demo]")
def demo(
    out: Path | None, as_json: bool, keyed: bool, secure: bool, task: str, **options: Any
) -> None:
    """Virtual boards learn real handwriting; no hardware needed, under a minute."""
    import os

    from fedboard.cohort import LEAST, MOST
    from fedboard_host import demo as module
    from fedboard_host import progress

    options["key"] = os.urandom(32) if keyed else None
    if secure and (task != "digits" or options["strategy"] not in ("", "fedavg")):
        raise click.UsageError("--secure is for --task digits and --strategy fedavg")
    if secure and options["bits"] is not None:
        raise click.UsageError("--bits is not for --secure: masked values have 16")
    if secure and not LEAST <= (options["boards"] or LEAST) <= MOST:
        raise click.UsageError(f"--secure needs {LEAST} to {MOST} boards: fewer hide nobody")
    folder = out or _free_folder(Path("fedboard-demo"))
    if task != "digits":
        _meta_demo(task, folder, as_json, options)
        return
    options["mask_key"] = os.urandom(32) if secure else None
    options["boards"] = options["boards"] or 8
    options["strategy"] = options["strategy"] or "fedavg"
    chosen = module.Options(**options)
    title = module.title(chosen)
    with progress.make(module.n_rounds(chosen), title=title, as_json=as_json) as view:
        summary = module.run(chosen, folder, view)
    if as_json:
        progress.final_json(module.as_json(summary))
    else:
        click.echo(_text(summary))


def _meta_demo(task: str, folder: Path, as_json: bool, options: dict[str, Any]) -> None:
    from fedboard_host import metademo, metasummary, progress

    for name in ("top_percent", "bits"):
        if options.pop(name) is not None:
            flag = name.replace("_", "-")
            raise click.UsageError(f"--{flag} is for --task digits: {task} has its own")
    options.pop("compare")
    chosen = metademo.for_task(task, **options)
    title = metademo.title(chosen)
    with progress.make(chosen.n_rounds, title=title, as_json=as_json) as view:
        summary = metademo.run(chosen, folder, view)
    if as_json:
        progress.final_json(metasummary.as_json(summary))
    else:
        click.echo(metasummary.text(summary))


def _free_folder(wanted: Path) -> Path:
    """That folder, or the next number of it that does not exist yet."""
    folder, n = wanted, 2
    while folder.exists():
        folder = wanted.with_name(f"{wanted.name}-{n}")
        n += 1
    return folder


def _text(s: Summary) -> str:
    """The demo's summary for people."""
    from fedboard_host.units import percent

    factor16 = s.bytes_dense_int16 / s.bytes_up_per_board_round
    factor32 = s.bytes_dense_float32 / s.bytes_up_per_board_round
    lines = [
        "",
        f"Held-out samples of all digits classified right, after {s.rounds} rounds:",
        f"  merged model              {percent(s.accuracy):>8}",
    ]
    if s.accuracy_alone_mean is not None and s.accuracy_central is not None:
        lines += [
            f"  each board alone, mean    {percent(s.accuracy_alone_mean):>8}   "
            f"({percent(min(s.accuracy_alone))} to {percent(max(s.accuracy_alone))})",
            f"  all samples in one place  {percent(s.accuracy_central):>8}",
            f"  alone and in one place: the same rule ({s.rule}), samples and number of passes",
        ]
    lines += [
        "",
        "Bytes per board and round:",
        f"  up, on the wire           {s.bytes_up_per_board_round:8.0f}   frames and all; "
        f"the update itself {s.update_bytes_per_board_round:.0f}",
        f"  down, on the wire         {s.bytes_down_per_board_round:8.0f}",
        f"  dense int16               {s.bytes_dense_int16:8d}   {factor16:.1f} times what goes up",
        f"  dense float32             {s.bytes_dense_float32:8d}   {factor32:.1f} times that",
        "",
        *_masked(s),
        f"Model of {s.n_params} parameters, SHA-256 {s.model_sha256[:16]}...; "
        f"{s.boards} boards ({s.runtime}), {s.seconds:.1f} s",
        f"See {s.folder}: demo.png, model.npz, model.h, model.bin, log.sqlite, summary.json",
    ]
    return "\n".join(lines)


def _masked(s: Summary) -> list[str]:
    """What was found of masked updates."""
    if not s.masked:
        return []
    told = ["Updates were masked: the host read only their sum, of 2 bytes a value."]
    if s.rounds_equal is not None:
        told.append(
            f"The model is the one of the same updates in the clear, bit for bit, in "
            f"{s.rounds_equal} of {s.rounds} rounds."
        )
    return [*told, ""]


def add_to(group: click.Group, json_option: Callable[[Any], Any]) -> None:
    group.add_command(json_option(demo))
