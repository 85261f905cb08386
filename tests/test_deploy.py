"""Deploying: what is written, kept, removed and compiled. See test_deploy_cli, test_pico_deploy."""

from __future__ import annotations

import hashlib
import json

import pytest

from fedboard import DataError
from fedboard_host import paths
from fedboard_host.deploy import DeployError, Firmware, Target, files, plan
from fedboard_host.deploy.plan import Wish

TREE = {
    "device/main.py": b"import fedboard_device.node\n",
    "device/fedboard/__init__.py": b"VERSION = 1\n",
    "device/fedboard_device/kernels_thumb.py": b"import micropython\n",
    "device/fedboard_device/node.py": b"def run(): pass\n",
}
RP2 = Firmware("micropython", (1, 25, 0), "rp2", 6 | 3 << 8 | 4 << 10, "e661")


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


def test_boards_that_dial_do_not_answer_on_their_port():
    for settings, dials in (({"host": "a:1", "key": "b"}, True), ({"name": "a"}, False)):
        assert plan.deploy(Memory(), Wish(TREE, settings=settings)).dials == dials


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
