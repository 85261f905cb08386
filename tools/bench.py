"""Measures what fedboard costs on a board.

    python3 tools/bench.py memory [--json] [--micropython COMMAND]

memory: the least free heap, beyond imported code, in which a board process still does three rounds
with a key: receives its model dense, then as a delta; trains; uploads Top-5 % at 4 bits, then
everything at 16 bits. That counts live objects, garbage between collections and fragmentation. The
heap is filled up to that mark beforehand, the mark found by halving. Weights are int16, once in RAM.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from array import array
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / folder) for folder in ("shared", "tools", "tests")]

import device_lab as lab  # noqa: E402
import get_micropython  # noqa: E402
from fedboard import model, rebase  # noqa: E402
from fedboard.hub import Joined  # noqa: E402

NETWORKS = ((64, 32, 10), (200, 50, 10))
TARGET_BYTES = 12 << 10  # beyond the weights
BATCH = 8  # as in the demo
N_SAMPLES = 40
STEP_BYTES = 128  # the result's resolution
HEAP_BYTES = 1 << 20
KEY = bytes(32)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Measures what fedboard costs on a board.")
    commands = parser.add_subparsers(dest="command", required=True)
    memory = commands.add_parser("memory", help="peak heap of a board while it trains and uploads")
    memory.add_argument("--json", action="store_true", help="one object a line")
    memory.add_argument("--micropython", help="the interpreter's command; default: as the tests")
    options = parser.parse_args(arguments)
    found = get_micropython.native()
    command = shlex.split(options.micropython) if options.micropython else found.command
    if not command:
        print(f"bench: no MicroPython: {found.note}", file=sys.stderr)
        return 1
    rows = [measure_memory(command, sizes) for sizes in NETWORKS]
    if options.json:
        for row in rows:
            print(json.dumps(row))
    else:
        print_memory(rows)
    return 0 if all(row["over_weights"] <= TARGET_BYTES for row in rows) else 1


def measure_memory(command: list[str], sizes: tuple[int, ...]) -> dict[str, Any]:
    """Bytes of: code, weights, peak (beyond code), over_weights; idle: joined, with no model."""
    spec = model.Spec(sizes)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = lab.make_samples(N_SAMPLES, sizes[0], sizes[-1])
        code, word_bytes = baseline(command, folder)
        peak = least_free(lambda free: attempt(command, folder / "a", made, spec, free, 3))
        idle = least_free(lambda free: attempt(command, folder / "b", made, spec, free, 0))
    weights = 2 * spec.n_params
    return {
        "what": "memory", "network": "-".join(map(str, sizes)), "word_bits": 8 * word_bytes,
        "code": code, "weights": weights, "peak": peak, "over_weights": peak - weights,
        "idle": idle, "target": TARGET_BYTES,
    }  # fmt: skip


def least_free(works: Any) -> int:
    """The least free heap with which `works(free)`; it is assumed to for all above."""
    low, high = 0, STEP_BYTES
    while not works(high):
        low, high = high, 2 * high
        if high > HEAP_BYTES // 2:
            raise SystemExit("bench: the board fails with any heap; run it by hand to see why")
    while high - low > STEP_BYTES:
        middle = (low + high) // 2 // STEP_BYTES * STEP_BYTES
        if works(middle):
            high = middle
        else:
            low = middle
    return high


def process(command: list[str], folder: Path, free: int) -> lab.Process:
    arguments = [str(ROOT / "tools" / "bench_board.py"), str(ROOT / "device"), str(folder / "data")]
    heap = [*command, "-X", f"heapsize={HEAP_BYTES}"]
    return lab.Process(heap, folder, {}, main=(*arguments, str(free)))


def baseline(command: list[str], folder: Path) -> tuple[int, int]:
    """Bytes that the imported code takes, and bytes in a machine word."""
    script = "import sys; print(8 if sys.maxsize > 1 << 31 else 4)"
    import subprocess

    done = subprocess.run([*command, "-c", script], capture_output=True, check=True)
    with process(command, folder, 0) as board:
        host = lab.Host(board.stream, KEY)
        host.until(Joined)
        line = next(part for part in host.output.splitlines() if part.startswith(b"code "))
        return int(line.split()[1]), int(done.stdout)


def attempt(
    command: list[str], folder: Path, made: list[Any], spec: model.Spec, free: int, n_rounds: int
) -> bool:
    """Whether a board with so much free heap does the rounds, on an empty flash."""
    lab.write_samples(folder / "data", made)
    for path in (folder / "data").glob("base.*"):
        path.unlink()
    with process(command, folder, free) as board:
        host = _Host(board.stream, KEY)
        try:
            host.until(Joined, 10)
            params = lab.start_params(spec)
            old: array[int] | None = None
            for round_ in range(1, n_rounds + 1):
                dense = {"top_permille": 1000, "bits": 16} if round_ == 3 else {"top_permille": 50}
                task = lab.make_task(params, round_, spec, batch=BATCH, epochs=1, **dense)
                host.hub.send(task)
                encoding, meta, data = rebase.encode_delta(spec, old, params)
                begin = lab.messages.Begin(
                    what=lab.messages.MODEL, round=round_, version=round_, base=round_ - 1,
                    encoding=encoding, n_bytes=len(data), digest=task.digest, meta=meta,
                )  # fmt: skip
                host.hub.transfer(begin, [data])
                got = host.until(lab.Update, 60)
                host.hub.send(lab.messages.Accepted(round=round_))
                host.idle()
                old, params = params, lab.apply(params, got, spec)
        except (AssertionError, EOFError):
            return False
        return True


class _Host(lab.Host):
    """Gives up at the first word of memory."""

    def turn(self) -> list[object]:
        events = super().turn()
        if b"MemoryError" in self.output or b"memory" in self.output:
            raise AssertionError
        return events


def print_memory(rows: list[dict[str, Any]]) -> None:
    columns = ("network", "weights", "peak", "over_weights", "idle", "code")
    titles = ("network", "weights", "peak heap", "beyond weights", "idle", "code")
    lines = [titles, *[tuple(f"{row[name]:,}" if name != "network" else row[name]
                             for name in columns) for row in rows]]  # fmt: skip
    for line in lines:
        print("".join(f"{cell:>16}" for cell in line))
    print(f"bytes; peak and idle are beyond the imported code; target: {TARGET_BYTES:,} beyond")
    print(f"weights. Objects here have {rows[0]['word_bits']}-bit words: on a 32-bit board, code and"
          " all but the arrays take about half.")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
