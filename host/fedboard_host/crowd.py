"""Thousands of boards that come and go: whose update counts, how long a round takes, its energy.

    crowd = Crowd(10_000, WIFI, seed=1)
    turn = crowd.round(wanted=200, bytes_down=900, bytes_up=400, train_s=0.05)
    turn.chosen, turn.seconds, turn.joules, turn.wasted

No board learns in here: only time and energy are reckoned, in NumPy, for all boards at once. The
host asks OVER times as many boards as it wants, of those that are here, merges the first ones that
answer, and drops the others, whose energy is lost. A model of a few numbers, all of them ours:

    here        a board is on for MEAN_ON_S and off for MEAN_OFF_S, on average (exponential)
    slow        its own lasting factor, log-normal of sigma SLOW_SIGMA, and JITTER_SIGMA a round
    a turn      set-up + bytes * WIRE / rate + training, times both factors
    energy      training at CPU_WATTS; the link at its own power while it is up
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedboard import DataError

MEAN_ON_S = 4 * 3600.0
MEAN_OFF_S = 4 * 3600.0
SLOW_SIGMA = 0.5
JITTER_SIGMA = 0.2
OVER = 1.3  # asked for each that is wanted
WIRE = 1.15  # bytes on the link for each of an update: frames, escapes, acknowledgements
CPU_WATTS = 3.3 * 0.025  # as in docs/board.md
_WAIT_S = 60.0  # until the host looks again, if too few boards are here
_MAX_WAITS = 100_000


@dataclass(frozen=True)
class Link:
    """watts: of the board while the link is up, its processor not counted."""

    name: str
    bytes_per_s: float
    setup_s: float
    watts: float


# USB: docs/board.md, on the safe side. The radio's figures are typical ones, not measured.
SERIAL = Link("USB serial", 60_000, 0.0, 0.0)
WIFI = Link("WiFi", 100_000, 2.0, 3.3 * 0.1)


@dataclass(frozen=True)
class Turn:
    """One round. chosen: the boards whose updates count, sorted; n_asked: with the others."""

    chosen: NDArray[np.intp]
    n_asked: int
    seconds: float  # from one round's start to the next
    joules: float  # of all boards asked
    wasted: float  # of these, of boards whose update did not count


class Crowd:
    """The same seed and the same rounds: the same turns."""

    def __init__(self, n_boards: int, link: Link, seed: int) -> None:
        if n_boards < 1:
            raise DataError("a crowd needs a board")
        self.n_boards = n_boards
        self.link = link
        self._rng = np.random.default_rng((seed, 41))
        share = MEAN_ON_S / (MEAN_ON_S + MEAN_OFF_S)
        self._here = self._rng.random(n_boards) < share
        self._slow = np.exp(SLOW_SIGMA * self._rng.standard_normal(n_boards))

    def round(self, wanted: int, bytes_down: float, bytes_up: float, train_s: float) -> Turn:
        """bytes_*: of a board's model and update. train_s: of a board that is as fast as usual."""
        waited = self._wait_for(wanted)
        here = np.flatnonzero(self._here)
        n_asked = min(len(here), round(wanted * OVER))
        asked = self._rng.choice(here, n_asked, replace=False)
        factor = self._slow[asked] * np.exp(JITTER_SIGMA * self._rng.standard_normal(n_asked))
        link = self.link
        talk_s = (link.setup_s + (bytes_down + bytes_up) * WIRE / link.bytes_per_s) * factor
        took_s = talk_s + train_s * factor
        # Some leave in the middle: nothing comes of them.
        stays_s = self._rng.exponential(MEAN_ON_S, n_asked)
        done = np.flatnonzero(stays_s >= took_s)
        first = done[np.argsort(took_s[done], kind="stable")[: min(wanted, len(done))]]
        end_s = float(took_s[first].max()) if len(first) else float(took_s.max())
        joules = talk_s * (link.watts + CPU_WATTS) + train_s * factor * CPU_WATTS
        joules *= np.minimum(1.0, np.minimum(stays_s, end_s) / took_s)  # the others are cut short
        counts = np.zeros(n_asked, bool)
        counts[first] = True
        self._here[asked[stays_s < took_s]] = False
        self._pass(end_s)
        return Turn(
            np.sort(asked[counts]), n_asked, waited + end_s, float(joules.sum()),
            float(joules[~counts].sum()),
        )  # fmt: skip

    def _wait_for(self, wanted: int) -> float:
        """Until so many boards are here: seconds."""
        if wanted > self.n_boards:
            raise DataError(f"{wanted} boards a round of {self.n_boards}: ask for fewer")
        for n in range(_MAX_WAITS):
            if self._here.sum() >= wanted:
                return n * _WAIT_S
            self._pass(_WAIT_S)
        raise DataError(f"{wanted} boards are never here at once: ask for fewer")

    def _pass(self, seconds: float) -> None:
        """Boards come and go meanwhile."""
        draw = self._rng.random(self.n_boards)
        leaves = draw < -np.expm1(-seconds / MEAN_ON_S)
        comes = draw < -np.expm1(-seconds / MEAN_OFF_S)
        self._here = np.where(self._here, ~leaves, comes)
