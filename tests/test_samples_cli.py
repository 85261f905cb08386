"""record, samples, predict, personalize, evaluate: as people use them, on boards of CPython."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import gestures
from fedboard import replay
from fedboard_host import cli as module
from fedboard_host import paths, units
from fedboard_host.lock import FolderLock

_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")


def fedboard(*arguments: str | Path) -> Result:
    environment = {"FEDBOARD_COUNTDOWN": "0"}
    return CliRunner().invoke(module.cli, [str(a) for a in arguments], env=environment)


def told(*arguments: str | Path) -> dict:
    done = fedboard("--json", *arguments)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Two boards that replay gestures, fast; the present folder has their home.toml."""
    gestures.main([str(tmp_path), "--boards", "2", "--rate-hz", "1000", "--python"])
    text = (tmp_path / "home.toml").read_text()
    (tmp_path / "home.toml").write_text(text.replace("rounds = 20", "rounds = 4"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_record_samples_remove(home):
    said = told("record", "kitchen", "--label", "wave", "--samples", "3")
    assert said == {
        "board": "kitchen", "label": 1, "name": "wave", "recorded": 3, "samples": 3,
    }  # fmt: skip
    done = fedboard("record", "kitchen", "--label", "0", "--seconds", "0.55")
    assert done.exit_code == 0, done.output
    assert "samples of idle recorded" in done.stdout
    n_idle = told("samples", "kitchen")["counts"]["idle"]
    assert 1 <= n_idle <= 5
    done = fedboard("samples", "kitchen", "--list")
    assert f"{3 + n_idle} samples of 60 features" in done.stdout
    assert "1 to      3  wave" in done.stdout
    said = told("samples", "kitchen", "--remove-last", "1", "--list")
    assert said["removed"] == 1
    assert said["labels"] == ["wave"] * 3 + ["idle"] * (n_idle - 1)
    assert "3 samples removed" in fedboard("samples", "kitchen", "--remove-label", "wave").stdout
    assert told("samples", "kitchen", "--remove-all")["samples"] == 0
    assert told("samples", "kitchen")["features"] == 0


def test_run_evaluate_personalize_predict(home):
    for board in ("kitchen", "window"):
        for label in gestures.LABELS:
            told("record", board, "--label", label, "--samples", "8")
    none = fedboard("predict", "kitchen", "--count", "1")
    assert none.exit_code == 1
    assert "no model yet" in none.stderr
    run = subprocess.run(
        [sys.executable, "-m", "fedboard_host", "run", "home.toml", "--json"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    rows = [json.loads(line) for line in fedboard("--json", "evaluate").stdout.splitlines()]
    assert [(row["board"], row["version"], row["n"]) for row in rows] == [
        ("kitchen", 5, 24), ("window", 5, 24),
    ]  # fmt: skip
    assert all(0 < row["accuracy"] <= 1 and row["personal"] is None for row in rows)
    table = fedboard("evaluate").stdout
    assert table.splitlines()[-1].startswith("mean ")
    said = told("personalize", "window", "--shots", "4")
    assert (said["version"], said["learned"], said["judged"]) == (5, 12, 12)
    again = fedboard("personalize", "window", "--shots", "4").stdout
    assert f"after  {units.percent(said['after']):>8}" in again
    still = told("personalize", "window", "--shots", "4", "--rate", "28")  # steps of nothing
    assert still["loss"] == still["loss_before"] == said["loss_before"] != said["loss"]
    assert told("personalize", "window", "--shots", "4", "--rate", "8") == said  # the rule's own
    row = json.loads(fedboard("--json", "evaluate", "window").stdout)
    assert row["personal"] * 24 >= said["after"] * 12  # of all 24: those that were learned, too
    seen = [
        json.loads(line)
        for line in fedboard("--json", "predict", "window", "--count", "6").stdout.splitlines()
    ]
    assert [one["personal"] for one in seen] == [1] * 6
    assert all(abs(sum(one["shares"].values()) - 1) < 0.03 for one in seen)
    shown = fedboard("predict", "window", "--count", "1").stdout
    assert "personal model, made from version 5" in shown
    assert "back to the global model" in fedboard("personalize", "window", "--undo").stdout
    assert told("predict", "window", "--count", "1")["personal"] == 0


def test_what_is_wrong_is_said(home):
    for arguments, says in (
        (("record", "kitchen", "--label", "waev"), "did you mean wave?"),
        (("record", "kichen", "--label", "wave"), "did you mean kitchen?"),
        (("personalize", "kitchen"), "no model yet"),
        (("evaluate",), ""),
        (("samples", "process:/bin/false"), "link closed"),
        (("samples", "process:/no/such"), "is it installed?"),
    ):
        done = fedboard(*arguments)
        assert done.exit_code == 1, done.output
        assert says in done.stderr
        assert "Traceback" not in done.output
    (home / "home.toml").unlink()
    done = fedboard("record", "process:x", "--label", "wave")
    assert "no home.toml here that names labels" in done.stderr
    assert "which boards?" in fedboard("evaluate").stderr


def test_board_with_another_key(home):
    settings = json.loads((home / "kitchen" / "fedboard.json").read_text())
    (home / "kitchen" / "fedboard.json").write_text(json.dumps({**settings, "key": "ab" * 32}))
    assert fedboard("key", "k").exit_code == 0
    done = fedboard("samples", "kitchen")
    assert "needs a key and this host has none" in done.stderr


def test_not_while_a_run_has_the_boards(home):
    (home / "runs" / "gestures").mkdir(parents=True)
    lock = FolderLock(home / "runs" / "gestures")
    try:
        done = fedboard("samples", "kitchen")
    finally:
        lock.release()
    assert done.exit_code == 1
    assert f"has these boards (process {os.getpid()}): stop it" in done.stderr
    assert fedboard("samples", "kitchen").exit_code == 0


def test_ctrl_c_keeps_what_was_recorded(home):
    process = subprocess.Popen(
        [sys.executable, "-m", "fedboard_host", "record", "kitchen", "--label", "circle",
         "--seconds", "600", "--countdown", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    data = home / "kitchen" / "data" / "samples.bin"
    until = time.monotonic() + 60
    while not data.exists() and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "samples of circle recorded" in said
    assert told("samples", "kitchen")["counts"]["circle"] >= 1


def test_board_that_dials_in(home):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert fedboard("key", "home.key").exit_code == 0
    text = (home / "home.toml").read_text()
    text = text.replace('name = "gestures"', 'name = "gestures"\nkey_file = "home.key"')
    start = text.index('link = "process:')
    text = text[:start] + 'link = "network"' + text[text.index("\n", start) :]
    (home / "home.toml").write_text(f'{text}[network]\nlisten = "127.0.0.1:{port}"\n')
    settings = json.loads((home / "kitchen" / "fedboard.json").read_text())
    settings |= {"host": f"127.0.0.1:{port}", "key": (home / "home.key").read_text().strip()}
    (home / "kitchen" / "fedboard.json").write_text(json.dumps(settings))
    board = subprocess.Popen(
        [sys.executable, str(paths.device_dir() / "main.py"), "--config",
         str(home / "kitchen" / "fedboard.json")],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        said = told("record", "kitchen", "--label", "wave", "--samples", "2")
    finally:
        board.terminate()
        board.wait(10)
    assert said["samples"] == 2


class AtItsPrompt:
    """A serial port behind which a board sits at its REPL; what is run there is a real board."""

    def __init__(self, config: Path) -> None:
        self._master, self._slave = os.openpty()
        self.port = os.ttyname(self._slave)
        self.code = b""
        self._config = config
        self._board: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        self._until(b"\x03\x03")
        self._until(b"\x01")
        os.write(self._master, _PROMPT)
        self._until(b"\x04")
        os.write(self._master, b"OK\r\nMPY: soft reboot\r\n" + _PROMPT)
        self.code = self._until(b"\x04")
        os.write(self._master, b"OK")
        main = str(paths.device_dir() / "main.py")
        self._board = subprocess.Popen(
            [sys.executable, main, "--config", str(self._config)],
            stdin=self._master, stdout=self._master, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _until(self, end: bytes) -> bytes:
        """What came before `end`; unanswered KNOCKs among it."""
        found = b""
        while not found.endswith(end):
            found += os.read(self._master, 1)
        return found[: -len(end)]

    def close(self) -> None:
        os.write(self._slave, b"\x03\x03\x01\x04\x04")  # whatever it still waits for
        self._thread.join(60)
        if self._board is not None:
            self._board.kill()
            self._board.wait()
        os.close(self._slave)
        os.close(self._master)


def test_a_board_at_its_prompt_is_started(home):
    """As after `mpremote cp -r device/ :`: nothing starts at boot, and nothing else is owed."""
    board = AtItsPrompt(home / "kitchen" / "fedboard.json")
    try:
        text = (home / "home.toml").read_text()
        start = text.index('link = "process:')
        link = f'link = "serial:{board.port}"'
        (home / "home.toml").write_text(text[:start] + link + text[text.index("\n", start) :])
        said = told("record", "kitchen", "--label", "wave", "--samples", "2")
    finally:
        board.close()
    assert said["samples"] == 2
    assert b"from fedboard_device.node import run" in board.code


def test_pack_readings(tmp_path):
    x = np.arange(24, dtype=np.int16).reshape(4, 2, 3)
    np.savez(tmp_path / "d.npz", x=x, y=np.array([0, 1, 0, 1]))
    done = fedboard("pack", tmp_path / "d.npz", tmp_path / "one.bin", "--label", "1")
    assert "4 readings of 3 axes" in done.stdout
    data = (tmp_path / "one.bin").read_bytes()
    assert replay.unpack_header(data) == 3
    assert np.frombuffer(data[8:], "<i2").tolist() == x[[1, 3]].ravel().tolist()
    assert told("pack", tmp_path / "d.npz", tmp_path / "all.bin")["n"] == 8
    for arrays, says in (
        ({"x": x, "y": np.zeros(3)}, "y must be of shape"),
        ({"x": x[:, 0, 0], "y": np.zeros(4)}, r"must be (n, axes)"),
        ({"x": x[:0], "y": np.zeros(0)}, "not empty"),
    ):
        np.savez(tmp_path / "d.npz", **arrays)
        done = fedboard("pack", tmp_path / "d.npz", tmp_path / "no.bin", "--label", "0")
        assert done.exit_code == 1
        assert says in done.stderr
    assert not (tmp_path / "no.bin").exists()
