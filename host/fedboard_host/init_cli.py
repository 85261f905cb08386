"""`fedboard init`: writes a home.toml by asking four questions, or none if options answer them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fedboard import DataError

if TYPE_CHECKING:
    from fedboard_host.config import BoardEntry
    from fedboard_host.homefile import Answers

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=_PATH, default=Path("home.toml"))
@click.option("--name", help="What the federation is called.")
@click.option(
    "--board", "links", multiple=True, metavar="LINK",
    help="A board's link, like serial:/dev/ttyACM0; usb: all that are plugged in; wifi.",
)  # fmt: skip
@click.option("--layers", help="Features of a sample, hidden units, classes, like 64,32,10.")
@click.option("--evaluate", help="An npz of held-out samples.")
@click.option("--rounds", default=50, show_default=True)
@click.option("--yes", is_flag=True, help="Ask nothing: defaults for what is not said.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
def init(
    file: Path,
    name: str | None,
    links: tuple[str, ...],
    layers: str | None,
    evaluate: str | None,
    rounds: int,
    yes: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write FILE, a commented home.toml, by asking four questions; --yes asks none."""
    from fedboard_host import homefile, keyfile
    from fedboard_host.export import write_whole

    if file.exists() and not force:
        raise DataError(f"{file} exists: choose another name, or --force overwrites it")
    asks = not (yes or as_json)
    answers = homefile.Answers(rounds=rounds)
    default = file.resolve().parent.name
    if name is None and not _is_sound(replace(answers, name=default), file):
        default = answers.name
    answers = _answer(
        "What is the federation called?", name, default, asks, file,
        lambda text: replace(answers, name=text.strip()),
    )  # fmt: skip
    ports = _plugged_in(as_json) if not links or "usb" in links else []
    answers = _answer(
        "Where are the boards: usb, wifi, or both (usb,wifi)?", ",".join(links) or None,
        "usb" if ports else "wifi", asks, file, lambda text: _with_boards(answers, text, ports),
    )  # fmt: skip
    answers = _answer(
        "How many features has a sample, hidden units, classes?", layers, "64,32,10", asks, file,
        lambda text: replace(answers, layers=_numbers(text)),
    )  # fmt: skip
    answers = _answer(
        "Held-out samples to judge each round by, an npz (Enter: none)?", evaluate, "", asks, file,
        lambda text: replace(answers, evaluate=text.strip()),
    )  # fmt: skip
    write_whole(file, homefile.compose(answers, file).encode())
    key = file.parent / answers.key_file if answers.listen else None
    if key is not None and not key.exists():
        keyfile.write(key)
    if as_json:
        boards = [board.name for board in answers.boards]
        click.echo(json.dumps({"written": str(file), "boards": boards, "key": str(key or "")}))
        return
    click.echo(f"{file}: written, with {len(answers.boards)} boards on cables")
    if key is not None:
        click.echo(f"{key}: the key that boards on WiFi need; keep it out of version control")
    click.echo(f"next: fedboard run {file}")


def add_to(cli: click.Group, json_option: Callable[[Any], Any]) -> None:
    """Give the `fedboard` command this one."""
    json_option(init)
    cli.add_command(init)


def _answer(
    question: str,
    given: str | None,
    default: str,
    asks: bool,
    file: Path,
    apply: Callable[[str], Answers],
) -> Answers:
    """The answers with one more, which is judged at once; a wrong one is asked for again."""
    from fedboard_host import homefile

    while True:
        text = given
        if text is None:
            text = _prompt(question, default, file) if asks else default
        try:
            answers = apply(text)
            probe = answers
            if not (answers.boards or answers.listen):  # that question comes later
                probe = replace(answers, listen=homefile.LISTEN)
            homefile.compose(probe, file)
            return answers
        except DataError as error:
            if given is not None or not asks:
                raise
            click.echo(str(error), err=True)


def _prompt(question: str, default: str, file: Path) -> str:
    try:
        return str(click.prompt(question, default=default, err=True))
    except click.Abort:  # Ctrl-C, or the end of the input
        click.echo(err=True)
        raise DataError(f"no answer: {file} is not written (--yes asks nothing)") from None


def _is_sound(answers: Answers, file: Path) -> bool:
    from fedboard_host import homefile

    try:
        homefile.compose(replace(answers, listen=homefile.LISTEN), file)
    except DataError:
        return False
    return True


def _with_boards(answers: Answers, text: str, ports: list[BoardEntry]) -> Answers:
    """usb, wifi and links, with commas in between."""
    from fedboard_host import homefile
    from fedboard_host.config import BoardEntry

    boards: list[BoardEntry] = []
    listen = ""
    for word in (part.strip() for part in text.split(",")):
        if word == "wifi":
            listen = homefile.LISTEN
        elif word == "usb":
            if not ports:
                raise DataError(
                    "no board is plugged in: plug one in (its cable must carry data), "
                    "or say wifi alone"
                )
            boards += ports
        elif word == "both":
            raise DataError("write usb,wifi for both")
        elif word:
            if ":" not in word:
                raise DataError(f"{word}: use usb, wifi, or a link like serial:/dev/ttyACM0")
            boards.append(BoardEntry(f"board{len(boards) + 1}", word))
    return replace(answers, boards=tuple(boards), listen=listen)


def _plugged_in(quiet: bool) -> list[BoardEntry]:
    """The boards on USB, by the names that they have, if they answer."""
    import asyncio

    from fedboard_host import discover
    from fedboard_host.config import BoardEntry

    found = asyncio.run(discover.knock_on_ports(discover.serial_ports()))
    names: list[str] = []
    boards = []
    for n, each in enumerate(found, 1):
        name = each.name if each.name and each.name not in names else f"board{n}"
        names.append(name)
        boards.append(BoardEntry(name, f"serial:{each.port}"))
        if not quiet:
            click.echo(f"found {name} on {each.port} ({each.description})", err=True)
    return boards


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.replace("-", ",").split(",") if part.strip())
    except ValueError:
        raise DataError(f"{text}: use numbers with commas, like 64,32,10") from None
