"""The demo: virtual boards learn handwriting together, each knowing mostly three digits of ten.

    memory        each board is fedboard.board.Board on an in-memory link, in this process
    cpython       each board is device/main.py in a process of its own, on a pseudo-terminal
    micropython   the same, run by MicroPython

The bytes on the links are the protocol's in all three, and so is the arithmetic: the same seed
gives the same model, bit for bit. Afterwards the merged model is compared with each board alone and
with training in one place: same rule, same samples, same number of passes (see judge).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sys
import time
from array import array
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fedboard import DataError, prng
from fedboard.model import Spec
from fedboard_host import digits, export, judge, plots, strategies
from fedboard_host.demo_boards import Boards
from fedboard_host.demo_secure import Clear
from fedboard_host.events import Event
from fedboard_host.progress import View
from fedboard_host.robust import Merging
from fedboard_host.rounds import Policy
from fedboard_host.runtime import fast_kernels, quick_collections, stop_on_interrupt
from fedboard_host.server import Federation, Result
from fedboard_host.store import Store

SIZES = (digits.N_IN, 32, digits.N_CLASSES)
_RUN = 5  # labels of what follows from the seed
_MODEL = 6

# What suits each strategy here: chosen on samples that were neither trained on nor held out.
SCHEDULES: dict[str, dict[str, Any]] = {
    "fedavg": {
        "rounds": 80,
        "batch": 16,
        "rate": 8,
        "top_percent": 12.0,
        "bits": 2,
        "down_percent": 12.0,
        "down_bits": 2,
        "gain": 2,
        "average_shift": 3,
    },
    "tifed-full": {"rounds": 40, "batch": 25, "rate": 1024},
    "tifed-single-layer": {"rounds": 40, "batch": 25, "rate": 1024},
}


@dataclass(frozen=True)
class Options:
    """rounds 0, top_percent and bits None: as SCHEDULES says. micropython: its command.

    top_percent and bits hold for both directions. compare: train alone and in one place, too.
    mask_key: boards mask their updates with it; the host never has it.
    """

    boards: int = 8
    rounds: int = 0
    seed: int = 2
    strategy: str = "fedavg"
    top_percent: float | None = None
    bits: int | None = None
    runtime: str = "memory"
    micropython: str = ""
    key: bytes | None = field(default=None, repr=False)
    mask_key: bytes | None = field(default=None, repr=False)
    compare: bool = True


@dataclass(frozen=True)
class Summary:
    """What the demo found; bytes per board and round are those on the links, frames and all."""

    accuracy: float
    accuracy_alone_mean: float | None  # None: not compared
    accuracy_alone: tuple[float, ...]
    accuracy_central: float | None
    rounds: int
    boards: int
    bytes_up_per_board_round: float
    bytes_down_per_board_round: float
    update_bytes_per_board_round: float  # of these, the updates themselves
    bytes_dense_int16: int  # a model's parameters alone, without any frames
    bytes_dense_float32: int
    n_params: int
    strategy: str
    rule: str
    top_percent: float
    bits: int
    runtime: str
    seed: int
    model_sha256: str
    folder: str
    seconds: float
    seconds_federated: float
    cpu_seconds: float  # of this process
    masked: bool = False
    rounds_equal: int | None = None  # after which the masked sum made the model of clear updates


def run(options: Options, folder: Path, view: View) -> Summary:
    """Federate, compare, and leave checkpoint, log, exports and picture in `folder`."""
    started_s = time.monotonic()
    strategy, rounds = _strategy(options)
    deal = digits.deal(digits.load(), options.boards, options.seed)
    rule = "tifed" if options.strategy.startswith("tifed") else "fedboard"
    spec = Spec(SIZES, rule, prng.mix(options.seed, _MODEL))
    run_id = prng.mix(options.seed, _RUN)
    held_out = judge.Judge(spec, deal.test)
    with contextlib.closing(Store(folder)) as store, fast_kernels(), quick_collections():
        federation = _Demo(options, spec, strategy, deal, store, view, run_id)
        result = asyncio.run(federation.run(rounds, held_out))
        federated_s = time.monotonic() - started_s
        rounds = result.round
        if not rounds:
            raise DataError("stopped before the first round was over: nothing to show")
        alone: list[float] = []
        central = None
        if options.compare:
            view.note("training each board alone, and all samples in one place, to compare ...")
            *alone, central = (
                held_out(judge.train_centrally(spec, strategy, own, rounds, run_id))[0] or 0.0
                for own in (*deal.boards, deal.everything)
            )
        log = store.rounds()
    work = next(iter(strategy.plan(spec, [strategies.BoardInfo("any", "")], 1).values()))
    shares = options.boards * rounds
    summary = Summary(
        accuracy=held_out(result.model)[0] or 0.0,
        accuracy_alone_mean=sum(alone) / len(alone) if alone else None,
        accuracy_alone=tuple(alone),
        accuracy_central=central,
        rounds=rounds,
        boards=options.boards,
        bytes_up_per_board_round=round(result.bytes_up / shares, 1),
        bytes_down_per_board_round=round(result.bytes_down / shares, 1),
        update_bytes_per_board_round=round(_total(log, "update_bytes") / shares, 1),
        bytes_dense_int16=2 * spec.n_params,
        bytes_dense_float32=4 * spec.n_params,
        n_params=spec.n_params,
        strategy=options.strategy,
        rule=rule,
        top_percent=work.top_permille / 10,
        bits=work.bits if options.mask_key is None else 16,
        runtime=options.runtime,
        seed=options.seed,
        model_sha256=hashlib.sha256(_little_endian(result.model)).hexdigest(),
        folder=str(folder),
        seconds=0.0,
        seconds_federated=round(federated_s, 1),
        cpu_seconds=0.0,
        masked=options.mask_key is not None,
        rounds_equal=federation.clear.n_equal if federation.clear else None,
    )
    _write(folder, spec, result, summary, log)
    return replace(
        summary,
        seconds=round(time.monotonic() - started_s, 1),
        cpu_seconds=round(time.process_time(), 1),
    )


def n_rounds(options: Options) -> int:
    return _strategy(options)[1]


def title(options: Options) -> str:
    sizes = "-".join(map(str, SIZES))
    where = "in this process" if options.runtime == "memory" else f"{options.runtime} processes"
    return f"fedboard demo: {options.boards} boards ({where}), {sizes}, {options.strategy}"


def as_json(summary: Summary) -> dict[str, Any]:
    """The last line of --json."""
    return {"event": "Summary", **asdict(summary)}


class _Demo:
    """The boards and the host of one run, in one event loop."""

    def __init__(
        self,
        options: Options,
        spec: Spec,
        strategy: strategies.Strategy,
        deal: digits.Deal,
        store: Store,
        view: View,
        run_id: int,
    ) -> None:
        self._options = options
        self._spec = spec
        self._strategy = strategy
        self._deal = deal
        self._store = store
        self._view = view
        self._run_id = run_id
        in_sight = options.mask_key is not None and options.runtime == "memory"
        self.clear = Clear(spec, strategy) if in_sight else None

    async def run(self, rounds: int, held_out: judge.Judge) -> Result:
        options = self._options
        openers: list[Any] = []

        def on_event(event: Event) -> None:
            if self.clear is not None:
                self.clear.look(event, openers, federation.checkpoint)
            self._view(event)

        federation = Federation(
            self._spec, self._strategy, self._store,
            policy=Policy(n_boards=options.boards, quorum=options.boards), key=options.key,
            name="demo", evaluate=held_out, on_event=on_event, run=self._run_id,
            merging=Merging(secure=options.mask_key is not None),
        )  # fmt: skip
        self._view.watch_boards(federation.boards)
        with stop_on_interrupt(federation, self._view):
            runtime = options.runtime, options.key, options.micropython, options.mask_key
            async with Boards(*runtime) as boards:
                for b, own in enumerate(self._deal.boards):
                    openers.append(boards.add(f"board-{b}", own))
                    federation.add_opener(openers[-1])
                try:
                    return await federation.run(rounds)
                finally:
                    await federation.close()


def _strategy(options: Options) -> tuple[strategies.Strategy, int]:
    """The strategy with the demo's parameters, and the number of rounds."""
    params = dict(SCHEDULES.get(options.strategy, {}))
    rounds = options.rounds or params.pop("rounds", 40)
    params.pop("rounds", None)
    known = strategies.parameters(options.strategy)
    for option, value, names in (
        ("--top-percent", options.top_percent, ("top_percent", "down_percent")),
        ("--bits", options.bits, ("bits", "down_bits")),
    ):
        if value is None:
            continue
        if names[0] not in known:
            raise DataError(
                f"{options.strategy} sends all changes exactly: leave out {option}, "
                "or use --strategy fedavg"
            )
        params.update(dict.fromkeys(names, value))
    return strategies.make(options.strategy, params), rounds


def _total(log: list[dict[str, Any]], key: str) -> int:
    return sum(int(row[key]) for row in log)


def _little_endian(params: array[int]) -> bytes:
    data = array("h", params)
    if sys.byteorder == "big":
        data.byteswap()
    return data.tobytes()


def _write(
    folder: Path, spec: Spec, result: Result, summary: Summary, log: list[dict[str, Any]]
) -> None:
    """model.npz, model.h, model.bin, summary.json, demo.png beside the checkpoints and the log."""
    model = export.Model(spec, result.version, result.model)
    export.write_npz(folder / "model.npz", model)
    export.write_c_header(folder / "model.h", model)
    export.write_bin(folder / "model.bin", model)
    text = json.dumps({k: v for k, v in asdict(summary).items() if "seconds" not in k}, indent=1)
    export.write_whole(folder / "summary.json", text.encode())
    levels = []
    if summary.accuracy_central is not None and summary.accuracy_alone_mean is not None:
        levels = [
            plots.Level("all samples in one place", summary.accuracy_central, plots.GREEN),
            plots.Level("one board alone, mean", summary.accuracy_alone_mean, plots.ORANGE, ":"),
        ]
    sparse = "" if summary.top_percent == 100 else f", top {summary.top_percent:g} %"
    plots.run_picture(
        folder / "demo.png",
        log,
        title=f"{summary.boards} boards, handwritten digits, "
        f"{'-'.join(map(str, spec.sizes))}, {summary.strategy}{sparse}, {summary.bits} bits",
        levels=levels,
        dense=(
            plots.Dense("dense float32", summary.bytes_dense_float32, plots.GREY, ":"),
            plots.Dense("dense int16", summary.bytes_dense_int16, plots.ORANGE),
        ),
        means=(summary.bytes_up_per_board_round, summary.bytes_down_per_board_round),
    )
