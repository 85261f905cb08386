"""`fedboard record`, `samples` and `predict`: a board's sensor and samples, seen from the laptop.

Samples stay on the board: what comes here are counts, labels and predictions.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from fedboard_host import asking
from fedboard_host.asking import Asked

_BAR = 20  # blocks of a share of 1
_ALL = 0xFFFFFFFF


@click.command()
@click.argument("board")
@click.option("--label", required=True, help="What is being shown: a label of home.toml, a number.")
@click.option("--seconds", type=click.FloatRange(0.1, 86_400), help="[default: 20]")
@click.option("--samples", "n", type=click.IntRange(1, 1_000_000), help="Stop after so many.")
@click.option(
    "--countdown", default=3, show_default=True, type=click.IntRange(0, 60),
    envvar="FEDBOARD_COUNTDOWN", help="Seconds before it begins.",
)  # fmt: skip
@asking.options
def record(
    board: str,
    label: str,
    seconds: float | None,
    n: int | None,
    countdown: int,
    home: Path | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Record labelled samples on BOARD, from its sensor; Ctrl-C ends it and keeps them."""
    import asyncio

    who = Asked.of(home, key_file)
    number = who.number(label)
    if seconds is None and n is None:
        seconds = 20.0
    asyncio.run(_record(who, board, number, seconds or 0.0, n or 0, countdown, as_json))


async def _record(
    who: Asked, board: str, number: int, seconds: float, n: int, countdown: int, as_json: bool
) -> None:
    import asyncio

    from fedboard import collect

    line = _Line(quiet=as_json)
    async with who.reach() as reach:
        talk = await reach.board(board)
        for left in range(countdown, 0, -1):
            line.show(f"{talk.name}: recording {who.label(number)} in {left} ...")
            await asyncio.sleep(1)
        asked = collect.Record(label=number, n=n, duration_ms=round(1000 * seconds))
        with asking.interrupt(lambda: talk.stop(collect.Stop())), line:
            async for told in talk.ask(asked):
                line.show(f"{talk.name}: {told.n} samples of {who.label(number)}")
                if told.done:
                    break
    if as_json:
        said = {"board": talk.name, "label": number, "name": who.label(number)}
        click.echo(json.dumps({**said, "recorded": told.n, "samples": told.n_all}))
    else:
        click.echo(
            f"{talk.name}: {told.n} samples of {who.label(number)} recorded, {told.n_all} in all"
        )
        if not told.n:
            click.echo("    none was complete in that time: a sample is a whole window of readings")


@click.command()
@click.argument("board")
@click.option("--list", "lists", is_flag=True, help="All samples in their order.")
@click.option("--remove-label", metavar="LABEL", help="Delete the samples with this label.")
@click.option("--remove-last", metavar="N", type=click.IntRange(1), help="Delete the newest N.")
@click.option("--remove-all", is_flag=True, help="Delete all samples.")
@asking.options
def samples(
    board: str,
    lists: bool,
    remove_label: str | None,
    remove_last: int | None,
    remove_all: bool,
    home: Path | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Show how many samples of each label BOARD has; list or delete them."""
    import asyncio

    who = Asked.of(home, key_file)
    label = who.number(remove_label) if remove_label is not None else None
    last = _ALL if remove_all else remove_last or 0
    name, n_in, before, after = asyncio.run(_samples(who, board, label, last))
    counts = {number: after.count(number) for number in sorted(set(after))}
    removed = len(before) - len(after)
    if as_json:
        told = {"board": name, "features": n_in, "samples": len(after), "removed": removed}
        named = {who.label(number): n for number, n in counts.items()}
        listed = {"labels": [who.label(number) for number in after]} if lists else {}
        click.echo(json.dumps({**told, "counts": named, **listed}))
        return
    if label is not None or last:
        click.echo(f"{name}: {removed} samples removed")
    click.echo(f"{name}: {len(after)} samples" + (f" of {n_in} features" if after else ""))
    for number, n in counts.items():
        click.echo(f"    {who.label(number):12} {n:6}")
    if lists:
        for first, end in _runs(after):
            click.echo(f"    {first + 1:6} to {end:6}  {who.label(after[first])}")


async def _samples(
    who: Asked, board: str, label: int | None, last: int
) -> tuple[str, int, list[int], list[int]]:
    """The board's name, its features, the labels before and after the removal."""
    from fedboard import collect

    async with who.reach() as reach:
        talk = await reach.board(board)
        n_in, before = await _labels(talk, collect.Labels())
        after = before
        if label is not None or last:
            any_label = collect.ANY if label is None else label
            left, after = await _labels(talk, collect.Remove(label=any_label, n_last=last))
            n_in = left or n_in
        return talk.name, n_in, before, after


async def _labels(talk: Any, message: Any) -> tuple[int, list[int]]:
    found: list[int] = []
    async for runs in talk.ask(message):
        for at in range(0, len(runs.runs), 3):
            label, low, high = runs.runs[at : at + 3]
            found += [label] * (low + 256 * high)
        if not runs.more:
            return runs.n_in, found
    raise AssertionError("answers end with an error or with the last one")


def _runs(labels: Sequence[int]) -> list[tuple[int, int]]:
    """(first, end) of equal labels in a row."""
    found: list[tuple[int, int]] = []
    for i, label in enumerate(labels):
        if found and labels[found[-1][0]] == label:
            found[-1] = (found[-1][0], i + 1)
        else:
            found.append((i, i + 1))
    return found


@click.command()
@click.argument("board")
@click.option("--count", default=0, type=click.IntRange(0), help="Stop after so many; 0: Ctrl-C.")
@asking.options
def predict(
    board: str, count: int, home: Path | None, key_file: Path | None, as_json: bool
) -> None:
    """Show live what BOARD's sensor sees, as its model understands it, until Ctrl-C.

    The personal model if there is one (see personalize), else the global one as the board has it.
    """
    import asyncio

    asyncio.run(_predict(Asked.of(home, key_file), board, count, as_json))


async def _predict(who: Asked, board: str, count: int, as_json: bool) -> None:
    import asyncio

    from fedboard import collect

    async with who.reach() as reach:
        talk = await reach.board(board)
        over = asyncio.Event()
        task = asyncio.create_task(_show_predictions(who, talk, count, as_json))

        def stop() -> None:
            over.set()
            with contextlib.suppress(Exception):
                talk.stop(collect.Stop())
            task.cancel()

        with asking.interrupt(stop):
            try:
                await task
            except asyncio.CancelledError:
                if not over.is_set():
                    raise


async def _show_predictions(who: Asked, talk: Any, count: int, as_json: bool) -> None:
    from fedboard import collect

    async for told in talk.ask(collect.Predict(n=count), timeout_s=120):
        odds = [(told.shares[i], told.shares[i + 1] / 255) for i in range(0, len(told.shares), 2)]
        if as_json:
            shares = {who.label(k): round(share, 3) for k, share in odds}
            said = {"board": talk.name, "label": who.label(odds[0][0]), "shares": shares}
            click.echo(json.dumps({**said, "version": told.version, "personal": told.personal}))
        else:
            if told.number == 1:
                kind = (
                    "personal model, made from version"
                    if told.personal
                    else "global model, version"
                )
                click.echo(f"{talk.name}: {kind} {told.version}; shares are no odds of being right")
            (best, share), *others = odds
            rest = "  ".join(f"{who.label(k)} {100 * s:.0f} %" for k, s in others[:3])
            bar = "█" * max(1, round(_BAR * share))
            click.echo(f"    {who.label(best):12} {100 * share:3.0f} % {bar:{_BAR}}  {rest}")
        if told.number == count:
            return


class _Line:
    """One line that is written over, on a terminal only."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet or not sys.stderr.isatty()

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.show("")

    def show(self, text: str) -> None:
        if not self._quiet:
            click.echo(f"\r\x1b[K{text}"[:110], nl=False, err=True)


def add_to(cli: click.Group, json_option: Callable[[Any], Any]) -> None:
    """Give the `fedboard` command these."""
    for command in (record, samples, predict):
        cli.add_command(json_option(command))
