"""When a round starts, whom it asks, what it takes, when it ends: pure policy, time passed in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """n_boards: start once so many are ready; n_select: ask so many of them (0: all).

    A round closes when all asked boards have answered, or at the deadline if `quorum` updates are
    in; with fewer it goes on until they are.
    """

    n_boards: int = 1
    n_select: int = 0
    quorum: int = 1
    deadline_ms: int = 600_000
