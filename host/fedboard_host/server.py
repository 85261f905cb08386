"""The federation: boards' links on one side, rounds and checkpoints on the other.

    federation = Federation(spec, strategy, store, policy=Policy(n_boards=3), on_event=print)
    federation.add_opener(links.parse("serial:/dev/ttyACM0"))
    result = await federation.run(20)

What it is made of: roster (who is here, on which link), conductor (the rounds), hearing (what
boards say), runstate (what these have in common), store (the disk).
"""

from __future__ import annotations

import asyncio
import secrets
from array import array
from collections.abc import Callable
from dataclasses import asdict, dataclass

from fedboard import DataError
from fedboard.model import Spec
from fedboard_host.checkpoints import Checkpoint
from fedboard_host.clock import Clock
from fedboard_host.conductor import Conductor, Evaluate
from fedboard_host.events import Event, Finished, Note
from fedboard_host.links import Link, Opener
from fedboard_host.links.tcp import TcpListener, is_loopback
from fedboard_host.member import BoardView
from fedboard_host.robust import Merging
from fedboard_host.roster import Roster
from fedboard_host.rounds import Policy
from fedboard_host.runstate import RunState
from fedboard_host.store import Store
from fedboard_host.strategies import centring
from fedboard_host.strategies.base import Strategy

__all__ = ["BoardView", "Evaluate", "Federation", "Policy", "Result"]


@dataclass(frozen=True)
class Result:
    round: int  # the last closed one
    version: int
    params: array[int]  # what boards have
    model: array[int]  # what to use
    accuracy: float | None
    loss: float | None
    bytes_up: int  # all links, during this run()
    bytes_down: int
    seconds: float
    stopped: bool  # on request
    began: int  # the last round of earlier run()s


class Federation:
    """One run. Make it inside the event loop that run() is awaited in."""

    def __init__(
        self,
        spec: Spec,
        strategy: Strategy,
        store: Store,
        *,
        policy: Policy | None = None,
        key: bytes | None = None,
        name: str = "",
        start: array[int] | None = None,
        evaluate: Evaluate | None = None,
        on_event: Callable[[Event], None] | None = None,
        dead_ms: int = 20_000,
        handshake_ms: int = 10_000,
        run: int | None = None,
        clock: Clock | None = None,
        merging: Merging = Merging(),  # noqa: B008 - frozen
    ) -> None:
        """Resumes from store.latest(), if there is one; else starts from `start`, or as usual.

        key: 32 bytes; required once a link is on a network. run: u32 that names the run (None:
        random); with seeds it decides the order in which boards see their samples. evaluate is
        called in a thread. Raises DataError if the store holds a run of another model or strategy.
        """
        latest = store.latest()
        is_new = latest is None
        if latest is None:
            params = start or strategy.start(spec)
            latest = _first(spec, strategy, params, secrets.randbits(32) if run is None else run)
            store.save(latest)
        _check_resume(latest, spec, strategy)
        self._key = key
        self._clock = clock or Clock()
        self._loop = asyncio.get_running_loop()
        self._listeners: list[TcpListener] = []
        self._stop_asked = asyncio.Event()
        strategy = centring.for_model(strategy, spec, measures=start is None)
        self._state = RunState(latest, store, on_event, self._clock)
        self._conductor = Conductor(strategy, policy or Policy(), self._state, evaluate, merging)
        hearing, max_update_bytes = self._conductor.hearing, 3 * spec.n_params + 256
        self._roster = Roster(
            hearing, self._clock, key, name, max_update_bytes, dead_ms, handshake_ms
        )
        self._state.members = self._roster.members
        self._conductor.totals = lambda: (self._roster.bytes_up, self._roster.bytes_down)
        if not is_new:
            self._state.emit(Note("info", f"resumed after round {latest.round}"))

    @property
    def checkpoint(self) -> Checkpoint:
        """The state after the last closed round."""
        return self._state.now

    def add_link(self, link: Link) -> None:
        """Serve an open link until it closes: a board that dialled in, for example."""
        self._roster.add_link(link)

    def add_opener(self, opener: Opener) -> None:
        """Keep a link open: again after each break, later and later."""
        self._roster.add_opener(opener)

    async def listen(self, host: str, port: int) -> int:
        """Let boards dial in. Returns the port (a free one for 0). Raises LinkError, DataError."""
        if self._key is None and not is_loopback(host):
            raise DataError("boards on a network need a key: make one with `fedboard key`")
        listener = TcpListener(host, port, self._roster.add_link)
        await listener.start()
        self._listeners.append(listener)
        return listener.port

    def boards(self) -> list[BoardView]:
        """All boards that were here since the start, by name."""
        members = self._roster.members
        return [members[name].view(self._clock) for name in sorted(members)]

    def request_stop(self) -> None:
        """Finish the open round, then let run() return; asked again, drop the open round.

        From the loop's thread, another one or a signal handler.
        """
        self._state.n_stops += 1
        self._loop.call_soon_threadsafe(self._state.changed.set)
        self._loop.call_soon_threadsafe(self._stop_asked.set)

    def pause(self, paused: bool) -> None:
        """Start no round until pause(False); the open one goes on. In the loop's thread."""
        state = self._state
        if state.paused != paused:
            state.paused = paused
            what = "is paused: no round starts" if paused else "goes on"
            state.emit(Note("info", f"the run {what}"))
            state.changed.set()

    def record(self, board: str, label: int, seconds: float) -> None:
        """Let a board record samples; the log tells what came of it. Raises DataError."""
        self._conductor.hearing.asides.record(board, label, seconds)

    def personalize(self, board: str) -> None:
        """Let a board adapt the model to itself, likewise."""
        self._conductor.hearing.asides.personalize(board)

    async def adopt(self, params: array[int]) -> None:
        """Between two run()s: go on from this model. Its version is the next one."""
        await self._conductor.adopt(params)

    async def wait_for_stop(self) -> None:
        """Until request_stop(), with boards coming and going meanwhile."""
        await self._stop_asked.wait()

    @property
    def is_paused(self) -> bool:
        return self._state.paused

    async def run(self, n_rounds: int) -> Result:
        """Go on to the round number `n_rounds` (closed ones of an earlier run() count)."""
        state, roster = self._state, self._roster
        started_ms = self._clock.now_ms()
        up, down = roster.bytes_up, roster.bytes_down
        began = state.now.round
        await self._conductor.conduct(n_rounds)
        state.n_stops = 0
        now = state.now
        stopped = now.round < n_rounds
        state.emit(Finished(now.round, now.version, stopped))
        return Result(
            now.round, now.version, now.params, now.result, now.accuracy, now.loss,
            roster.bytes_up - up, roster.bytes_down - down,
            (self._clock.now_ms() - started_ms) / 1000, stopped, began,
        )  # fmt: skip

    async def close(self) -> None:
        """Let what is queued arrive, say BYE, close all links. The store's owner closes that."""
        for listener in self._listeners:
            await listener.close()
        await self._roster.close()
        await self._state.tasks.cancel()


def _first(spec: Spec, strategy: Strategy, params: array[int], run: int) -> Checkpoint:
    """The checkpoint of a run that begins."""
    merger = strategy.merger(spec)
    merger.start(params)
    return Checkpoint(
        spec, run, 0, 1, merger.params(), merger.result(), _text(strategy), state=merger.state()
    )


def _check_resume(latest: Checkpoint, spec: Spec, strategy: Strategy) -> None:
    if latest.spec != spec:
        raise DataError(
            f"this run is of the model {latest.spec} (seed {latest.spec.seed}), not {spec} "
            f"(seed {spec.seed}): choose another folder"
        )
    if latest.strategy.split()[0] != strategy.name:
        raise DataError(
            f"this run is of strategy {latest.strategy}: go on with it or choose another folder"
        )


def _text(strategy: Strategy) -> str:
    return " ".join([strategy.name, *(f"{k}={v}" for k, v in asdict(strategy).items())])
