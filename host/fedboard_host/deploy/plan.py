"""How the files get onto a board: only what differs, stale ones away, and all of it checked.

    firmware  ->  remove what is stale  ->  is there room?  ->  write what differs
              ->  settings, once  ->  check every hash  ->  main.py  ->  restart

A deployment that breaks off does no harm that the next one does not mend: the board's own files
are never touched, and what starts at boot is written last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fedboard import DataError
from fedboard_host.deploy import DeployError, Target, files

SETTINGS = "fedboard.json"
OLDEST = {"micropython": (1, 22), "circuitpython": (9, 0)}
_RESERVE = 16 << 10  # bytes of flash that stay free for samples and a small model
_BLOCK = 4096  # of flash: a file takes whole ones


@dataclass(frozen=True)
class Wish:
    """What to deploy. settings: of fedboard.json. anew: put them into the file that is there."""

    tree: dict[str, bytes]  # files.sources()
    mpy: bool = False
    autostart: bool = True
    settings: dict[str, Any] = field(default_factory=dict)
    anew: bool = False


@dataclass
class Result:
    """What was done to one board."""

    board: str
    firmware: str = ""
    written: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    n_files: int = 0
    n_bytes: int = 0  # written
    settings: str = ""  # written, changed, kept, or "": none wanted and none there
    notes: list[str] = field(default_factory=list)
    dials: bool = False  # it is a network's board: it does not answer on its port
    answers: str = ""  # its name, once it has said hello after the restart


def deploy(target: Target, wish: Wish, tell: Callable[[str], None] = lambda text: None) -> Result:
    """Bring one board up to date and restart it. tell(text) says how far it is."""
    check_firmware(target)
    result = Result(target.name, str(target.firmware))
    tree = files.Tree(wish.tree, [])
    if wish.mpy:
        tree = files.compiled(wish.tree, target.firmware)
    result.notes += tree.notes
    result.n_files = len(tree.files)
    wanted = {path: _sha256(data) for path, data in tree.files.items()}
    tell("looking")
    watched = _stop_watchdog(target)
    present = target.hashes(_owned(tree.files))
    for path in sorted(set(present) - set(wanted)):
        target.remove(path)
        result.removed.append(path)
    changed = [path for path in wanted if present.get(path) != wanted[path]]
    _check_room(target, tree.files, present, changed)
    for n, path in enumerate(changed):
        tell(f"{n + 1} of {len(changed)} {path}")
        target.write(path, tree.files[path])
        result.written.append(path)
        result.n_bytes += len(tree.files[path])
    _write_settings(target, wish, result)
    _check(target, wanted)
    if wish.autostart or watched:
        _write_start(target, tree.files[f"{files.FOLDER}/main.py"], result)
    settings = _json(target.read(SETTINGS))
    result.dials = settings.get("link", "tcp" if "host" in settings else "usb") == "tcp"
    tell("restarting")
    target.restart()
    return result


def _stop_watchdog(target: Target) -> bool:
    """A watchdog cannot be stopped, and would bite in the middle: reset, without its program."""
    program = target.read(target.starts)
    if b"fedboard_device" not in program or not _json(target.read(SETTINGS)).get("watchdog_ms"):
        return False
    target.remove(target.starts)
    target.reset()
    return True


def _json(text: bytes) -> dict[str, Any]:
    """The object in a file of settings; empty if there is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def check_firmware(target: Target) -> None:
    """Raises DeployError for one that is too old, or something else."""
    firmware = target.firmware
    oldest = OLDEST.get(firmware.runtime)
    if oldest is None:
        raise DeployError(f"{target.name}: {firmware} is no MicroPython and no CircuitPython")
    if firmware.version < oldest:
        raise DeployError(
            f"{target.name}: {firmware} is too old: install {firmware.runtime} "
            f"{'.'.join(map(str, oldest))} or newer (its download page tells how)"
        )


def _owned(tree: dict[str, bytes]) -> list[str]:
    """Where files of ours are or have been: at the root and in lib they would be found first."""
    folders = [f"{at}{name}" for at in (f"{files.FOLDER}/", "", "lib/") for name in files.PACKAGES]
    return [*folders, *(path for path in tree if path.count("/") == 1)]


def _check_room(
    target: Target, tree: dict[str, bytes], present: dict[str, str], changed: list[str]
) -> None:
    need = sum(-len(tree[path]) // _BLOCK * -_BLOCK for path in changed if path not in present)
    free = target.free_bytes()
    if free < need + _RESERVE * bool(need):
        raise DeployError(
            f"{target.name}: its flash has {free >> 10} KiB free, {need + _RESERVE >> 10} are "
            "needed: remove files of yours (mpremote rm), or use --mpy, which takes less"
        )


def _write_settings(target: Target, wish: Wish, result: Result) -> None:
    found = target.read(SETTINGS)
    if found and not (wish.anew and wish.settings):
        result.settings = "kept"
        if wish.settings:
            result.notes.append(f"{SETTINGS} is there and was kept: --anew changes it")
        return
    if not wish.settings:
        return
    settings = _json(found)
    if found and not settings and found.strip() != b"{}":
        target.rename(SETTINGS, SETTINGS + ".old")
        result.notes.append(f"{SETTINGS} was no JSON object: kept as {SETTINGS}.old")
    data = json.dumps(settings | wish.settings, indent=1).encode() + b"\n"
    target.write(SETTINGS, data)
    if target.read(SETTINGS) != data:
        raise DataError(f"{target.name}: {SETTINGS} was not written right: try again")
    result.settings = "changed" if found else "written"


def _write_start(target: Target, program: bytes, result: Result) -> None:
    """What the firmware runs at boot; somebody else's program is set aside."""
    name = target.starts
    found = target.read(name)
    if found == program:
        return
    if found and b"fedboard_device" not in found:
        target.rename(name, name + ".old")
        result.notes.append(f"the {name} that was there is kept as {name}.old")
    target.write(name, program)
    if target.read(name) != program:
        raise DeployError(f"{target.name}: {name} was not written right: try again")
    result.written.append(name)
    result.n_bytes += len(program)


def _check(target: Target, wanted: dict[str, str]) -> None:
    """Every file is there, bit for bit."""
    present = target.hashes(sorted({path.rpartition("/")[0] for path in wanted}))
    wrong = [path for path, sha256 in wanted.items() if present.get(path) != sha256]
    if wrong:
        raise DeployError(
            f"{target.name}: {len(wrong)} files are not what was sent ({wrong[0]}): try again; "
            "if it stays so, its flash is worn out or its cable bad"
        )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
