"""Finds MicroPython interpreters to test with, and fetches them where that takes no trouble.

    native()  $FEDBOARD_MICROPYTHON; `micropython` on PATH; .tools/micropython; with fetch=True on a
              Debian-like system the distribution's package, by tools/apt_micropython.py
    narrow()  the same with 32-bit words, as boards have them; from .tools, fetch=True likewise
    wasm()    .tools/micropython-wasm run by node; with fetch=True the npm package, by npm's client

All return a Found: the command to start it, or None and the reason. Nothing outside the checkout's
private folder .tools is written, and a fetch that stops half-way leaves nothing behind that counts.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
OLDEST = (1, 22)  # what shared/ and device/ are written for
WASM_PACKAGE = "@micropython/micropython-webassembly-pyscript"
WASM_VERSION = "1.27.0"
WASM_FILES = ["micropython.mjs", "micropython.wasm", "package.json"]
FETCH_TIMEOUT_S = 300
RUNNER = ROOT / "tools" / "wasm_micropython.mjs"
ASK = "import sys; print(sys.implementation[0], *sys.implementation[1][:3])"


class Found(NamedTuple):
    """An interpreter, or why there is none."""

    command: list[str] | None
    note: str


def version(command: list[str]) -> tuple[int, ...]:
    """(1, 25, 0) for a command that takes `-c`; OSError if it is no MicroPython that runs."""
    try:
        answer = subprocess.run(
            [*command, "-c", ASK], capture_output=True, timeout=30, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{command[0]} does not answer within 30 s") from error
    words = answer.stdout.decode("utf-8", "replace").split()
    if answer.returncode or words[:1] != ["micropython"]:
        said = (answer.stderr or answer.stdout).decode("utf-8", "replace").strip()
        raise OSError(f"{command[0]} is no MicroPython that runs here: {said[-200:]}")
    return tuple(int(word) for word in words[1:4])


def check(path: str) -> Found:
    """The interpreter at `path`, if it runs and is new enough."""
    try:
        found = version([path])
    except OSError as error:
        return Found(None, str(error))
    text = ".".join(str(part) for part in found)
    if found[:2] < OLDEST:
        oldest = ".".join(str(part) for part in OLDEST)
        return Found(None, f"{path} is MicroPython {text}, older than {oldest}")
    return Found([path], f"MicroPython {text}, {path}")


def native(fetch: bool = False) -> Found:
    """MicroPython's unix port."""
    chosen = os.environ.get("FEDBOARD_MICROPYTHON")
    if chosen:
        return check(chosen)
    reasons = []
    on_path = shutil.which("micropython")
    if on_path:
        found = check(on_path)
        if found.command:
            return found
        reasons.append(found.note)
    private = TOOLS / "micropython" / "micropython"
    if private.is_file():
        found = check(str(private))
        if found.command:
            return found
        reasons.append(found.note)
    if fetch:
        import apt_micropython  # only here: nothing else needs it

        try:
            apt_micropython.fetch(TOOLS / "micropython")
            return check(str(private))
        except OSError as error:
            reasons.append(str(error))
    else:
        reasons.append("none on PATH or in .tools: run python3 tools/dev.py micropython")
    return Found(None, "; ".join(reasons))


def narrow(fetch: bool = False) -> Found:
    """MicroPython's unix port with 32-bit words, as microcontrollers have them."""
    architecture = {"x86_64": "i386", "aarch64": "armhf"}.get(platform.machine(), "")
    if not architecture:
        return Found(None, f"no 32-bit MicroPython is known for a machine of {platform.machine()}")
    path = TOOLS / f"micropython-{architecture}" / "micropython"
    if not path.is_file():
        if not fetch:
            return Found(None, f"no 32-bit MicroPython in {path.parent}")
        import apt_micropython

        try:
            apt_micropython.fetch(path.parent, architecture)
        except OSError as error:
            return Found(None, str(error))
    return check(str(path))


def wasm(fetch: bool = False) -> Found:
    """MicroPython compiled to WebAssembly; its arguments are those of wasm_micropython.mjs."""
    node = shutil.which("node") or shutil.which("nodejs")
    if not node:
        return Found(None, "node is missing: install Node.js 18 or newer")
    package = TOOLS / "micropython-wasm"
    if not (package / "micropython.mjs").is_file():
        if not fetch:
            return Found(None, "none in .tools: run python3 tools/dev.py micropython")
        try:
            _fetch_wasm(package)
        except OSError as error:
            return Found(None, str(error))
    command = [node, str(RUNNER), str(package)]
    try:
        found = version(command)
    except OSError as error:
        return Found(None, str(error))
    text = ".".join(str(part) for part in found)
    return Found(command, f"MicroPython {text}, WebAssembly, run by {node}")


def run_client(command: list[str], **options: object) -> None:
    """Runs a package client; OSError with the end of what it said if it fails or hangs."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=FETCH_TIMEOUT_S,
            **options,  # type: ignore[call-overload]
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{command[0]} did not finish within {FETCH_TIMEOUT_S} s") from error
    if done.returncode:
        said = done.stdout.decode("utf-8", "replace").strip().splitlines()
        raise OSError(f"{Path(command[0]).name} failed: " + " | ".join(said[-4:]))


def settle(made: Path, target: Path) -> None:
    """Moves a complete folder into place; what another process put there meanwhile is replaced."""
    if target.exists():
        shutil.rmtree(target)
    os.replace(made, target)


def _fetch_wasm(target: Path) -> None:
    npm = shutil.which("npm")
    if not npm:
        raise OSError("npm is missing: install it with Node.js")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as folder:
        work = Path(folder)
        run_client([npm, "pack", "--silent", f"{WASM_PACKAGE}@{WASM_VERSION}"], cwd=work)
        archives = list(work.glob("*.tgz"))
        if len(archives) != 1:
            raise OSError(f"npm pack left {len(archives)} archives, not one")
        made = work / "made"
        made.mkdir()
        try:
            with tarfile.open(archives[0]) as archive:
                for name in WASM_FILES:
                    content = archive.extractfile(f"package/{name}")
                    (made / name).write_bytes(content.read() if content else b"")
        except (tarfile.TarError, KeyError) as error:
            raise OSError(f"{WASM_PACKAGE} {WASM_VERSION} is not as expected: {error}") from error
        settle(made, target)


def main() -> int:
    print(f"micropython: {native(fetch=True).note}")
    print(f"micropython, 32-bit: {narrow(fetch=True).note}")
    print(f"wasm: {wasm(fetch=True).note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
