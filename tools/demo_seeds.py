"""The demo over many seeds, sparse and dense: how much of its figures is luck.

python3 tools/demo_seeds.py [--seeds 8]       about a minute for each seed
"""

from __future__ import annotations

if __name__ == "__main__":
    import in_venv  # noqa: F401

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def demo(*options: str) -> dict[str, Any]:
    """The summary of one run."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "fedboard_host", "demo", "--json", "--out",
             str(Path(folder) / "demo"), *options],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr)
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description="The demo over many seeds.")
    parser.add_argument("--seeds", type=int, default=8)
    n = parser.parse_args().seeds
    columns = ("sparse", "dense", "central", "alone")
    print("seed    " + "".join(f"{name:>9}" for name in columns) + "   bytes up", flush=True)
    rows: list[tuple[float, ...]] = []
    for seed in range(1, n + 1):
        sparse = demo("--seed", str(seed))
        dense = demo("--seed", str(seed), "--top-percent", "100", "--bits", "16", "--no-compare")
        rows.append(
            (
                100 * sparse["accuracy"],
                100 * dense["accuracy"],
                100 * sparse["accuracy_central"],
                100 * sparse["accuracy_alone_mean"],
                sparse["bytes_up_per_board_round"],
            )
        )
        show(str(seed), rows[-1])
    show("mean", tuple(sum(column) / n for column in zip(*rows, strict=True)))


def show(title: str, row: tuple[float, ...]) -> None:
    print(f"{title:8}" + "".join(f"{v:9.1f}" for v in row[:-1]) + f"{row[-1]:11.0f}", flush=True)


if __name__ == "__main__":
    main()
