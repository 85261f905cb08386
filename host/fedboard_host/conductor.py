"""Runs the rounds: asks boards, hears their answers, merges, checkpoints. One round at a time.

    begin -> collect -> close       begin waits for boards; collect for their updates

An update counts when its round is on disk, and only then the board is told. So a host that is
killed at any time asks again for the same round and gets the same updates.
"""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from collections.abc import Callable
from dataclasses import replace

from fedboard import DataError, WireError, cohort, hub, messages
from fedboard_host import unmasking
from fedboard_host.asides import Asides
from fedboard_host.attendance import Attendance
from fedboard_host.checkpoints import Checkpoint
from fedboard_host.clock import Clock
from fedboard_host.dispatch import MAX_TRANSFERS, Dispatch, confirm
from fedboard_host.events import (
    BoardProgress,
    BoardState,
    Event,
    Note,
    RoundClosed,
    RoundStarted,
)
from fedboard_host.intake import Intake
from fedboard_host.member import Member
from fedboard_host.robust import Merging
from fedboard_host.rounds import Policy, Round, Verdict
from fedboard_host.store import Store
from fedboard_host.strategies.base import Strategy, training_bytes
from fedboard_host.suspicion import Watchlist
from fedboard_host.tasks import Tasks

Evaluate = Callable[["array[int]"], tuple[float | None, float]]  # result -> (accuracy, loss)
Totals = Callable[[], tuple[int, int]]  # -> bytes up, bytes down, of all links so far

_STARVED_MS = 2000  # before a round that nobody could do is tried again; doubles up to
_MAX_STARVED_MS = 60_000


class Conductor:
    """The roster's handler. `now`: the state after the last closed round."""

    def __init__(
        self,
        strategy: Strategy,
        policy: Policy,
        store: Store,
        now: Checkpoint,
        evaluate: Evaluate | None,
        on_event: Callable[[Event], None] | None,
        clock: Clock,
        merging: Merging = Merging(),  # noqa: B008 - frozen
    ) -> None:
        self.now = now
        self.round: Round | None = None  # that is open
        self.changed = asyncio.Event()  # something that a round may wait for
        self.n_stops = 0  # 1: finish the open round; 2: drop it
        self.members: dict[str, Member] = {}  # the roster's
        self.totals: Totals = lambda: (0, 0)
        self._strategy = strategy
        self._merging = merging
        self._policy = policy.under(*strategy.selection()).compared(
            merging.least, merging.at_most(now.spec)
        )
        self._store = store
        self._evaluate = evaluate
        self._on_event = on_event
        self._clock = clock
        self._merger = strategy.merger(now.spec)
        self._merger.set_up(merging)
        self._watchlist = Watchlist()
        if now.state:
            self._merger.restore(now.state)
        else:
            self._merger.start(now.params)
        self._attendance = Attendance(self._policy, now.learned)
        self.paused = False  # no round starts
        self.asides = Asides(lambda: self.members, self.emit, self.changed.set)
        self._intake = Intake(now.spec, self._merger, self.emit, self._set_state, now.round)
        self._dispatch = Dispatch(now.spec, now.run, self._set_state)
        for past in store.past():
            self._dispatch.history.add(past.version, past.params)
        self._dispatch.history.add(now.version, now.params)
        self._starved_ms = _STARVED_MS
        self._bytes = (0, 0)  # totals at the round's start
        self._crash: BaseException | None = None
        self.tasks = Tasks(self.on_crash)

    async def conduct(self, n_rounds: int) -> None:
        """Until round number n_rounds is closed, or a stop is asked for."""
        while self.now.round < n_rounds and not self.n_stops:
            round_ = await self._begin()
            if round_ is None:
                break
            verdict = await self._collect(round_)
            if verdict is Verdict.CLOSE and not await self._unmask(round_):
                verdict = Verdict.OPEN
            if verdict is Verdict.CLOSE:
                await self._close(round_)
                self._starved_ms = _STARVED_MS
            else:
                await self._drop(round_, verdict)
        self._raise_crash()

    async def adopt(self, params: array[int]) -> None:
        """Between two rounds: go on from this model, which a federation above has made."""
        self._merger.start(params)
        now = replace(
            self.now, version=self.now.version + 1, params=self._merger.params(),
            result=self._merger.result(), accuracy=None, loss=None, state=self._merger.state(),
        )  # fmt: skip
        await asyncio.to_thread(self._store.save, now)
        self.now = now
        self._dispatch.history.add(now.version, now.params)

    async def _begin(self) -> Round | None:
        """Wait for enough boards and ask them. None: asked to stop."""
        told = False
        while True:
            self._raise_crash()
            if self.n_stops:
                return None
            if self.paused:
                await self._clock.wait(self.changed, None)
                continue
            ready = self._ready()
            now_ms = self._clock.now_ms()
            hold_ms = self._attendance.hold_ms(self.members.values(), len(ready), now_ms)
            if hold_ms == 0:
                break
            if hold_ms is not None or told:
                await self._clock.wait(self.changed, hold_ms)
            elif not await self._clock.wait(self.changed, 10_000):
                told = True
                need = max(self._policy.n_boards, self._policy.quorum)
                self.emit(Note("info", f"{len(ready)} of {need} boards are {self._what}: waiting"))
        number = self.now.round + 1
        round_ = Round(number, self.now.version, self._policy, now_ms)
        self._attendance.started(now_ms)
        self._bytes = self.totals()
        self._intake.open(round_)
        self.round = round_
        everyone = self._strategy.asks_all(number)
        chosen = self._policy.select([m.info for m in ready], self.now.run, number, everyone)
        self._ask(round_, [self.members[info.name] for info in chosen])
        names = tuple(round_.parts)
        self.emit(RoundStarted(number, round_.version, names))
        return round_

    @property
    def _what(self) -> str:
        n_new = self._policy.n_new
        return f"here with {n_new} new samples each" if n_new else "here"

    def _ready(self) -> list[Member]:
        return self._attendance.ready(self.members.values(), self.now.spec.sizes[0])

    def _ask(self, round_: Round, members: list[Member]) -> None:
        infos = [m.planned_info(self.now.spec) for m in members]
        works = self._strategy.plan(self.now.spec, infos, round_.number)
        now_ms = self._clock.now_ms()
        if self._merging.secure:
            try:
                round_.secret = unmasking.secret_of(self.now, round_.number, works)
            except DataError as error:  # too few that train the same: the round starves
                self.emit(Note("warning", f"round {round_.number} has to wait: {error}"))
                return
            for member in members:
                if member.info.name not in round_.secret.cohort.names:
                    self._warn_once(member, "it cannot train the layers that the others do")
            members = [m for m in members if m.info.name in round_.secret.cohort.names]
        for member in members:
            member.n_broken = 0
            member.progress = None
            due_ms = self._attendance.due_ms(member, now_ms)
            round_.ask(member.info, works[member.info.name], now_ms, due_ms)
            self.tasks.spawn(self._dispatch.send(round_, member))

    async def _unmask(self, round_: Round) -> bool:
        """Have the boards open the sum of their updates, if these are masked. False: it failed."""
        if round_.secret is None:
            return True
        round_.is_over = True  # the sum is of those that are in
        why = await unmasking.merge_sum(
            round_.secret, self._merger, self.members, self._clock, self.changed,
            lambda: self.n_stops > 1,
        )  # fmt: skip
        if why:
            self.emit(Note("warning", f"round {round_.number} is begun anew: {why}"))
        return not why

    async def _collect(self, round_: Round) -> Verdict:
        """Until the round can be closed, nobody can do it, or it is dropped (OPEN)."""
        told = False
        while True:
            self._raise_crash()
            now_ms = self._clock.now_ms()
            verdict = round_.verdict(now_ms)
            if verdict in (Verdict.CLOSE, Verdict.STARVED):
                return verdict
            if self.n_stops > 1:
                self.emit(Note("warning", f"round {round_.number} is dropped"))
                return Verdict.OPEN
            if verdict is Verdict.SHORT and round_.secret is not None and not round_.n_waiting:
                return Verdict.STARVED  # nobody can be added to those that mask for each other
            if verdict is Verdict.SHORT:
                more = [m for m in self._ready() if m.info.name not in round_.parts]
                if round_.secret is not None:
                    more = []
                if more:
                    self._ask(round_, more)
                elif not told:
                    told = True
                    self.emit(Note(
                        "warning",
                        f"round {round_.number} has {round_.n_accepted} of {round_.quorum} updates "
                        "and goes on until they are in",
                    ))  # fmt: skip
                await self._clock.wait(self.changed, None)
            else:
                await self._clock.wait(self.changed, round_.remaining_ms(now_ms))

    async def _close(self, round_: Round) -> None:
        self.round = None
        round_.is_over = True
        self._intake.close()
        n_updates = self._merger.n_updates
        params = await asyncio.to_thread(self._merger.merge)  # rules and noise take their time
        result = self._merger.result()
        accuracy = loss = None
        if self._evaluate is not None:
            accuracy, loss = await asyncio.to_thread(self._evaluate, result)
        accepted = round_.accepted
        up, down = self.totals()
        closed = RoundClosed(
            round_.number, round_.version + 1, n_updates, len(round_.parts), accuracy, loss,
            up - self._bytes[0], down - self._bytes[1],
            self._intake.n_bytes, (self._clock.now_ms() - round_.started_ms) / 1000,
            self.now.spec.digest(params).hex(), await asyncio.to_thread(self._merger.epsilon),
        )  # fmt: skip
        now = replace(
            self.now, round=closed.round, version=closed.version, params=params, result=result,
            accuracy=accuracy, loss=loss, state=self._merger.state(),
            accepted={
                **self.now.accepted,
                **{name: (uid, closed.round) for name, uid in accepted.items()},
            },
            learned={
                **self.now.learned,
                **{name: self.members[name].info.n_samples for name in accepted},
            },
        )  # fmt: skip
        await asyncio.to_thread(self._store.save, now, closed)
        self.now = now
        self._dispatch.history.add(closed.version, params)
        for name, part in round_.parts.items():
            member = self.members[name]
            if accepted.get(name) == member.info.uid:
                confirm(member, closed.round)
                member.has_learned()
            elif not part.failure:  # next time it is waited for longer
                member.took_ms.append(self._clock.now_ms() - part.asked_ms)
            self._set_state(member, "idle")
        self.emit(closed)
        for event in self._watchlist.look(closed.round, self._merger):
            self.emit(event)
        for member in self.members.values():
            self._let_rest(member)

    def _let_rest(self, member: Member) -> None:
        """Boards that sleep between rounds may do so now; others do not listen."""
        now_ms = self._clock.now_ms()
        seconds = self._attendance.rest_s(now_ms)
        if seconds and self.round is None and member.rest(seconds):
            member.wakes_ms = now_ms + 1000 * seconds

    async def _drop(self, round_: Round, verdict: Verdict) -> None:
        """Forget the round; boards keep what they learned. It will be begun anew."""
        self.round = None
        round_.is_over = True
        self._intake.drop()
        if verdict is Verdict.STARVED:
            reasons = "; ".join(f"{b}: {why}" for b, why in round_.failures.items())
            self.emit(Note("error", f"no board could do round {round_.number} ({reasons})"))
            await self._clock.wait(self.changed, self._starved_ms)
            self._starved_ms = min(2 * self._starved_ms, _MAX_STARVED_MS)

    # What boards do

    def on_joined(self, member: Member) -> None:
        uid, round_no = self.now.accepted.get(member.info.name, ("", 0))
        if round_no and uid == member.info.uid:
            confirm(member, round_no)  # it may have gone before it could hear that
        round_ = self.round
        if round_ is not None:
            self.tasks.spawn(self._dispatch.send(round_, member))
        else:
            self._let_rest(member)
        self.changed.set()

    def on_left(self, member: Member) -> None:
        self.changed.set()

    async def on_message(self, member: Member, message: object) -> None:
        name = member.info.name
        round_ = self.round
        if isinstance(message, hub.Update):
            await self._intake.take(member, message)
            part = round_.parts.get(name) if round_ is not None else None
            if part is not None and part.accepted:
                member.took_ms.append(self._clock.now_ms() - part.asked_ms)
            self.changed.set()
        elif isinstance(message, messages.Status):
            member.info = replace(
                member.info, free_ram=message.free_ram, free_flash=message.free_flash,
                n_samples=message.n_samples, n_in=message.n_in, n_saves=message.n_saves,
            )  # fmt: skip
            self.changed.set()
        elif isinstance(message, messages.Progress):
            if round_ is not None and message.round == round_.number:
                member.progress = message
                self._set_state(member, "training" if message.done < message.total else "sending")
            self.emit(BoardProgress(
                name, message.round, message.done, message.total, message.n_correct,
                message.loss / 1000,
            ))  # fmt: skip
        elif isinstance(message, cohort.Opening):
            if round_ is not None and round_.secret is not None:
                with contextlib.suppress(WireError):  # of a round that is over, or nonsense
                    round_.secret.take(name, message)
            self.changed.set()
        elif self.asides.take(member, message):
            pass
        elif isinstance(message, messages.Error):
            self._on_error(member, message)

    def _on_error(self, member: Member, error: messages.Error) -> None:
        name = member.info.name
        self._warn_once(member, error.text)
        round_ = self.round
        if round_ is None or error.round != round_.number:
            return
        if error.code == messages.BAD_MODEL and member.n_broken + 1 < MAX_TRANSFERS:
            member.n_broken += 1
            member.lose_model()
            member.asked = None
            self.tasks.spawn(self._dispatch.send(round_, member))
            return
        if error.code == messages.NO_MEMORY and name in round_.parts:
            work = round_.parts[name].work
            member.ram_limit = training_bytes(self.now.spec, work.layers, work.batch) - 1
        round_.fail(name, error.text)
        self._set_state(member, "failed", error.text)
        self.changed.set()

    def _warn_once(self, member: Member, text: str) -> None:
        """It is the same in each round."""
        if member.last_error != text:
            member.last_error = text
            self.emit(Note("warning", f"{member.info.name}: {text}", member.info.name))

    # Odds and ends

    def emit(self, event: Event) -> None:
        self._store.log(event)
        if self._on_event is not None:
            self._on_event(event)

    def on_crash(self, error: BaseException) -> None:
        """A background task failed: conduct() raises it."""
        self._crash = self._crash or error
        self.changed.set()

    def _raise_crash(self) -> None:
        if self._crash is not None:
            raise self._crash

    def _set_state(self, member: Member, state: str, detail: str = "") -> None:
        if member.state == state or not member.is_here:
            return
        member.state = state
        round_no = self.round.number if self.round else self.now.round
        self.emit(BoardState(member.info.name, state, round_no, detail))
