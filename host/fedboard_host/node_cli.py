"""`fedboard node`: this computer, a Raspberry Pi say, as a board. It runs the board's own program.

That program is another room (device/), so it runs as a process of its own, in this one's place
where the system can do that: then its terminal, its signals and its end are ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fedboard import DataError

_PATH = click.Path(path_type=Path)


@click.command()
@click.option(
    "--config", type=_PATH, default=Path("fedboard.json"), show_default=True, help="Its settings."
)
@click.option("--name", default="", help="The board's name.  [default: the computer's]")
@click.option("--host", metavar="ADDRESS:PORT", default="", help="Dial it; more than one: commas.")
@click.option("--key-file", type=_PATH, help="The federation's key.")
@click.option("--sensor", metavar="MODULE", default="", help="adc, digital, mpu6050, your own ...")
def node(config: Path, name: str, host: str, key_file: Path | None, sensor: str) -> None:
    """Be a board: learn from samples here, serve a host over stdin and stdout, or dial one.

    Its settings are as a board's; its data lie beside them, in fedboard_data. The other options
    write the settings, the first time.
    """
    from fedboard_host import keyfile, paths
    from fedboard_host.deploy_cli import settings_of

    key = keyfile.read(key_file) if key_file else None
    wanted = settings_of(key, name, host, "", sensor)
    if wanted:
        _write(config, wanted)
    _become(command(paths.device_dir() / "main.py", config))


def command(main: Path, settings: Path) -> list[str]:
    return [sys.executable, str(main), "--config", str(settings)]


def add_to(group: click.Group, json_option: Callable[[Any], Any]) -> None:
    group.add_command(node)


def _write(path: Path, wanted: dict[str, Any]) -> None:
    if path.exists():
        raise DataError(f"{path} is there already: edit it, or start without these options")
    wanted.setdefault("data_dir", str(path.resolve().parent / "fedboard_data"))
    from fedboard_host import keyfile

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        keyfile.write_private(path, json.dumps(wanted, indent=1) + "\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None


def _become(words: list[str]) -> None:
    """Run this command instead of this process; on Windows, as a child."""
    if os.name != "nt":
        sys.stdout.flush()
        os.execv(words[0], words)
    try:
        status = subprocess.call(words)
    except KeyboardInterrupt:
        status = 130
    raise click.exceptions.Exit(status)
