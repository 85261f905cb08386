"""A CIRCUITPY drive: a folder of this computer that a CircuitPython board shows over USB.

boot_out.txt tells what it is. Whatever is written there is on the board, which restarts by itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import string
import sys
from pathlib import Path

from fedboard_host.deploy import DeployError, Firmware, Target

MARK = "boot_out.txt"


class Drive(Target):
    """root: the drive's folder. Raises DeployError if it is no CircuitPython board's."""

    starts = "code.py"

    def __init__(self, root: Path) -> None:
        self.name = str(root)
        self._root = root
        try:
            text = (root / MARK).read_text("utf-8", "replace")
        except OSError:
            raise DeployError(
                f"{root}: not a CircuitPython board's drive: it has no {MARK}. Is it plugged in?"
            ) from None
        found = re.search(r"CircuitPython (\d+)\.(\d+)\.(\d+)\S* on [^;]*; (.*)", text)
        if not found:
            raise DeployError(f"{root}: {MARK} names no CircuitPython: is it the board's drive?")
        uid = re.search(r"^UID:\s*([0-9A-Fa-f]+)", text, re.MULTILINE)
        self.firmware = Firmware(
            "circuitpython", tuple(int(part) for part in found.groups()[:3]), found[4].strip(),
            uid=uid[1].lower() if uid else "",
        )  # fmt: skip

    def hashes(self, paths: list[str]) -> dict[str, str]:
        found = {}
        for name in paths:
            path = self._root / name
            for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if each.is_file():
                    inside = each.relative_to(self._root).as_posix()
                    found[inside] = hashlib.sha256(each.read_bytes()).hexdigest()
        return found

    def read(self, path: str) -> bytes:
        try:
            return (self._root / path).read_bytes()
        except FileNotFoundError:
            return b""

    def write(self, path: str, data: bytes) -> None:
        whole = self._root / path
        try:
            whole.parent.mkdir(parents=True, exist_ok=True)
            with open(whole, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DeployError(self._explain(path, error)) from None

    def rename(self, old: str, new: str) -> None:
        try:
            os.replace(self._root / old, self._root / new)
        except OSError as error:
            raise DeployError(self._explain(old, error)) from None

    def remove(self, path: str) -> None:
        whole = self._root / path
        try:
            whole.unlink()
            if whole.parent != self._root and not any(whole.parent.iterdir()):
                whole.parent.rmdir()
        except OSError as error:
            raise DeployError(self._explain(path, error)) from None

    def free_bytes(self) -> int:
        return shutil.disk_usage(self._root).free

    def reset(self) -> None:
        """Nothing that runs on the board minds its drive being written."""

    def restart(self) -> None:
        """CircuitPython does so by itself when files change."""

    def close(self) -> None:
        """Nothing is held."""

    def _explain(self, path: str, error: OSError) -> str:
        if error.errno in (28, 112):  # ENOSPC; Windows' ERROR_DISK_FULL
            return f"{self.name}: {path}: the drive is full: remove files of yours"
        if error.errno in (13, 30):  # EACCES, EROFS
            return (
                f"{self.name}: {path}: the drive is read-only: the board's boot.py keeps it "
                "for itself (storage.remount): remove that file at the prompt, reset, deploy anew"
            )
        return f"{self.name}: {path}: {error.strerror or error}"


def find_drives() -> list[Path]:
    """The CircuitPython drives that are mounted now."""
    if sys.platform == "win32":
        roots = [Path(f"{letter}:\\") for letter in string.ascii_uppercase[2:]]
    else:
        above = [Path("/Volumes"), *Path("/media").glob("*"), *Path("/run/media").glob("*")]
        roots = [path for folder in above if folder.is_dir() for path in _entries(folder)]
    return [root for root in roots if is_drive(root)]


def is_drive(path: Path) -> bool:
    try:
        return (path / MARK).is_file()
    except OSError:
        return False


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
