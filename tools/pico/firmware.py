"""Builds MicroPython's firmware for the Raspberry Pi Pico from Debian's source packages.

    build(source, root, work) -> firmware.uf2    source, root: as packages.debian() left them

It is the stock firmware but for TLS and two things that need its library (cryptolib and SHA-1):
Debian leaves that library out of MicroPython's source. SHA-256, which boards use, is there.
Needs make, cmake, a C compiler for this machine, and the Arm one, on PATH or in `root`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

TIMEOUT_S = 1200
TOOLS = {"make": "make", "cmake": "cmake", "gcc": "gcc libc6-dev", "g++": "g++"}
FAMILY, START = "0xe48bff56", "0x10000000"  # what a UF2 for the RP2040 says

MANIFEST = """\
freeze("$(PORT_DIR)/modules")
include("$(MPY_DIR)/extmod/asyncio")
"""
# file -> what is changed there: every pattern must be found
PATCHES = {
    "CMakeLists.txt": [
        (r"^set\(MICROPY_SSL_MBEDTLS ON\)", "set(MICROPY_SSL_MBEDTLS OFF)"),
        (r"^target_link_libraries\(\$\{MICROPY_TARGET\} micropy_lib_mbedtls\)\n", ""),
        (r"^    mbedtls/mbedtls_port\.c\n", ""),
    ],
    "mpconfigport.h": [
        (rf"^(#define {name} +)\(1\)", r"\1(0)")
        for name in ("MICROPY_SSL_MBEDTLS", "MICROPY_PY_CRYPTOLIB", "MICROPY_PY_HASHLIB_SHA1")
    ],
}


def missing() -> list[str]:
    """The Debian packages of what is not installed here and cannot be fetched into a folder."""
    return [package for tool, package in TOOLS.items() if not shutil.which(tool)]


def build(source: Path, root: Path, work: Path) -> Path:
    """The UF2, made within `work`. OSError with the end of the log if a step fails."""
    port = source / "ports" / "rp2"
    for name, changes in PATCHES.items():
        text = (port / name).read_text("utf-8")
        for pattern, new in changes:
            text, n = re.subn(pattern, new, text, flags=re.MULTILINE)
            if not n:
                raise OSError(f"{source.name}: ports/rp2/{name} has no {pattern}")
        (port / name).write_text(text, "utf-8")
    tinyusb = source / "lib" / "tinyusb"
    tinyusb.rmdir()
    tinyusb.symlink_to(root / "usr" / "src" / "tinyusb")
    (source / "lib" / "micropython-lib" / "README.md").touch()  # says that the submodule is there
    manifest = work / "manifest.py"
    manifest.write_text(MANIFEST)

    environment = dict(os.environ)
    environment["PATH"] = f"{root / 'usr' / 'bin'}{os.pathsep}{environment.get('PATH', '')}"
    stub = work / "stub"
    stub.mkdir()
    jobs = f"-j{os.cpu_count() or 1}"
    build_dir = work / "build"

    def step(*command: str | Path) -> None:
        _step(list(map(str, command)), work / "build.log", environment)

    # The linker is told to look for it; nothing uses it, and the real one takes 313 MB.
    step("arm-none-eabi-ar", "rc", stub / "libstdc++.a")
    step("make", "-C", source / "mpy-cross", jobs)
    step(
        "cmake", "-S", port, "-B", build_dir, "-DMICROPY_BOARD=RPI_PICO", "-DPICO_NO_PICOTOOL=1",
        f"-DPICO_SDK_PATH_OVERRIDE={root / 'usr' / 'src' / 'pico-sdk'}",
        f"-DCMAKE_EXE_LINKER_FLAGS=-L{stub}", f"-DMICROPY_FROZEN_MANIFEST={manifest}",
    )  # fmt: skip
    step("make", "-C", build_dir, jobs)
    target = work / "firmware.uf2"
    step(
        sys.executable, source / "tools" / "uf2conv.py", "-f", FAMILY, "-b", START, "-c",
        "-o", target, build_dir / "firmware.bin",
    )  # fmt: skip
    return target


def _step(command: list[str], log: Path, environment: dict[str, str]) -> None:
    with open(log, "ab") as file:
        start = file.tell()
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                env=environment, timeout=TIMEOUT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise OSError(f"{command[0]} did not finish within {TIMEOUT_S} s") from error
    if done.returncode:
        said = log.read_bytes()[start:].decode("utf-8", "replace").strip().splitlines()
        raise OSError(f"{' '.join(command[:3])} failed: " + " | ".join(said[-6:]))
