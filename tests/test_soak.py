"""A short soak, and many boards at once; tools/soak.py and tools/lag.py do more of the same."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest

import lag
import soak

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")


@pytest.mark.slow
def test_soak(tmp_path: Path) -> None:
    told = soak.soak(tmp_path / "run", n_boards=4, n_rounds=40, seed=3)
    assert told["lost_rounds"] == []
    assert told["wrong_models"] == []
    assert told["last_round"] == 40
    assert told["host_kills"] >= 2
    assert 3 * 40 <= told["updates"] <= 4 * 40
    # The replay would notice: another board's name in one row, and that round's model is wrong.
    with sqlite3.connect(tmp_path / "run" / "log.sqlite") as db:
        db.execute("UPDATE updates SET board = 'b9' WHERE rowid IN "
                   "(SELECT rowid FROM updates WHERE round = 7 AND accepted LIMIT 1)")  # fmt: skip
    db.close()
    assert 7 in soak.replay(tmp_path / "run")[1]


def test_thirty_boards_at_once(tmp_path: Path) -> None:
    told = asyncio.run(lag.measure(tmp_path / "run", 30, 2))
    assert (told["boards"], told["rounds"]) == (30, 2)
    # Processor time, not the wall's: however busy the machine, a slice of work stays short.
    assert told["busy_ms_99_percent"] < 50
