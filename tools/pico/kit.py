"""What an emulated Pico takes, made once and cached: firmware, boot ROM and the emulated chip.

    found = kit.find()              at once: a Kit, or None and the reason
    found = kit.find(make=True)     makes what is missing: 100 MB of downloads, some minutes

    .tools/pico/firmware.uf2  bootrom.bin  rp2040js/  recipe      (2 MB; git ignores it)

$FEDBOARD_PICO may name such a folder elsewhere, to share it between checkouts.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import get_micropython
from pico import firmware, packages

FOLDER = get_micropython.TOOLS / "pico"
HERE = Path(__file__).resolve().parent
RECIPE = ("firmware.py", "packages.py")  # when these change, the kit is made again
OLDEST_NODE = 18


class Kit(NamedTuple):
    """Where all is. `node` runs `folder`'s rp2040js."""

    folder: Path
    node: str


class Found(NamedTuple):
    kit: Kit | None
    note: str


def find(make: bool = False) -> Found:
    """The kit; without make nothing is fetched or built."""
    node = shutil.which("node") or shutil.which("nodejs")
    if not node:
        return Found(None, f"node is missing: install Node.js {OLDEST_NODE} or newer")
    if _node_version(node) < OLDEST_NODE:
        return Found(None, f"{node} is older than {OLDEST_NODE}: install a newer Node.js")
    chosen = os.environ.get("FEDBOARD_PICO")
    folder = Path(chosen) if chosen else FOLDER
    if not _complete(folder):
        if chosen:
            return Found(None, f"FEDBOARD_PICO={chosen} holds no kit of this release")
        if not make:
            return Found(None, "not built yet: run python3 tools/dev.py pico --build")
        try:
            _make(folder)
        except OSError as error:
            return Found(None, str(error))
    return Found(Kit(folder.resolve(), node), f"RP2040 emulated, {folder}")


def recipe() -> str:
    """Names the way in which kits are made now."""
    digest = hashlib.sha256()
    for name in RECIPE:
        digest.update((HERE / name).read_bytes())
    return digest.hexdigest()


def _complete(folder: Path) -> bool:
    try:
        return (folder / "recipe").read_text() == recipe()
    except OSError:
        return False


def _node_version(node: str) -> int:
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30)
        return int(said.stdout.strip().lstrip("v").split(".")[0])
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return 0


def _make(target: Path) -> None:
    lacking = firmware.missing()
    if lacking:
        raise OSError("missing here: sudo apt install " + " ".join(lacking))
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not below .tools: make and cmake are told paths, and a temporary folder has none with spaces.
    with tempfile.TemporaryDirectory(prefix="fedboard-pico-") as folder:
        work = Path(folder)
        made = work / "made"
        made.mkdir()
        _say("fetching MicroPython's source, an Arm compiler, the emulated chip ...")
        (work / "npm").mkdir()
        packages.rp2040js(work / "npm").rename(made / "rp2040js")
        (made / "bootrom.bin").write_bytes(packages.bootrom(work))
        source, root = packages.debian(work)
        _say("building the Pico's firmware (some minutes, the first time only) ...")
        firmware.build(source, root, work).rename(made / "firmware.uf2")
        (made / "recipe").write_text(recipe())
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as near:
            whole = Path(near) / "made"
            shutil.copytree(made, whole)
            get_micropython.settle(whole, target)


def _say(text: str) -> None:
    print("pico: " + text, file=sys.stderr, flush=True)
