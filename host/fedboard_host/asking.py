"""What the commands about single boards share: home.toml, the key, labels' names, Ctrl-C.

who = Asked.of(home, key_file)
async with who.reach() as reach: ...
"""

from __future__ import annotations

import contextlib
import difflib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fedboard import DataError

if TYPE_CHECKING:
    from fedboard_host.config import Home
    from fedboard_host.history import History
    from fedboard_host.reach import Reach

HOME = Path("home.toml")
_PATH = click.Path(path_type=Path)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--home and --key-file."""
    for option in (
        click.option("--key-file", type=_PATH, help="The federation's key, without a home.toml."),
        click.option(
            "--home", type=_PATH, help="Where boards and labels are named.  [default: home.toml]"
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class Asked:
    """home: None where there is no home.toml."""

    home: Home | None
    key: bytes | None = field(repr=False)

    @classmethod
    def of(cls, path: Path | None, key_file: Path | None) -> Asked:
        """Read what there is. Raises DataError, also while a run has the boards."""
        from fedboard_host import config, keyfile

        home = config.load(path or HOME) if path or HOME.is_file() else None
        if home is not None:
            key_file = key_file or home.key_file
            _check_free(home.folder)
        return cls(home, keyfile.read(key_file) if key_file else None)

    def reach(self) -> Reach:
        from fedboard_host.reach import Reach

        return Reach(self.home, self.key, lambda text: click.echo(f"fedboard: {text}", err=True))

    def model(self) -> History | None:
        """The newest global model and those before it, None where there was no run."""
        from fedboard_host import reach

        return reach.newest_model(self.home.folder) if self.home is not None else None

    @property
    def labels(self) -> tuple[str, ...]:
        return self.home.labels if self.home is not None else ()

    def number(self, label: str) -> int:
        """The class that `label` names; a number names itself. Raises DataError."""
        if label in self.labels:
            return self.labels.index(label)
        if label.isdigit() and int(label) < 256:
            return int(label)
        near = difflib.get_close_matches(label, self.labels, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(self.labels)}"
        if not self.labels:
            hint = (
                'name the labels in home.toml, [model] labels = ["idle", "wave"], or use a number'
                if self.home is not None
                else "there is no home.toml here that names labels; a number will do, too"
            )
        raise DataError(f"no label {label}: {hint}")

    def label(self, number: int) -> str:
        """The name of a class."""
        return self.labels[number] if number < len(self.labels) else str(number)


def _check_free(folder: Path) -> None:
    """Raise DataError while a run has the boards: a board talks to one program at a time."""
    from fedboard_host.lock import FolderLock

    if not (folder / "lock").is_file():
        return
    try:
        FolderLock(folder).release()
    except DataError as error:
        process = str(error).partition("by process ")[2].partition(":")[0]
        raise DataError(
            f"`fedboard run` has these boards (process {process}): stop it with Ctrl-C, and go on "
            "with --resume afterwards"
        ) from None


@contextlib.contextmanager
def interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C calls stop(), a second one ends the command."""
    import asyncio

    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        stop()

    try:
        loop.add_signal_handler(signal.SIGINT, on_signal)
    except (NotImplementedError, RuntimeError, ValueError):
        yield  # Windows, or not the main thread: Ctrl-C ends the command, and so what goes on
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
