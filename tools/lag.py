"""How long the host's event loop keeps others waiting while many boards learn.

    python tools/lag.py --boards 100 --rounds 5

The boards dial over TCP from a process of their own, all in one round at a time. A task that wants
to run every 5 ms tells how late it is (lag), and how much processor time the loop took meanwhile
(busy): that is what the host itself makes others wait, however busy the machine is. Prints one JSON
object: milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tcp_boards
from fedboard_host import strategies
from fedboard_host.rounds import Policy
from fedboard_host.runtime import fast_kernels, quick_collections
from fedboard_host.server import Federation
from fedboard_host.store import Store

_EVERY_S = 0.005
STRATEGY = strategies.make("fedavg", {"batch": 4, "top_percent": 20.0, "bits": 4})


async def _watch(lags_ms: list[float], busy_ms: list[float]) -> None:
    while True:
        began_s, used_s = time.perf_counter(), time.thread_time()
        await asyncio.sleep(_EVERY_S)
        lags_ms.append(1000 * (time.perf_counter() - began_s - _EVERY_S))
        busy_ms.append(1000 * (time.thread_time() - used_s))


async def measure(folder: Path, n_boards: int, n_rounds: int) -> dict[str, Any]:
    """Figures of n_rounds rounds, from when the first board dials."""
    lags_ms: list[float] = []
    busy_ms: list[float] = []
    with Store(folder) as store:
        federation = Federation(
            tcp_boards.SPEC, STRATEGY, store, policy=Policy(n_boards, quorum=n_boards),
            key=tcp_boards.KEY, run=1,
        )  # fmt: skip
        port = await federation.listen("127.0.0.1", 0)
        boards = subprocess.Popen([
            sys.executable, str(Path(tcp_boards.__file__)), str(port), str(n_boards),
        ])  # fmt: skip
        watch = asyncio.create_task(_watch(lags_ms, busy_ms))
        try:
            cpu_s = time.process_time()
            result = await federation.run(n_rounds)
            cpu_s = time.process_time() - cpu_s
        finally:
            watch.cancel()
            await federation.close()
            boards.kill()
            boards.wait()
    return {
        "boards": n_boards,
        "rounds": result.round,
        **_figures("lag_ms", lags_ms),
        **_figures("busy_ms", busy_ms),
        "seconds": round(result.seconds, 2),
        "host_cpu_seconds": round(cpu_s, 2),
    }


def _figures(name: str, values: list[float]) -> dict[str, float]:
    values = sorted(values)
    return {
        f"{name}_median": round(values[len(values) // 2], 2),
        f"{name}_99_percent": round(values[len(values) * 99 // 100], 2),
        f"{name}_max": round(values[-1], 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--boards", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, fast_kernels(), quick_collections():
        told = asyncio.run(measure(Path(made) / "run", options.boards, options.rounds))
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main())
