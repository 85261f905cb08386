"""`fedboard deploy`: the board's files onto boards, whatever was there before, checked at the end.

    files     what goes onto a board, as sources or compiled         plan     how it gets there
    repl      a board at its serial prompt: the one mpremote adapter  drive   a CIRCUITPY drive
    targets   which boards are meant: all, by port, by name, by folder

On the board, as after `mpremote cp -r device/ :` and `mpremote cp device/main.py :`:

    :/device/...     the program; what is stale there is removed, and so are copies elsewhere
    :/main.py        starts it at boot; another program of that name is kept as main.py.old
    :/fedboard.json  the board's settings: written once, then left alone
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from fedboard import FedboardError


class DeployError(FedboardError):
    """A board that cannot be served; the text says why and what to do."""


@dataclass(frozen=True)
class Firmware:
    """What runs on the board. mpy: MicroPython's sys.implementation._mpy, 0 where there is none."""

    runtime: str  # micropython, circuitpython
    version: tuple[int, ...]
    platform: str = ""
    mpy: int = 0
    uid: str = ""  # hexadecimal, of the chip

    def __str__(self) -> str:
        return f"{self.runtime} {'.'.join(map(str, self.version))} {self.platform}".strip()


class Target(ABC):
    """A board's files. Paths are relative to its root, with `/`. All may raise DeployError."""

    name: str = ""  # for people: the port, the drive
    firmware: Firmware
    starts = "main.py"  # the file that its firmware runs at boot

    @abstractmethod
    def hashes(self, paths: list[str]) -> dict[str, str]:
        """SHA-256, hexadecimal, of each of these files, and of all files in these folders."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """A file's content; b"" if there is none."""

    @abstractmethod
    def write(self, path: str, data: bytes) -> None:
        """Make or replace a file, and the folders above it."""

    @abstractmethod
    def rename(self, old: str, new: str) -> None: ...

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a file, and its folder if that is empty then."""

    @abstractmethod
    def free_bytes(self) -> int:
        """Room for more files."""

    @abstractmethod
    def reset(self) -> None:
        """Start anew what the board starts by itself, and come back when it is up."""

    @abstractmethod
    def restart(self) -> None:
        """Start the new program, and let go of the board."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the board. May be called again."""
