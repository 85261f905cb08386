"""What the parts of a run have in common: the last closed round, the open one, who is here.

The conductor opens and closes rounds, hearing takes what boards do and say, and both tell people
through emit(). Whoever changes something that a round may wait for sets `changed`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fedboard_host.checkpoints import Checkpoint
from fedboard_host.clock import Clock
from fedboard_host.events import BoardState, Event, Note
from fedboard_host.member import Member
from fedboard_host.rounds import Round
from fedboard_host.store import Store
from fedboard_host.tasks import Tasks


class RunState:
    """now: the state after the last closed round. on_event is called in the loop's thread."""

    def __init__(
        self, now: Checkpoint, store: Store, on_event: Callable[[Event], None] | None, clock: Clock
    ) -> None:
        self.now = now
        self.store = store
        self.clock = clock
        self.on_event = on_event
        self.round: Round | None = None  # that is open
        self.members: dict[str, Member] = {}  # the roster's
        self.changed = asyncio.Event()
        self.n_stops = 0  # 1: finish the open round; 2: drop it
        self.paused = False  # no round starts
        self.tasks = Tasks(self.on_crash)
        self._crash: BaseException | None = None

    async def wait(self, ms: int | None) -> bool:
        """Until something changes, or so long. Whether something did."""
        return await self.clock.wait(self.changed, ms)

    def emit(self, event: Event) -> None:
        self.store.log(event)
        if self.on_event is not None:
            self.on_event(event)

    def set_state(self, member: Member, state: str, detail: str = "") -> None:
        """What a board is at; see events.BoardState."""
        if member.state == state or not member.is_here:
            return
        member.state = state
        round_no = self.round.number if self.round else self.now.round
        self.emit(BoardState(member.info.name, state, round_no, detail))

    def warn_once(self, member: Member, text: str) -> None:
        """It is the same in each round."""
        if member.last_error != text:
            member.last_error = text
            self.emit(Note("warning", f"{member.info.name}: {text}", member.info.name))

    def on_crash(self, error: BaseException) -> None:
        """A background task failed: raise_crash() raises it."""
        self._crash = self._crash or error
        self.changed.set()

    def raise_crash(self) -> None:
        if self._crash is not None:
            raise self._crash
