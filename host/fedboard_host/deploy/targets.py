"""Which boards to deploy to: all that are plugged in, or those that are named.

A word is a board's name in home.toml, a folder (a CIRCUITPY drive), a port (/dev/ttyACM0, COM5,
socket://...), or the name that a board gives itself when it is asked.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedboard import DataError
from fedboard_host import discover
from fedboard_host.config import BoardEntry
from fedboard_host.deploy import DeployError, Target
from fedboard_host.deploy.drive import MARK, Drive, find_drives, is_drive
from fedboard_host.deploy.repl import ReplBoard
from fedboard_host.portowner import real_path


@dataclass(frozen=True)
class Place:
    """Where a board is. name: what it is to be called; "": it keeps, or finds, its own."""

    where: str
    is_drive: bool = False
    name: str = ""

    def open(self) -> Target:
        return Drive(Path(self.where)) if self.is_drive else ReplBoard(self.where)


def find(
    words: Sequence[str], entries: Sequence[BoardEntry] = (), key: bytes | None = None
) -> list[Place]:
    """The boards that `words` name; without words, all. Raises DeployError if there are none."""
    linked = {entry.name: _port(entry.link) for entry in entries}
    programs = {entry.name: entry.link for entry in entries if entry.link.startswith("process:")}
    by_port = {real_path(port): name for name, port in linked.items() if port}
    if not words:
        return _all(by_port)
    places, names = [], []
    for word in words:
        if port := linked.get(word, ""):
            places.append(Place(port, name=word))
        elif program := programs.get(word, ""):
            raise DataError(f"{word} in home.toml is {program}: a program, no board to deploy to")
        elif is_drive(Path(word)):
            places.append(Place(word, True))
        elif os.sep in word and Path(word).is_dir():
            Drive(Path(word))  # raises: says what is missing
        elif _is_port(word):
            port = word.removeprefix("serial:")
            places.append(Place(port, name=by_port.get(real_path(port), "")))
        else:
            names.append(word)
    return places + (_by_name(names, key) if names else [])


def _all(by_port: dict[str, str]) -> list[Place]:
    drives = [Drive(path) for path in find_drives()]
    uids = {drive.firmware.uid for drive in drives} - {""}
    places = [Place(drive.name, True) for drive in drives]
    for port, serial_number in _usb_ports():
        if serial_number.lower() not in uids:  # else it is the console of one of the drives
            places.append(Place(port, name=by_port.get(real_path(port), "")))
    if not places:
        raise DeployError(
            "no board: no USB serial port and no CIRCUITPY drive. Is one plugged in, with a cable "
            "that carries data? Another port can be named: fedboard deploy /dev/ttyS0"
        )
    return places


def _by_name(names: list[str], key: bytes | None) -> list[Place]:
    """Ask all ports; boards that run fedboard tell their names."""
    found = asyncio.run(discover.knock_on_ports(discover.serial_ports(), key))
    ports = {finding.name: finding.port for finding in found if finding.name}
    missing = [name for name in names if name not in ports]
    if missing:
        there = ", ".join(f"{name} ({port})" for name, port in sorted(ports.items())) or "none"
        folders = [name for name in missing if Path(name).is_dir()]
        text = (
            f"no board {', '.join(missing)}: boards that answer to a name: {there}. "
            "Name the port instead (`fedboard boards` lists them)"
        )
        if folders:
            text += f". The folder {folders[0]} is no CIRCUITPY drive either: it has no {MARK}"
        raise DataError(text)
    return [Place(ports[name]) for name in names]


def _usb_ports() -> list[tuple[str, str]]:
    """(port, serial number) of everything on USB."""
    from serial.tools import list_ports

    ports = sorted(list_ports.comports(), key=lambda port: port.device)
    return [(port.device, port.serial_number or "") for port in ports if port.vid is not None]


def _is_port(word: str) -> bool:
    is_windows = word[:3].upper() == "COM" and word[3:].isdigit()
    return is_windows or "://" in word or word.startswith("serial:") or os.sep in word


def _port(link: str) -> str:
    """The serial port of a link in home.toml, "" if it is none."""
    if link.startswith("serial:"):
        return link.removeprefix("serial:")
    return link if "://" in link else ""
