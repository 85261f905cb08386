"""The developers' commands. They need nothing but this file's Python (3.11 or newer):

    python3 tools/dev.py demo [...]      virtual boards learn together (... : see demo --help)
    python3 tools/dev.py test [...]      everything that CI checks (... : goes to pytest)
    python3 tools/dev.py lint            only the checks that read: mirror, ruff, mypy
    python3 tools/dev.py sync            write device/fedboard from shared/fedboard
    python3 tools/dev.py micropython     fetch MicroPythons to test with; print where they are
    python3 tools/dev.py pico [...]      an emulated Pico, for mpremote and fedboard to talk to
    python3 tools/dev.py setup           only make .venv

The first run makes .venv beside pyproject.toml and installs fedboard there, editable, with what it
needs; later runs do so only when pyproject.toml has changed. The system's Python stays untouched.
"""

# This file must parse on old Pythons too, so that they can say what is wrong.
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "fedboard-stamp.json"
OLDEST = (3, 11)
EXTRAS = {"demo": ["demo"], "test": ["demo", "test"]}
FETCHES = (
    ["tools/get_micropython.py"],
    ["tools/start_pico.py", "--build"],
    ["tools/get_browser.py"],
)


class Stop(Exception):
    """Cannot go on; the text says what the person can do."""


def say(text: str) -> None:
    print("dev: " + text, flush=True)


def python_path() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def starts(name: str) -> bool:
    try:
        return subprocess.call([name, "-c", ""], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def check_python() -> None:
    if sys.version_info[:2] >= OLDEST:
        return
    newer = ["python3." + str(minor) for minor in (14, 13, 12, 11)]
    found = [name for name in newer if starts(name)]
    this = ".".join(str(part) for part in sys.version_info[:3])
    text = "this is Python " + this + ", fedboard needs 3.11 or newer. "
    if found:
        raise Stop(text + "You have one: " + found[0] + " " + " ".join(sys.argv))
    raise Stop(text + "Install one (python.org, your package manager, or uv), then use it here.")


def fingerprint() -> str:
    """Changes when the installation must be done again."""
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes())
    digest.update(repr((str(ROOT), sys.version_info[:2])).encode())
    return digest.hexdigest()


def installed_extras(wanted: str) -> "list[str]":
    """The extras that .venv has for this fingerprint; empty if it must be filled."""
    try:
        stamp = json.loads(STAMP.read_text())
        return list(stamp["extras"]) if stamp["fingerprint"] == wanted else []
    except (OSError, ValueError, KeyError, TypeError):
        return []


def make_venv() -> None:
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        name = "python" + ".".join(map(str, sys.version_info[:2])) + "-venv"
        raise Stop(
            "this Python cannot make virtual environments. On Debian, Ubuntu and Raspberry Pi OS:\n"
            "       sudo apt install python3-venv      (or " + name + ")\n"
            "     then run the same command again."
        )
    if VENV.exists():
        say("making .venv again: it is incomplete or of another Python")
        shutil.rmtree(VENV)
    done = subprocess.run(
        [sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        raise Stop("could not make .venv:\n" + done.stdout + done.stderr)


def usable_venv() -> bool:
    """Whether .venv's Python starts, has pip and is of this version."""
    ask = "import sys, pip; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([str(python_path()), "-c", ask], capture_output=True, check=False)
    except OSError:
        return False
    return done.stdout.split() == [b"%d" % part for part in sys.version_info[:2]]


def setup(kind: str) -> None:
    """Makes .venv hold what `kind` (demo or test) needs."""
    check_python()
    wanted = fingerprint()
    present = installed_extras(wanted)
    if set(EXTRAS[kind]) <= set(present) and python_path().exists():
        return
    if not usable_venv():
        make_venv()
    extras = sorted(set(present) | set(EXTRAS[kind]))
    say("installing fedboard into .venv (the first time takes a minute or two) ...")
    began_s = time.monotonic()
    command = [str(python_path()), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    command += ["--no-input", "--editable", str(ROOT) + "[" + ",".join(extras) + "]"]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise Stop(
            "pip could not install what fedboard needs:\n"
            + "\n".join(done.stdout.strip().splitlines()[-25:])
            + "\n     Is there a network? Run the same command again: what is there is kept."
        )
    STAMP.write_text(json.dumps({"fingerprint": wanted, "extras": extras}))
    say("installed in " + str(round(time.monotonic() - began_s)) + " s")


def start(*command: str, folder: Path = ROOT) -> "subprocess.Popen[bytes]":
    """Starts .venv's Python in `folder`, with our input and output."""
    environment = dict(os.environ)
    scripts = str(python_path().parent)
    environment["PATH"] = scripts + os.pathsep + environment.get("PATH", "")
    environment["VIRTUAL_ENV"] = str(VENV)
    return subprocess.Popen([str(python_path()), *command], cwd=str(folder), env=environment)


def run(*command: str, folder: Path = ROOT) -> int:
    """The same to its end; returns its status."""
    with start(*command, folder=folder) as process:
        return process.wait()


def lint() -> "list[str]":
    """Runs the checks that read; returns the names of those that failed."""
    failed = []
    checks = {
        "mirror": ["tools/sync.py", "--check"],
        "ruff": ["-m", "ruff", "check", "--quiet"],
        "mypy": ["-m", "mypy"],
    }
    for name, command in checks.items():
        say(name + " ...")
        if run(*command):
            failed.append(name)
    return failed


def processes() -> int:
    """How many of them run tests: a core each, but no crowd (a process takes some 500 MB)."""
    return min(os.cpu_count() or 1, 4)


def test(arguments: "list[str]") -> int:
    check_python()
    if not usable_venv():
        make_venv()
    say("MicroPython interpreters, an emulated Pico, a browser's driver ...")
    # They need no more than .venv's pip, so that the rest goes on meanwhile. Those that are
    # missing are told at the end, or fail CI.
    fetching = [start(*command) for command in FETCHES]
    try:
        setup("test")
        failed = lint()
    finally:
        for each in fetching:
            each.wait()
    for name in failed:
        say(name + " FAILED, see above")
    say("pytest ...")
    # Tests of real processes and emulated boards share few cores with others: one that fails is
    # run once more, and the summary says so. Each process takes neighbours, and who is done first
    # takes over some of the other's; -n0 leaves it at one, for a debugger.
    options = ["--reruns", "1", "-rR", "-n", str(processes()), "--dist", "worksteal"]
    status = run("-m", "pytest", *options, *arguments)
    if failed and not status:
        say("the tests pass, but not: " + ", ".join(failed))
        return 1
    return status


def demo(arguments: "list[str]") -> int:
    setup("demo")
    return run("-m", "fedboard_host", "demo", *arguments, folder=Path.cwd())


def pico(arguments: "list[str]") -> int:
    setup("test")
    return run(str(ROOT / "tools" / "start_pico.py"), *arguments, folder=Path.cwd())


def main(arguments: "list[str]") -> int:
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command == "demo":
        return demo(rest)
    if command == "test":
        return test(rest)
    if command == "pico":
        return pico(rest)
    if command not in ("lint", "sync", "micropython", "setup") or rest:
        print(__doc__.strip())
        return 0 if command in ("", "-h", "--help", "help") else 2
    setup("test")
    if command == "lint":
        failed = lint()
        say("failed: " + ", ".join(failed) if failed else "all good")
        return 1 if failed else 0
    if command == "sync":
        return run("tools/sync.py")
    if command == "micropython":
        return run("tools/get_micropython.py")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Stop as stop:
        sys.exit("dev: " + str(stop))
    except KeyboardInterrupt:
        sys.exit(130)
