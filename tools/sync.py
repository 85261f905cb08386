"""Writes device/fedboard as a byte-identical mirror of shared/fedboard, and package.json.

`mpremote cp -r device/ :` must be all a maker needs, on any system and from an unpacked zip, so the
board's tree holds a real copy, not a symlink. People edit shared/ only. package.json lists the
same files for `mpremote mip install`, which puts them into the board's lib.

    python3 tools/sync.py            write what differs, delete what is stale
    python3 tools/sync.py --check    change nothing; exit 1 and name the files that differ
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "shared" / "fedboard"
MIRROR = ROOT / "device" / "fedboard"
PACKAGE = ROOT / "package.json"


def files(folder: Path) -> dict[str, bytes]:
    """Relative POSIX path -> content of every file that belongs on a board."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        private = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
        if path.is_file() and not private and path.suffix != ".pyc":
            found[relative.as_posix()] = path.read_bytes()
    return found


def differences(source: Path = SOURCE, mirror: Path = MIRROR) -> list[str]:
    """One line for each file of the mirror that is missing, changed or stale."""
    wanted, present = files(source), files(mirror)
    lines = [f"missing: {name}" for name in wanted if name not in present]
    both = wanted.keys() & present.keys()
    lines += [f"changed: {name}" for name in sorted(both) if present[name] != wanted[name]]
    lines += [f"stale: {name}" for name in present if name not in wanted]
    return lines


def sync(source: Path = SOURCE, mirror: Path = MIRROR) -> list[str]:
    """Makes the mirror equal; returns what differed before."""
    lines = differences(source, mirror)
    wanted, present = files(source), files(mirror)
    for name, content in wanted.items():
        if present.get(name) != content:
            target = mirror / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    for name in present:
        if name not in wanted:
            (mirror / name).unlink()
    return lines


def package() -> bytes:
    """What package.json must hold: where each file goes below lib, and where it is here."""
    device = ROOT / "device"
    names = [name for name in files(device) if "/" in name]  # main.py belongs at the board's root
    found = re.search(r'VERSION = "(.+)"', (SOURCE / "__init__.py").read_text("utf-8"))
    assert found
    told = {"urls": [[name, f"device/{name}"] for name in names], "version": found[1]}
    return json.dumps(told, indent=1).encode() + b"\n"


def package_differs() -> bool:
    return not PACKAGE.is_file() or PACKAGE.read_bytes() != package()


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print(__doc__)
        return 2
    if not SOURCE.is_dir():
        print(f"sync: {SOURCE} is missing: use a complete checkout")
        return 1
    if not arguments:
        for line in sync():
            print(f"sync: {line}")
        if package_differs():
            PACKAGE.write_bytes(package())
            print("sync: changed: package.json")
        return 0
    lines = differences() + ["changed: package.json"] * package_differs()
    for line in lines:
        print(f"sync: {line}")
    if lines:
        print("sync: what it writes differs from what it would: run python3 tools/sync.py")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
