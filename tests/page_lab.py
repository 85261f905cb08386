"""For tests of the page: a run to show, and a browser's part of HTTP, without one.

    made_run(folder)                              a run of 30 rounds and two boards
    await with_page(fleet, folder, host, use)     use(url) in a thread, while the page is served
    get(url)  act(url, name, values)              a status and a text
    first_push(url)                               the first thing that the page is told

NASTY is what a hostile board says: it must not become HTML.
"""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from fedboard_host import presence
from fedboard_host.dashboard.feed import Feed
from fedboard_host.events import Judged, Note, UpdateReceived
from fedboard_host.server import BoardView
from fedboard_host.store import Store
from federations import Fleet

NASTY = '<img src=x onerror="alert(1)">&'


def board(name: str, **values: Any) -> BoardView:
    plain: dict[str, Any] = {
        "name": name, "uid": "0a", "link": "tcp", "state": "idle", "last_seen_s": 1.0,
        "firmware": NASTY, "kernels": "pure", "free_ram": 100_000, "n_samples": 40, "version": 3,
        "n_in": 4, "free_flash": 1, "bytes_up": 1000, "bytes_down": 2000,
    }  # fmt: skip
    return BoardView(**{**plain, **values})


def made_run(folder: Path) -> Path:
    """What the log and the presence file of such a run hold, in `folder`, which it returns."""
    with Store(folder) as store:
        for n in range(1, 31):
            for name in ("window", "door"):
                store.log(UpdateReceived(name, n, 40, 200, True, "", 0.5 + n / 100, 9.5))
            store._log.add_round(
                {"round": n, "version": n + 1, "n_updates": 2, "n_boards": 2, "accuracy": n / 40,
                 "loss": 50 / n, "bytes_up": 900, "bytes_down": 1800, "update_bytes": 400,
                 "seconds": 1.5}
            )  # fmt: skip
        store.log(Judged(30, ((5, 1), (0, 4))))
        store.log(Note("warning", NASTY, "door"))
    presence.write(folder, "kitchen", 50, 30, [board("window"), board("door", state="gone")])
    return folder


def get(url: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=10
        ) as got:
            return got.status, got.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def act(url: str, name: str, values: object, **headers: str) -> tuple[int, str]:
    address, _, query = url.partition("?")
    request = urllib.request.Request(
        f"{address}act/{name}?{query}", json.dumps(values).encode(), headers=headers
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as got:
            return got.status, json.loads(got.read())["said"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def first_push(url: str) -> dict[str, Any]:
    address, _, query = url.partition("?")
    with urllib.request.urlopen(f"{address}events?{query}", timeout=10) as stream:
        line = stream.readline().decode()
    told: dict[str, Any] = json.loads(line.removeprefix("data: "))
    return told


async def with_page(fleet: Fleet, folder: Path, host: str, use: Any) -> Any:
    """use(url) in a thread, while the fleet's page is served."""
    pytest.importorskip("uvicorn", reason="fedboard[dashboard] is not installed")
    from fedboard_host.dashboard.serve import Page

    served = Page(Feed(folder), fleet.federation, host, 0)
    serving = asyncio.create_task(served.serve())
    try:
        return await asyncio.to_thread(use, served.url)
    finally:
        served.close()
        await serving
