"""The federation's key in a file: 64 hexadecimal digits that only their owner can read.

No error, warning or other text of this module ever holds the key. On Windows a file's access
follows its folder's, which this module does not judge: keep keys in your user profile there.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

import click

from fedboard import DataError, auth


def _to_stderr(text: str) -> None:
    click.echo(f"fedboard: {text}", err=True)


def read(path: Path, warn: Callable[[str], None] = _to_stderr) -> bytes:
    """The key in a file of `fedboard key`. Raises DataError; warns if others can read the file."""
    try:
        with path.open(encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4096)
    except FileNotFoundError:
        raise DataError(f"{path}: no such key file: make one with `fedboard key {path}`") from None
    except (OSError, UnicodeError):
        raise DataError(f"{path}: this is no readable key file") from None
    key = auth.parse_key(text)
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        warn(f"{path}: other users can read this key: chmod 600 {path}")
    return key


def write(path: Path) -> None:
    """Make a new key file that only its owner can read; an existing one is left alone."""
    text = secrets.token_hex(auth.KEY_BYTES) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, text)
    except FileExistsError:
        raise DataError(
            f"{path} exists: a new key would lock its boards out; choose another name"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None


def write_private(path: Path, text: str) -> None:
    """A new file that nobody else can read at any time: it holds a key. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
