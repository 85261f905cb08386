"""The federation: boards' links on one side, rounds and checkpoints on the other. I/O only.

    federation = Federation(spec, strategy, store, policy=Policy(n_boards=3), on_event=print)
    federation.add_opener(links.parse("serial:/dev/ttyACM0"))
    result = await federation.run(20)

A round: select, TASK (and the model, where it is lacking), updates into the sums as they come,
merge, checkpoint on disk, and only then ACCEPTED: a board forgets what it sent when that is safe.
So a host that is killed at any time asks again for the same round and gets the same updates.
"""

from __future__ import annotations

import asyncio
import secrets
from array import array
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, replace
from typing import Any

from fedboard import DataError, hub, messages, model
from fedboard.model import Spec
from fedboard_host.checkpoints import Checkpoint
from fedboard_host.clock import Clock
from fedboard_host.dispatch import MAX_TRANSFERS, Dispatch, confirm
from fedboard_host.events import (
    BoardProgress,
    BoardState,
    Event,
    Finished,
    Note,
    RoundClosed,
    RoundStarted,
)
from fedboard_host.intake import Intake
from fedboard_host.links import Link, Opener
from fedboard_host.links.tcp import TcpListener, is_loopback
from fedboard_host.member import BoardView, Member
from fedboard_host.roster import Roster
from fedboard_host.rounds import Policy, Round, Verdict
from fedboard_host.store import Store
from fedboard_host.strategies.base import Strategy

__all__ = ["BoardView", "Evaluate", "Federation", "Policy", "Result"]

Evaluate = Callable[["array[int]"], tuple[float, float]]  # result params -> (accuracy, loss)

_STARVED_MS = 2000  # before a round that nobody could do is tried again; doubles up to a minute


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
    ) -> None:
        """Resumes from store.latest(), if there is one; else starts from `start` or the rule's.

        key: 32 bytes; required once a link is on a network. run: u32 that names the run (None:
        random); with seeds it decides the order in which boards see their samples. evaluate is
        called in a thread. Raises DataError if the store holds a run of another model or strategy.
        """
        self.spec = spec
        self.strategy = strategy
        self.policy = policy or Policy()
        self._store = store
        self._key = key
        self._evaluate = evaluate
        self._on_event = on_event
        self._clock = clock or Clock()
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._merger = strategy.merger(spec)
        self._intake = Intake(spec, self._merger, self.emit, self._set_state)
        self._round: Round | None = None  # that is open
        self._stops = 0
        self._crash: BaseException | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listeners: list[TcpListener] = []
        latest = store.latest()
        if latest is None:
            params = start or model.new_params(spec)
            if start is None:
                model.init_params(spec, params)
            self._merger.start(params)
            latest = Checkpoint(
                spec, secrets.randbits(32) if run is None else run, 0, 1,
                self._merger.params(), self._merger.result(), _text(strategy),
                state=self._merger.state(),
            )  # fmt: skip
            store.save(latest)
        else:
            self._check_resume(latest)
            self._merger.restore(latest.state)
            self.emit(Note("info", f"resumed after round {latest.round}"))
        self._now = latest
        self._dispatch = Dispatch(spec, latest.run, self._set_state)
        self._dispatch.history.add(latest.version, latest.params)
        self._roster = Roster(
            self, self._clock, key, name, 3 * spec.n_params + 256, dead_ms, handshake_ms
        )

    @property
    def checkpoint(self) -> Checkpoint:
        """The state after the last closed round."""
        return self._now

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
        self._stops += 1
        self._loop.call_soon_threadsafe(self._changed.set)

    async def run(self, n_rounds: int) -> Result:
        """Go on to the round number `n_rounds` (closed ones of an earlier run() count)."""
        started_ms = self._clock.now_ms()
        up, down = self._roster.bytes_up, self._roster.bytes_down
        starved_ms = _STARVED_MS
        while self._now.round < n_rounds and not self._stops:
            round_ = await self._begin()
            if round_ is None:
                break
            verdict = await self._collect(round_)
            if verdict is Verdict.CLOSE:
                await self._close_round(round_)
                starved_ms = _STARVED_MS
                continue
            self._round = None
            round_.is_over = True
            self._intake.drop()
            if verdict is Verdict.STARVED:
                reasons = "; ".join(f"{b}: {why}" for b, why in round_.failures.items())
                self.emit(Note("error", f"no board could do round {round_.number} ({reasons})"))
                await self._clock.wait(self._changed, starved_ms)
                starved_ms = min(2 * starved_ms, 60_000)
        stopped = self._now.round < n_rounds
        self._stops = 0
        self.emit(Finished(self._now.round, self._now.version, stopped))
        now = self._now
        return Result(
            now.round, now.version, now.params, now.result, now.accuracy, now.loss,
            self._roster.bytes_up - up, self._roster.bytes_down - down,
            (self._clock.now_ms() - started_ms) / 1000, stopped,
        )  # fmt: skip

    async def close(self) -> None:
        """Let what is queued arrive, say BYE, close all links. The store's owner closes that."""
        for listener in self._listeners:
            await listener.close()
        await self._roster.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Rounds

    async def _begin(self) -> Round | None:
        """Wait for enough boards and ask them. None: asked to stop."""
        told = False
        while True:
            self._raise_crash()
            if self._stops:
                return None
            ready = self._ready()
            if self.policy.is_ready(len(ready)):
                break
            if not told and await self._clock.wait(self._changed, 10_000):
                continue
            if not told:
                told = True
                need = max(self.policy.n_boards, self.policy.quorum)
                self.emit(Note("info", f"{len(ready)} of {need} boards are here: waiting"))
            await self._clock.wait(self._changed, None)
        number = self._now.round + 1
        round_ = Round(number, self._now.version, self.policy, self._clock.now_ms())
        self._bytes = self._roster.bytes_up, self._roster.bytes_down
        self._intake.open(round_)
        self._round = round_
        chosen = self.policy.select([m.info for m in ready], self._now.run, number)
        self._ask(round_, [self._roster.members[info.name] for info in chosen])
        names = tuple(round_.parts)
        self.emit(RoundStarted(number, round_.version, names))
        return round_

    def _ready(self) -> list[Member]:
        """Who could take part in a round that starts now."""
        n_in = self.spec.sizes[0]
        members = self._roster.members.values()
        return [m for m in members if m.is_here and m.info.n_samples and m.info.n_in == n_in]

    def _ask(self, round_: Round, members: list[Member]) -> None:
        works = self.strategy.plan(self.spec, [m.info for m in members], round_.number)
        for member in members:
            member.n_broken = 0
            round_.ask(member.info, works[member.info.name])
            self._spawn(self._dispatch.send(round_, member))

    async def _collect(self, round_: Round) -> Verdict:
        """Until the round can be closed, nobody can do it, or it is dropped (OPEN)."""
        told = False
        while True:
            self._raise_crash()
            now_ms = self._clock.now_ms()
            verdict = round_.verdict(now_ms)
            if verdict in (Verdict.CLOSE, Verdict.STARVED):
                return verdict
            if self._stops > 1:
                self.emit(Note("warning", f"round {round_.number} is dropped"))
                return Verdict.OPEN
            if verdict is Verdict.SHORT:
                more = [m for m in self._ready() if m.info.name not in round_.parts]
                if more:
                    self._ask(round_, more)
                elif not told:
                    told = True
                    self.emit(Note(
                        "warning",
                        f"round {round_.number} has {round_.n_accepted} of {round_.quorum} updates "
                        "and goes on until they are in",
                    ))  # fmt: skip
                await self._clock.wait(self._changed, None)
            else:
                await self._clock.wait(self._changed, round_.remaining_ms(now_ms))

    async def _close_round(self, round_: Round) -> None:
        self._round = None
        round_.is_over = True
        self._intake.close()
        n_updates = self._merger.n_updates
        params = self._merger.merge()
        result = self._merger.result()
        accuracy = loss = None
        if self._evaluate is not None:
            accuracy, loss = await asyncio.to_thread(self._evaluate, result)
        accepted = round_.accepted
        closed = RoundClosed(
            round_.number, round_.version + 1, n_updates, len(round_.parts), accuracy, loss,
            self._roster.bytes_up - self._bytes[0], self._roster.bytes_down - self._bytes[1],
            self._intake.n_bytes, (self._clock.now_ms() - round_.started_ms) / 1000,
        )  # fmt: skip
        self._now = replace(
            self._now, round=closed.round, version=closed.version, params=params, result=result,
            accuracy=accuracy, loss=loss, state=self._merger.state(),
            accepted={
                **self._now.accepted,
                **{name: (uid, closed.round) for name, uid in accepted.items()},
            },
        )  # fmt: skip
        await asyncio.to_thread(self._store.save, self._now, closed)
        self._dispatch.history.add(closed.version, params)
        for name in round_.parts:
            member = self._roster.members[name]
            if accepted.get(name) == member.info.uid:
                confirm(member, closed.round)
            self._set_state(member, "idle")
        self.emit(closed)

    # Boards

    def on_joined(self, member: Member) -> None:
        uid, round_no = self._now.accepted.get(member.info.name, ("", 0))
        if round_no and uid == member.info.uid:
            confirm(member, round_no)  # it may have gone before it could hear that
        round_ = self._round
        if round_ is not None:
            self._spawn(self._dispatch.send(round_, member))
        self._changed.set()

    def on_left(self, member: Member) -> None:
        self._changed.set()

    async def on_message(self, member: Member, message: object) -> None:
        name = member.info.name
        round_ = self._round
        if isinstance(message, hub.Update):
            await self._intake.take(member, message)
            self._changed.set()
        elif isinstance(message, messages.Status):
            member.info = replace(
                member.info, free_ram=message.free_ram, n_samples=message.n_samples
            )
            self._changed.set()
        elif isinstance(message, messages.Progress):
            if round_ is not None and message.round == round_.number:
                self._set_state(member, "training" if message.done < message.total else "sending")
            self.emit(BoardProgress(
                name, message.round, message.done, message.total, message.n_correct,
                message.loss / 1000,
            ))  # fmt: skip
        elif isinstance(message, messages.Error):
            self._on_error(member, message)

    def _on_error(self, member: Member, error: messages.Error) -> None:
        name = member.info.name
        self.emit(Note("warning", f"{name}: {error.text}", name))
        round_ = self._round
        if round_ is None or error.round != round_.number:
            return
        if error.code == messages.BAD_MODEL and member.n_broken + 1 < MAX_TRANSFERS:
            member.n_broken += 1
            member.lose_model()
            member.asked_round = 0
            self._spawn(self._dispatch.send(round_, member))
            return
        round_.fail(name, error.text)
        self._set_state(member, "failed", error.text)
        self._changed.set()

    # Odds and ends

    def emit(self, event: Event) -> None:
        self._store.log(event)
        if self._on_event is not None:
            self._on_event(event)

    def on_crash(self, error: BaseException) -> None:
        self._crash = self._crash or error
        self._changed.set()

    def _raise_crash(self) -> None:
        if self._crash is not None:
            raise self._crash

    def _set_state(self, member: Member, state: str, detail: str = "") -> None:
        if member.state == state or (member.state == "gone" and not member.is_here):
            return
        member.state = state
        round_no = self._round.number if self._round else self._now.round
        self.emit(BoardState(member.info.name, state, round_no, detail))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.on_crash(error)

    def _check_resume(self, latest: Checkpoint) -> None:
        if latest.spec != self.spec:
            raise DataError(
                f"this run is of the model {latest.spec} (seed {latest.spec.seed}), not "
                f"{self.spec} (seed {self.spec.seed}): choose another folder"
            )
        if latest.strategy.split()[0] != self.strategy.name:
            raise DataError(
                f"this run is of strategy {latest.strategy}: go on with it or choose another folder"
            )


def _text(strategy: Strategy) -> str:
    return " ".join([strategy.name, *(f"{k}={v}" for k, v in asdict(strategy).items())])
