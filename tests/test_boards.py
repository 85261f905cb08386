"""`fedboard boards`: the truth about who is here, who was, and who has the port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fedboard import session
from fedboard_host import advertise, cli, discover, links, portowner, presence
from fedboard_host.clock import SLOW
from fedboard_host.links import LinkError
from fedboard_host.server import BoardView

WINDOW = BoardView(
    name="window", uid="0a0b", link="tcp 10.0.0.7:5021", state="idle", last_seen_s=1.5,
    firmware="micropython 1.25.0 rp2", kernels="thumb", free_ram=180_000, n_samples=40, version=3,
    n_in=36, free_flash=900_000, bytes_up=1, bytes_down=1, n_saves=7,
)  # fmt: skip
GONE = BoardView(
    name="door", uid="0c", link="", state="gone", last_seen_s=95.0, firmware="micropython 1.25.0",
    kernels="pure", free_ram=0, n_samples=0, version=0, n_in=0, free_flash=0, bytes_up=0,
    bytes_down=0,
)  # fmt: skip


def boards(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.cli, ["boards", *map(str, arguments)])


def age(folder: Path, seconds: float) -> None:
    """Let so much time pass since boards.json was written."""
    path = folder / presence.FILE
    told = json.loads(path.read_text())
    told["at"] -= seconds
    path.write_text(json.dumps(told))


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(discover, "serial_ports", lambda everything: [])
    presence.write(tmp_path, "kitchen", 50, 12, [WINDOW, GONE], "0.0.0.0:4850")
    return tmp_path


def test_a_run_tells_when_each_board_was_heard(run_folder: Path) -> None:
    age(run_folder, 4)
    text = boards("--home", run_folder).stdout
    assert "window: here, last seen 5." in text
    assert "thumb kernels, 180.0 kB RAM free, 900.0 kB flash free" in text
    assert "40 samples of 36 features, model version 3 (7 written to flash since its start)" in text
    assert "door: gone (it is off, unplugged or out of WiFi), last seen 1 min 39 s ago" in text
    assert "round 12 of 50, goes on, listening on 0.0.0.0:4850" in text


def test_nobody_is_here_when_the_host_is_gone(run_folder: Path) -> None:
    age(run_folder, 3600)
    text = boards("--home", run_folder).stdout
    assert ": here" not in text
    assert "window: gone (its host does not run" in text
    assert "last seen 1 h 0 min ago" in text
    assert "its host stopped 1 h 0 min ago" in text


def test_a_sleeper_is_no_lost_board(run_folder: Path) -> None:
    from dataclasses import replace

    presence.write(run_folder, "kitchen", 50, 12, [replace(WINDOW, state="asleep")], "")
    (found,) = [json.loads(line) for line in boards("--home", run_folder, "--json").stdout.split("\n") if line]  # noqa: E501 # fmt: skip
    assert (found["state"], found["name"], found["n_in"]) == ("asleep", "window", 36)


def test_what_was_just_heard_counts_more_than_what_was_told() -> None:
    told = discover.of_run(presence.Presence("k", 1, 1.0, 1, 2, boards=[vars_of(WINDOW)]))
    knocked = [
        discover.Finding("/dev/ttyACM0", "Pico", state="here", name="window", last_seen_s=0.0),
        discover.Finding("/dev/ttyACM1", "Pico", state="silent"),
    ]
    assert discover.merge(knocked, told) == knocked
    busy = discover.Finding(WINDOW.link, "Pico", state="busy", why="in use by fedboard run")
    (found,) = discover.merge([busy], told)
    assert (found.state, found.description, found.run) == ("here", "Pico idle", "k")


def test_a_run_holds_a_port_by_its_lasting_name(tmp_path: Path) -> None:
    from dataclasses import replace

    port, lasting = tmp_path / "ttyACM0", tmp_path / "by-id"
    lasting.symlink_to(port)
    view = replace(WINDOW, link=str(lasting))
    told = discover.of_run(presence.Presence("k", 1, 1.0, 1, 2, boards=[vars_of(view)]))
    busy = discover.Finding(str(port), "Pico", state="busy", why="in use by fedboard run")
    (found,) = discover.merge([busy], told)
    assert (found.state, found.port, found.description) == ("here", str(lasting), "Pico idle")


def vars_of(view: BoardView) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(view)


def test_it_starts_quickly(tmp_path: Path) -> None:
    """It has 2 s, of which boards get 1.2 to answer: nothing slow is imported."""
    presence.write(tmp_path, "kitchen", 50, 12, [WINDOW], "")
    code = (
        "import sys; from fedboard_host import cli\n"
        "try: cli.cli(['boards', '--home', sys.argv[1]])\n"
        "except SystemExit: pass\n"
        "print({'numpy', 'rich', 'matplotlib', 'sklearn', 'zeroconf'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "window: here" in done.stdout
    assert done.stdout.splitlines()[-1] == "set()"


def test_how_long_ports_may_take() -> None:
    """Two seconds in all: what a command has used up on a busy machine, and the wait."""
    for age_s in (0.0, 0.2, 0.5, 0.7):
        assert age_s + discover.patience_s(age_s) < 1.8 * SLOW
    for age_s in (0.0, 0.7, 5.0):  # however late it is, the second knock can be answered
        assert discover.patience_s(age_s) >= (session.REPEAT_MS / 1000 + 0.5) * SLOW
        assert discover.patience_s(age_s) <= discover.TIMEOUT_S


def test_the_tool_that_measures_it_tells_of_boards_that_never_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tool = pytest.importorskip("boards_time", reason="tools/ want POSIX")
    monkeypatch.setattr(tool, "board", lambda _, name, __: contextlib.nullcontext(name))
    monkeypatch.setattr(tool, "ask", lambda ports: (0.0, 0.0, {"board0"}))
    monkeypatch.setattr(tool, "_START_S", -1.0)
    with pytest.raises(SystemExit, match=r"^board1, board2 did not start"):
        tool.measure(0, 3, 0, 1)


def test_the_command_says_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float | None] = []

    async def knock(ports, key, start, labels, timeout_s):
        told.append(timeout_s)
        return ports

    monkeypatch.setattr(discover, "knock_on_ports", knock)
    for began_s in (time.monotonic(), time.monotonic() - 60, None):
        CliRunner().invoke(cli.cli, ["boards", "/dev/x"], obj=began_s)
    assert told[1:] == [discover.LEAST_S, None]
    assert discover.LEAST_S <= (told[0] or 0) <= discover.TIMEOUT_S


def test_a_home_names_cables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are knocked on, each once, but while a run has them."""
    asked: list[str] = []

    async def knock(ports, *_):
        asked[:] = [port.port for port in ports]
        return ports

    usb = discover.Finding("/dev/ttyACM0", "Pico")
    monkeypatch.setattr(discover, "serial_ports", lambda everything: [usb])
    monkeypatch.setattr(discover, "knock_on_ports", knock)
    lasting = tmp_path / "by-id"
    lasting.symlink_to("/dev/ttyACM0")
    links = {
        "a": "serial:/dev/ttyACM0",
        "b": "process:python3 /x/main.py --config b.json",
        "c": f"serial:{lasting}",
    }
    tables = "".join(f'[[board]]\nname = "{k}"\nlink = "{link}"\n' for k, link in links.items())
    home = tmp_path / "home.toml"
    home.write_text(f'[federation]\nname = "k"\n[model]\nlayers = [4, 2]\n{tables}')
    text = boards("--home", home).stdout
    assert asked == ["/dev/ttyACM0", links["b"]]
    assert f"process python3  b in {home}" in text
    presence.write(tmp_path / "runs" / "k", "k", 50, 12, [WINDOW], "")
    assert "window: here" in boards("--home", home).stdout
    assert asked == ["/dev/ttyACM0"]


def test_all_ports_are_knocked_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them ends before all have been heard to begin."""
    n, knocked, all_here = 6, [], asyncio.Event()

    class Silent(links.Link):
        async def read(self) -> bytes:
            await all_here.wait()
            return b""

        async def write(self, data: bytes) -> None:
            knocked.append(self)
            if len(knocked) == n:
                all_here.set()

        async def close(self) -> None:
            pass

    class Opener(links.Opener):
        async def open(self) -> links.Link:
            return Silent()

    monkeypatch.setattr(links, "parse", lambda port: Opener())
    ports = [discover.Finding(f"port{k}") for k in range(n)]
    found = asyncio.run(discover.knock_on_ports(ports, timeout_s=60))
    assert [(f.port, f.state) for f in found] == [(f"port{k}", "silent") for k in range(n)]


def test_a_port_that_does_not_open_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Opener(links.Opener):
        async def open(self) -> links.Link:
            await asyncio.Event().wait()
            raise AssertionError

    monkeypatch.setattr(links, "parse", lambda port: Opener())
    asked = [discover.Finding("socket://pi:4000", "desk in home.toml")]
    (found,) = asyncio.run(discover.knock_on_ports(asked, timeout_s=0.01))
    assert (found.port, found.state) == ("socket://pi:4000", "unusable")
    assert "opening it takes too long" in found.why


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"at": "x"}', '{"at": 1, "boards": 5}'])
def test_a_broken_file_tells_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / presence.FILE).write_text(text)
    assert presence.read(tmp_path) is None
    assert boards("--home", tmp_path).exit_code == 1


@pytest.mark.parametrize(
    ("words", "program", "remedy"),
    [
        (["/usr/bin/python3", "/usr/bin/thonny"], "Thonny", "Disconnect"),
        (["python3", "-m", "mpremote", "repl"], "mpremote", "Ctrl-]"),
        (["python3", "/venv/bin/mpremote", "connect", "x"], "mpremote", "Ctrl-]"),
        (["SCREEN", "/dev/ttyACM0"], "SCREEN", "close it"),
        (["screen", "/dev/ttyACM0"], "screen", "Ctrl-A K"),
        (["python3", "/venv/bin/fedboard", "run", "home.toml"], "fedboard run", "Ctrl-C"),
        (["/usr/sbin/ModemManager"], "ModemManager", "systemctl stop"),
        ([], "a program", "close it"),
    ],
)
def test_programs_and_how_they_let_go(words: list[str], program: str, remedy: str) -> None:
    owner = portowner.describe(7, words)
    assert owner.program == program
    assert remedy in owner.remedy
    assert str(owner).startswith(f"{program} (process 7): ")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux' /proc")
@pytest.mark.parametrize("locked", [True, False])
def test_a_busy_port_says_who_has_it(locked: bool) -> None:
    import pty
    import tty

    master, slave = pty.openpty()
    tty.setraw(slave)
    port = os.ttyname(slave)
    code = (
        "import fcntl, os, sys\nfd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)\n"
        + "fcntl.flock(fd, fcntl.LOCK_EX)\n" * locked
        + "print('open', flush=True)\nsys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        done = boards("--json", f"serial:{port}")
        found = json.loads(done.stdout)
        assert found["state"] == "busy"
        assert f"(process {other.pid}): close it" in found["why"]
        if locked:
            with pytest.raises(LinkError, match=f"in use by .*process {other.pid}"):
                asyncio.run(links.parse(port).open())
    finally:
        other.communicate()
        os.close(master)
        os.close(slave)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux' /proc")
def test_all_names_of_a_port_tell_who_has_it(tmp_path: Path) -> None:
    port, lasting = tmp_path / "port", tmp_path / "by-id"
    lasting.symlink_to(port)
    port.touch()
    code = "import sys\nfile = open(sys.argv[1])\nprint(flush=True)\nsys.stdin.read()"
    command = [sys.executable, "-c", code, str(port)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        names = [str(port), str(lasting), f"serial:{lasting}"]
        owners = portowner.find_all([*names, "COM5"])
        assert set(owners) == set(names)
        assert {owner.pid for owner in owners.values()} == {other.pid}
    finally:
        other.communicate()


def test_the_name_of_a_host() -> None:
    assert advertise.host_name("My Kitchen!") == "my-kitchen.local"
    assert advertise.host_name("???") == "fedboard.local"
    assert len(advertise.host_name("x" * 99)) < 63


def test_the_host_is_found_by_name() -> None:
    """Advertised and looked up over this machine's own multicast."""
    zeroconf = pytest.importorskip("zeroconf", reason="zeroconf is not installed")
    from zeroconf.asyncio import AsyncZeroconf

    async def body() -> tuple[str, object]:
        advert = advertise.Advert("The Den", 4851, ["127.0.0.1"])
        problem = await advert.start()
        looking = AsyncZeroconf(interfaces=["127.0.0.1"])
        try:
            info = await looking.async_get_service_info(
                advertise.SERVICE, "the-den." + advertise.SERVICE, 5000
            )
        finally:
            await looking.async_close()
            await advert.close()
        return problem, info

    problem, info = asyncio.run(body())
    assert problem == ""
    assert isinstance(info, zeroconf.ServiceInfo)
    assert (info.port, info.server) == (4851, "the-den.local.")
    assert info.parsed_addresses() == ["127.0.0.1"]


def test_a_network_that_takes_no_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio_part = pytest.importorskip("zeroconf.asyncio", reason="zeroconf is not installed")

    def refuse(**_: object) -> None:
        raise OSError("no multicast here")

    monkeypatch.setattr(asyncio_part, "AsyncZeroconf", refuse)

    async def body() -> str:
        advert = advertise.Advert("x", 1, ["127.0.0.1"])
        try:
            return await advert.start()
        finally:
            await advert.close()

    assert "does not take the name" in asyncio.run(body())


def test_keeping_it_up_to_date(tmp_path: Path) -> None:
    async def body() -> None:
        task = asyncio.create_task(presence.keep(tmp_path, "k", 9, lambda: 4, lambda: [WINDOW], ""))
        while presence.read(tmp_path) is None:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(body())
    told = presence.read(tmp_path)
    assert told is not None
    assert (told.round, told.rounds, told.boards[0]["name"]) == (4, 9, "window")
    assert not told.is_live  # it has just ended
    assert told.age_s <= time.time() - (tmp_path / presence.FILE).stat().st_mtime + 1
