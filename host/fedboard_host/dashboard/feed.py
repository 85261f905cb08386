"""What a run's folder tells: read from log.sqlite and boards.json, never written.

    Feed(folder).read() -> State        change() differs whenever there is something new

Works while the run goes on in another process (SQLite's WAL lets us read), and years later.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedboard import DataError
from fedboard_host import presence
from fedboard_host.presence import Presence

N_EVENTS = 100  # shown
N_POINTS = 400  # of a curve


@dataclass(frozen=True)
class State:
    """rounds: rows of the log, oldest first. boards: see server.BoardView; [] if none is known.

    updates: {board: [(round, accuracy or None, loss or None)]}, of its own samples.
    """

    name: str
    presence: Presence | None
    rounds: list[dict[str, Any]] = field(default_factory=list)
    updates: dict[str, list[tuple[int, float | None, float | None]]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)  # newest first
    counts: list[list[int]] = field(default_factory=list)  # confusion: [class][prediction]
    judged_round: int = 0
    labels: tuple[str, ...] = ()
    suspects: dict[str, str] = field(default_factory=dict)  # {board: why}; see suspicion


class Feed:
    """One run. Raises DataError if the folder holds none. labels: else those that it told of."""

    def __init__(self, folder: Path, labels: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self._labels = labels
        if not (folder / "log.sqlite").is_file():
            raise DataError(f"{folder} holds no run (log.sqlite is not there): give a run's folder")

    def change(self) -> tuple[Any, ...]:
        """Something that differs from the last time if there is something new."""
        told = presence.read(self.folder)
        with closing(self._open()) as db:
            last = db.execute("SELECT max(id) FROM events").fetchone()[0]
        boards = [{**b, "last_seen_s": 0, "bytes_up": 0, "bytes_down": 0} for b in told.boards] if told else 0  # noqa: E501 # fmt: skip
        return last, told is not None and told.is_live, json.dumps(boards)

    def read(self) -> State:
        told = presence.read(self.folder)
        with closing(self._open()) as db:
            db.row_factory = sqlite3.Row
            rounds = [dict(row) for row in db.execute("SELECT * FROM rounds ORDER BY round")]
            updates: dict[str, list[tuple[int, float | None, float | None]]] = {}
            query = "SELECT round, board, accuracy, loss FROM updates WHERE accepted ORDER BY round"
            for row in db.execute(query):
                updates.setdefault(row["board"], []).append(
                    (row["round"], row["accuracy"], row["loss"])
                )
            query = "SELECT at, kind, board, data FROM events {} ORDER BY id DESC LIMIT ?"
            shown = query.format("WHERE kind NOT IN ('Judged', 'RoundStarted', 'Suspected')")
            events = [_event(row) for row in db.execute(shown, (N_EVENTS,))]
            judged, suspected = (
                [_event(row) for row in db.execute(query.format(f"WHERE kind = '{kind}'"), (1,))]
                for kind in ("Judged", "Suspected")
            )
        counts = judged[0]["counts"] if judged else []
        name = told.name if told else self.folder.name
        return State(
            name, told, rounds, updates, events, counts, judged[0]["round"] if judged else 0,
            self._labels or (told.labels if told else ()),
            suspected[0]["reasons"] if suspected else {},
        )  # fmt: skip

    def _open(self) -> sqlite3.Connection:
        try:
            path = (self.folder / "log.sqlite").resolve()
            db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)
            db.execute("SELECT accuracy FROM updates LIMIT 1")
        except sqlite3.Error as error:
            raise DataError(f"{self.folder}: its log cannot be read ({error})") from None
        return db


def _event(row: sqlite3.Row) -> dict[str, Any]:
    return {**json.loads(row["data"]), "at": row["at"], "kind": row["kind"], "board": row["board"]}


def thin(values: list[Any], n: int = N_POINTS) -> list[Any]:
    """At most about n of them, the last one always."""
    step = max(1, len(values) // n)
    return values[(len(values) - 1) % step :: step]
