"""Measures what starting costs on a board, from sources and compiled: on emulated Picos.

    python3 tools/bench_imports.py [--json] [--write]

Each board is deployed to by `fedboard deploy`, without and with --mpy. Then it imports what a board
on USB imports at its start, reads its settings, and picks its kernels (the self-test too):
milliseconds of the emulated chip's time at 125 MHz, and bytes of RAM that the code keeps when what
only the start needs is freed. --write: into docs/board.md.
"""

from __future__ import annotations

if __name__ == "__main__":
    import in_venv  # noqa: F401

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / folder) for folder in ("shared", "host", "tools")]

from pico import kit  # noqa: E402
from pico.lab import Pico  # noqa: E402

PAGE = ROOT / "docs" / "board.md"
BEGIN, END = "<!-- imports: python3 tools/bench_imports.py --write -->", "<!-- /imports -->"
MEASURE = """\
import gc, sys, time
sys.path.append('/device')
gc.collect()
before = gc.mem_alloc()
began = time.ticks_us()
from fedboard_device import node
middle = time.ticks_us()
node._choose_kernels()
chosen = time.ticks_us()
from fedboard_device import console, runner
node._settings('')
ended = time.ticks_us()
node._unload(('fedboard_device.config',))
kernels_us = time.ticks_diff(chosen, middle)
print(repr((time.ticks_diff(ended, began) - kernels_us, kernels_us, gc.mem_alloc() - before,
            gc.mem_free(), node.kernels.backend)))
"""
COLUMNS = (
    ("flash", "bytes of files"), ("imports", "imports, ms"), ("kernels", "kernels, ms"),
    ("ram", "RAM of the code"), ("free", "RAM free then"),
)  # fmt: skip


def measure(how: str, options: list[str], folder: Path) -> dict[str, Any]:
    """One row: a fresh board, deployed to with these options."""
    deploy = [sys.executable, "-m", "fedboard_host", "deploy", "--no-autostart", "--json", *options]
    with Pico(flash=folder / f"{how}.img") as board:
        environment = {"PYTHONPATH": f"{ROOT / 'shared'}:{ROOT / 'host'}"}
        told = json.loads(_run([*deploy, board.port], environment))
        command = [sys.executable, "-m", "mpremote", "connect", board.port, "exec", MEASURE]
        said = _run(command, {}).strip().splitlines()[-1]
    imports_us, kernels_us, ram, free, chosen = re.fullmatch(
        r"\((\d+), (\d+), (\d+), (\d+), '(\w+)'\)", said
    ).groups()  # type: ignore[union-attr]
    return {
        "board": "emulated Pico", "how": how, "flash": told["n_bytes"],
        "imports": round(int(imports_us) / 1000), "kernels": round(int(kernels_us) / 1000),
        "ram": int(ram), "free": int(free), "backend": chosen,
    }  # fmt: skip


def _run(command: list[str], environment: dict[str, str]) -> str:
    import os

    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | environment, check=False
    )
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(command[:4])}: {done.stdout}{done.stderr}")
    return done.stdout


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| | " + " | ".join(title for _, title in COLUMNS) + " |",
        "|---|" + "---:|" * len(COLUMNS),
    ]
    for row in rows:
        cells = " | ".join(f"{row[key]:,}" for key, _ in COLUMNS)
        lines.append(f"| {row['how']} | {cells} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one object a row")
    parser.add_argument("--write", action="store_true", help="put the table into docs/board.md")
    options = parser.parse_args()
    found = kit.find(make=True)
    if found.kit is None:
        print(f"bench: {found.note}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [measure("sources", [], folder), measure("--mpy", ["--mpy"], folder)]
    if options.json:
        for row in rows:
            print(json.dumps(row))
    else:
        print(table(rows))
    if options.write:
        text = PAGE.read_text("utf-8")
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        if not rest or not after:
            raise SystemExit(f"bench: {PAGE} lacks {BEGIN} ... {END}")
        PAGE.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{after}", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
