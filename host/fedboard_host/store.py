"""A run's folder: checkpoints, the run log, and the lock that keeps a second host out.

    model-00012.npz   the model after 12 merges: see checkpoints
    log.sqlite        rounds, updates, events: see runlog
    lock              held by the process that runs: see lock

A checkpoint is written whole, synced and renamed: a host that is killed at any instant loses the
open round at most. The newest sound checkpoint is the truth; the log follows it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from fedboard import DataError
from fedboard_host import checkpoints
from fedboard_host.checkpoints import Checkpoint
from fedboard_host.events import Event, RoundClosed
from fedboard_host.lock import FolderLock
from fedboard_host.runlog import RunLog

__all__ = ["Checkpoint", "Store", "find_checkpoint", "read_checkpoint"]


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
        self.folder = Path(folder)
        self._keep = max(1, keep)
        self._on_note = on_note
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FolderLock(self.folder)
        except OSError as error:
            raise DataError(
                f"{folder} cannot be written ({error.strerror or error}): choose another folder"
            ) from None
        self._lock = lock
        try:
            self._open(resume)
        except BaseException:
            lock.release()
            raise

    def _open(self, resume: bool) -> None:
        present = checkpoints.paths(self.folder)
        begun = (self.folder / "log.sqlite").exists()  # and killed before the first checkpoint
        if present and not resume:
            raise DataError(
                f"{self.folder} holds a run already: go on with --resume, or choose another folder"
            )
        self._latest: Checkpoint | None = None
        for path in present.values():
            try:
                self._latest = checkpoints.read(path)
                break
            except DataError as error:
                path.replace(path.with_name(path.name + ".damaged"))
                self._note("warning", f"{error}. The one before it is used")
        if resume and self._latest is None and (present or not begun):
            raise DataError(f"{self.folder} holds no sound checkpoint to resume: start a new run")
        if self._lock.stale:
            self._note("info", f"process {self._lock.stale} had left this run unfinished")
        for part in self.folder.glob("*.part"):
            part.unlink(missing_ok=True)
        self._log = RunLog(self.folder / "log.sqlite")
        if self._log.repaired:
            self._note("warning", self._log.repaired)
        latest = self._latest
        self._log.follow(latest.round if latest else 0, latest.record if latest else {})
        self._best: tuple[float, int] | None = None  # accuracy, round
        for row in self._log.rounds():
            if checkpoints.path_of(self.folder, row["round"]).exists():
                self._judge(row["accuracy"], row["round"])

    def latest(self) -> Checkpoint | None:
        """The newest sound checkpoint; None in a new run."""
        return self._latest

    def past(self) -> list[Checkpoint]:
        """The sound checkpoints before the newest one that are still there, oldest first."""
        found = []
        for round_no, path in reversed(checkpoints.paths(self.folder).items()):
            if self._latest is not None and round_no < self._latest.round:
                try:
                    found.append(checkpoints.read(path))
                except DataError:
                    continue  # it is told when it is needed
        return found

    def best(self) -> Checkpoint | None:
        """The sound checkpoint of the highest accuracy; the newest if none was evaluated."""
        if self._best is not None:
            try:
                return checkpoints.read(checkpoints.path_of(self.folder, self._best[1]))
            except DataError as error:
                self._note("warning", f"{error}. The newest one is used")
        return self._latest

    def save(self, checkpoint: Checkpoint, event: RoundClosed | None = None) -> Path:
        """Write it durably, log the round, remove old ones but for the last `keep` and the best."""
        if event is not None:
            checkpoint = replace(checkpoint, record=asdict(event))
        path = checkpoints.path_of(self.folder, checkpoint.round)
        checkpoints.write(path, checkpoint)
        self._latest = checkpoint
        if event is not None:
            self._write(self._log.add_round, checkpoint.record)
        self._judge(checkpoint.accuracy, checkpoint.round)
        self._prune()
        return path

    def log(self, event: Event) -> None:
        """Append an event to the run log."""
        self._write(self._log.add, event)

    def rounds(self) -> list[dict[str, Any]]:
        """The closed rounds, oldest first: the fields of events.RoundClosed."""
        return self._log.rounds()

    def close(self) -> None:
        """Release the folder."""
        self._log.close()
        self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, action: Callable[[Any], None], record: Any) -> None:
        try:
            action(record)
        except sqlite3.Error as error:
            raise DataError(
                f"{self.folder}: the run log cannot be written ({error}): make room, then resume"
            ) from None

    def _judge(self, accuracy: float | None, round_no: int) -> None:
        if accuracy is not None and (self._best is None or accuracy > self._best[0]):
            self._best = accuracy, round_no

    def _prune(self) -> None:
        best = self._best[1] if self._best else -1
        for i, (round_no, path) in enumerate(checkpoints.paths(self.folder).items()):
            if i >= self._keep and round_no != best:
                path.unlink(missing_ok=True)

    def _note(self, level: str, text: str) -> None:
        if self._on_note is not None:
            self._on_note(level, text)


def read_checkpoint(path: Path | str) -> Checkpoint:
    """The checkpoint in this file. Raises DataError for whatever is none, or is damaged."""
    return checkpoints.read(path)


def find_checkpoint(folder: Path | str) -> Path:
    """The newest sound checkpoint in a run's folder, without locking it. Raises DataError."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder of a run")
    for path in checkpoints.paths(folder).values():
        try:
            checkpoints.read(path)
        except DataError:
            continue
        return path
    raise DataError(f"{folder} holds no sound checkpoint: has a round been closed?")
