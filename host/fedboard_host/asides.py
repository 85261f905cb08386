"""What a person asks one board for during a run: record samples, make itself a personal model.

Not in the middle of its part in a round: then it is refused, and the text says to pause. A board
that is at such a thing takes part in no round until it is done. Samples stay on the board, and so
does its personal model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fedboard import DataError, collect, messages
from fedboard.message import Message
from fedboard.model import Spec
from fedboard_host import adaptation
from fedboard_host.events import Event, Note
from fedboard_host.member import Member
from fedboard_host.units import percent


class Asides:
    """spec: of the run's model. changed(): a board may be ready for a round again."""

    def __init__(
        self,
        spec: Spec,
        members: Callable[[], Mapping[str, Member]],
        emit: Callable[[Event], None],
        changed: Callable[[], None],
    ) -> None:
        self._spec = spec
        self._members = members
        self._emit = emit
        self._changed = changed
        self._token = 1 << 30  # apart from rounds' numbers

    def record(self, name: str, label: int, seconds: float) -> None:
        """Start it. Raises DataError."""
        if not 0 <= label <= 255 or not 1 <= seconds <= 3600:
            raise DataError("a label is 0 to 255, a recording takes 1 to 3600 seconds")
        member = self._free(name)
        message = collect.Record(
            token=self._next(member, "recording"), label=label, duration_ms=round(1000 * seconds)
        )
        self._send(member, message)
        self._emit(Note("info", f"{name} records label {label} for {seconds:g} s", name))

    def personalize(self, name: str) -> None:
        """Start it. Raises DataError."""
        member = self._free(name)
        token = self._next(member, "adapting")
        self._send(member, adaptation.task(self._spec.rule, self._spec.sizes[-1], token=token))
        self._emit(Note("info", f"{name} adapts to {adaptation.SHOTS} samples of each class", name))

    def take(self, member: Member, message: object) -> bool:
        """Whether the message answers one of these; if so it is told of."""
        name = member.info.name
        if isinstance(message, collect.Recorded) and message.token == member.aside:
            if message.done:
                self._done(member, f"{name} has {message.n} more samples, {message.n_all} in all")
            return True
        if isinstance(message, messages.Metrics) and message.round == member.aside:
            n = max(1, message.n)
            self._done(
                member,
                f"{name} is personal now: {percent(message.n_correct_before / n)} of its other "
                f"{message.n} samples right before, {percent(message.n_correct / n)} after "
                f"{message.n_support} samples",
            )
            return True
        if isinstance(message, messages.Error) and message.round == member.aside:
            self._done(member, f"{name}: {message.text}", "warning")
            return True
        return False

    def _free(self, name: str) -> Member:
        member = self._members().get(name)
        if member is None or not member.is_here:
            raise DataError(f"{name} is not here: is it on, and in reach?")
        if member.state not in ("idle", "failed") or member.aside:
            raise DataError(f"{name} is busy ({member.state}): pause the run, then try again")
        return member

    def _next(self, member: Member, state: str) -> int:
        self._token += 1
        member.aside = self._token
        member.state = state
        return self._token

    def _send(self, member: Member, message: Message) -> None:
        assert member.connection is not None
        member.connection.hub.send(message)
        member.connection.wake()

    def _done(self, member: Member, text: str, level: str = "info") -> None:
        member.aside = 0
        member.state = "idle"
        self._emit(Note(level, text, member.info.name))
        self._changed()
