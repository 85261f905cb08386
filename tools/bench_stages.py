"""Where a round's time goes in the host: tools/bench.py host --stages.

A round of ten boards' sparse updates, which are one group of lanes. Clocks are put around compiled
loops, and around the copy that boards get; the rest is Python's. The medians of N_ROUNDS.
"""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import bench_host
from fedboard.model import Spec
from fedboard_host import decode

N_BOARDS = 10
N_ROUNDS = 500
ADDING, CLOSING, COPYING = "reading and adding", "the round's end", "a copy for boards"
OTHER, ROUND = "Python, and joining", "the round"


def run() -> int:
    if not decode.use_compiled():
        raise SystemExit("bench: the stages are those of compiled loops: pip install numba")
    columns = [ADDING, CLOSING, COPYING, OTHER, ROUND]
    print(f"{N_BOARDS} boards, us.\n\n| parameters | share | {' | '.join(columns)} |")
    print("|---" * (2 + len(columns)) + "|")
    for sizes in bench_host.NETWORKS:
        spec = Spec(sizes, "fedboard", 1)
        for percent in bench_host.PERCENTS:
            if percent < 100:
                took = stages(spec, percent)
                cells = " | ".join(f"{1e6 * took[name]:.0f}" for name in columns)
                print(f"| {spec.n_params:,} | {percent} % | {cells} |")
    return 0


def stages(spec: Spec, percent: int) -> dict[str, float]:
    """Seconds of each stage."""
    pool = [bench_host.encoded(spec, percent, seed) for seed in range(bench_host.N_DIFFERENT)]
    host = bench_host.Host(spec)
    host.round(pool, N_BOARDS)
    rounds: list[dict[str, float]] = []
    with contextlib.ExitStack() as stack:
        for owner, name, stage in (
            (decode._steps, "add_streams", ADDING), (decode._sums, "add_stream", ADDING),
            (decode._sums, "close", CLOSING), (host.merger, "params", COPYING),
        ):  # fmt: skip
            if owner is not None:
                clocked = _clocked(getattr(owner, name), stage, rounds)
                stack.enter_context(mock.patch.object(owner, name, clocked))
        gc.disable()
        stack.callback(gc.enable)
        for _ in range(N_ROUNDS):
            rounds.append(dict.fromkeys((ADDING, CLOSING, COPYING), 0.0))
            began = time.perf_counter()
            host.round(pool, N_BOARDS)
            took = time.perf_counter() - began
            rounds[-1].update({OTHER: took - sum(rounds[-1].values()), ROUND: took})
    return {name: statistics.median([one[name] for one in rounds]) for name in rounds[0]}


def _clocked(
    work: Callable[..., Any], stage: str, rounds: list[dict[str, float]]
) -> Callable[..., Any]:
    """work(), that adds what it takes to the last round's."""

    def clocked(*args: Any) -> Any:
        began = time.perf_counter()
        found = work(*args)
        rounds[-1][stage] += time.perf_counter() - began
        return found

    return clocked
