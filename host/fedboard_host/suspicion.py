"""Which boards' updates do not look like the others', over a run's last rounds.

A board's score is the mean over its last rounds of what the merge found (robust.Opinion):

    clipped     1       far longer than boards' changes usually are
    contrary    1       it points away from the others' sum, more than any other board's
    rejected    1/2     multi-krum left it out; it has to leave out somebody, so this counts less

From SUSPECT on a board is named. It is a hint for people, nobody is shut out: a board whose samples
are unlike all others' looks suspicious, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from fedboard_host.robust import Opinion

WINDOW = 20  # rounds
SUSPECT = 0.75
_LEAST = 5  # rounds before anybody is named


@dataclass(frozen=True)
class Suspect:
    board: str
    score: float  # 0 to 2.5
    reason: str


class Watchlist:
    """note() each round's opinions."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[bool, bool, bool]]] = {}

    def note(self, opinions: Sequence[Opinion]) -> None:
        told = [one.agreement for one in opinions if one.agreement is not None]
        lowest = min(told, default=0)
        for one in opinions:
            contrary = lowest < 0 and one.agreement == lowest and len(told) > 1
            seen = self._seen.setdefault(one.board, deque(maxlen=WINDOW))
            seen.append((one.clipped, contrary, one.rejected))

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
