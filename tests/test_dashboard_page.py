"""The page of a run: its buttons do what they say, in a browser too; nobody else gets in."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import get_browser
from fedboard import DataError
from fedboard_host import paths, presence
from fedboard_host.clock import Clock
from fedboard_host.dashboard import page
from fedboard_host.dashboard.feed import Feed
from fedboard_host.events import Note, RoundClosed, RoundStarted
from fedboard_host.rounds import Policy
from fedboard_host.virtual import VirtualBoard
from federations import Fleet, blobs
from page_lab import act, first_push, get, made_run, with_page
from test_host_boards import board_folder

LOOK = Path(__file__).resolve().parent.parent / "tools" / "look.mjs"
IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")


def test_buttons_of_a_run(tmp_path: Path) -> None:
    async def body() -> Fleet:
        async with Fleet(tmp_path, 2) as fleet:
            await fleet.run(2)

            def use(url: str) -> None:
                status, text = get(url)
                assert status == 200
                assert "round" in text
                told = first_push(url)
                assert set(told["fragments"]) >= {"boards", "events", "accuracy"}
                assert told["paused"] is False
                assert act(url, "pause", {"paused": True})[0] == 403
                ours = {"X-Fedboard": "1"}
                assert act(url, "pause", {"paused": True}, **ours) == (
                    200, "Paused: no new round starts.",
                )  # fmt: skip
                assert fleet.federation.is_paused
                assert first_push(url)["paused"] is True
                assert act(url, "personalize", {"board": "b0"}, **ours)[0] == 200
                status, text = act(url, "personalize", {"board": "b0"}, **ours)
                assert (status, "busy (adapting)" in text) == (409, True) or status == 200
                assert "not here" in act(url, "record", {
                    "board": "nobody", "label": 1, "seconds": 2,
                }, **ours)[1]  # fmt: skip
                assert act(url, "record", {"board": "b1"}, **ours)[0] == 400
                assert act(url, "format", {}, **ours)[0] == 404
                assert get(url, Host="evil.example")[0] == 403
                assert get(url + "page.css")[0] == 200
                assert get(url + "../pyproject.toml")[0] == 404

            await with_page(fleet, tmp_path, "127.0.0.1", use)
            async with asyncio.timeout(30):
                while not [n for n in fleet.of(Note, board="b0") if "personal now" in n.text]:
                    await asyncio.sleep(0.01)
            fleet.federation.pause(False)
            assert (await fleet.run(3)).round == 3
            return fleet

    fleet = asyncio.run(body())
    assert fleet.of(RoundClosed)[-1].n_updates == 2


class Sensor:
    n_in = 12
    period_ms = 20

    def start(self, label: int) -> None:
        self.label = label

    def poll(self, x: Any) -> bool:
        x[0] = self.label
        return True


def test_recording_during_a_run(tmp_path: Path) -> None:
    """The board tells how many it has; it takes part in no round meanwhile, and does afterwards."""
    made = VirtualBoard("b0", blobs(0, 20), clock=Clock(20.0), open_sensor=Sensor)

    async def body() -> Fleet:
        async with Fleet(tmp_path, boards=[made], policy=Policy(1)) as fleet:
            await fleet.run(1)
            fleet.federation.record("b0", 3, 2.0)
            with pytest.raises(DataError, match="busy"):
                fleet.federation.personalize("b0")
            assert (await fleet.run(2)).round == 2
            return fleet

    fleet = asyncio.run(body())
    (told,) = [n.text for n in fleet.of(Note) if "more samples" in n.text]
    n_new, n_all = map(int, re.findall(r"\d+", told.removeprefix("b0 has ")))
    assert n_all == 20 + n_new > 40
    assert len(made._samples) == n_all
    order = [type(e).__name__ for e in fleet.events if isinstance(e, Note | RoundStarted)]
    assert order == ["RoundStarted", "Note", "Note", "RoundStarted"]


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_run_with_its_page(tmp_path: Path) -> None:
    """fedboard run --dashboard: the page is there while it runs, and the run ends in good order."""
    board_folder(tmp_path, 0, 30)
    main = paths.device_dir() / "main.py"
    link = f"process:{sys.executable} {main} --config {tmp_path / 'b0' / 'fedboard.json'}"
    home = tmp_path / "home.toml"
    home.write_text(
        '[federation]\nname = "one"\nrounds = 100000\n[model]\nlayers = [12, 4]\n'
        f'[[board]]\nname = "b0"\nlink = "{link}"\n'
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "fedboard_host", "run", str(home), "--json", "--dashboard",
         str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "RoundClosed":
                break
        status, text = get(f"http://127.0.0.1:{port}/")
        assert status == 200
        assert "b0" in text
        assert act(f"http://127.0.0.1:{port}/", "pause", {"paused": True}, **{"X-Fedboard": "1"})
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 0, errors
    assert errors == ""
    assert json.loads(said.splitlines()[-1])["stopped"] is True
    told = presence.read(tmp_path / "runs" / "one")
    assert told is not None
    assert not told.is_live


def test_others_need_the_token(tmp_path: Path) -> None:
    async def body() -> None:
        async with Fleet(tmp_path, 1) as fleet:

            def use(url: str) -> None:
                assert "?token=" in url
                local = re.sub(r"//[^:/]+:", "//127.0.0.1:", url)
                status, text = get(local)
                assert status == 200
                for address in (local.split("?")[0], local[:-1], local.split("?")[0] + "page.js"):
                    assert get(address)[0] == 403
                token = url.split("=")[1]
                assert token not in str(first_push(local))
                assert text.count(token) == text.count("page.css?token=") + text.count("page.js?")

            await with_page(fleet, tmp_path, "0.0.0.0", use)

    asyncio.run(body())


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    async def body() -> None:
        from fedboard import DataError
        from fedboard_host.dashboard.serve import Page

        async with Fleet(tmp_path, 1) as fleet:

            def use(url: str) -> None:
                port = int(url.split(":")[2].strip("/"))
                with pytest.raises(DataError, match="choose another port"):
                    Page(Feed(tmp_path), None, "127.0.0.1", port)

            await with_page(fleet, tmp_path, "127.0.0.1", use)

    asyncio.run(body())


def need_browser() -> None:
    why = get_browser.missing()
    if why and IN_CI:
        pytest.fail(why)
    if why:
        pytest.skip(why)


def look(url: str, *more: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["node", str(LOOK), url, get_browser.browser(), str(get_browser.FOLDER), *more],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(found: list[dict[str, Any]]) -> None:
    assert [each["name"] for each in found] == ["light", "dark", "phone-light", "phone-dark"]
    for each in found:
        assert each["errors"] == []
        assert each["overflow"] <= 0
        assert [v for v in each["violations"] if v[0] in ("serious", "critical")] == []


@pytest.mark.slow
def test_in_a_browser(tmp_path: Path) -> None:
    """The live page runs, its button works, axe finds nothing serious; the same for a report."""
    need_browser()

    async def body() -> list[dict[str, Any]]:
        async with Fleet(tmp_path / "live", 2) as fleet:
            await fleet.run(3)
            found: list[dict[str, Any]] = await with_page(
                fleet, tmp_path / "live", "127.0.0.1",
                lambda url: look(url, str(tmp_path), "#pause"),
            )  # fmt: skip
            assert fleet.federation.is_paused
            return found

    found = asyncio.run(body())
    check(found)
    assert found[0]["said"] == "Paused: no new round starts."
    assert all(each["link"] == "live" for each in found)
    assert (tmp_path / "phone-dark.png").stat().st_size > 10_000
    (tmp_path / "report.html").write_text(page.report(Feed(made_run(tmp_path / "run")).read()))
    check(look((tmp_path / "report.html").as_uri()))
