"""`fedboard deploy` with the real mpremote onto an emulated Pico with an older, other fedboard."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

import pico_lab
from fedboard.hub import Joined
from pico.lab import Pico
from pico_lab import mpremote, plugged

pytestmark = [pytest.mark.slow, pytest.mark.pico]


def deploy(board, *options):
    command = [sys.executable, "-m", "fedboard_host", "deploy", board.port, *options]
    command += ["--json", "--wait", "250"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=pico_lab.TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_deploy(deployed, tmp_path):
    image = shutil.copy(deployed, tmp_path / "flash.img")
    (tmp_path / "main.py").write_text("print('my robot')\n")
    (tmp_path / "samples.bin").write_bytes(b"mine")
    with Pico(flash=image) as board:
        mpremote(
            board, "mkdir", ":fedboard", "+", "mkdir", ":fedboard_data",
            "+", "cp", "main.py", ":fedboard/wire.py",  # at the root it would be found first
            "+", "cp", "main.py", ":device/fedboard/gone.py", "+", "cp", "main.py", ":",
            "+", "cp", "samples.bin", ":fedboard_data/", cwd=tmp_path,
        )  # fmt: skip
        told = deploy(board, "--mpy", "--name", "kitchen")
        assert told["firmware"] == "micropython 1.25.0 rp2"
        assert told["settings"] == "written"
        assert told["answers"] == "kitchen"  # it was restarted, and starts fedboard by itself
        assert {"fedboard/wire.py", "device/fedboard/gone.py", "device/fedboard/wire.py"} <= set(
            told["removed"]
        )
        assert "device/fedboard_device/kernels_thumb.mpy" in told["written"]
        with plugged(board) as host:
            joined = host.until(Joined)
            assert joined.hello.name == "kitchen"
            assert joined.status.kernels == "thumb"
        again = deploy(board, "--mpy", "--name", "hall")
        assert (again["written"], again["removed"], again["settings"]) == ([], [], "kept")
        assert again["answers"] == "kitchen"
        assert mpremote(board, "cat", ":main.py.old") == "print('my robot')\n"
        assert mpremote(board, "cat", ":fedboard_data/samples.bin") == "mine"
        assert "fedboard" not in mpremote(board, "ls", ":").split()
