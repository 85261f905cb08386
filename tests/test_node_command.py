"""`fedboard node`: a computer as a board, its pins by Blinka, on its console and over TCP."""

from __future__ import annotations

import json
import stat
import subprocess
import sys

import pytest

pytest.importorskip("pty", reason="these processes talk over ptys")
pytest.importorskip("adafruit_blinka", reason="pip install 'fedboard[pi]'")

import device_lab as lab
from device_lab import Host, Process
from fedboard import collect
from fedboard.hub import Joined
from test_device_collect import ask

NODE = ("-m", "fedboard_host", "node")
PINS = ["Dx_INPUT_TRUE", "Dx_INPUT_FALSE"]  # of Blinka's board for any system


class Node(Process):
    """As device_lab.Process, but by the command."""

    def __init__(self, folder, settings):
        super().__init__([sys.executable], folder, settings, main=(*NODE,))


def node(folder, *options, status=0, **more):
    done = subprocess.run(
        [sys.executable, *NODE, *options], capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL, cwd=folder, check=False, **more,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(autouse=True)
def blinka(monkeypatch):
    monkeypatch.setenv("BLINKA_OS_AGNOSTIC", "1")


def test_a_computer_with_pins_records_and_learns(tmp_path, monkeypatch):
    sensor = {"module": "digital", "pins": PINS, "rate_hz": 500, "low": 0, "high": 16384}
    spec = lab.model.Spec((2, 4, 2), seed=7)
    with Node(tmp_path, {"name": "pi", "sensor": sensor}) as board:
        host = Host(board.stream)
        joined = host.until(Joined)
        assert (joined.hello.name, joined.status.n_samples) == ("pi", 0)
        assert joined.status.firmware.startswith("cpython 3.")
        done = ask(host, collect.Record(token=3, label=1, n=9), collect.Recorded)
        assert (done.n, done.n_all) == (9, 9)
        got = host.round(lab.make_task(lab.start_params(spec), spec=spec), lab.start_params(spec))
        assert got.begin.n_samples == 18  # two passes
        board.stream.write(b"\x03")
        assert board.finish() == 0
    data = (tmp_path / "data" / "samples.bin").read_bytes()
    assert data[12:] == 9 * bytes((127, 256 - 127, 1))  # one pin is high, the other low


def test_without_blinka_it_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "board.py").write_text("raise ImportError('no Blinka here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    sensor = {"module": "digital", "pins": PINS}
    with Node(tmp_path, {"sensor": sensor}) as board:
        host = Host(board.stream)
        host.until(Joined)
        host.hub.send(collect.Record(token=3, label=1, n=9))
        with pytest.raises(AssertionError, match=r"fedboard\[pi\]"):
            host.until(collect.Recorded)


def test_options_write_the_settings_once_and_dial(tmp_path):
    key_file = tmp_path / "home.key"
    key_file.write_text(lab.KEY.hex())
    server = lab.listener()
    port = server.getsockname()[1]
    options = [
        "--config",
        "pi.json",
        "--name",
        "pi",
        "--host",
        f"127.0.0.1:{port}",
        "--key-file",
        "home.key",
    ]
    with server, subprocess.Popen(
        [sys.executable, *NODE, *options], cwd=tmp_path, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        stream = None
        try:
            stream = lab.accept(server)
            assert Host(stream, lab.KEY).until(Joined).hello.name == "pi"
        finally:
            process.kill()
            if stream is not None:
                stream.close()
    path = tmp_path / "pi.json"
    assert json.loads(path.read_text()) == {
        "name": "pi", "link": "tcp", "host": f"127.0.0.1:{port}", "key": lab.KEY.hex(),
        "data_dir": str(tmp_path / "fedboard_data"),
    }  # fmt: skip
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "is there already: edit it" in node(tmp_path, *options, status=1)


def test_errors(tmp_path):
    assert "a network needs a key" in node(tmp_path, "--host", "laptop:4850", status=1)
    assert "no such key file" in node(tmp_path, "--key-file", "none.key", status=1)
    said = node(tmp_path, "--name", "pi", status=1)  # its stdin is closed: nobody to serve
    assert said.splitlines()[-1] == "fedboard: the console was closed"
    assert "Traceback" not in said
