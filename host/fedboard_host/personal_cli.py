"""`fedboard personalize` and `evaluate`: how good is the global model for each board, and its own?

Both work on the boards, with their own samples; only counts of right answers come here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fedboard import DataError
from fedboard_host import adaptation, asking
from fedboard_host.asking import Asked
from fedboard_host.units import percent

if TYPE_CHECKING:
    from fedboard import messages
    from fedboard_host.history import History

WRONG_TOO_OFTEN = 0.8  # a global model with fewer right answers holds a blended one back


@click.command()
@click.argument("board")
@click.option("--shots", default=adaptation.SHOTS, show_default=True, type=click.IntRange(1, 255))
@click.option(
    "--passes", default=adaptation.PASSES, show_default=True, type=click.IntRange(1, 1000)
)
@click.option(
    "--rate", default=0, type=click.IntRange(0, 65535),
    help="As a strategy's: of integer rules a shift, more is slower.  [default: the rule's own]",
)
@click.option(
    "--jitter", default=adaptation.JITTER, show_default=True, type=click.IntRange(0, 127),
    help="Learn each feature with a random number of at most so much added, anew every time.",
)
@click.option(
    "--blend/--no-blend", "is_blended", default=True, show_default=True,
    help="Answer with the mean of the personal model and the global one.",
)
@click.option(
    "--seed", default=adaptation.SEED, show_default=True, type=click.IntRange(0, 0xFFFFFFFF)
)
@click.option("--undo", is_flag=True, help="Back to the global model.")
@asking.options
def personalize(
    board: str,
    shots: int,
    passes: int,
    rate: int,
    jitter: int,
    is_blended: bool,
    seed: int,
    undo: bool,
    home: Path | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Fine-tune BOARD's own model: a few of its samples, starting from the global model.

    SHOTS samples of each label are learned, PASSES times; all others judge it, before and after.
    The result stays on the board, for its predictions; federation goes on with the global model.
    """
    import asyncio

    from fedboard import messages

    who = Asked.of(home, key_file)
    if undo:
        name = asyncio.run(_forget(who, board))
        click.echo(json.dumps({"board": name, "personal": False}) if as_json else
                   f"{name}: back to the global model")  # fmt: skip
        return
    model = who.model()
    task = adaptation.task(
        model.spec.rule if model else "", model.spec.sizes[-1] if model else len(who.labels),
        shots=shots, passes=passes, rate=rate, jitter=jitter, is_blended=is_blended, seed=seed,
    )  # fmt: skip
    name, said = asyncio.run(_personalize(who, board, task, model))
    before, after = said.n_correct_before / said.n, said.n_correct / said.n
    if as_json:
        told = {"board": name, "version": said.version, "learned": said.n_support, "judged": said.n}
        told |= {"loss_before": said.loss_before / 1000, "loss": said.loss / 1000}
        click.echo(json.dumps({**told, "before": round(before, 4), "after": round(after, 4)}))
        return
    click.echo(
        f"{name}: global model {said.version}, {said.n_support} samples learned, judged by the "
        f"other {said.n}\n"
        f"    before {percent(before):>8}   loss {said.loss_before / 1000:.3f}\n"
        f"    after  {percent(after):>8}   loss {said.loss / 1000:.3f}"
    )
    is_worse = (after, -said.loss) < (before, -said.loss_before)
    worse = "It got worse. " if is_worse else ""
    click.echo(f"    {worse}Undo with: fedboard personalize {board} --undo")
    if task.flags & messages.BLEND and before < WRONG_TOO_OFTEN:
        click.echo("    The global model is often wrong here: --no-blend may do better.")


async def _personalize(
    who: Asked, board: str, task: messages.Task, model: History | None
) -> tuple[str, messages.Metrics]:
    async with who.reach() as reach:
        talk = await reach.board(board)
        return talk.name, await talk.work(task, model)


async def _forget(who: Asked, board: str) -> str:
    from fedboard import messages

    async with who.reach() as reach:
        talk = await reach.board(board)
        await talk.work(messages.Task(op=messages.FORGET))
        return talk.name


@dataclass(frozen=True)
class Row:
    """A board's accuracy on all of its samples. personal: None: it has no personal model."""

    board: str
    version: int = 0
    n: int = 0
    accuracy: float | None = None
    personal: float | None = None
    problem: str = ""


@click.command()
@click.argument("boards", nargs=-1, metavar="[BOARD]...")
@asking.options
def evaluate(
    boards: tuple[str, ...], home: Path | None, key_file: Path | None, as_json: bool
) -> None:
    """Judge the newest global model on each board's own samples; without BOARDs, on all.

    They include those that the board learned from. A board that lacks the model is sent it.
    """
    import asyncio

    who = Asked.of(home, key_file)
    names = boards or tuple(board.name for board in (who.home.boards if who.home else ()))
    if not names:
        raise DataError("which boards? Name them, or list them in home.toml")
    rows = asyncio.run(_evaluate(who, names))
    if as_json:
        for row in rows:
            click.echo(json.dumps(asdict(row)))
    else:
        click.echo(_table(rows))
    if all(row.problem for row in rows):
        raise click.exceptions.Exit(1)


async def _evaluate(who: Asked, names: tuple[str, ...]) -> list[Row]:
    import asyncio

    model = who.model()
    async with who.reach() as reach:
        return list(await asyncio.gather(*(_judge(reach, name, model) for name in names)))


async def _judge(reach: Any, name: str, model: History | None) -> Row:
    from fedboard import FedboardError, messages

    try:
        talk = await reach.board(name)
        said = await talk.work(messages.Task(op=messages.EVALUATE), model)
    except FedboardError as error:
        return Row(name, problem=str(error))
    personal = None
    try:
        own = await talk.work(messages.Task(op=messages.EVALUATE, flags=messages.PERSONAL))
        personal = own.n_correct / own.n
    except FedboardError:
        pass  # it has none
    return Row(talk.name, said.version, said.n, said.n_correct / said.n, personal)


def _table(rows: list[Row]) -> str:
    lines = [f"{'board':16} {'version':>7} {'samples':>8} {'global':>9} {'personal':>9}"]
    judged = [row for row in rows if row.accuracy is not None]
    for row in rows:
        if row.accuracy is None:
            lines.append(f"{row.board:16} {row.problem}")
        else:
            own = percent(row.personal) if row.personal is not None else "-"
            lines.append(
                f"{row.board:16} {row.version:7} {row.n:8} {percent(row.accuracy):>9} {own:>9}"
            )
    if len(judged) > 1:
        mean = sum(row.accuracy or 0.0 for row in judged) / len(judged)
        lines.append(f"{'mean':16} {'':7} {'':8} {percent(mean):>9}")
    return "\n".join(lines)


def add_to(cli: click.Group, json_option: Callable[[Any], Any]) -> None:
    """Give the `fedboard` command these."""
    for command in (personalize, evaluate):
        cli.add_command(json_option(command))
