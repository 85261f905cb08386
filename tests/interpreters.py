"""Runs one Python file on several interpreters and hands back the bytes that it printed.

    from interpreters import run, runtimes
    outputs = {each.name: run(each, SCRIPT, "argument") for each in runtimes()}

cpython is this very interpreter; micropython and wasm are what tools/get_micropython.py finds (no
test fetches: `python3 tools/dev.py test` or `... micropython` does). On each of them shared/ is on
sys.path, and so is the script's own folder. Arguments that name files work everywhere; what a
script writes into files is lost on wasm, so print results instead.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import get_micropython

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT / "shared"
DEVICE = ROOT / "device"
NAMES = ("cpython", "micropython", "wasm")


class Runtime(NamedTuple):
    """One interpreter: command is None where it is not to be had, and note says why."""

    name: str
    command: list[str] | None
    note: str


@functools.cache
def runtime(name: str) -> Runtime:
    """The interpreter called `name` (one of NAMES)."""
    if name == "cpython":
        return Runtime(name, [sys.executable], f"CPython {sys.version.split()[0]}")
    found = {"micropython": get_micropython.native, "wasm": get_micropython.wasm}[name]()
    return Runtime(name, found.command, found.note)


def runtimes() -> list[Runtime]:
    """All interpreters that run here."""
    return [each for each in map(runtime, NAMES) if each.command]


def run(
    where: Runtime | str,
    script: str | Path,
    *arguments: str | Path,
    timeout_s: float = 120,
    paths: Sequence[Path] = (SHARED,),
    stdin: bytes = b"",
    heap_bytes: int = 16 << 20,
) -> bytes:
    """What `script` printed, as bytes; AssertionError with its error output if it failed.

    `paths` are put onto sys.path behind the script's folder. wasm takes no stdin.
    """
    chosen = runtime(where) if isinstance(where, str) else where
    if chosen.command is None:
        raise LookupError(f"{chosen.name} is not available: {chosen.note}")
    environment = dict(os.environ)
    joined = os.pathsep.join(str(path) for path in paths)
    command = list(chosen.command)
    if chosen.name == "cpython":
        environment |= {"PYTHONPATH": joined, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}
    elif chosen.name == "micropython":
        environment["MICROPYPATH"] = f"{joined}:.frozen"
        command += ["-X", f"heapsize={heap_bytes}"]
    else:
        command += ["--heap", str(heap_bytes)]
        for path in paths:
            command += ["--path", str(path)]
    command += [str(script), *map(str, arguments)]
    done = subprocess.run(
        command, input=stdin, capture_output=True, timeout=timeout_s, env=environment
    )
    if done.returncode:
        said = (done.stdout[-500:] + b"\n" + done.stderr[-4000:]).decode("utf-8", "replace")
        raise AssertionError(f"{script} failed on {chosen.note} ({done.returncode}):\n{said}")
    # CPython's print writes the system's line ends; the comparison is about everything else.
    return done.stdout.replace(b"\r\n", b"\n") if os.name == "nt" else done.stdout
