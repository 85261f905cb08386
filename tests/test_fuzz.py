"""Malformed input: refused everywhere, with the documented error; boards lose no memory over it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import fuzz
import fuzz_inputs
import fuzz_targets
import get_micropython
import interpreters
from fedboard import DataError
from fedboard_device import config as board_config
from fedboard_host import config
from fedboard_host.config_values import is_port

CORPORA = sorted((interpreters.ROOT / "tests" / "corpora").glob("*.bin"))
REPLAY = interpreters.ROOT / "tests" / "fuzz_board.py"


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_malformed_input_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "FAILURES", tmp_path / "failures")
    monkeypatch.setattr(fuzz.faulthandler, "dump_traceback_later", lambda *_, **__: None)
    count = fuzz.fuzz(name, 40 if name == "npz" else 400, seed=1)
    assert (count.accepted, count.crashes) == (0, 0), list((tmp_path / "failures").iterdir())
    assert count.refused > 0
    assert not count.well_formed or name in fuzz.OPEN


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_genuine_input_is_accepted(name):
    """So a refusal means something."""
    seeds = fuzz_inputs.seeds(name)
    said = [fuzz.TARGETS[name](data) for data in seeds]
    expected = [fuzz_targets.ACCEPTED] * len(seeds)
    if name in ("frame", "long"):  # each in a session of its own: only the first is due there
        expected[1:] = ["not this session's"] * (len(seeds) - 1)
    assert said == expected


def test_a_reader_that_is_too_kind_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "FAILURES", tmp_path / "failures")
    monkeypatch.setitem(fuzz.TARGETS, "home", lambda data: fuzz_targets.ACCEPTED)
    monkeypatch.setitem(fuzz.TARGETS, "settings", lambda data: 1 // 0)
    assert fuzz.table({"home": 5, "settings": 5}, 1) == 1
    assert len(list((tmp_path / "failures").iterdir())) > 5


@pytest.mark.parametrize("name", ["frame", "long"])
def test_forged_frames_are_noticed(name, monkeypatch):
    """A channel that did not check tags would fail the fuzzing."""
    monkeypatch.setattr(fuzz_targets.auth, "equal", lambda a, b: True)
    rng = random.Random(1)
    forged = 0
    for _ in range(500):
        try:
            fuzz_targets.TARGETS[name](fuzz_inputs.MAKERS[name](rng))
        except fuzz_targets.Forged:
            forged += 1
    assert forged > 10


def replayed(where: interpreters.Runtime) -> list[list[str]]:
    both = interpreters.SHARED, interpreters.DEVICE
    printed = interpreters.run(where, REPLAY, *CORPORA, paths=both).decode()
    return [line.split() for line in printed.splitlines()]


def test_every_interpreter_says_the_same_of_the_corpora(board_runtime):
    """But of settings, as MicroPython's JSON does without commas and in any order: there it is
    enough that no input ends the program."""
    expected = [line[:-1] for line in replayed(interpreters.runtime("cpython"))]
    assert [line[0] for line in expected] == sorted(fuzz_targets.TARGETS)
    found = [line[:-1] for line in replayed(board_runtime)]
    for ours, theirs in zip(expected, found, strict=True):
        n = 2 if ours[0] == "settings" else 4
        assert theirs[:n] == ours[:n]


def test_boards_lose_no_memory_over_it(micropython):
    """On the unix port, which can collect in between; 64 and, where it is at hand, 32 bits."""
    narrow = get_micropython.narrow()
    runtimes = [interpreters.runtime("micropython")]
    if narrow.command:
        runtimes.append(interpreters.Runtime("micropython", narrow.command, narrow.note))
    for each in runtimes:
        assert [line[-1] for line in replayed(each)] == ["0"] * len(CORPORA), each.note


def test_corpora_are_small_and_have_refusals():
    assert sum(path.stat().st_size for path in CORPORA) < 100_000
    for path in CORPORA:
        inputs = fuzz_targets.unpack_corpus(path.read_bytes())
        assert fuzz_targets.pack_corpus(inputs) == path.read_bytes()
        said = {fuzz_targets.TARGETS[path.stem](data) for data in inputs}
        assert fuzz_targets.ACCEPTED in said
        assert len(said) > 4


def test_the_command_prints_a_table(tmp_path):
    command = [sys.executable, str(interpreters.ROOT / "tools" / "fuzz.py"), "all", "--runs", "400"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "600 malformed inputs: 0 failures" in done.stdout
    assert not list(tmp_path.iterdir())


# What fuzzing found


@pytest.mark.parametrize("text", ["[" * 9999, '{"a":' * 9999])
def test_json_that_is_nested_without_end_is_no_crash(text, tmp_path):
    (tmp_path / "fedboard.json").write_text(text)
    found = board_config.load(str(tmp_path / "fedboard.json"))
    assert "no valid JSON" in found.problems[0]


def test_toml_that_is_nested_without_end_is_no_crash():
    with pytest.raises(DataError, match="without end"):
        config.parse("a = " + "[" * 3000, Path("home.toml"))


ODD_PORTS = ["\u00b2", "\u0661", ":1", "9" * 5000, "0", "65536", "-1", "", " 1"]


@pytest.mark.parametrize("port", ODD_PORTS)
def test_ports_of_odd_digits_are_refused(port, tmp_path):
    (tmp_path / "fedboard.json").write_text(json.dumps({"host": "a:" + port}))
    if port != " 1":  # spaces around are fine there
        assert "host must be" in board_config.load(str(tmp_path / "fedboard.json")).problems[0]
    assert not is_port(port)
    if port == ":1":
        return  # there it would be an address of IPv6
    text = f'[federation]\nname = "k"\n[model]\nlayers = [2, 2]\n[network]\nlisten = "a:{port}"'
    with pytest.raises(DataError, match="use ADDRESS:PORT"):
        config.parse(text, Path("home.toml"))


# Started by a Python that has nothing of ours

BASE = getattr(sys, "_base_executable", sys.executable)


@pytest.mark.skipif(
    os.name == "nt" or sys.prefix == sys.base_prefix, reason="wants a virtual environment of POSIX"
)
def test_any_python_goes_on_in_the_venv(tmp_path):
    """Here a .venv whose Python says what it was asked."""
    (tmp_path / "tools").mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    own = tmp_path / ".venv" / "bin" / "python"
    own.write_text('#!/bin/sh\necho "$@"\n')
    own.chmod(0o755)
    text = (interpreters.ROOT / "tools" / "in_venv.py").read_text(encoding="utf-8")
    (tmp_path / "tools" / "in_venv.py").write_text(text, encoding="utf-8")
    tool = tmp_path / "tools" / "some.py"
    tool.write_text("import in_venv\nprint('went on')")
    for python, said in ((sys.executable, "went on"), (BASE, f"-X utf8 {tool} all")):
        done = subprocess.run(
            [python, "-X", "utf8", str(tool), "all"], capture_output=True, text=True
        )
        assert done.stdout.strip() == said, done.stderr
    own.unlink()
    done = subprocess.run([BASE, "-S", str(tool)], capture_output=True, text=True)
    assert "dev.py setup" in done.stderr
    assert done.returncode == 1
