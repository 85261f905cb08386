"""Which program has a serial port open, and what to do about it.

On Linux /proc tells, of one's own programs (root: of all); elsewhere nobody is found.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
# A word of its command line -> what it is called, and how to make it let go.
_KNOWN = (
    ("thonny", "Thonny", "close it, or stop it there (Run, Disconnect)"),
    ("mpremote", "mpremote", "end it with Ctrl-]"),
    ("rshell", "rshell", "end it with Ctrl-X"),
    ("ampy", "ampy", "wait until it is done"),
    ("arduino", "Arduino", "close its serial monitor"),
    ("screen", "screen", "end it with Ctrl-A K"),
    ("minicom", "minicom", "end it with Ctrl-A X"),
    ("picocom", "picocom", "end it with Ctrl-A Ctrl-X"),
    ("tio", "tio", "end it with Ctrl-T Q"),
    (
        "ModemManager",
        "ModemManager",
        "it lets go in a few seconds; or: systemctl stop ModemManager",
    ),
    ("brltty", "brltty", "it takes such ports for Braille displays: uninstall it"),
    ("code", "Visual Studio Code", "close its serial monitor"),
)


@dataclass(frozen=True)
class Owner:
    pid: int
    program: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.program} (process {self.pid}): {self.remedy}"


def real_path(port: str) -> str:
    """The one name of a serial port: a lasting one, as in /dev/serial/by-id, is a link to it."""
    return os.path.realpath(port.removeprefix("serial:"))


def find(port: str) -> Owner | None:
    """Another process that has `port` open, the longest-lived one; None: nobody is seen to."""
    return find_all([port]).get(port)


def find_all(ports: Iterable[str]) -> dict[str, Owner]:
    """Of each of these ports that another process has open, the longest-lived one."""
    wanted: dict[str, list[str]] = {}
    for port in ports:
        if port.removeprefix("serial:").startswith("/"):
            wanted.setdefault(real_path(port), []).append(port)
    found: dict[str, Owner] = {}
    if not wanted or not _PROC.is_dir():
        return found
    for pid in sorted(int(each.name) for each in _PROC.iterdir() if each.name.isdigit()):
        if pid != os.getpid():
            for path in _opened(pid) & set(wanted):
                for port in wanted[path]:
                    found.setdefault(port, _owner(pid))
    return found


def _opened(pid: int) -> set[str]:
    """What files it has open, as far as one may know."""
    folder = f"/proc/{pid}/fd"
    found: set[str] = set()
    try:
        for fd in os.listdir(folder):
            found.add(os.readlink(f"{folder}/{fd}"))
    except OSError:
        pass  # another user's, or it has just ended
    return found


def _owner(pid: int) -> Owner:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        words = []
    return describe(pid, [word for word in words if word])


def describe(pid: int, words: list[str]) -> Owner:
    """The owner with this command line."""
    names = [os.path.basename(word) for word in words[:4]]
    if any("fedboard" in name for name in names) and "run" in words:
        return Owner(
            pid, "fedboard run", "stop it with Ctrl-C; what it knows of its boards is below"
        )
    for word, program, remedy in _KNOWN:
        if any(name == word or name.startswith((word + ".", word + "-")) for name in names):
            return Owner(pid, program, remedy)
    return Owner(pid, names[0] if names else "a program", "close it")
