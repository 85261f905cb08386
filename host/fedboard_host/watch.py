"""A federation as its events tell it: what every view of it shows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from fedboard_host import events
from fedboard_host.events import Event


@dataclass
class Row:
    """A board as the table shows it."""

    name: str
    state: str = "idle"
    detail: str = ""
    seen_s: float = 0.0  # when, by the watch's clock
    n_samples: int = 0
    done: int = 0
    total: int = 0
    n_correct: int = 0
    loss: float | None = None
    version: int = 0
    suspicion: str = ""  # why its updates look bad; see suspicion

    @property
    def notice(self) -> str:
        return f"suspicious: {self.suspicion}" if self.suspicion else self.detail


class Watch:
    """The federation as the events tell it, for any view. clock() is in seconds."""

    def __init__(self, n_rounds: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.n_rounds = n_rounds
        self.clock = clock
        self.started_s = clock()
        self.boards: dict[str, Row] = {}
        self.round = 0  # the last closed one
        self.n_closed = 0  # by this process: a resumed run has closed more
        self.closed_s = self.started_s
        self.accuracies: list[float] = []
        self.bytes_up = 0
        self.bytes_down = 0
        self.n_asked = 0  # boards times rounds
        self.update_bytes = 0
        self.finished = False

    def update(self, event: Event) -> None:
        self.finished = self.finished or isinstance(event, events.Finished)
        name = getattr(event, "board", "")
        if self.finished and isinstance(event, events.BoardLeft):
            return  # we sent them home
        if name and not isinstance(event, events.Note):
            row = self.boards.setdefault(name, Row(name))
            if not isinstance(event, events.BoardLeft):
                row.seen_s = self.clock()
            self._update_row(row, event)
        if isinstance(event, events.Suspected):
            for row in self.boards.values():
                row.suspicion = event.reasons.get(row.name, "")
        if isinstance(event, events.RoundClosed):
            self.round = event.round
            self.n_closed += 1
            self.closed_s = self.clock()
            if event.accuracy is not None:
                self.accuracies.append(event.accuracy)
            self.bytes_up += event.bytes_up
            self.bytes_down += event.bytes_down
            self.update_bytes += event.update_bytes
            self.n_asked += event.n_boards

    def _update_row(self, row: Row, event: Event) -> None:
        if isinstance(event, events.BoardJoined):
            row.state, row.detail = "idle", ""
            row.n_samples, row.version = event.n_samples, event.version
        elif isinstance(event, events.BoardLeft):
            row.state = "asleep" if event.reason.startswith("asleep") else "gone"
            row.detail = event.reason
        elif isinstance(event, events.BoardState):
            row.state, row.detail = event.state, event.detail
        elif isinstance(event, events.BoardProgress):
            row.done, row.total = event.done, event.total
            row.n_correct, row.loss = event.n_correct, event.loss
        elif isinstance(event, events.UpdateReceived) and not event.accepted:
            row.detail = event.reason

    @property
    def eta_s(self) -> float | None:
        """Seconds to go, from this process's pace so far."""
        if not self.n_closed or self.round >= self.n_rounds:
            return None
        pace_s = (self.closed_s - self.started_s) / self.n_closed
        return max(0.0, (self.n_rounds - self.round) * pace_s - (self.clock() - self.closed_s))
