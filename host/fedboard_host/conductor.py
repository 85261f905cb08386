"""Runs the rounds: asks boards, hears their answers, merges, checkpoints. One round at a time.

    begin -> collect -> close       begin waits for boards; collect for their updates

An update counts when its round is on disk, and only then the board is told. So a host that is
killed at any time asks again for the same round and gets the same updates.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable
from dataclasses import replace

from fedboard import DataError
from fedboard_host import unmasking
from fedboard_host.attendance import Attendance
from fedboard_host.dispatch import Dispatch, confirm
from fedboard_host.events import Note, RoundClosed, RoundStarted
from fedboard_host.hearing import Hearing
from fedboard_host.intake import Intake
from fedboard_host.member import Member
from fedboard_host.robust import Merging
from fedboard_host.rounds import Policy, Round, Verdict
from fedboard_host.runstate import RunState
from fedboard_host.strategies.base import Strategy
from fedboard_host.suspicion import Watchlist

Evaluate = Callable[["array[int]"], tuple[float | None, float]]  # result -> (accuracy, loss)
Totals = Callable[[], tuple[int, int]]  # -> bytes up, bytes down, of all links so far

_STARVED_MS = 2000  # before a round that nobody could do is tried again; doubles up to
_MAX_STARVED_MS = 60_000


class Conductor:
    """hearing: the handler for the roster. totals: to be set before a round."""

    def __init__(
        self,
        strategy: Strategy,
        policy: Policy,
        state: RunState,
        evaluate: Evaluate | None,
        merging: Merging,
    ) -> None:
        now = state.now
        self.totals: Totals = lambda: (0, 0)
        self._state = state
        self._strategy = strategy
        self._merging = merging
        self._policy = policy.under(*strategy.selection()).compared(
            merging.least, merging.at_most(now.spec)
        )
        self._evaluate = evaluate
        self._merger = strategy.merger(now.spec)
        self._merger.set_up(merging)
        self._watchlist = Watchlist()
        if now.state:
            self._merger.restore(now.state)
        else:
            self._merger.start(now.params)
        self._attendance = Attendance(self._policy, now.learned)
        self._intake = Intake(
            now.spec, self._merger, state.emit, state.set_state, state.changed.set, state.clock,
            now.round,
        )  # fmt: skip
        self._dispatch = Dispatch(now.spec, now.run, state.set_state)
        for known in (*state.store.past(), now):
            # what `evaluate` leaves on boards, then what rounds do
            self._dispatch.history.add(known.version, known.result)
            self._dispatch.history.add(known.version, known.params)
        self.hearing = Hearing(state, self._dispatch, self._intake, self._attendance)
        self._starved_ms = _STARVED_MS
        self._bytes = (0, 0)  # totals at the round's start

    async def conduct(self, n_rounds: int) -> None:
        """Until round number n_rounds is closed, or a stop is asked for."""
        state = self._state
        while state.now.round < n_rounds and not state.n_stops:
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
        state.raise_crash()

    async def adopt(self, params: array[int]) -> None:
        """Between two rounds: go on from this model, which a federation above has made."""
        state = self._state
        self._merger.start(params)
        now = replace(
            state.now, version=state.now.version + 1, params=self._merger.params(),
            result=self._merger.result(), accuracy=None, loss=None, state=self._merger.state(),
        )  # fmt: skip
        await asyncio.to_thread(state.store.save, now)
        state.now = now
        self._dispatch.history.add(now.version, now.params)

    async def _begin(self) -> Round | None:
        """Wait for enough boards and ask them. None: asked to stop."""
        state = self._state
        told = False
        while True:
            state.raise_crash()
            if state.n_stops:
                return None
            if state.paused:
                await state.wait(None)
                continue
            ready = self._ready()
            now_ms = state.clock.now_ms()
            hold_ms = self._attendance.hold_ms(state.members.values(), len(ready), now_ms)
            if hold_ms == 0:
                break
            if hold_ms is not None or told:
                await state.wait(hold_ms)
            elif not await state.wait(10_000):
                told = True
                need = max(self._policy.n_boards, self._policy.quorum)
                text = f"{len(ready)} of {need} boards are {self._what}: waiting"
                if bare := sorted(m.info.name for m in state.members.values() if m.is_bare):
                    text += f" (no samples yet: {', '.join(bare)})"
                state.emit(Note("info", text))
        number = state.now.round + 1
        round_ = Round(number, state.now.version, self._policy, now_ms)
        self._attendance.started(now_ms)
        self._bytes = self.totals()
        self._intake.open(round_)
        state.round = round_
        everyone = self._strategy.asks_all(number)
        chosen = self._policy.select([m.info for m in ready], state.now.run, number, everyone)
        self._ask(round_, [state.members[info.name] for info in chosen])
        names = tuple(round_.parts)
        state.emit(RoundStarted(number, round_.version, names))
        return round_

    @property
    def _what(self) -> str:
        n_new = self._policy.n_new
        return f"here with {n_new} new samples each" if n_new else "here"

    def _ready(self) -> list[Member]:
        state = self._state
        return self._attendance.ready(state.members.values(), state.now.spec.sizes[0])

    def _ask(self, round_: Round, members: list[Member]) -> None:
        state = self._state
        infos = [m.planned_info(state.now.spec) for m in members]
        works = self._strategy.plan(state.now.spec, infos, round_.number)
        now_ms = state.clock.now_ms()
        if self._merging.secure:
            try:
                round_.secret = unmasking.secret_of(state.now, round_.number, works)
            except DataError as error:  # too few that train the same: the round starves
                state.emit(Note("warning", f"round {round_.number} has to wait: {error}"))
                return
            for member in members:
                if member.info.name not in round_.secret.cohort.names:
                    state.warn_once(member, "it cannot train the layers that the others do")
            members = [m for m in members if m.info.name in round_.secret.cohort.names]
        for member in members:
            member.n_broken = 0
            member.progress = None
            due_ms = self._attendance.due_ms(member, now_ms)
            round_.ask(member.info, works[member.info.name], now_ms, due_ms)
            state.tasks.spawn(self._dispatch.send(round_, member))

    async def _unmask(self, round_: Round) -> bool:
        """Have the boards open the sum of their updates, if these are masked. False: it failed."""
        state = self._state
        if round_.secret is None:
            return True
        round_.is_over = True  # the sum is of those that are in
        why = await unmasking.merge_sum(round_.secret, self._merger, state)
        if why:
            state.emit(Note("warning", f"round {round_.number} is begun anew: {why}"))
        return not why

    async def _collect(self, round_: Round) -> Verdict:
        """Until the round can be closed, nobody can do it, or it is dropped (OPEN)."""
        state = self._state
        told = False
        while True:
            state.raise_crash()
            now_ms = state.clock.now_ms()
            verdict = round_.verdict(now_ms)
            if verdict in (Verdict.CLOSE, Verdict.STARVED):
                return verdict
            if state.n_stops > 1:
                state.emit(Note("warning", f"round {round_.number} is dropped"))
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
                    state.emit(Note(
                        "warning",
                        f"round {round_.number} has {round_.n_accepted} of {round_.quorum} updates "
                        "and goes on until they are in",
                    ))  # fmt: skip
                await state.wait(None)
            else:
                await state.wait(round_.remaining_ms(now_ms))

    async def _close(self, round_: Round) -> None:
        state = self._state
        state.round = None
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
            self._intake.n_bytes, (state.clock.now_ms() - round_.started_ms) / 1000,
            state.now.spec.digest(params).hex(), await asyncio.to_thread(self._merger.epsilon),
        )  # fmt: skip
        now = replace(
            state.now, round=closed.round, version=closed.version, params=params, result=result,
            accuracy=accuracy, loss=loss, state=self._merger.state(),
            accepted={
                **state.now.accepted,
                **{name: (uid, closed.round) for name, uid in accepted.items()},
            },
            learned={
                **state.now.learned,
                **{name: state.members[name].info.n_samples for name in accepted},
            },
        )  # fmt: skip
        await asyncio.to_thread(state.store.save, now, closed)
        state.now = now
        self._dispatch.history.add(closed.version, params)
        for name, part in round_.parts.items():
            member = state.members[name]
            if accepted.get(name) == member.info.uid:
                confirm(member, closed.round)
                member.has_learned()
            elif not part.failure:  # next time it is waited for longer
                member.took_ms.append(state.clock.now_ms() - part.asked_ms)
            state.set_state(member, "idle")
        state.emit(closed)
        for event in self._watchlist.look(closed.round, self._merger):
            state.emit(event)
        for member in state.members.values():
            self.hearing.let_rest(member)

    async def _drop(self, round_: Round, verdict: Verdict) -> None:
        """Forget the round; boards keep what they learned. It will be begun anew."""
        state = self._state
        state.round = None
        round_.is_over = True
        self._intake.drop()
        if verdict is Verdict.STARVED:
            reasons = "; ".join(f"{b}: {why}" for b, why in round_.failures.items())
            state.emit(Note("error", f"no board could do round {round_.number} ({reasons})"))
            await state.wait(self._starved_ms)
            self._starved_ms = min(2 * self._starved_ms, _MAX_STARVED_MS)
