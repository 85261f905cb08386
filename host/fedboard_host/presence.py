"""Who is here, told to other programs: boards.json in a run's folder, while the run goes on.

The run writes it every EVERY_S seconds; whoever reads it learns when each board was last heard, by
the wall clock. It says nothing about now: a file that is no longer written is a host that is gone,
and then no board is "here".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedboard import DataError
from fedboard_host.export import write_whole

if TYPE_CHECKING:
    from fedboard_host.server import BoardView

FILE = "boards.json"
EVERY_S = 2.0
STALE_S = 10.0  # then nobody writes it any more


@dataclass(frozen=True)
class Presence:
    """boards: the fields of server.BoardView, last_seen_s as of now (see read())."""

    name: str  # the federation's
    pid: int
    age_s: float  # since it was written
    round: int
    rounds: int
    listen: str = ""
    ended: bool = False
    boards: list[dict[str, Any]] = field(default_factory=list)
    labels: tuple[str, ...] = ()  # the names of classes 0, 1, ...

    @property
    def is_live(self) -> bool:
        return not self.ended and self.age_s < STALE_S


async def keep(
    folder: Path,
    name: str,
    rounds: int,
    round_no: Callable[[], int],
    boards: Callable[[], list[BoardView]],
    listen: str = "",
    labels: tuple[str, ...] = (),
) -> None:
    """Write it again and again, until cancelled; a full disk must not end a run."""
    try:
        while True:
            with contextlib.suppress(DataError):
                write(folder, name, rounds, round_no(), boards(), listen, labels)
            await asyncio.sleep(EVERY_S)
    finally:
        with contextlib.suppress(DataError):
            write(folder, name, rounds, round_no(), boards(), listen, labels, ended=True)


def write(
    folder: Path,
    name: str,
    rounds: int,
    round_no: int,
    boards: list[BoardView],
    listen: str = "",
    labels: tuple[str, ...] = (),
    ended: bool = False,
) -> None:
    """Once. ended: this host tells no more. Raises DataError."""
    told = {
        "name": name, "pid": os.getpid(), "at": time.time(), "round": round_no, "rounds": rounds,
        "listen": listen, "ended": ended, "boards": [asdict(board) for board in boards],
        "labels": labels,
    }  # fmt: skip
    write_whole(folder / FILE, json.dumps(told).encode())


def read(folder: Path) -> Presence | None:
    """What the last run in this folder told; None: nothing that can be read."""
    try:
        told = json.loads((folder / FILE).read_text("utf-8"))
        age_s = max(0.0, time.time() - float(told["at"]))
        boards = [
            {**board, "last_seen_s": float(board["last_seen_s"]) + age_s}
            for board in told["boards"]
        ]
        return Presence(
            str(told["name"]), int(told["pid"]), age_s, int(told["round"]), int(told["rounds"]),
            str(told["listen"]), bool(told["ended"]), boards,
            tuple(map(str, told.get("labels", ()))),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None
