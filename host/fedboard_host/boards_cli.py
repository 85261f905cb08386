"""`fedboard boards`: what is plugged in or on the network, and is it alive."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fedboard import DataError
from fedboard_host.config_values import is_port
from fedboard_host.units import ago, size

if TYPE_CHECKING:
    from fedboard_host.discover import Finding
    from fedboard_host.presence import Presence

_PATH = click.Path(path_type=Path)
_HOME = Path("home.toml")


@click.command()
@click.argument("ports", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Ports that are not USB, too.")
@click.option("--labels", is_flag=True, help="Ask how many samples of each label they have.")
@click.option("--start", is_flag=True, help="Start fedboard on boards that do not answer.")
@click.option(
    "--home", type=_PATH, help="A home.toml or a run's folder: its boards.  [default: home.toml]"
)
@click.option("--listen", metavar="ADDRESS:PORT", help="Also wait for boards that dial in.")
@click.option("--seconds", default=35.0, show_default=True, help="How long to --listen.")
@click.option("--key-file", type=_PATH, help="The federation's key.")
def boards(
    ports: tuple[str, ...],
    everything: bool,
    labels: bool,
    start: bool,
    home: Path | None,
    listen: str | None,
    seconds: float,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Show what is plugged in, what a run knows of its boards, and whether they are alive.

    With PORTS, links as in home.toml, only those. Boards on WiFi dial the host that runs: it knows
    when each was last heard. Without one, --listen waits for them.
    """
    import asyncio

    from fedboard_host import discover, keyfile, portowner

    told, home_key, cables = _told(home, bool(ports))
    key_file = key_file or home_key
    key = keyfile.read(key_file) if key_file else None
    where = address(listen) if listen else None
    found = [discover.Finding(port) for port in ports]
    if not ports:
        found = discover.serial_ports(everything)
        seen = {portowner.real_path(finding.port) for finding in found}
        found += [cable for cable in cables if portowner.real_path(cable.port) not in seen]
    began_s = click.get_current_context().obj
    patience_s = None if began_s is None else discover.patience_s(time.monotonic() - began_s)
    found = asyncio.run(discover.knock_on_ports(found, key, start, labels, patience_s))
    if told is not None:
        found = discover.merge(found, discover.of_run(told))
    show = _show_json if as_json else _show_finding
    for finding in found:
        show(finding)
    if not as_json:
        _explain(found, told, bool(where))
    if where:
        if not as_json:
            click.echo(f"listening on {listen} for {seconds:g} s ...")
        asyncio.run(discover.listen(*where, key, seconds, show))


def add_to(cli: click.Group, json_option: Callable[[Any], Any]) -> None:
    """Give the `fedboard` command this one."""
    json_option(boards)
    cli.add_command(boards)


def _told(
    home: Path | None, asks_ports: bool
) -> tuple[Presence | None, Path | None, list[Finding]]:
    """What the run of `home` told, the file of its key, and the cables that it leaves to us."""
    from fedboard_host import discover, presence

    if home is None:
        if asks_ports or not _HOME.is_file():
            return None, None, []
        home = _HOME
    if home.is_dir():
        told = presence.read(home)
        if told is None:
            raise DataError(f"{home} is no folder of a run that has told of its boards")
        return told, None, []
    from fedboard_host import config

    settings = config.load(home)
    key_file = settings.key_file
    if key_file is not None and not key_file.is_file():
        key_file = None
    told = presence.read(settings.folder)
    if told is not None and told.is_live:
        return told, key_file, []
    cables = [
        discover.Finding(board.link, f"{board.name} in {home}")
        for board in settings.boards
        if board.link != "network"
    ]
    return told, key_file, cables


def address(text: str, default: str = "") -> tuple[str, int]:
    """ADDRESS:PORT, or only a port where there is a default address."""
    host, colon, port = text.rpartition(":")
    if not (colon or default) or not is_port(port):
        raise click.BadParameter(f"{text}: use ADDRESS:PORT, like 0.0.0.0:4850")
    return host.strip("[]") or default or "0.0.0.0", int(port)


def _show_json(finding: Finding) -> None:
    from dataclasses import asdict

    click.echo(json.dumps(asdict(finding)))


def _show_finding(f: Finding) -> None:
    title = f"{_shortened(f.port)}  {f.description}".rstrip()
    name = f"{f.name}: " if f.name else ""
    seen = "" if f.last_seen_s is None else f", last seen {ago(f.last_seen_s)} ago"
    if f.state != "here" and not f.firmware:
        click.echo(f"{title}\n    {name}{f.state}{seen}: {f.why}")
        return
    ram = f"{size(f.free_ram)} RAM free" if f.free_ram else "free RAM unknown"
    flash = f"{size(f.free_flash)} flash free" if f.free_flash else "free flash unknown"
    model = f"model version {f.version}" if f.version else "no model yet"
    if f.n_saves:
        model += f" ({f.n_saves} written to flash since its start)"
    samples = f"{f.n_samples} samples of {f.n_in} features" if f.n_samples else "no samples yet"
    if f.labels:
        samples += (
            " (" + ", ".join(f"{n} of {label}" for label, n in sorted(f.labels.items())) + ")"
        )
    state = f.state + (f" ({f.why})" if f.why else "")
    of_run = f", in run {f.run}" if f.run else ""
    click.echo(
        f"{title}\n    {name}{state}{seen}{of_run}\n"
        f"    {f.firmware}, {f.kernels} kernels, {ram}, {flash}\n"
        f"    {samples}, {model}, id {f.uid}"
    )


def _shortened(port: str) -> str:
    """A process without its command line."""
    if not port.startswith("process:"):
        return port
    from fedboard_host import links

    return links.parse(port).name


def _explain(found: Sequence[Finding], told: Presence | None, listens: bool) -> None:
    if told is not None and told.is_live:
        where = f", listening on {told.listen}" if told.listen else ""
        click.echo(f"run {told.name}: round {told.round} of {told.rounds}, goes on{where}")
    elif told is not None:
        click.echo(
            f"run {told.name}: round {told.round} of {told.rounds}, its host stopped "
            f"{ago(told.age_s)} ago"
        )
    if not found and not listens:
        click.echo("no USB serial port: is a board plugged in, with a cable that carries data?")
