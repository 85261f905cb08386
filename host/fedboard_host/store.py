"""A run's folder: checkpoints, the run log, and the lock that keeps a second host out.

    model-00012.npz   params, result (int16), state_*, meta (JSON): the model after 12 merges
    log.sqlite        rounds, updates, events
    lock              held by the process that runs

A checkpoint is written whole, synced and renamed: a host that is killed at any instant loses the
open round at most. The newest sound checkpoint is the truth; the log follows it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fedboard.model import Spec
from fedboard_host.aggregate import Ints
from fedboard_host.events import Event


@dataclass(frozen=True)
class Checkpoint:
    """The model after a closed round (round 0: the start) and all that is needed to go on."""

    spec: Spec
    run: int  # u32, names this run to boards
    round: int  # the last closed one
    version: int  # of params; round + 1
    params: array[int]  # what boards get
    result: array[int]  # what to use: params or their running average
    strategy: str  # name and parameters, as text
    accuracy: float | None = None
    loss: float | None = None
    state: dict[str, Ints] = field(default_factory=dict)  # the merger's
    # board: (uid, round) of its last accepted update, so that it is told when it returns
    accepted: dict[str, tuple[str, int]] = field(default_factory=dict)


class Store:
    """One run. on_note(level, text) hears of repairs."""

    def __init__(
        self,
        folder: Path | str,
        *,
        resume: bool = False,
        keep: int = 3,
        on_note: Callable[[str, str], None] | None = None,
    ) -> None:
        """Open or make the folder and lock it.

        Raises DataError if another process has it, if it holds a run and not `resume`, or if it
        holds none and `resume`.
        """
        raise NotImplementedError

    def latest(self) -> Checkpoint | None:
        """The newest sound checkpoint; None in a new run."""
        raise NotImplementedError

    def best(self) -> Checkpoint | None:
        """The sound checkpoint of the highest accuracy; the newest if none was evaluated."""
        raise NotImplementedError

    def save(self, checkpoint: Checkpoint, event: Event | None = None) -> Path:
        """Write it durably, log the round, remove old ones but for the last `keep` and the best."""
        raise NotImplementedError

    def log(self, event: Event) -> None:
        """Append an event to the run log."""
        raise NotImplementedError

    def rounds(self) -> list[dict[str, object]]:
        """The closed rounds, oldest first: the fields of events.RoundClosed."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the folder."""
        raise NotImplementedError


def read_checkpoint(path: Path | str) -> Checkpoint:
    """The checkpoint in this file. Raises DataError for whatever is none, or is damaged."""
    raise NotImplementedError


def find_checkpoint(folder: Path | str) -> Path:
    """The newest sound checkpoint in a run's folder, without locking it. Raises DataError."""
    raise NotImplementedError
