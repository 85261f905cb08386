"""Which boards' updates do not look like the others', over a run's last rounds.

A board's score is the mean over its last rounds of what the merge found (robust.Opinion):

    clipped     1       far longer than boards' changes usually are
    contrary    1       it points away from the others' sum, more than any other board's
    rejected    1/2     multi-krum left it out; it has to leave out somebody, so this counts less

Only rounds of at least _BOARDS updates count: fewer are no crowd to differ from, one of three is
often alone in what it saw. From SUSPECT on a board is named. It is a hint for people, nobody is
shut out: a board whose samples are unlike all others' looks suspicious, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from fedboard_host.aggregate import Merger
from fedboard_host.events import Event, Note, Suspected
from fedboard_host.robust import Opinion

WINDOW = 20  # rounds
SUSPECT = 0.75
_LEAST = 5  # rounds before anybody is named
_BOARDS = 5  # updates that a round needs to tell one bad board from good ones, as multi-krum's


@dataclass(frozen=True)
class Suspect:
    board: str
    score: float  # 0 to 2.5
    reason: str


class Watchlist:
    """look() after each merge, or note() each round's opinions."""

    def __init__(self) -> None:
        self._named: dict[str, str] = {}  # when it last looked
        self._seen: dict[str, deque[tuple[bool, bool, bool]]] = {}

    def note(self, opinions: Sequence[Opinion]) -> None:
        if len(opinions) < _BOARDS:
            return
        told = [one.agreement for one in opinions if one.agreement is not None]
        lowest = min(told, default=0)
        for one in opinions:
            contrary = lowest < 0 and one.agreement == lowest and len(told) > 1
            seen = self._seen.setdefault(one.board, deque(maxlen=WINDOW))
            seen.append((one.clipped, contrary, one.rejected))

    def look(self, round_no: int, merger: Merger) -> list[Event]:
        """After a merge: what people should know of its boards."""
        found: list[Event] = []
        if merger.rule is not None and merger.rule.check():
            found.append(Note("warning", f"round {round_no}: {merger.rule.check()}"))
        self.note(merger.opinions)
        reasons = {one.board: one.reason for one in self.suspects()}
        for board in reasons.keys() - self._named.keys():
            text = f"{board} looks suspicious, its updates are {reasons[board]}: look at its sensor"
            found.append(Note("warning", text, board))
        if reasons or self._named:
            found.append(Suspected(round_no, reasons))
        self._named = reasons
        return found

    def suspects(self) -> list[Suspect]:
        """The boards to look at, the worst first."""
        found = []
        for board, seen in self._seen.items():
            n = len(seen)
            clipped, contrary, rejected = (sum(row[k] for row in seen) for k in range(3))
            score = (clipped + contrary + rejected / 2) / n
            if n >= _LEAST and score >= SUSPECT:
                parts = (
                    (clipped, "far longer than usual"),
                    (contrary, "against the others'"),
                    (rejected, "left out by multi-krum"),
                )
                reason = ", ".join(f"{what} in {k}" for k, what in parts if k)
                found.append(Suspect(board, round(score, 2), f"{reason} of {n} rounds"))
        return sorted(found, key=lambda one: (-one.score, one.board))
