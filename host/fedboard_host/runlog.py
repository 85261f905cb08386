"""The run log: rounds, updates and events in an SQLite file, for reports and for people.

It follows the checkpoints: what it misses is put in from them, what it knows of rounds that they
do not is removed. A damaged file is put aside. Old events are forgotten, rounds never.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from fedboard_host import events, jsontext
from fedboard_host.events import Event

_TABLES = """
CREATE TABLE IF NOT EXISTS rounds (
    round INTEGER PRIMARY KEY, version INTEGER, n_updates INTEGER, n_boards INTEGER,
    accuracy REAL, loss REAL, bytes_up INTEGER, bytes_down INTEGER, update_bytes INTEGER,
    seconds REAL, at REAL, digest TEXT, epsilon REAL);
CREATE TABLE IF NOT EXISTS updates (
    round INTEGER, board TEXT, n_samples INTEGER, n_bytes INTEGER, accepted INTEGER, reason TEXT,
    at REAL, accuracy REAL, loss REAL);
CREATE INDEX IF NOT EXISTS updates_by_round ON updates (round);
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY, at REAL, kind TEXT, board TEXT, data TEXT);
"""
# Columns that earlier releases lack.
_ADDED = (
    "rounds ADD COLUMN digest TEXT", "updates ADD COLUMN accuracy REAL",
    "updates ADD COLUMN loss REAL", "rounds ADD COLUMN epsilon REAL",
)  # fmt: skip
_ROUND_FIELDS = (
    "round", "version", "n_updates", "n_boards", "accuracy", "loss", "bytes_up", "bytes_down",
    "update_bytes", "seconds", "digest", "epsilon",
)  # fmt: skip
KEEP_EVENTS = 50_000  # and four times as many updates: about 30 MB
_ROTATE_EACH = 500
# What is told many times a second is for the eyes only.
_FLEETING = (events.BoardProgress, events.BoardState)


class RunLog:
    """May be used from any thread. `repaired`: what was wrong with the file, or ""."""

    def __init__(self, path: Path, keep: int = KEEP_EVENTS) -> None:
        self._mutex = threading.Lock()
        self._keep = keep
        self._n_added = 0
        self.repaired = ""
        try:
            self._db = _open(path)
        except sqlite3.DatabaseError as error:
            aside = path.with_name(f"{path.stem}-damaged-{time.time_ns()}{path.suffix}")
            path.rename(aside)
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self.repaired = f"the run log was damaged ({error}): it is now {aside.name}"
            self._db = _open(path)

    def add(self, event: Event) -> None:
        """Append an event. Raises sqlite3.Error where the disk is full."""
        if isinstance(event, _FLEETING):
            return
        data = events.as_dict(event)
        kind = str(data.pop("event"))
        now = time.time()
        with self._mutex, self._db:
            self._db.execute(
                "INSERT INTO events (at, kind, board, data) VALUES (?, ?, ?, ?)",
                (now, kind, getattr(event, "board", ""), jsontext.dumps(data)),
            )
            if isinstance(event, events.UpdateReceived):
                self._db.execute(
                    "INSERT INTO updates VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (event.round, event.board, event.n_samples, event.n_bytes,
                     int(event.accepted), event.reason, now, event.accuracy, event.loss),
                )  # fmt: skip
            self._n_added += 1
            if self._n_added % _ROTATE_EACH == 0:
                self._rotate()

    def _rotate(self) -> None:
        """Forget the oldest events and updates beyond what is kept. Rounds stay: they are few."""
        for table, kept in (("events", self._keep), ("updates", 4 * self._keep)):
            self._db.execute(
                f"DELETE FROM {table} WHERE rowid <= (SELECT max(rowid) FROM {table}) - ?", (kept,)
            )

    def add_round(self, record: dict[str, Any]) -> None:
        """A closed round: the fields of events.RoundClosed. Again: it replaces the earlier row."""
        values = [record.get(name) for name in _ROUND_FIELDS]
        marks = ", ".join("?" * (len(values) + 1))
        with self._mutex, self._db:
            self._db.execute(
                f"INSERT OR REPLACE INTO rounds ({', '.join(_ROUND_FIELDS)}, at) VALUES ({marks})",
                [*values, time.time()],
            )

    def rounds(self) -> list[dict[str, Any]]:
        """The closed rounds, oldest first."""
        with self._mutex:
            rows = self._db.execute(
                f"SELECT {', '.join(_ROUND_FIELDS)} FROM rounds ORDER BY round"
            ).fetchall()
        return [dict(zip(_ROUND_FIELDS, row, strict=True)) for row in rows]

    def follow(self, round_no: int, record: dict[str, Any]) -> None:
        """Make the log say that `round_no` is the last closed round."""
        with self._mutex, self._db:
            self._db.execute("DELETE FROM rounds WHERE round > ?", (round_no,))
            self._db.execute("DELETE FROM updates WHERE round > ?", (round_no,))
            known = self._db.execute(
                "SELECT 1 FROM rounds WHERE round = ?", (round_no,)
            ).fetchone()
        if record and not known:
            self.add_round(record)

    def close(self) -> None:
        with self._mutex:
            self._db.close()


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False, timeout=10)
    try:
        found = db.execute("PRAGMA quick_check").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(str(found).splitlines()[0])
        # A killed process loses nothing in this mode, a power cut the last few events.
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.executescript(_TABLES)
        for column in _ADDED:
            with contextlib.suppress(sqlite3.OperationalError):  # it is there
                db.execute(f"ALTER TABLE {column}")
        _check_columns(db)
    except sqlite3.DatabaseError:
        db.close()
        raise
    return db


def _check_columns(db: sqlite3.Connection) -> None:
    columns = {row[1] for row in db.execute("PRAGMA table_info(rounds)")}
    if not columns.issuperset(_ROUND_FIELDS):
        raise sqlite3.DatabaseError("it is of another release")
