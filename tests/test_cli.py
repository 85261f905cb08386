"""The command as people use it: what it says, what it returns, and how quickly."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fedboard_host import cli as module
from fedboard_host import digits, discover, export, paths, runtime
from fedboard_host.dataset import load_samples

COMMANDS = ("boards", "demo", "export", "key", "pack", "run")
posix_only = pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")


def fedboard(*arguments: str | Path) -> Result:
    return CliRunner().invoke(module.cli, [str(a) for a in arguments], prog_name="fedboard")


def test_help_is_quick_and_names_all_commands() -> None:
    cpu_s = []  # not the wall's: the machine may be busy
    for _ in range(2):
        before = os.times()
        done = subprocess.run(
            [sys.executable, "-m", "fedboard_host", "--help"],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        after = os.times()
        cpu_s.append(after.children_user + after.children_system
                     - before.children_user - before.children_system)  # fmt: skip
    assert all(re.search(rf"^  {name} ", done.stdout, re.MULTILINE) for name in COMMANDS)
    assert min(cpu_s) < 0.5, cpu_s


def test_whoever_reads_the_output_may_leave(tmp_path: Path) -> None:
    """As `fedboard run home.toml | head` does: that is no error to report."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "fedboard_host", "key", str(tmp_path / "home.key")],
            stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert done.returncode == 1
    assert "unexpected" not in done.stderr


def test_nothing_slow_is_imported_for_help() -> None:
    code = (
        "import sys; from fedboard_host import cli\n"
        "slow = {'numpy', 'rich', 'matplotlib', 'sklearn', 'serial', 'asyncio', 'sqlite3'}\n"
        "print(slow & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str) -> None:
    done = fedboard(name, "--help")
    assert done.exit_code == 0
    assert "--json" in done.output


def test_wrong_usage_is_status_2() -> None:
    assert fedboard("dem").exit_code == 2
    assert fedboard("demo", "--boards", "65").exit_code == 2
    done = fedboard("export", "x")
    assert done.exit_code == 2
    assert "--c-header" in done.output


def test_errors_are_lines_with_status_1(tmp_path: Path) -> None:
    done = fedboard("run", tmp_path / "home.toml")
    assert done.exit_code == 1
    assert done.stderr.startswith("fedboard: ")
    assert "no such file" in done.stderr
    assert "Traceback" not in done.output
    assert done.stdout == ""


def test_errors_in_json(tmp_path: Path) -> None:
    for arguments in (("--json", "run"), ("run", "--json")):
        done = fedboard(*arguments, tmp_path / "home.toml")
        assert done.exit_code == 1
        assert "no such file" in json.loads(done.stdout)["error"]


def test_debug_shows_where(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fedboard_host", "--debug", "run", str(tmp_path / "home.toml")],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_unexpected_errors_ask_for_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    from fedboard_host import keyfile

    def broken(_: Path) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(keyfile, "write", broken)
    done = fedboard("key", "x")
    assert done.exit_code == 1
    assert "please report it: ZeroDivisionError: oh" in done.stderr
    assert "Traceback" not in done.output


def test_key_is_private_new_and_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "home.key"
    done = fedboard("key", path)
    assert done.exit_code == 0, done.output
    text = path.read_text().strip()
    assert re.fullmatch("[0-9a-f]{64}", text)
    assert text not in done.output
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = fedboard("key", path)
    assert again.exit_code == 1
    assert "exists" in again.stderr
    assert path.read_text().strip() == text
    fedboard("key", tmp_path / "other.key")
    assert (tmp_path / "other.key").read_text().strip() != text


def test_bad_key_file_does_not_leak(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("secret-but-wrong")
    done = fedboard("boards", "--key-file", tmp_path / "k", "loop://")
    assert done.exit_code == 1
    assert "64 hexadecimal digits" in done.stderr
    assert "secret" not in done.output


def test_pack_round_trip(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(-128, 128, (7, 5), dtype=np.int8)
    y = np.arange(7)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    done = fedboard("pack", tmp_path / "d.npz", tmp_path / "samples.bin")
    assert done.exit_code == 0, done.output
    data = (tmp_path / "samples.bin").read_bytes()
    rows = np.frombuffer(data[12:], np.int8).reshape(7, 6)
    assert (rows[:, :5] == x).all()
    assert (rows[:, 5] == y).all()
    assert load_samples(tmp_path / "d.npz").n_in == 5


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": np.zeros((3, 2))}, "an array y is missing: it has x"),
        ({"x": np.zeros((3, 2)), "y": np.zeros(3, int)}, "x must be int8"),
        ({"x": np.zeros((3, 2), np.int8), "y": np.zeros(2, int)}, "y integers of shape"),
        ({"x": np.zeros((3, 2), np.int8), "y": np.full(3, 256)}, "0 to 255"),
    ],
)
def test_pack_refuses(arrays: dict[str, object], says: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", **arrays)  # type: ignore[arg-type]
    done = fedboard("pack", tmp_path / "d.npz", tmp_path / "s.bin")
    assert done.exit_code == 1
    assert says in done.stderr
    assert not (tmp_path / "s.bin").exists()


def board_command(folder: Path, name: str, key: str = "") -> str:
    """The link of a CPython process that is a board, with some handwriting as its samples."""
    home = folder / name
    home.mkdir()
    rows = digits.deal(digits.load(), 2, 1).boards[int(name[-1]) % 2]
    np.savez(home / "d.npz", x=rows.x[:60], y=rows.y[:60])
    assert fedboard("pack", home / "d.npz", home / "samples.bin").exit_code == 0
    settings = {"name": name, "data_dir": str(home), **({"key": key} if key else {})}
    (home / "fedboard.json").write_text(json.dumps(settings))
    main = paths.device_dir() / "main.py"
    return f"process:{sys.executable} {main} --config {home / 'fedboard.json'}"


@posix_only
def test_boards_tells_who_is_there_and_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discover, "TIMEOUT_S", 0.1)
    silent = json.loads(fedboard("boards", "--json", "process:/bin/cat").stdout)
    assert silent["state"] == "silent"
    assert "no answer" in silent["why"]
    monkeypatch.setattr(discover, "TIMEOUT_S", 60)  # these have to start, on a busy machine
    here = board_command(tmp_path, "board0")
    keyed = board_command(tmp_path, "board1", "ab" * 32)
    done = fedboard("boards", "--json", here, keyed, "process:/no/such", "serial:/dev/none")
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [f["state"] for f in found] == ["here", "denied", "unusable", "unusable"]
    assert found[0]["name"] == "board0"
    assert found[0]["n_samples"] == 60
    assert found[0]["n_in"] == 64
    assert found[0]["firmware"].startswith("cpython")
    assert "key" in found[1]["why"]
    told = json.loads(fedboard("boards", "--labels", "--json", here).stdout)
    assert sum(told["labels"].values()) == 60
    assert len(told["labels"]) > 1
    text = fedboard("boards", here).stdout
    assert "board0: here" in text
    assert "60 samples of 64 features" in text


@posix_only
def test_run_resume_and_export(tmp_path: Path) -> None:
    """The whole way on processes: run, Ctrl-C is not needed, resume, export."""
    links = [board_command(tmp_path, f"board{n}") for n in range(2)]
    held_out = digits.deal(digits.load(), 2, 1).test
    np.savez(tmp_path / "held-out.npz", x=held_out.x, y=held_out.y)

    def write(rounds: int) -> None:
        boards = "".join(
            f'[[board]]\nname = "board{n}"\nlink = "{link}"\n' for n, link in enumerate(links)
        )
        (tmp_path / "home.toml").write_text(
            f'[federation]\nname = "two"\nfolder = "run"\nrounds = {rounds}\nquorum = 2\n'
            f'[model]\nlayers = [64, 12, 10]\n{boards}[evaluate]\ndata = "held-out.npz"\n'
        )

    def run(*more: str) -> list[dict[str, object]]:
        done = subprocess.run(
            [sys.executable, "-m", "fedboard_host", "run", str(tmp_path / "home.toml"), "--json",
             *more],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    write(2)
    first = run()
    assert first[-1]["event"] == "Summary"
    assert (first[-1]["round"], first[-1]["stopped"]) == (2, False)
    assert [e["event"] for e in first].count("RoundClosed") == 2
    refused = fedboard("run", tmp_path / "home.toml")
    assert refused.exit_code == 1
    assert "go on with --resume" in refused.stderr
    write(3)
    second = run("--resume")
    assert [e["round"] for e in second if e["event"] == "RoundClosed"] == [3]
    nothing = fedboard("run", tmp_path / "home.toml", "--resume")
    assert "all rounds were done before: for more raise `rounds`" in nothing.stdout
    out = [tmp_path / name for name in ("m.npz", "m.h", "m.bin")]
    done = fedboard(
        "export", tmp_path / "run", "--npz", out[0], "--c-header", out[1], "--bin", out[2], "--json"
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["round"] == 3
    assert export.read_npz(out[0]).digest.hex() == told["digest"]
    assert "fedboard_predict" in out[1].read_text()


def test_boards_listens_for_those_that_dial_in(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert fedboard("key", tmp_path / "k").exit_code == 0
    settings = {
        "name": "far", "data_dir": str(tmp_path / "data"), "link": "tcp",
        "host": f"127.0.0.1:{port}", "key": (tmp_path / "k").read_text().strip(),
    }  # fmt: skip
    (tmp_path / "fb.json").write_text(json.dumps(settings))
    board = subprocess.Popen(
        [sys.executable, str(paths.device_dir() / "main.py"), "--config",
         str(tmp_path / "fb.json")],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        done = fedboard(
            "boards", "--json", "loop://", "--listen", f"127.0.0.1:{port}", "--seconds", "6",
            "--key-file", tmp_path / "k",
        )  # fmt: skip
    finally:
        board.terminate()
        board.wait(10)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert any(f["state"] == "here" and f["name"] == "far" for f in found), found
    assert fedboard("boards", "--listen", "nowhere").exit_code == 2


@posix_only
def test_ctrl_c_finishes_the_round(tmp_path: Path) -> None:
    link = board_command(tmp_path, "board0")
    (tmp_path / "home.toml").write_text(
        f'[federation]\nname = "one"\nrounds = 100000\n[model]\nlayers = [64, 12, 10]\n'
        f'[[board]]\nname = "board0"\nlink = "{link}"\n'
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "fedboard_host", "run", str(tmp_path / "home.toml"), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "RoundClosed":
            break
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    found = [json.loads(line) for line in said.splitlines()]
    assert process.returncode == 0, errors
    assert any("after this round" in e.get("text", "") for e in found)
    assert found[-1]["event"] == "Summary"
    assert found[-1]["stopped"] is True
    assert (tmp_path / "runs" / "one" / "log.sqlite").exists()


@posix_only
def test_a_run_stops_though_nobody_reads_any_more_what_it_says() -> None:
    class Run:
        is_stopping = False

        def request_stop(self) -> None:
            self.is_stopping = True

        def note(self, text: str) -> None:
            raise BrokenPipeError

    async def body() -> None:
        run, failed = Run(), []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: failed.append(told))
        with runtime.stop_on_interrupt(run, run):  # type: ignore[arg-type]
            os.kill(os.getpid(), signal.SIGTERM)
            while not failed:
                await asyncio.sleep(0)
        assert run.is_stopping

    asyncio.run(body())


def test_export_of_nothing(tmp_path: Path) -> None:
    done = fedboard("export", tmp_path, "--npz", tmp_path / "m.npz")
    assert done.exit_code == 1
    assert "checkpoint" in done.stderr
    (tmp_path / "model-00001.npz").write_bytes(b"no zip")
    done = fedboard("export", tmp_path / "model-00001.npz", "--npz", tmp_path / "m.npz")
    assert done.exit_code == 1
    assert not (tmp_path / "m.npz").exists()
