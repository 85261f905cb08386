"""`fedboard deploy`: options in, boards up to date out. See the package deploy."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fedboard import DataError, FedboardError
from fedboard_host.config_values import is_port

if TYPE_CHECKING:
    from fedboard_host.config import Home
    from fedboard_host.deploy.plan import Result, Wish
    from fedboard_host.deploy.targets import Place

_PATH = click.Path(path_type=Path)
_MAX_AT_ONCE = 8
PASSWORD = "FEDBOARD_WIFI_PASSWORD"


@click.command()
@click.argument("boards", nargs=-1, metavar="[BOARD]...")
@click.option("--home", type=_PATH, help="A home.toml: its boards' names, and its key.")
@click.option("--mpy", is_flag=True, help="Compile first: starts faster, needs less memory.")
@click.option("--autostart/--no-autostart", default=True, show_default=True, help="At boot.")
@click.option("--name", default="", help="The board's name.")
@click.option("--key-file", type=_PATH, help="The federation's key.")
@click.option("--mask-key", type=_PATH, help="Hides updates from the host: docs/privacy.md.")
@click.option("--host", metavar="ADDRESS:PORT", default="", help="Dial it; more than one: commas.")
@click.option("--wifi", metavar="SSID", default="", help=f"Its password: asked, or ${PASSWORD}.")
@click.option("--sensor", metavar="MODULE", default="", help="The board's module with read().")
@click.option("--anew", is_flag=True, help="Change the settings of a board that has some.")
@click.option(
    "--wait",
    "wait_s",
    default=60.0,
    show_default=True,
    type=click.FloatRange(0, 3600),
    help="Seconds for a board to say hello after its restart; 0: do not wait.",
)
def deploy(
    boards: tuple[str, ...],
    home: Path | None,
    mpy: bool,
    autostart: bool,
    anew: bool,
    wait_s: float,
    as_json: bool,
    **settings: Any,
) -> None:
    """Put fedboard onto BOARDs, all at once: ports, names, CIRCUITPY drives; none: all there are.

    A board's own files stay: its samples, its model, its fedboard.json, which is written once.
    """
    from fedboard_host import keyfile, paths
    from fedboard_host.deploy import files, targets
    from fedboard_host.deploy.plan import Wish

    chosen = _home(home)
    key_file = settings.pop("key_file") or (chosen.key_file if chosen else None)
    key = keyfile.read(key_file) if key_file else None
    places = targets.find(boards, chosen.boards if chosen else (), key)
    if settings["name"] and len(places) > 1:
        raise DataError("--name names one board: say which, by its port or its present name")
    mask_key = settings.pop("mask_key")
    common = settings_of(key, **settings)
    if mask_key is not None:
        common["mask_key"] = keyfile.read(mask_key).hex()
    if chosen is not None and chosen.sensor and "sensor" not in common:
        common["sensor"] = chosen.sensor
    wish = Wish(files.sources(paths.device_dir()), mpy, autostart, common, anew)
    failed = _deploy_all(places, wish, key, wait_s, _show_json if as_json else _show, as_json)
    if failed:
        raise click.exceptions.Exit(1)


def add_to(group: click.Group, json_option: Callable[[Any], Any]) -> None:
    group.add_command(json_option(deploy))


def _home(path: Path | None) -> Home | None:
    if path is None:
        return None
    from fedboard_host import config

    return config.load(path)


def settings_of(key: bytes | None, name: str, host: str, wifi: str, sensor: str) -> dict[str, Any]:
    """fedboard.json's, of those that were given."""
    found: dict[str, Any] = {}
    if name:
        found["name"] = name
    if host:
        for part in host.split(","):
            address, _, port = part.strip().rpartition(":")
            if not address or not is_port(port):
                raise DataError(f"--host {part}: use ADDRESS:PORT, like laptop.local:4850")
        if key is None:
            raise DataError("a network needs a key: make one with `fedboard key`, give --key-file")
        found |= {"link": "tcp", "host": host}
    if key is not None:
        found["key"] = key.hex()
    if wifi:
        password = os.environ.get(PASSWORD)
        if password is None:
            password = click.prompt(f"Password of the WiFi {wifi}", hide_input=True, err=True)
        found["wifi"] = {"ssid": wifi, "password": password}
    if sensor:
        found["sensor"] = {"module": sensor.removesuffix(".py")}
    return found


def _deploy_all(
    places: list[Place],
    wish: Wish,
    key: bytes | None,
    wait_s: float,
    show: Callable[[Result], None],
    as_json: bool,
) -> int:
    """All at once. How many failed."""
    from dataclasses import replace

    from fedboard_host.deploy import plan, rejoin

    lines = _Lines(quiet=as_json)

    def one(place: Place) -> Result:
        settings = wish.settings | ({"name": place.name} if place.name else {})
        target = place.open()
        try:
            result = plan.deploy(
                target, replace(wish, settings=settings), lambda text: lines.tell(place.where, text)
            )
        finally:
            target.close()
        if wait_s and wish.autostart and not (place.is_drive or result.dials):
            lines.tell(place.where, "waiting for its hello")
            found = rejoin.wait(place.where, key, wait_s)
            result.answers = found.name
            if found.state == "denied":
                result.notes.append(f"it answers, but stays out: {found.why}")
        return result

    failed = 0
    with ThreadPoolExecutor(min(_MAX_AT_ONCE, len(places))) as pool:
        running = {pool.submit(one, place): place for place in places}
        for done in as_completed(running):
            try:
                result = done.result()
            except FedboardError as error:
                failed += 1
                lines.clear()
                if as_json:
                    click.echo(json.dumps({"board": running[done].where, "error": str(error)}))
                click.echo(f"fedboard: {error}", err=True)
            else:
                lines.clear()
                show(result)
    return failed


class _Lines:
    """How far it is: one line that is written over, on a terminal only."""

    def __init__(self, quiet: bool) -> None:
        self._lock = threading.Lock()
        self._quiet = quiet or not sys.stderr.isatty()

    def tell(self, board: str, text: str) -> None:
        if not self._quiet:
            with self._lock:
                click.echo(f"\r\x1b[K{board}: {text}"[:110], nl=False, err=True)

    def clear(self) -> None:
        if not self._quiet:
            with self._lock:
                click.echo("\r\x1b[K", nl=False, err=True)


def _show_json(result: Result) -> None:
    click.echo(json.dumps(asdict(result)))


def _show(result: Result) -> None:
    what = f"{len(result.written)} files written, {result.n_bytes / 1024:.0f} KiB"
    if not result.written:
        what = f"all {result.n_files} files were up to date"
    removed = f", {len(result.removed)} old ones removed" if result.removed else ""
    settings = f", settings {result.settings}" if result.settings else ""
    back = f", answers as {result.answers}" if result.answers else ""
    click.echo(f"{result.board}: {result.firmware}: {what}{removed}{settings}; restarted{back}")
    if result.dials:
        click.echo("    it dials the host: `fedboard run` and `fedboard boards --listen` show it")
    for note in result.notes:
        click.echo(f"    {note}")
