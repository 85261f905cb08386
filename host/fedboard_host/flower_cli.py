"""`fedboard flower-demo` and `flower-app`: many homes through Flower. See docs/homes.md."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

_PATH = click.Path(path_type=Path)


@click.command("flower-demo")
@click.option("--homes", default=3, show_default=True, type=click.IntRange(1, 16))
@click.option("--boards", default=4, show_default=True, type=click.IntRange(1, 16), help="A home.")
@click.option("--rounds", default=8, show_default=True, type=click.IntRange(1, 1000))
@click.option(
    "--home-rounds", default=10, show_default=True, type=click.IntRange(1, 1000),
    help="Of a home's boards, for each of Flower's.",
)  # fmt: skip
@click.option("--seed", default=2, show_default=True, type=click.IntRange(0, 0xFFFFFFFF))
@click.option("--out", type=_PATH, default=Path("fedboard-homes"), show_default=True)
def flower_demo(out: Path, as_json: bool, **options: int) -> None:
    """Homes of virtual boards learn together through Flower, on this machine alone."""
    from fedboard import DataError
    from fedboard_host.flower import demo
    from fedboard_host.units import percent

    if out.exists():
        raise DataError(f"{out} is there already: name another --out")

    def note(text: str) -> None:
        click.echo(text, err=True)

    s = demo.run(demo.Options(**options), out, note)
    if as_json:
        click.echo(json.dumps(asdict(s)))
        return
    many = f"{s.homes} homes of {s.boards_per_home} boards through Flower"
    one = f"all {s.homes * s.boards_per_home} boards in one home"
    click.echo(
        f"Held-out samples classified right, after {s.rounds} rounds of {s.home_rounds} each:\n"
        f"  {many:<36}{percent(s.accuracy):>8}\n"
        f"  {one:<36}{percent(s.accuracy_one_home):>8}\n"
        f"Bytes per home and round: up {s.bytes_up_per_home_round:.0f}, "
        f"down {s.bytes_down_per_home_round:.0f}; dense int16 {s.bytes_dense_int16}\n"
        f"{s.seconds_flower:.0f} s with Flower; see {s.folder}"
    )


@click.command("flower-app")
@click.argument("folder", type=_PATH)
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="A setting, see there.")
def flower_app(folder: Path, pairs: tuple[str, ...], as_json: bool) -> None:
    """Write FOLDER for `flwr run FOLDER`: the ServerApp and ClientApp of fedboard's homes."""
    from fedboard_host.flower import app

    app.write(folder, app.parse(pairs))
    if as_json:
        click.echo(json.dumps({"written": str(folder / "pyproject.toml")}))
    else:
        click.echo(f"{folder / 'pyproject.toml'}: settings are in its last table")


def add_to(cli: click.Group, json_option: Callable[[Any], Any]) -> None:
    """Give the `fedboard` command these two."""
    for command in (flower_demo, flower_app):
        json_option(command)
        cli.add_command(command)
