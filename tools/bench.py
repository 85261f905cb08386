"""Measures what fedboard costs on a board.

    python3 tools/bench.py memory [--json] [--micropython COMMAND]
    python3 tools/bench.py board [--json] [--write] [--backends NAME...]
    python3 tools/bench.py host [--json] [--boards N...] [--numpy]
    python3 tools/bench.py host --stages

memory: the least free heap, beyond imported code, in which a board's process still does three
rounds with a key: receives its model dense, then as a delta; trains; uploads Top-5 % at 4 bits, at
last everything at 16 bits. So live objects, garbage and fragmentation all count. The heap is filled
up to that mark beforehand, and the mark found by halving. Boards have 32-bit words: where a 32-bit
MicroPython can be had, the target is checked on it; desktops' 64-bit words make objects larger.

board: see board_bench. host: see bench_host, and of its stages bench_stages.
"""

from __future__ import annotations

if __name__ == "__main__":
    import in_venv  # noqa: F401

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / folder) for folder in ("shared", "host", "tools", "tests")]

import device_lab as lab  # noqa: E402
import get_micropython  # noqa: E402
from fedboard import delta, messages, model  # noqa: E402
from fedboard.hub import Joined, Update  # noqa: E402

NETWORKS = ((64, 32, 10), (200, 50, 10))
TARGET_BYTES = 12 << 10  # beyond the weights
BATCH = 8  # as in the demo
N_SAMPLES = 40
STEP_BYTES = 128  # the result's resolution
HEAP_BYTES = 384 << 10  # enough to compile the code in
KEY = bytes(32)
ASK_WORD = "import sys; print(64 if sys.maxsize > 1 << 31 else 32)"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Measures what fedboard costs on a board.")
    commands = parser.add_subparsers(dest="command", required=True)
    memory = commands.add_parser("memory", help="peak heap of a board while it trains and uploads")
    memory.add_argument("--json", action="store_true", help="one object a line")
    memory.add_argument("--micropython", help="the interpreter to measure on")
    board = commands.add_parser("board", help="cycles, times and energy on an emulated Pico; unix")
    board.add_argument("--json", action="store_true", help="one object a line")
    board.add_argument("--write", action="store_true", help="put the tables into docs/board.md")
    board.add_argument("--backends", nargs="+", help="only these, of the Pico: thumb, ulab ...")
    host = commands.add_parser("host", help="updates/s of the host's merging, beside Flower's")
    host.add_argument("--json", action="store_true", help="one object a line")
    host.add_argument("--boards", type=int, nargs="+", help="numbers of boards")
    host.add_argument("--numpy", action="store_true", help="without numba, even if it is there")
    host.add_argument("--stages", action="store_true", help="where ten boards' round spends time")
    options = parser.parse_args(arguments)
    if options.command == "host" and options.stages:
        import bench_stages

        return bench_stages.run()
    if options.command == "host":
        import bench_host

        return bench_host.run(
            options.json, tuple(options.boards or bench_host.BOARDS), options.numpy
        )
    if options.command == "board":
        import board_bench

        return board_bench.run(options.json, options.write, tuple(options.backends or ()))
    if options.micropython:
        found = [get_micropython.Found(shlex.split(options.micropython), "")]
    else:
        found = [get_micropython.narrow(fetch=True), get_micropython.native(fetch=True)]
    rows = []
    for each in found:
        if each.command:
            rows += [measure_memory(each.command, sizes) for sizes in NETWORKS]
        else:
            print(f"bench: {each.note}", file=sys.stderr)
    if options.json:
        for row in rows:
            print(json.dumps(row))
    elif rows:
        print_memory(rows)
    narrow = [row for row in rows if row["word_bits"] == 32]
    return 0 if rows and all(row["over_weights"] <= TARGET_BYTES for row in narrow) else 1


def measure_memory(command: list[str], sizes: tuple[int, ...]) -> dict[str, Any]:
    """Bytes of: code, weights, peak (beyond code), over_weights; idle: joined, with no model."""
    spec = model.Spec(sizes)
    word = subprocess.run([*command, "-c", ASK_WORD], capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = lab.make_samples(N_SAMPLES, sizes[0], sizes[-1])
        code = code_bytes(command, folder)
        peak = least_free(lambda free: attempt(command, folder / "a", made, spec, free, 3))
        idle = least_free(lambda free: attempt(command, folder / "b", made, spec, free, 0))
    weights = 2 * spec.n_params
    return {
        "what": "memory", "network": "-".join(map(str, sizes)), "word_bits": int(word),
        "weights": weights, "peak": peak, "over_weights": peak - weights, "idle": idle,
        "code": code, "target": TARGET_BYTES,
    }  # fmt: skip


def least_free(works: Callable[[int], bool]) -> int:
    """The least free heap with which `works(free)`; it is taken to with all above."""
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


def start(command: list[str], folder: Path, free: int) -> lab.Process:
    script = [str(ROOT / "tools" / "bench_board.py"), str(ROOT / "device"), str(folder / "data")]
    heap = [*command, "-X", f"heapsize={HEAP_BYTES}"]
    return lab.Process(heap, folder, {}, main=(*script, str(free)))


def code_bytes(command: list[str], folder: Path) -> int:
    with start(command, folder, 0) as board:
        host = lab.Host(board.stream, KEY)
        host.until(Joined)
        line = next(part for part in host.output.splitlines() if part.startswith(b"code "))
        return int(line.split()[1])


class Host(lab.Host):
    """Gives up at the first word of memory."""

    def turn(self) -> list[object]:
        events = super().turn()
        if b"MemoryError" in self.output or b"memory" in self.output:
            raise AssertionError
        return events


def attempt(
    command: list[str], folder: Path, made: list[Any], spec: model.Spec, free: int, n_rounds: int
) -> bool:
    """Whether a board with so much free heap does the rounds, on an empty flash."""
    lab.write_samples(folder / "data", made)
    for path in (folder / "data").glob("base.*"):
        path.unlink()
    with start(command, folder, free) as board:
        host = Host(board.stream, KEY)
        try:
            host.until(Joined, 10)
            params = lab.start_params(spec)
            old: array[int] | None = None
            for round_ in range(1, n_rounds + 1):
                how = {"top_permille": 1000, "bits": 16} if round_ == 3 else {"top_permille": 50}
                task = lab.make_task(params, round_, spec, batch=BATCH, epochs=1, **how)
                host.hub.send(task)
                encoding, meta, data = delta.encode_delta(spec, old, params)
                begin = messages.Begin(
                    what=messages.MODEL, round=round_, version=round_, base=round_ - 1,
                    encoding=encoding, n_bytes=len(data), digest=task.digest, meta=meta,
                )  # fmt: skip
                host.hub.transfer(begin, [data])
                got = host.until(Update, 60)
                host.hub.send(messages.Accepted(round=round_))
                host.idle()
                old, params = params, lab.apply(params, got, spec)
        except (AssertionError, EOFError):
            return False
        return True


COLUMNS = {
    "network": "network", "word_bits": "word bits", "weights": "weights", "peak": "peak heap",
    "over_weights": "beyond weights", "idle": "idle", "code": "code",
}  # fmt: skip


def print_memory(rows: list[dict[str, Any]]) -> None:
    print("".join(f"{title:>15}" for title in COLUMNS.values()))
    for row in rows:
        cells = [row[name] if name == "network" else f"{row[name]:,}" for name in COLUMNS]
        print("".join(f"{cell:>15}" for cell in cells))
    print(
        f"Bytes. Peak and idle are beyond the imported code (compiled from .py).\n"
        f"Target, for the 32-bit words of boards: {TARGET_BYTES:,} beyond the weights."
    )
    if all(row["word_bits"] != 32 for row in rows):
        print("Not checked: no 32-bit MicroPython here; its objects would be about half as large.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
