"""How fast the host merges, and how much memory that takes; beside Flower's FedAvg, if it is there.

A row is one round: so many boards' updates, from the bytes that came to the next model. Ours are
sparse integers as boards encode them (the largest 1 or 10 % in 4 bits), or dense int16 (100 %).
Flower gets the same updates as its clients send them, float32 arrays in replies; its time is that
of FedAvg's aggregation, from the replies' bytes to the mean (without its checks of messages), and
beside it that of its bare aggregate() on arrays that lie decoded in memory, as far as memory goes:
it holds as much again for every board. Boards send one of N_DIFFERENT updates in turn, and the host
takes what waits, MAX_WAITING at a time, as intake does. Of sparse updates it is also told what the
additions alone would cost: one after the other, of indices and values that lie decoded in memory.
Updates/s are by the clock on the wall, the best of some runs; other programs should be idle. Of
both there is, in addition, the ratio by CPU seconds, of all cores together: Flower's FedAvg uses
one core, ours as many as it has threads.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
import tracemalloc
from array import array
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fedboard import update
from fedboard.base import MemoryBase
from fedboard.model import Spec
from fedboard_host import decode, strategies
from fedboard_host.intake import MAX_WAITING

NETWORKS = ((200, 48, 10), (784, 200, 10))
PERCENTS = (1, 10, 100)
BOARDS = (10, 100, 1000, 10_000)
N_DIFFERENT = 12
N_SAMPLES = 40
REPEAT_S = 1.5  # a measurement is repeated until it has taken so long,
MIN_REPEATS, MAX_REPEATS = 3, 99  # and so often
MAX_BARE_BYTES = 1 << 29  # Flower's bare aggregate() holds a product of every board's arrays
SPARSE_GOAL, DENSE_GOAL = 20, 2  # times Flower's updates/s

Wire = tuple[bytes, bytes]  # an update's meta and stream


def run(as_json: bool, boards: tuple[int, ...] = BOARDS, numpy_only: bool = False) -> int:
    compiled = decode.use_compiled(not numpy_only)
    flower = find_flower()
    rows = []
    for sizes in NETWORKS:
        spec = Spec(sizes, "fedboard", 1)
        for percent in PERCENTS:
            pool = [encoded(spec, percent, seed) for seed in range(N_DIFFERENT)]
            Host(spec).round(pool, 2)  # compile
            for n in boards:
                row = measured(spec, percent, pool, n, flower)
                row["loops"] = "numba" if compiled else "numpy"
                rows.append(row)
                if as_json:
                    print(json.dumps(row), flush=True)
    if not as_json:
        show(rows)
    return 0


def encoded(spec: Spec, percent: int, seed: int) -> Wire:
    """One board's update, by the board's own code: normal changes, the largest `percent`."""
    rng = np.random.default_rng(seed)
    base = MemoryBase()
    base.begin(spec.pack())
    base.write(array("h", bytes(2 * spec.n_params)))
    base.commit(1, b"")
    change = np.rint(rng.standard_normal(spec.n_params) * 200).astype(np.int16)
    layers = (1 << spec.n_layers) - 1
    bits = 16 if percent == 100 else 4
    made = update.Update(spec, array("h", change.tobytes()), base, layers, 10 * percent, bits)
    made.prepare()
    return made.meta(), b"".join(made.chunks())


class Host:
    """What a federation has of it: the decoder, the sums, the model."""

    def __init__(self, spec: Spec) -> None:
        self._decoder = decode.Decoder(spec)
        self.merger = strategies.make("fedavg", {}).merger(spec)
        self.merger.start(array("h", bytes(2 * spec.n_params)))
        self._layers = (1 << spec.n_layers) - 1

    def round(self, pool: list[Wire], n: int) -> None:
        merger = self.merger
        weight = merger.weight(N_SAMPLES)
        for at in range(0, n, MAX_WAITING):
            waiting = [
                (weight, self._layers, *pool[i % len(pool)])
                for i in range(at, min(at + MAX_WAITING, n))
            ]
            merger.take_all(self._decoder, waiting, [""] * len(waiting))
        merger.merge()


def additions(spec: Spec, pool: list[Wire]) -> Callable[[int], object]:
    """acc[i] += weight * change of so many updates, which are decoded beforehand."""
    decoder = decode.Decoder(spec)
    parsed = [decoder.parse((1 << spec.n_layers) - 1, *wire) for wire in pool]
    sums = np.zeros(spec.n_params, np.int64)
    layers = [sums[spec.at(l) : spec.at(l + 1)] for l in range(spec.n_layers)]

    def work(n: int) -> None:
        for i in range(n):
            for l, indices, values in parsed[i % len(parsed)]:
                decode.add(layers[l], indices, values, N_SAMPLES)

    return work


class Rate(NamedTuple):
    """Updates a second: by the clock on the wall, and of CPU time."""

    by_clock: float
    by_cpu: float


def measure(work: Callable[[int], object], n: int) -> Rate:
    """Of work(n); each is of its own best run."""
    clock: list[float] = []
    cpu: list[float] = []
    gc.collect()
    gc.disable()
    try:
        while len(clock) < MIN_REPEATS or (sum(clock) < REPEAT_S and len(clock) < MAX_REPEATS):
            began, cpu_began = time.perf_counter(), time.process_time()
            work(n)
            clock.append(time.perf_counter() - began)
            cpu.append(time.process_time() - cpu_began)
    finally:
        gc.enable()
    return Rate(n / max(min(clock), 1e-9), n / max(min(cpu), 1e-9))


def measured(spec: Spec, percent: int, pool: list[Wire], n: int, flower: Any) -> dict[str, Any]:
    host = Host(spec)
    ours = measure(lambda n: host.round(pool, n), n)
    tracemalloc.start()
    Host(spec).round(pool, n)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = sum(len(meta) + len(data) for meta, data in pool) / len(pool)
    row: dict[str, Any] = {
        "what": "host", "n_params": spec.n_params, "percent": percent, "boards": n,
        "threads": decode.n_adding(), "update_bytes": round(size),
        "updates_per_s": round(ours.by_clock), "updates_per_cpu_s": round(ours.by_cpu),
        "bytes_per_s": round(size * ours.by_clock), "peak_bytes": peak,
    }  # fmt: skip
    if flower is not None:
        arrays = [dense(spec, each) for each in pool]
        whole, bare = flower(arrays)
        theirs = measure(whole, n)
        row["flower_updates_per_s"] = round(theirs.by_clock)
        row["flower_updates_per_cpu_s"] = round(theirs.by_cpu)
        if 4 * n * spec.n_params <= MAX_BARE_BYTES:
            row["flower_bare_updates_per_s"] = round(measure(bare, n).by_clock)
        row["ratio"] = round(ours.by_clock / theirs.by_clock, 1)
        row["cpu_ratio"] = round(ours.by_cpu / theirs.by_cpu, 1)
        if percent < 100:
            alone = measure(additions(spec, pool), n)
            row["additions_ratio"] = round(alone.by_clock / theirs.by_clock, 1)
    return row


def dense(spec: Spec, wire: Wire) -> list[Any]:
    """The same update as a Flower client sends it: float32, weights and biases of each layer."""
    found = []
    for l, indices, values in decode.Decoder(spec).parse((1 << spec.n_layers) - 1, *wire):
        n_in, n_out = spec.sizes[l], spec.sizes[l + 1]
        flat = np.zeros(spec.n_layer_params(l), np.float32)
        flat[indices] = values
        found += [flat[: n_in * n_out].reshape(n_out, n_in), flat[n_in * n_out :]]
    return found


def find_flower() -> Any:
    """A function that prepares Flower's two ways for given updates; None where it is missing."""
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    try:
        records: Any = importlib.import_module("flwr.app")
        utils: Any = importlib.import_module("flwr.serverapp.strategy.strategy_utils")
        aggregate: Any = importlib.import_module("flwr.server.strategy.aggregate").aggregate
    except ImportError:
        print("bench: Flower is not installed, its columns are left out: pip install flwr",
              file=sys.stderr)  # fmt: skip
        return None

    def prepare(
        updates: list[list[Any]],
    ) -> tuple[Callable[[int], object], Callable[[int], object]]:
        replies = [
            records.RecordDict(
                {
                    "arrays": records.ArrayRecord(each),
                    "metrics": records.MetricRecord({"num-examples": N_SAMPLES}),
                }
            )
            for each in updates
        ]

        def turns(things: list[Any], n: int) -> Iterator[Any]:
            return (things[i % len(things)] for i in range(n))

        def whole(n: int) -> object:
            return utils.aggregate_arrayrecords(list(turns(replies, n)), "num-examples")

        def bare(n: int) -> object:
            return aggregate([(each, N_SAMPLES) for each in turns(updates, n)])

        return whole, bare

    return prepare


def show(rows: list[dict[str, Any]]) -> None:
    """Tables of Markdown, as docs/scale.md has them."""
    with_flower = "ratio" in rows[0]
    print(f"Loops: {rows[0]['loops']}, threads: {rows[0]['threads']} at most.\n")
    head = ["parameters", "share", "boards", "bytes an update", "updates/s", "MB/s", "peak memory"]
    if with_flower:
        head += ["Flower FedAvg, updates/s", "times Flower", "by CPU seconds"]
        head += ["additions alone, times Flower", "Flower, bare aggregate()"]
    print("| " + " | ".join(head) + " |")
    print("|---" * len(head) + "|")
    for row in rows:
        cells = [
            f"{row['n_params']:,}", f"{row['percent']} %", f"{row['boards']:,}",
            f"{row['update_bytes']:,}", f"{row['updates_per_s']:,}",
            f"{row['bytes_per_s'] / 1e6:.1f}", f"{row['peak_bytes'] / 1e6:.1f} MB",
        ]  # fmt: skip
        if with_flower:
            bare = row.get("flower_bare_updates_per_s")
            cells += [
                f"{row['flower_updates_per_s']:,}",
                f"{row['ratio']}",
                f"{row['cpu_ratio']}",
                f"{row.get('additions_ratio', '-')}",
                f"{bare:,}" if bare else "-",
            ]
        print("| " + " | ".join(cells) + " |")
    if not with_flower:
        return
    for name, goal, chosen in (
        ("sparse", SPARSE_GOAL, [r for r in rows if r["percent"] < 100]),
        ("dense", DENSE_GOAL, [r for r in rows if r["percent"] == 100]),
    ):
        for what, key in (("", "ratio"), (", by CPU seconds", "cpu_ratio")):
            ratios = [row[key] for row in chosen]
            n = sum(ratio >= goal for ratio in ratios)
            # as long as Flower takes for an update of each row, against as long as we do
            theirs = [1 / row["flower_updates_per_s"] for row in chosen]
            together = sum(theirs) / sum(t / r for t, r in zip(theirs, ratios, strict=True))
            print(f"\n{name}{what}: {together:.1f} times Flower's FedAvg for an update of each "
                  f"row, {min(ratios)} to {max(ratios)} row by row; the goal is {goal}, "
                  f"which {n} of {len(ratios)} rows reach by themselves.")  # fmt: skip
