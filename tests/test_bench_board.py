"""bench.py board: its rows, tables and place in docs/board.md; and that its script runs."""

from __future__ import annotations

import subprocess

import board_bench
from interpreters import DEVICE


def test_script_rows_and_tables(micropython, tmp_path):
    command = [*micropython, "-X", "heapsize=4M", str(board_bench.SCRIPT)]
    rows = []
    for backend in ("pure", "viper"):
        done = subprocess.run(
            [*command, backend, str(tmp_path / backend)], stdout=subprocess.PIPE, text=True,
            check=True, timeout=300, env={"MICROPYPATH": f"{DEVICE}:.frozen"},
        )  # fmt: skip
        rows += board_bench.parsed("unix", backend, done.stdout)
    assert all(set(row) == {"board", "backend", "what", "value", "unit"} for row in rows)
    right = [row["value"] for row in rows if row["what"] == "few-shot right"]
    assert len(right) == 2
    assert right[0] == right[1] > 20  # bit for bit the same network
    # What training takes beside the weights; even with the larger objects of 64-bit machines.
    state = [row["value"] for row in rows if "beyond weights" in row["what"]]
    assert len(state) == 8
    assert max(state) <= 8 << 10
    table = board_bench.table(rows, "unix", lambda row, pure: board_bench.number(row["value"]))
    assert table.splitlines()[0] == "| | unit | pure | viper |"
    assert "| forward | cycles/MAC |" in table


def test_energy_is_power_times_time():
    rows = board_bench.parsed("pico", "thumb", "64-32-10_step,_later 2000.0 us\n")
    assert rows[1]["what"] == "64-32-10 step, later, energy"
    assert rows[1]["value"] == round(board_bench.SUPPLY_V * board_bench.SUPPLY_MA * 2e-3, 4)


def test_page_has_the_place():
    page = board_bench.PAGE.read_text("utf-8")
    assert page.index(board_bench.START) < page.index(board_bench.END)
