"""When a round starts, whom it asks, what it takes, when it ends: pure policy, time passed in.

    Policy.select(ready boards, number) -> boards        Round.check(...) -> reason, "" if good
    Round.accept(board), Round.fail(board, reason)       Round.verdict(now_ms) -> see Verdict

A round is asked of boards by name and uid. Each counts once; what comes twice, late, for another
round, from another model or from a board that was not asked is told why it does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from fedboard import DataError, messages, prng
from fedboard_host.aggregate import MAX_WEIGHT
from fedboard_host.secret import Secret
from fedboard_host.strategies.base import BoardInfo, Work

_SELECT = 3  # the label of the selection's random stream
DUPLICATE = "this update is in already"  # check()'s answer that is no fault


class Verdict(Enum):
    OPEN = "open"
    CLOSE = "close"  # merge what is in
    SHORT = "short"  # the deadline is over and too few updates are in: ask more boards
    STARVED = "starved"  # all have answered, too few could: wait, start over


@dataclass(frozen=True)
class Policy:
    """n_boards: start once so many are ready. n_select: ask so many of them (0: all).

    By lot, or in_turn: by name, those after the ones of the round before.
    A round closes when all asked boards have answered, or when the deadline of each that has not is
    over, if `quorum` updates are in (0: those of all asked boards that can); with fewer it goes on
    until they are. A board's deadline is deadline_ms, or earlier: `patience` times as long as it
    usually takes (0: never earlier).

    n_new: a board is ready once it has so many samples more than at its last update. every_ms: from
    one round's start to the next at least.
    """

    n_boards: int = 1
    n_select: int = 0
    quorum: int = 1
    deadline_ms: int = 600_000
    in_turn: bool = False
    patience: float = 0.0
    n_new: int = 0
    every_ms: int = 0

    def __post_init__(self) -> None:
        least = min(self.n_select, self.quorum, self.patience, self.n_new, self.every_ms)
        if self.n_boards < 1 or self.deadline_ms < 1 or least < 0:
            raise DataError("a policy's numbers are positive: n_boards and deadline at least 1")
        if self.n_select and self.quorum > self.n_select:
            raise DataError(
                f"a quorum of {self.quorum} of {self.n_select} asked boards is never reached: "
                "lower quorum or raise n_select"
            )

    def under(self, n_select: int, in_turn: bool) -> Policy:
        """This policy where a strategy wants so many boards a round; its own number comes first."""
        if self.n_select or not n_select:
            return replace(self, in_turn=in_turn)
        quorum = min(self.quorum, n_select)
        return replace(self, n_select=n_select, in_turn=in_turn, quorum=quorum)

    def compared(self, least: int, at_most: int) -> Policy:
        """This policy where a merge needs so many updates, and can hold so many (0: any number)."""
        if least <= 1:
            return self
        if 0 < self.n_select < least:
            raise DataError(
                f"{self.n_select} boards are asked a round and the merge needs {least} updates: "
                "raise select, or lower faulty"
            )
        n_select = min(self.n_select or at_most, at_most)
        return replace(self, quorum=max(self.quorum, least), n_select=n_select)

    def is_ready(self, n_ready: int) -> bool:
        return n_ready >= max(self.n_boards, self.quorum)

    def select(
        self, boards: Sequence[BoardInfo], run: int, number: int, everyone: bool = False
    ) -> list[BoardInfo]:
        """Whom to ask, ordered by name: the same for the same boards, run and round."""
        chosen = sorted(boards, key=lambda board: board.name)
        if everyone:
            return chosen
        if self.in_turn and self.n_select:
            at = (number - 1) * self.n_select
            picked = {(at + i) % len(chosen) for i in range(self.n_select)} if chosen else set()
            chosen = [chosen[i] for i in sorted(picked)]
        elif 0 < self.n_select < len(chosen):
            order = list(range(len(chosen)))
            prng.Xorshift(prng.mix(run, _SELECT, number)).shuffle(order)
            chosen = [chosen[i] for i in sorted(order[: self.n_select])]
        return chosen


@dataclass
class Part:
    """One asked board."""

    uid: str
    work: Work
    due_ms: int  # its deadline
    asked_ms: int = 0
    accepted: bool = False
    failure: str = ""


@dataclass
class Round:
    """One open round. number: from 1. version: of the model that it starts from."""

    number: int
    version: int
    policy: Policy
    started_ms: int
    parts: dict[str, Part] = field(default_factory=dict)
    is_over: bool = False  # closed or dropped: nobody is asked any more
    secret: Secret | None = None  # updates are masked

    def ask(self, board: BoardInfo, work: Work, now_ms: int = 0, due_ms: int | None = None) -> None:
        """This board takes part, and is waited for until due_ms (None: the policy's deadline)."""
        if due_ms is None:
            due_ms = self.started_ms + self.policy.deadline_ms
        self.parts[board.name] = Part(board.uid, work, due_ms, now_ms)

    def work(self, name: str, uid: str) -> Work | None:
        """What this board has to do (still, or again after a break); None: nothing."""
        part = self.parts.get(name)
        if part is None or part.uid != uid or part.accepted or part.failure:
            return None
        return part.work

    def check(self, name: str, uid: str, begin: messages.Begin) -> str:
        """Why an update does not count, DUPLICATE if it is in already, "" if it is welcome."""
        part = self.parts.get(name)
        if begin.round != self.number:
            return f"it is of round {begin.round}, round {self.number} is open"
        if part is None or part.uid != uid:
            return f"this board was not asked in round {self.number}"
        if begin.version != self.version:
            return f"it is on model {begin.version}, this round is on {self.version}"
        if part.accepted:
            return DUPLICATE
        if self.is_over:
            return f"round {self.number} is closed"
        if not 0 < begin.n_samples <= MAX_WEIGHT:
            return f"a weight of {begin.n_samples} samples cannot be"
        return ""

    def accept(self, name: str) -> Part:
        part = self.parts[name]
        part.accepted = True
        part.failure = ""
        return part

    def fail(self, name: str, reason: str) -> None:
        """This board cannot take part any more."""
        part = self.parts.get(name)
        if part is not None and not part.accepted:
            part.failure = reason

    @property
    def accepted(self) -> dict[str, str]:
        """uid by name of the boards whose update is in."""
        return {name: part.uid for name, part in self.parts.items() if part.accepted}

    @property
    def failures(self) -> dict[str, str]:
        return {name: part.failure for name, part in self.parts.items() if part.failure}

    @property
    def n_accepted(self) -> int:
        return sum(part.accepted for part in self.parts.values())

    @property
    def quorum(self) -> int:
        able = sum(not part.failure for part in self.parts.values())
        least = self.secret.cohort.threshold if self.secret else 1
        return max(least, self.policy.quorum or able)

    def verdict(self, now_ms: int) -> Verdict:
        waiting = self._waiting
        enough = self.n_accepted >= max(1, self.quorum)
        late = not self.remaining_ms(now_ms)
        if enough and (late or not waiting):
            return Verdict.CLOSE
        if not waiting:
            return Verdict.SHORT if self.n_accepted else Verdict.STARVED
        return Verdict.SHORT if late else Verdict.OPEN

    def remaining_ms(self, now_ms: int) -> int:
        """Until the last deadline of those that have not answered; 0 when it is over."""
        return max([0, *(part.due_ms - now_ms for part in self._waiting)])

    @property
    def n_waiting(self) -> int:
        """Boards that have not answered."""
        return len(self._waiting)

    @property
    def _waiting(self) -> list[Part]:
        return [p for p in self.parts.values() if not p.accepted and not p.failure]
