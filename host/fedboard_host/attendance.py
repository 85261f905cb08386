"""Who can take part in a round, how long it is waited for, and when it may sleep. No I/O.

ready()    is here, has samples, and enough new ones since its last update
hold_ms()  how long a round has to wait: for its time, for boards, for sleepers that are due
due_ms()   a board's own deadline, from how long it took before
rest_s()   what a board with nothing to do may sleep
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fedboard_host.member import Member
from fedboard_host.rounds import Policy

SLACK_MS = 2000  # that a deadline leaves a board beside its pace
GRACE_MS = 10_000  # for a sleeper to wake and join
SHORTEST_REST_S = 10


class Attendance:
    """learned: samples that a board had at its last update, by name."""

    def __init__(self, policy: Policy, learned: Mapping[str, int]) -> None:
        self._policy = policy
        self._learned = learned
        self._next_ms: int | None = None  # no round starts before

    def started(self, now_ms: int) -> None:
        """A round starts."""
        self._next_ms = now_ms + self._policy.every_ms

    def ready(self, members: Iterable[Member], n_in: int) -> list[Member]:
        """Who could take part in a round that starts now."""
        return [m for m in members if m.is_here and not m.aside and self._can_learn(m, n_in)]

    def _can_learn(self, member: Member, n_in: int) -> bool:
        n_new = member.n_new(self._learned.get(member.info.name, 0))
        info = member.info
        return info.n_samples > 0 and info.n_in == n_in and n_new >= self._policy.n_new

    def hold_ms(self, members: Iterable[Member], n_ready: int, now_ms: int) -> int | None:
        """0: a round can start. None: not before something changes."""
        if self._next_ms is not None and now_ms < self._next_ms:
            return self._next_ms - now_ms
        if not self._policy.is_ready(n_ready):
            return None
        due = [m.wakes_ms + GRACE_MS - now_ms for m in members if m.state == "asleep"]
        return max([0, *due])

    def due_ms(self, member: Member, now_ms: int) -> int:
        """Until when to wait for a board that is asked now."""
        latest_ms = now_ms + self._policy.deadline_ms
        if not self._policy.patience or not member.took_ms:
            return latest_ms
        patient_ms = round(self._policy.patience * max(member.took_ms)) + SLACK_MS
        return min(latest_ms, now_ms + patient_ms)

    def rest_s(self, now_ms: int) -> int:
        """Until the next round starts; 0: it is not worth it."""
        if self._next_ms is None:
            return 0
        seconds = (self._next_ms - now_ms) // 1000
        return seconds if seconds >= SHORTEST_REST_S else 0
