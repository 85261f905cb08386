"""Deploying: what is written, kept and removed, and what people are told. See test_pico_deploy."""

from __future__ import annotations

import errno
import hashlib
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
from fedboard_host.deploy import DeployError, Firmware, Target, files, plan, rejoin, targets
from fedboard_host.deploy.drive import Drive, find_drives, is_drive
from fedboard_host.deploy.plan import Wish

TREE = {
    "device/main.py": b"import fedboard_device.node\n",
    "device/fedboard/__init__.py": b"VERSION = 1\n",
    "device/fedboard_device/kernels_thumb.py": b"import micropython\n",
    "device/fedboard_device/node.py": b"def run(): pass\n",
}
RP2 = Firmware("micropython", (1, 25, 0), "rp2", 6 | 3 << 8 | 4 << 10, "e661")
BOOT_OUT = """\
Adafruit CircuitPython 9.2.1 on 2024-11-20; Raspberry Pi Pico W with rp2040
Board ID:raspberry_pi_pico_w
UID:DE6185B2A3104521
"""


class Memory(Target):
    """A board in a dictionary."""

    name = "port0"

    def __init__(self, firmware=RP2, content=None):
        self.firmware = firmware
        self.content = dict(content or {})
        self.free = 1 << 20
        self.restarted = False
        self.n_resets = 0
        self.writes = []
        self.torn = ""  # a file that is stored wrong

    def hashes(self, paths):
        return {
            path: hashlib.sha256(data).hexdigest()
            for path, data in self.content.items()
            if any(path == each or path.startswith(each + "/") for each in paths)
        }

    def read(self, path):
        return self.content.get(path, b"")

    def write(self, path, data):
        self.writes.append(path)
        self.content[path] = data[:-1] if path == self.torn else data

    def rename(self, old, new):
        self.content[new] = self.content.pop(old)

    def remove(self, path):
        del self.content[path]

    def free_bytes(self):
        return self.free

    def reset(self):
        assert "main.py" not in self.content
        assert self.writes == []
        self.n_resets += 1

    def restart(self):
        self.restarted = True

    def close(self):
        pass


def test_an_empty_board():
    board = Memory()
    result = plan.deploy(board, Wish(TREE, settings={"name": "kitchen"}))
    assert board.content.keys() == TREE.keys() | {"main.py", "fedboard.json"}
    assert board.content["main.py"] == TREE["device/main.py"]
    assert json.loads(board.content["fedboard.json"]) == {"name": "kitchen"}
    assert board.writes[-1] == "main.py"  # nothing starts that is not complete
    assert board.restarted
    assert (result.settings, result.notes, result.removed) == ("written", [], [])
    assert result.n_bytes == sum(map(len, TREE.values())) + len(TREE["device/main.py"])


def test_only_what_differs_and_settings_once():
    board = Memory()
    plan.deploy(board, Wish(TREE, settings={"name": "kitchen"}))
    board.content["fedboard_data/samples.bin"] = b"samples"
    board.writes.clear()
    newer = TREE | {"device/fedboard/__init__.py": b"VERSION = 2\n"}
    result = plan.deploy(board, Wish(newer, settings={"name": "other"}))
    assert board.writes == result.written == ["device/fedboard/__init__.py"]
    assert result.settings == "kept"
    assert "--anew" in result.notes[0]
    assert json.loads(board.content["fedboard.json"]) == {"name": "kitchen"}
    assert board.content["fedboard_data/samples.bin"] == b"samples"


def test_settings_anew_keep_the_others():
    mine = {"name": "kitchen", "wifi": {"ssid": "home", "password": "secret"}}
    board = Memory(content={"fedboard.json": json.dumps(mine).encode()})
    wish = Wish(TREE, settings={"name": "hall"}, anew=True)
    assert plan.deploy(board, wish).settings == "changed"
    assert json.loads(board.content["fedboard.json"]) == mine | {"name": "hall"}
    board.content["fedboard.json"] = b"{broken"
    result = plan.deploy(board, wish)
    assert json.loads(board.content["fedboard.json"]) == {"name": "hall"}
    assert board.content["fedboard.json.old"] == b"{broken"
    assert "fedboard.json.old" in result.notes[0]


def test_no_settings_wanted():
    board = Memory()
    assert plan.deploy(board, Wish(TREE, autostart=False)).settings == ""
    assert board.content.keys() == TREE.keys()


def test_stale_files_go_and_others_stay():
    own = {
        "sensor.py": b"mine", "device/notes.txt": b"mine", "lib/bme280.py": b"mine",
        "fedboard_data/base.bin": b"model",
    }  # fmt: skip
    stale = {
        "device/fedboard/gone.py": b"x", "device/fedboard/__pycache__/wire.pyc": b"x",
        "device/fedboard_device/node.mpy": b"x",  # node.py of now would hide it, or be hidden
        "fedboard/__init__.py": b"x", "lib/fedboard_device/node.py": b"x",
    }  # fmt: skip
    board = Memory(content=own | stale)
    result = plan.deploy(board, Wish(TREE))
    assert result.removed == sorted(stale)
    assert board.content.keys() == TREE.keys() | own.keys() | {"main.py"}


def test_a_program_that_is_not_ours_is_set_aside():
    board = Memory(content={"main.py": b"print('my robot')\n"})
    result = plan.deploy(board, Wish(TREE))
    assert board.content["main.py.old"] == b"print('my robot')\n"
    assert "main.py.old" in result.notes[0]
    board.content["main.py"] = b"from fedboard_device.node import run  # an older one of ours"
    result = plan.deploy(board, Wish(TREE))
    assert board.content["main.py.old"] == b"print('my robot')\n"
    assert (result.notes, board.content["main.py"]) == ([], TREE["device/main.py"])


def test_a_watchdog_is_got_rid_of_first():
    """It would reset the board while it is written to."""
    for autostart in (True, False):
        board = Memory(content={"fedboard.json": b'{"watchdog_ms": 8000}', **TREE})
        board.content["main.py"] = TREE["device/main.py"]
        plan.deploy(board, Wish(TREE | {"device/fedboard/new.py": b""}, autostart=autostart))
        assert board.n_resets == 1
        assert board.content["main.py"] == TREE["device/main.py"]
    board = Memory(content={"fedboard.json": b'{"watchdog_ms": 8000}', "main.py": b"my robot"})
    plan.deploy(board, Wish(TREE))
    assert board.n_resets == 0  # nothing of ours was running


@pytest.mark.parametrize("torn", ["device/fedboard/__init__.py", "main.py", "fedboard.json"])
def test_what_is_not_written_right_is_noticed(torn):
    board = Memory()
    board.torn = torn
    with pytest.raises((DeployError, DataError), match="try again"):
        plan.deploy(board, Wish(TREE, settings={"name": "a"}))
    assert not board.restarted
    board.torn = ""
    plan.deploy(board, Wish(TREE, settings={"name": "a"}, anew=True))
    assert board.restarted


def test_no_room():
    board = Memory()
    board.free = 20 << 10
    with pytest.raises(DeployError, match=r"20 KiB free, 32 are needed: .* --mpy"):
        plan.deploy(board, Wish(TREE))
    assert board.content == {}
    board.free = 32 << 10
    plan.deploy(board, Wish(TREE))
    board.free = 0
    plan.deploy(board, Wish(TREE))  # all is there already


@pytest.mark.parametrize(
    ("firmware", "text"),
    [
        (Firmware("micropython", (1, 20, 0), "esp32"), "1.20.0 esp32 is too old: .* 1.22 or newer"),
        (Firmware("circuitpython", (8, 2, 0)), "too old: install circuitpython 9.0"),
        (Firmware("espruino", (2, 0)), "no MicroPython"),
    ],
)
def test_wrong_firmware(firmware, text):
    with pytest.raises(DeployError, match=text):
        plan.deploy(Memory(firmware), Wish(TREE))


# Compiled


def test_the_real_tree_compiles_for_each_kind_of_board():
    tree = files.sources(paths.device_dir())
    assert "device/main.py" in tree
    kernels = {path for path in tree if "/kernels_" in path}
    others = tree.keys() - kernels - {"device/main.py"}
    for arch, suits in ((4, "thumb viper"), (10, "viper"), (11, "viper"), (0, "")):
        made = files.compiled(
            tree, Firmware("micropython", (1, 25, 0), "x", 6 | 3 << 8 | arch << 10)
        )
        assert made.notes == []
        compiled = {path.removesuffix(".mpy") + ".py" for path in made.files if path[-3:] == "mpy"}
        assert others <= compiled
        assert made.files["device/main.py"] == tree["device/main.py"]
        assert all(data[:2] == b"M\x06" for path, data in made.files.items() if path[-3:] == "mpy")
        for path in kernels:
            kind = path.rpartition("_")[2][:-3]
            if not arch:
                assert path in made.files  # no native code there: it may yet compile it itself
            elif kind in suits:
                assert path in compiled
            elif kind == "thumb":
                assert path not in compiled | made.files.keys()
    assert sum(map(len, made.files.values())) < 0.7 * sum(map(len, tree.values()))


def test_other_native_code_leaves_kernels_as_sources():
    made = files.compiled(TREE, Firmware("micropython", (1, 22, 0), "rp2", 6 | 2 << 8 | 4 << 10))
    assert "device/fedboard_device/kernels_thumb.py" in made.files
    assert "device/fedboard_device/node.mpy" in made.files
    assert "kernels as sources" in made.notes[0]


def test_firmware_that_takes_no_mpy():
    with pytest.raises(DeployError, match=r"reads 5: .* without --mpy"):
        files.compiled(TREE, Firmware("micropython", (1, 22, 0), "rp2", 5))
    circuit = files.compiled(TREE, Firmware("circuitpython", (9, 2, 1), "x", 6))
    assert circuit.files == TREE
    assert "gets sources" in circuit.notes[0]
    broken = TREE | {"device/fedboard/bad.py": b"def"}
    with pytest.raises(DeployError, match=r"cannot compile fedboard/bad\.py: "):
        files.compiled(broken, RP2)


def test_mpy_replaces_sources():
    board = Memory()
    plan.deploy(board, Wish(TREE))
    result = plan.deploy(board, Wish(TREE, mpy=True))
    assert "device/fedboard_device/node.py" in result.removed
    assert [path for path in board.content if path.endswith(".py")] == ["device/main.py", "main.py"]


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


def test_boards_that_dial_do_not_answer_on_their_port():
    for settings, dials in (({"host": "a:1", "key": "b"}, True), ({"name": "a"}, False)):
        assert plan.deploy(Memory(), Wish(TREE, settings=settings)).dials == dials


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
