"""The demo of meta-learning: boards with tasks of their own learn a start for tasks yet unseen.

    sine     each board has a wave of its own, 50 points: numbers are predicted, in floats
    labels   each board has five of the ten digits, real handwriting, and names of its own for them:
             what is class 0 here is class 3 there; in integers

The boards federate under reptile, tinyreptile or tinymetafed. Then new boards come, with tasks that
no other had. Each adapts to a few shots of its own, once from the untrained start values and once
from what was learned, and says how well it predicts its other samples, before and after. All of it
goes over the real protocol. The learned one stays on the board as its personal model.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fedboard import DataError, messages, prng
from fedboard.model import Spec
from fedboard_host import export, strategies
from fedboard_host.clock import Clock
from fedboard_host.demo_boards import Boards
from fedboard_host.events import Event, RoundClosed
from fedboard_host.history import History
from fedboard_host.metasummary import Adapted, Summary
from fedboard_host.metatasks import N_WAYS, deal
from fedboard_host.progress import Plain, View
from fedboard_host.rounds import Policy
from fedboard_host.runtime import fast_kernels, quick_collections, stop_on_interrupt
from fedboard_host.server import Federation, Result
from fedboard_host.store import Store
from fedboard_host.talk import JOIN_S, Talk

_RUN, _MODEL = 5, 6  # labels of what follows from the seed; see also metatasks
_PLAIN_LINES = 20


@dataclass(frozen=True)
class Kind:
    """A task, and what suits it: chosen on boards of other seeds than the demo's.

    shots: of each class (sine: in all) for a new board, which learns n_adapt samples of them.
    """

    rule: str
    sizes: tuple[int, ...]
    shots: int
    n_adapt: int
    rate: int  # of adapting
    schedules: dict[str, dict[str, Any]]
    boards: int = 16


KINDS = {
    "sine": Kind(
        "float-squared", (1, 40, 40, 1), 10, 50, 655,
        {
            "tinyreptile": {"rounds": 400, "rate": 655, "n_max": 100},
            "tinymetafed": {"rounds": 400, "rate": 786, "n_max": 100},
            "reptile": {"rounds": 60, "rate": 1966, "n_max": 200, "batch": 5, "alpha_last": 0.5},
        },
    ),
    "labels": Kind(
        "fedboard", (64, 64, N_WAYS), 5, 25, 7,
        {
            "tinyreptile": {
                "rounds": 300, "rate": 8, "n_max": 50, "alpha": 0.3, "alpha_last": 0.06,
            },
            "tinymetafed": {
                "rounds": 300, "rate": 6, "n_max": 100, "alpha": 0.6, "alpha_last": 0.12,
            },
            "reptile": {"rounds": 40, "rate": 7, "n_max": 100, "batch": 4, "alpha_last": 0.2},
        },
    ),
}  # fmt: skip
STRATEGY = "tinyreptile"


@dataclass(frozen=True)
class Options:
    """boards and rounds 0: as KINDS says. micropython: its command."""

    task: str = "sine"
    boards: int = 0
    rounds: int = 0
    seed: int = 2
    strategy: str = STRATEGY
    new_boards: int = 10
    runtime: str = "memory"
    micropython: str = ""
    key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.strategy not in self.kind.schedules:
            raise DataError(
                f"--task {self.task} is for the strategies {', '.join(self.kind.schedules)}, "
                f"not {self.strategy}"
            )

    @property
    def kind(self) -> Kind:
        return KINDS[self.task]

    @property
    def n_boards(self) -> int:
        return self.boards or self.kind.boards

    @property
    def n_rounds(self) -> int:
        return self.rounds or int(self.kind.schedules[self.strategy]["rounds"])


def title(options: Options) -> str:
    sizes = "-".join(map(str, options.kind.sizes))
    where = "in this process" if options.runtime == "memory" else f"{options.runtime} processes"
    return (
        f"fedboard demo --task {options.task}: {options.n_boards} boards ({where}), {sizes} "
        f"{options.kind.rule}, {options.strategy}"
    )


def run(options: Options, folder: Path, view: View) -> Summary:
    """Federate, then let new boards adapt; leaves checkpoint, log and exports in `folder`."""
    started_s = time.monotonic()
    kind = options.kind
    spec, strategy = spec_of(options), strategy_of(options)
    with contextlib.closing(Store(folder)) as store, fast_kernels(), quick_collections():
        result, learned, untrained = asyncio.run(_all(options, spec, strategy, store, view))
    model = export.Model(spec, result.version, result.model)
    export.write_npz(folder / "model.npz", model)
    export.write_bin(folder / "model.bin", model)
    summary = Summary(
        task=options.task, strategy=options.strategy, rule=kind.rule, sizes=kind.sizes,
        boards=options.n_boards, rounds=result.round, shots=kind.shots, n_adapt=kind.n_adapt,
        learned=learned, untrained=untrained, bytes_up=result.bytes_up,
        bytes_down=result.bytes_down, bytes_dense=2 * spec.n_params,
        n_asked=result.round * (strategy.selection()[0] or options.n_boards),
        runtime=options.runtime, seed=options.seed,
        model_sha256=hashlib.sha256(bytes(result.model)).hexdigest(), folder=str(folder),
        seconds=round(time.monotonic() - started_s, 1),
    )  # fmt: skip
    return summary


def spec_of(options: Options) -> Spec:
    return Spec(options.kind.sizes, options.kind.rule, prng.mix(options.seed, _MODEL))


def strategy_of(options: Options) -> strategies.Strategy:
    params = {**options.kind.schedules[options.strategy], "rounds": options.n_rounds}
    return strategies.make(options.strategy, params)


def run_of(options: Options) -> int:
    return prng.mix(options.seed, _RUN)


async def _all(
    options: Options, spec: Spec, strategy: strategies.Strategy, store: Store, view: View
) -> tuple[Result, Adapted, Adapted]:
    federation = Federation(
        spec, strategy, store, policy=Policy(n_boards=options.n_boards, quorum=options.n_boards),
        key=options.key, name="demo", on_event=_thin(view, options.n_rounds),
        run=run_of(options),
    )  # fmt: skip
    view.watch_boards(federation.boards)
    with stop_on_interrupt(federation, view):
        async with Boards(options.runtime, options.key, options.micropython) as boards:
            for b, own in enumerate(deal(options.task, options.n_boards, options.seed)):
                federation.add_opener(boards.add(f"board-{b:02}", own))
            try:
                result = await federation.run(options.n_rounds)
            finally:
                await federation.close()
    if not result.round:
        raise DataError("stopped before the first round was over: nothing to show")
    view.note(f"{options.new_boards} new boards adapt to {options.kind.shots} shots each ...")
    learned, untrained = await _adapt(options, spec, strategy, result)
    return result, learned, untrained


def _thin(view: View, n_rounds: int) -> Any:
    """Many short rounds: a log gets a line of some of them."""
    every = max(1, n_rounds // _PLAIN_LINES) if isinstance(view, Plain) else 1

    def on_event(event: Event) -> None:
        if not isinstance(event, RoundClosed) or event.round % every == 0:
            view(event)

    return on_event


async def _adapt(
    options: Options, spec: Spec, strategy: strategies.Strategy, result: Result
) -> tuple[Adapted, Adapted]:
    """Have new boards adapt, from the learned start and from what it was before the first round."""
    kind = options.kind
    (work,) = strategy.plan(spec, [strategies.BoardInfo("new", "")], 1).values()
    learned, untrained = Adapted(), Adapted()
    dealt = deal(options.task, options.new_boards, options.seed, is_new=True)
    for b, own in enumerate(dealt):
        async with Boards(options.runtime, options.key, options.micropython) as boards:
            talk = Talk(await boards.add(f"new-{b:02}", own).open(), options.key, Clock())
            try:
                await talk.join(JOIN_S)
                for found, version, params in (
                    (untrained, 1, strategy.start(spec)),
                    (learned, result.version + 1, result.model),
                ):
                    task = messages.Task(
                        op=messages.ADAPT, shots=kind.shots, n_max=kind.n_adapt, batch=1,
                        rate=kind.rate, seed=options.seed, local=work.local, n_local=work.n_local,
                        flags=messages.KEEP if found is learned else 0,
                    )  # fmt: skip
                    model = History(spec)
                    model.add(version, params)
                    said = await talk.work(task, model)
                    if spec.rule == "float-squared":
                        found.before.append(said.loss_before / 1000)
                        found.after.append(said.loss / 1000)
                    else:
                        found.before.append(said.n_correct_before / said.n)
                        found.after.append(said.n_correct / said.n)
            finally:
                await talk.close()
    return learned, untrained


def for_task(task: str, **options: Any) -> Options:
    """Options, with those that are at their defaults left to the task."""
    return replace(Options(task), **{k: v for k, v in options.items() if v})
