"""What boards do and say during a run, and what follows: the roster's handler.

A board that joins is told what of it counts, and asked for its part of the open round. An update
goes to intake; an error costs a board its part of the round, unless the model only came broken.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

from fedboard import WireError, cohort, hub, messages
from fedboard_host.asides import Asides
from fedboard_host.attendance import Attendance
from fedboard_host.dispatch import MAX_TRANSFERS, Dispatch, confirm
from fedboard_host.events import BoardProgress, Event
from fedboard_host.intake import Intake
from fedboard_host.member import Member
from fedboard_host.runstate import RunState
from fedboard_host.strategies.base import training_bytes


class Hearing:
    """Changes the run's state as boards come, go and speak."""

    def __init__(
        self, state: RunState, dispatch: Dispatch, intake: Intake, attendance: Attendance
    ) -> None:
        self.asides = Asides(
            state.now.spec, lambda: state.members, state.emit, state.changed.set
        )
        self._state = state
        self._dispatch = dispatch
        self._intake = intake
        self._attendance = attendance

    def emit(self, event: Event) -> None:
        self._state.emit(event)

    def on_crash(self, error: BaseException) -> None:
        self._state.on_crash(error)

    def on_joined(self, member: Member) -> None:
        state = self._state
        uid, round_no = state.now.accepted.get(member.info.name, ("", 0))
        if round_no and uid == member.info.uid:
            confirm(member, round_no)  # it may have gone before it could hear that
        if state.round is not None:
            state.tasks.spawn(self._dispatch.send(state.round, member))
        else:
            self.let_rest(member)
        state.changed.set()

    def on_left(self, member: Member) -> None:
        self._state.changed.set()

    async def on_message(self, member: Member, message: object) -> None:
        state = self._state
        if isinstance(message, hub.Update):
            await self._intake.take(member, message)
        elif isinstance(message, messages.Status):
            member.info = replace(
                member.info, free_ram=message.free_ram, free_flash=message.free_flash,
                n_samples=message.n_samples, n_in=message.n_in, n_saves=message.n_saves,
            )  # fmt: skip
            state.changed.set()
        elif isinstance(message, messages.Progress):
            self._on_progress(member, message)
        elif isinstance(message, cohort.Opening):
            if state.round is not None and state.round.secret is not None:
                with contextlib.suppress(WireError):  # of a round that is over, or nonsense
                    state.round.secret.take(member.info.name, message)
            state.changed.set()
        elif self.asides.take(member, message):
            pass
        elif isinstance(message, messages.Error):
            self._on_error(member, message)

    def let_rest(self, member: Member) -> None:
        """Boards that sleep between rounds may do so now; others do not listen."""
        now_ms = self._state.clock.now_ms()
        seconds = self._attendance.rest_s(now_ms)
        if seconds and self._state.round is None and member.rest(seconds):
            member.wakes_ms = now_ms + 1000 * seconds

    def _on_progress(self, member: Member, progress: messages.Progress) -> None:
        round_ = self._state.round
        if round_ is not None and progress.round == round_.number:
            member.progress = progress
            is_done = progress.done >= progress.total
            self._state.set_state(member, "sending" if is_done else "training")
        self.emit(BoardProgress(
            member.info.name, progress.round, progress.done, progress.total, progress.n_correct,
            progress.loss / 1000,
        ))  # fmt: skip

    def _on_error(self, member: Member, error: messages.Error) -> None:
        state, name = self._state, member.info.name
        state.warn_once(member, error.text)
        round_ = state.round
        if round_ is None or error.round != round_.number:
            return
        if error.code == messages.BAD_MODEL and member.n_broken + 1 < MAX_TRANSFERS:
            member.n_broken += 1
            member.lose_model()
            member.asked = None
            state.tasks.spawn(self._dispatch.send(round_, member))
            return
        if error.code == messages.NO_MEMORY and name in round_.parts:
            work = round_.parts[name].work
            member.ram_limit = training_bytes(state.now.spec, work.layers, work.batch) - 1
        round_.fail(name, error.text)
        state.set_state(member, "failed", error.text)
        state.changed.set()
