"""How long `fedboard boards` takes, from its start to its end, on a machine as busy as you like.

    python tools/boards_time.py --silent 4 --boards 2 --busy 4 --runs 10

Ports are pseudo-terminals: silent ones, where nobody answers, and boards, which are processes of
the `micropython` that dev.py fetches, or of CPython. `busy` processes compute all the while. Prints
one JSON object; exit status 1 if a board was missed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pty
import resource
import subprocess
import sys
import tempfile
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / folder) for folder in ("shared", "host", "tools")]

import get_micropython  # noqa: E402

PRIORITY = 10  # of boards, which have processors of their own, before all else: as far as root may
COMPUTE = [sys.executable, "-c", "while True: pass"]
USUAL = ["nice", "-n", str(PRIORITY)]
_READ_BYTES = 4096
_START_S = 60.0  # which boards get, on a machine however busy


class Port:
    """A port that others open by `name`; what they write, and answers to it, go through `end`."""

    def __init__(self) -> None:
        self.end, self._other = pty.openpty()  # kept open, as a board that is plugged in is
        tty.setraw(self._other)
        self.name = os.ttyname(self._other)

    def close(self) -> None:
        os.close(self.end)
        os.close(self._other)


@contextlib.contextmanager
def board(interpreter: list[str], name: str, folder: Path) -> Iterator[str]:
    """A board that runs: its port's name."""
    settings = folder / f"{name}.json"
    settings.write_text(json.dumps({"name": name, "data_dir": str(folder / name)}))
    outer, inner = Port(), Port()
    terminal = os.open(inner.name, os.O_RDWR | os.O_NOCTTY)
    command = [*interpreter, str(ROOT / "device" / "main.py"), "--config", str(settings)]
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=subprocess.DEVNULL)
    os.close(terminal)
    for source, sink in ((outer.end, inner.end), (inner.end, outer.end)):
        threading.Thread(target=_pump, args=(source, sink), daemon=True).start()
    try:
        yield outer.name
    finally:
        process.kill()
        process.wait()


def _pump(source: int, sink: int) -> None:
    with contextlib.suppress(OSError):
        while data := os.read(source, _READ_BYTES):
            os.write(sink, data)


def ask(ports: list[str]) -> tuple[float, float, set[str]]:
    """(seconds that the command took, of a processor's too; names of boards that answered)."""
    began_s, used_s = time.monotonic(), _used_s()
    done = subprocess.run(
        [*USUAL, sys.executable, "-m", "fedboard_host", "boards", "--json", *ports],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    took_s = time.monotonic() - began_s
    found = [json.loads(line) for line in done.stdout.splitlines()]
    here = {finding["name"] for finding in found if finding["state"] == "here"}
    return took_s, _used_s() - used_s, here


def _used_s() -> float:
    """Processor time of children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _wait_for(names: set[str], ports: list[str]) -> None:
    """Until these boards have started. Raises SystemExit if some do not."""
    ends_s = time.monotonic() + _START_S
    while missing := names - ask(ports)[2]:
        if time.monotonic() > ends_s:
            raise SystemExit(
                f"{', '.join(sorted(missing))} did not start within {_START_S:g} s: does"
                " `python -m pytest tests/test_board.py` pass?"
            )
        time.sleep(0.5)


def measure(n_silent: int, n_boards: int, n_busy: int, n_runs: int) -> dict[str, Any]:
    found = get_micropython.native(fetch=False)
    interpreter = found.command or [sys.executable]
    names = {f"board{k}" for k in range(n_boards)}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ports = [Port() for _ in range(n_silent)]
        listed = [port.name for port in ports]
        listed += [stack.enter_context(board(interpreter, each, folder)) for each in sorted(names)]
        if n_boards:
            _wait_for(names, listed[n_silent:])
        others = [subprocess.Popen([*USUAL, *COMPUTE]) for _ in range(n_busy)]
        try:
            runs = [ask(listed) for _ in range(n_runs)]
        finally:
            for other in others:
                other.kill()
                other.wait()
    took_s = [took for took, _, _ in runs]
    return {
        "silent": n_silent, "boards": n_boards, "busy": n_busy, "runs": n_runs,
        "processors": os.cpu_count(), "boards_on": Path(interpreter[0]).name,
        "seconds_median": round(median(took_s), 2), "seconds_max": round(max(took_s), 2),
        "processor_seconds_median": round(median(used for _, used, _ in runs), 2),
        "boards_missed": sum(len(names - here) for _, _, here in runs),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--silent", type=int, default=4)
    parser.add_argument("--boards", type=int, default=2)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    try:
        os.nice(-PRIORITY)
    except OSError:
        USUAL.clear()
    told = measure(options.silent, options.boards, options.busy, options.runs)
    print(json.dumps(told))
    return 1 if told["boards_missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
