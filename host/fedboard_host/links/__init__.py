"""Byte streams to boards: memory, serial, tcp, process. Each is one module, all have one interface.

A Link is one open stream. An Opener knows how to open one, and does so again after a break:
Federation.add_opener() keeps it open. A board that dials in (tcp) comes as a Link.

    parse("serial:/dev/ttyACM0")    parse("COM5")    parse("socket://localhost:4000")
    parse("process:micropython device/main.py")
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from fedboard import DataError, FedboardError


class LinkError(FedboardError):
    """A link cannot be opened; the text says why and what to do."""


class Link(ABC):
    """One open byte stream. Lost, damaged and foreign bytes are normal: the session sees to them.

    name: for people and logs. is_network: others than this machine's user could be at the far end,
    so that a key is required. can_start: start_board() may help where no board answers.
    """

    name: str = ""
    is_network: bool = False
    can_start: bool = False

    @abstractmethod
    async def read(self) -> bytes:
        """Some bytes, at least one; b"" once the link is closed, by either side."""

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Hand over all of `data`; waits while the far end is slow. Nothing happens once closed."""

    @abstractmethod
    async def close(self) -> None:
        """Close; a pending read() returns b"". May be called again."""

    async def start_board(self) -> str:
        """Start the board's program if it sits at its prompt; "" if done or nothing to do.

        Otherwise why it could not be started, and the remedy. Called when a board does not answer;
        nobody reads or writes meanwhile.
        """
        return ""

    def last_words(self) -> str:
        """What a program said before it died, where that is known."""
        return ""


class Opener(ABC):
    """Opens one Link, as often as needed."""

    name: str = ""

    @abstractmethod
    async def open(self) -> Link:
        """A fresh link. Raises LinkError, after which it is tried again, later and later."""


def parse(url: str, baud: int = 115200) -> Opener:
    """The opener that `url` names. Raises DataError for what is none."""
    kind, _, rest = url.partition(":")
    if kind == "process":
        if not rest.strip():
            raise DataError("a process link needs a command: process:micropython device/main.py")
        from fedboard_host.links.process import ProcessOpener

        return ProcessOpener.from_text(rest)
    if kind == "serial":
        url = rest
    if not url.strip():
        raise DataError("a serial link needs a port: serial:/dev/ttyACM0 or COM5")
    from fedboard_host.links.serial import SerialOpener

    return SerialOpener(url.strip(), baud)
