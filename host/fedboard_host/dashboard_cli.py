"""`fedboard dashboard` and `fedboard report`: a run as a live page, and as one file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fedboard import DataError

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("run_folder", metavar="RUN", type=_PATH, default=Path("home.toml"))
@click.option("--host", default="127.0.0.1", show_default=True, help="Others can look: 0.0.0.0.")
@click.option("--port", default=4880, show_default=True)
def dashboard(run_folder: Path, host: str, port: int, as_json: bool) -> None:
    """Watch RUN, a home.toml or a run's folder, as a page; any run, whoever runs it.

    On another address than this machine's own the page's address has a token. Its buttons work
    where the run itself serves it: fedboard run --dashboard PORT.
    """
    import asyncio

    from fedboard_host.dashboard.feed import Feed
    from fedboard_host.dashboard.serve import Page, follow

    page = Page(Feed(*_run_of(run_folder)), None, host, port)
    told = {"url": page.url}
    click.echo(json.dumps(told) if as_json else f"{page.url}   (Ctrl-C ends it)")
    asyncio.run(follow(page))


@click.command()
@click.argument("run_folder", metavar="RUN", type=_PATH, default=Path("home.toml"))
@click.option("--out", type=_PATH, help="[default: report.html in the run's folder]")
def report(run_folder: Path, out: Path | None, as_json: bool) -> None:
    """Write RUN, a home.toml or a run's folder, as one HTML file with its plots."""
    from fedboard_host.dashboard import page
    from fedboard_host.dashboard.feed import Feed
    from fedboard_host.export import write_whole

    feed = Feed(*_run_of(run_folder))
    path = out or feed.folder / "report.html"
    state = feed.read()
    write_whole(path, page.report(state).encode())
    told = {"written": str(path), "rounds": len(state.rounds)}
    click.echo(json.dumps(told) if as_json else f"{path}: {len(state.rounds)} rounds")


def add_to(cli: click.Group, json_option: Callable[[Any], Any]) -> None:
    """Give the `fedboard` command these two."""
    for command in (dashboard, report):
        json_option(command)
        cli.add_command(command)


def _run_of(path: Path) -> tuple[Path, tuple[str, ...]]:
    """A run's folder and the names of its classes."""
    if path.is_dir():
        return path, ()
    if not path.exists() and path.suffix != ".toml":
        raise DataError(f"{path}: no such folder of a run (its home.toml will do, too)")
    from fedboard_host import config

    home = config.load(path)
    return home.folder, tuple(home.labels)
