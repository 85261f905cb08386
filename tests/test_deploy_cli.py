"""`fedboard deploy`: drives, which boards it takes, what people are told. See test_deploy."""

from __future__ import annotations

import errno
import json
import os
import sys

import pytest
import serial
from click.testing import CliRunner

from fedboard import DataError
from fedboard_host import discover, paths
from fedboard_host.cli import cli
from fedboard_host.config import BoardEntry
from fedboard_host.deploy import DeployError, files, plan, rejoin, targets
from fedboard_host.deploy.drive import Drive, find_drives, is_drive
from fedboard_host.deploy.plan import Wish

BOOT_OUT = """\
Adafruit CircuitPython 9.2.1 on 2024-11-20; Raspberry Pi Pico W with rp2040
Board ID:raspberry_pi_pico_w
UID:DE6185B2A3104521
"""


# A CIRCUITPY drive


@pytest.fixture
def drive(tmp_path):
    folder = tmp_path / "CIRCUITPY"
    folder.mkdir()
    (folder / "boot_out.txt").write_text(BOOT_OUT)
    (folder / "code.py").write_text('print("Hello World!")\n')
    return folder


def test_drive(drive):
    (drive / "lib" / "fedboard").mkdir(parents=True)
    (drive / "lib" / "fedboard" / "wire.py").write_text("old")
    (drive / "lib" / "neopixel.mpy").write_text("mine")
    target = Drive(drive)
    assert str(target.firmware) == "circuitpython 9.2.1 Raspberry Pi Pico W with rp2040"
    assert target.firmware.uid == "de6185b2a3104521"
    wish = Wish(files.sources(paths.device_dir()), mpy=True, settings={"name": "hall"})
    result = plan.deploy(target, wish)
    for path, data in wish.tree.items():
        assert (drive / path).read_bytes() == data
    assert (drive / "code.py").read_bytes() == wish.tree["device/main.py"]
    assert (drive / "code.py.old").read_text() == 'print("Hello World!")\n'
    assert not (drive / "lib" / "fedboard").exists()
    assert (drive / "lib" / "neopixel.mpy").exists()
    assert json.loads((drive / "fedboard.json").read_text()) == {"name": "hall"}
    assert result.removed == ["lib/fedboard/wire.py"]
    assert any("sources" in note for note in result.notes)
    again = plan.deploy(Drive(drive), wish)
    assert (again.written, again.removed, again.settings) == ([], [], "kept")


def test_drive_errors(drive, tmp_path, monkeypatch):
    with pytest.raises(DeployError, match="not a CircuitPython board's drive"):
        Drive(tmp_path)
    (tmp_path / "boot_out.txt").write_text("something else")
    with pytest.raises(DeployError, match="names no CircuitPython"):
        Drive(tmp_path)
    for number, text in ((errno.EROFS, "drive is read-only"), (errno.ENOSPC, "drive is full")):

        def fail(fd, number=number):
            raise OSError(number, "no")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            with pytest.raises(DeployError, match=text):
                Drive(drive).write("device/main.py", b"x")


# Which boards


@pytest.fixture
def ports(monkeypatch):
    """Two boards on USB, one with fedboard under the name of window; no drives."""
    usb = [("/dev/ttyACM0", "E661"), ("/dev/ttyACM1", "DE6185B2A3104521")]
    monkeypatch.setattr(targets, "_usb_ports", lambda: usb)
    monkeypatch.setattr(targets, "find_drives", list)
    monkeypatch.setattr(discover, "serial_ports", lambda: [discover.Finding(p) for p, _ in usb])

    async def knock(found, key):
        return [
            discover.Finding(each.port, name="window" if each.port.endswith("1") else "")
            for each in found
        ]

    monkeypatch.setattr(discover, "knock_on_ports", knock)


def places(words, entries=()):
    return [(each.where, each.is_drive, each.name) for each in targets.find(words, entries)]


def test_all_boards(ports, drive, monkeypatch):
    entries = [BoardEntry("door", "serial:/dev/ttyACM0"), BoardEntry("far", "network")]
    both = [("/dev/ttyACM0", False, "door"), ("/dev/ttyACM1", False, "")]
    assert places([], entries) == both
    # The second is the console of a board whose drive is there: one board, not two.
    monkeypatch.setattr(targets, "find_drives", lambda: [drive])
    assert places([]) == [(str(drive), True, ""), ("/dev/ttyACM0", False, "")]
    monkeypatch.setattr(targets, "find_drives", list)
    monkeypatch.setattr(targets, "_usb_ports", list)
    with pytest.raises(DeployError, match="no USB serial port and no CIRCUITPY drive"):
        places([])


def test_a_lasting_name_of_a_port_names_its_board(ports, tmp_path):
    (tmp_path / "by-id").symlink_to("/dev/ttyACM0")
    entries = [BoardEntry("door", f"serial:{tmp_path / 'by-id'}")]
    assert places([], entries)[0] == ("/dev/ttyACM0", False, "door")
    assert places(["/dev/ttyACM0"], entries) == [("/dev/ttyACM0", False, "door")]


def test_boards_by_name_port_and_folder(ports, drive, tmp_path):
    entries = [BoardEntry("door", "serial:/dev/ttyACM0")]
    assert places(["window"]) == [("/dev/ttyACM1", False, "")]
    assert places(["door"], entries) == [("/dev/ttyACM0", False, "door")]
    for word in ("serial:/dev/ttyACM0", "/dev/ttyACM0"):
        assert places([word], entries) == [("/dev/ttyACM0", False, "door")]
    assert places(["COM5", "socket://h:1"]) == [("COM5", False, ""), ("socket://h:1", False, "")]
    assert places([str(drive)]) == [(str(drive), True, "")]
    with pytest.raises(DataError, match=r"no board cellar: .*: window \(/dev/ttyACM1\)"):
        places(["cellar"])
    with pytest.raises(DeployError, match=r"no boot_out\.txt"):
        places([str(tmp_path)])


def test_a_board_of_home_toml_comes_before_a_folder_of_its_name(
    ports, drive, tmp_path, monkeypatch
):
    entries = [
        BoardEntry("door", "serial:/dev/ttyACM0"),
        BoardEntry("hall", "process:micropython main.py"),
    ]
    monkeypatch.chdir(tmp_path)
    for name in ("door", "hall", "window", "cellar"):
        (tmp_path / name).mkdir()
    assert places(["door"], entries) == [("/dev/ttyACM0", False, "door")]
    assert places(["window"], entries) == [("/dev/ttyACM1", False, "")]
    with pytest.raises(DataError, match=r"hall in home\.toml is process:micropython main\.py"):
        places(["hall"], entries)
    with pytest.raises(DataError, match=r"no board cellar: .* The folder cellar .* boot_out\.txt"):
        places(["cellar"], entries)
    (tmp_path / "cellar" / "boot_out.txt").write_text(BOOT_OUT)
    assert places(["cellar"], entries) == [("cellar", True, "")]


def test_drives_are_found_where_systems_mount_them():
    assert all(is_drive(path) for path in find_drives())  # whatever is mounted here


# The command


def run(*words, status=0):
    done = CliRunner().invoke(cli, ["deploy", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == status, done.output
    return done.output


def test_command(drive, tmp_path, monkeypatch):
    key_file = tmp_path / "home.key"
    key_file.write_text("5a" * 32 + "\n")
    monkeypatch.setenv("FEDBOARD_WIFI_PASSWORD", "s3cret")
    said = run(
        drive, "--name", "hall", "--key-file", key_file, "--wifi", "home",
        "--host", "laptop:4850, 10.0.0.1:4850", "--sensor", "accelerometer.py",
    )  # fmt: skip
    assert "circuitpython 9.2.1" in said
    assert "settings written" in said
    assert "s3cret" not in said
    assert "5a5a" not in said
    assert json.loads((drive / "fedboard.json").read_text()) == {
        "name": "hall", "link": "tcp", "host": "laptop:4850, 10.0.0.1:4850", "key": "5a" * 32,
        "wifi": {"ssid": "home", "password": "s3cret"}, "sensor": {"module": "accelerometer"},
    }  # fmt: skip
    assert "were up to date" in run(drive)
    told = json.loads(run(drive, "--json", "--mpy"))
    assert (told["written"], told["settings"]) == ([], "kept")


def test_command_errors(drive, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "boot_out.txt").write_text(BOOT_OUT.replace("9.2.1", "8.0.0"))
    assert "--name names one board" in run(drive, other, "--name", "a", status=1)
    assert "a network needs a key" in run(drive, "--host", "laptop:4850", status=1)
    assert "use ADDRESS:PORT" in run(drive, "--host", "laptop", status=1)
    said = run(drive, other, status=1)  # one fails, the other is served
    assert "is too old" in said
    assert "restarted" in said
    assert (drive / "device" / "main.py").exists()
    said = run("/dev/does-not-exist", status=1)
    assert "/dev/does-not-exist is not there: is the board plugged in?" in said


def test_a_board_is_waited_for_until_it_says_hello():
    heard = [
        discover.Finding("port0", state="unusable", why="not there"),
        discover.Finding("port0", why="no answer"),
        discover.Finding("port0", state="here", name="hall"),
    ]
    slept = []
    found = rejoin.wait("port0", None, 9, lambda *_: heard.pop(0), lambda: len(slept), slept.append)
    assert found.name == "hall"
    assert len(slept) == 2
    other = discover.Finding("port0", state="denied", why="it has another key")
    assert rejoin.wait("port0", None, 0, lambda *_: other) is other
    silent = discover.Finding("port0", why="no answer")
    with pytest.raises(DeployError, match=r"not answered in 9 s \(silent: no answer\). See what"):
        rejoin.wait("port0", None, 9, lambda *_: silent, lambda: len(slept), slept.append)
    assert len(slept) == 2 + 9


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_real_boards_hello(tmp_path):
    (tmp_path / "f.json").write_text(json.dumps({"name": "hall", "data_dir": str(tmp_path)}))
    main = paths.device_dir() / "main.py"
    link = f"process:{sys.executable} {main} --config {tmp_path / 'f.json'}"
    assert rejoin.wait(link, None, 120).name == "hall"


def test_busy_port_says_what_to_do(monkeypatch):
    def busy(port, **_):
        raise serial.SerialException(f"Could not exclusively lock port {port}: [Errno 11]")

    monkeypatch.setattr(serial, "serial_for_url", busy)
    assert "/dev/ttyACM0 is in use by " in run("/dev/ttyACM0", status=1)


def test_no_prompt():
    """Something answers on the port, but it is no MicroPython."""
    import socket
    import threading

    server = socket.create_server(("127.0.0.1", 0))

    def answer():
        for _ in range(2):  # the port is tried once, then opened
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(100):
                    connection.sendall(b"what? " + data)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        said = run(f"socket://127.0.0.1:{server.getsockname()[1]}", status=1)
    finally:
        thread.join(30)
        server.close()
    assert "no MicroPython prompt (it says" in said
    assert "BOOTSEL" in said
