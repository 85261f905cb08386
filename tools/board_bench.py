"""`bench.py board`: what each backend costs, on an emulated Pico and on MicroPython's unix port.

A Pico's rows are cycles of its emulated processor, so they are the same on every machine. The unix
port's are this machine's: they are shown as a ratio to its own pure Python, which is what counts.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import device_lab
import get_micropython
import link_bench
import pico_lab
from pico.lab import Pico

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "board.md"
SCRIPT = ROOT / "tools" / "board_script.py"
PARTS = [str(SCRIPT.with_name(f"board_{name}.py")) for name in ("script", "codecs", "stopwatch")]
START, END = "<!-- bench board -->", "<!-- /bench board -->"
BACKENDS = {"pico": ("pure", "viper", "thumb"), "unix": ("pure", "viper")}
WITH_FLOATS = ("thumb", "ulab")  # that have float kernels
LARGE = ((200, 50, 10), (784, 64, 10))  # that the whole program trains
UNIX_RUNS = 7
SUPPLY_V, SUPPLY_MA = 3.3, 25  # assumed: one busy core of an RP2040 at 125 MHz

Row = dict[str, Any]


def run(as_json: bool, write: bool, backends: tuple[str, ...] = ()) -> int:
    """Measures, prints, and with `write` puts the tables into docs/board.md.

    backends: only these, of the Pico; "ulab" takes a firmware that has it, see kit.py.
    """
    rows = measure(backends or BACKENDS["pico"], () if backends else BACKENDS["unix"])
    if as_json:
        for row in rows:
            print(json.dumps(row))
    else:
        print(tables(rows))
    if write:
        page = PAGE.read_text("utf-8")
        before, _, rest = page.partition(START)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{START}\n{tables(rows)}\n{END}{after}", "utf-8")
    return 0


def measure(on_pico: tuple[str, ...], on_unix: tuple[str, ...]) -> list[Row]:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="fedboard-bench-") as name:
        folder = Path(name)
        pico_lab.compile_device(folder / "device")
        image = folder / "pico.img"
        pico_lab.deploy(image, folder)
        for backend in on_pico:
            copy = Path(shutil.copy(image, folder / "run.img"))
            with Pico(flash=copy, pace=0) as board:
                pico_lab.mpremote(board, "cp", *PARTS, ":")
                code = f"import board_script; board_script.main('{backend}', '/bench')"
                said = pico_lab.run_code(board, code)
            rows += parsed("pico", backend, said)
            rows += whole_program(image, folder, backend)
        found = get_micropython.native(fetch=True)
        if found.command is None:
            print(f"bench: no unix rows: {found.note}", file=sys.stderr)
            return rows
        for backend in on_unix:
            command = [*found.command, str(SCRIPT), backend, str(folder / f"data-{backend}")]
            rows += best([unix_rows(command, backend) for _ in range(UNIX_RUNS)])
    return rows


def unix_rows(command: list[str], backend: str) -> list[Row]:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, text=True, timeout=600,
        env={"MICROPYPATH": str(ROOT / "device")},
    )  # fmt: skip
    return parsed("unix", backend, done.stdout)


def best(runs: list[list[Row]]) -> list[Row]:
    """Row by row the fastest of several runs: a busy machine only makes one slower."""
    found = []
    for same in zip(*runs, strict=True):
        choose = max if same[0]["unit"].endswith("/s") else min
        found.append(choose(same, key=lambda row: float(row["value"])))
    return found


def whole_program(image: Path, folder: Path, backend: str) -> list[Row]:
    """The program as it serves a host, its USB and flash included."""
    rows = parsed("pico", backend, link_bench.lines(image, folder, backend, link_bench.SHOTS))
    if backend in WITH_FLOATS:
        said = link_bench.lines(image, folder, backend, link_bench.SHOTS, rule="float-relu")
        found = [row for row in parsed("pico", backend, said) if row["what"].startswith("ADAPT")]
        rows += [row | {"what": row["what"].replace("ADAPT", "ADAPT in floats")} for row in found]
    if backend == "thumb":
        said = link_bench.lines(image, folder, backend, link_bench.SHOTS, key=device_lab.KEY)
        found = [row for row in parsed("pico", backend, said) if "link in" in row["what"]]
        rows += [row | {"what": row["what"] + ", with a key"} for row in found]
        for sizes in LARGE:
            rows += parsed("pico", backend, link_bench.lines(image, folder, backend, sizes))
    return rows


def parsed(board: str, backend: str, said: str) -> list[Row]:
    rows = []
    for line in said.splitlines():
        what, value, unit = line.split()
        row = {"board": board, "backend": backend, "what": what.replace("_", " ")}
        rows.append(row | {"value": float(value), "unit": unit})
        is_work = any(word in what for word in ("step", "few-shot", "ADAPT"))
        if board == "pico" and unit in ("us", "ms") and is_work:
            seconds = float(value) / (1e6 if unit == "us" else 1e3)
            energy = SUPPLY_V * SUPPLY_MA * seconds
            rows.append(
                row | {"what": row["what"] + ", energy", "value": round(energy, 4), "unit": "mJ"}
            )
    return rows


def tables(rows: list[Row]) -> str:
    """Two Markdown tables, and what is assumed."""
    text = "Emulated Raspberry Pi Pico, 125 MHz, deployed as `.mpy`:\n\n"
    text += table(rows, "pico", lambda row, pure: number(row["value"]))
    text += (
        "\nA step learns one sample. At first nearly all weights change; later, when most samples"
        " are known, few do.\nkernels: 64 inputs, 32 outputs, no zeros, the call included."
        " few-shot: a 64-32-5 network, 5 passes over 25 samples.\n"
        "ADAPT: the same by a task from the host, with what else that takes: choosing the samples"
        " from flash, and judging by 25 others, before and after; in floats: by the RP2040's ROM.\n"
        "Whole program: serving USB, samples read from flash, garbage collected. link in: a model"
        " that comes down, from the end of BEGIN to END: all that the board does for it but the"
        " writes to flash, then with them (45 ms an erased sector); waiting for the host is not"
        " counted. In frames of 2048 bytes; MicroPython takes 8 us a byte to read USB.\n"
        f"energy = {SUPPLY_V} V * {SUPPLY_MA} mA * time: the current is assumed (one busy core; the"
        " data sheet gives none for that), not measured.\n"
        "No flash-cache misses are charged: a board may be some percent slower.\n"
    )
    if all(row["board"] == "pico" for row in rows):
        return text.rstrip()
    text += "\nMicroPython's unix port, time as a share of its pure Python's:\n\n"
    text += table(
        [row for row in rows if row["unit"] in ("us", "cycles/MAC", "cycles/weight")],
        "unix",
        lambda row, pure: f"1 / {pure / row['value']:.0f}" if row["value"] != pure else "1",
    )
    return text.rstrip()


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def table(rows: list[Row], board: str, shown: Any) -> str:
    mine = [row for row in rows if row["board"] == board]
    backends = list(dict.fromkeys(row["backend"] for row in mine))
    names = list(dict.fromkeys((row["what"], row["unit"]) for row in mine))
    text = "| | unit | " + " | ".join(backends) + " |\n|---|---|" + "---:|" * len(backends) + "\n"
    for what, unit in names:
        found = {row["backend"]: row for row in mine if (row["what"], row["unit"]) == (what, unit)}
        pure = found["pure"]["value"] if "pure" in found else 0
        cells = [shown(found[name], pure) if name in found else "" for name in backends]
        text += f"| {what} | {unit.replace('_', ' ')} | " + " | ".join(cells) + " |\n"
    return text
