"""docs/tutorial.md as a new user follows it: its commands, one after the other, all of them.

Boards without hardware: MicroPython processes and, for deploy, an emulated Pico in place of one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pty", reason="these boards talk over ptys")

import gestures
from fedboard_host import config
from test_docs import blocks

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "tutorial.md"
COMMANDS = [
    line
    for block in blocks(PAGE, "")
    for line in block.splitlines()
    if line.startswith("fedboard ")
]

pytestmark = pytest.mark.slow


def follow(command: str, folder: Path, timeout_s: float = 300) -> str:
    """What the command says, in that folder."""
    words = command.split()
    environment = os.environ | {"FEDBOARD_COUNTDOWN": "0", "FEDBOARD_SLOW": "5", "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-m", "fedboard_host", *words[1:]], cwd=folder, env=environment,
        capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def all_but(*names: str) -> list[str]:
    return [line for line in COMMANDS if line.split()[1] not in names]


def share(said: str, board: str) -> float:
    """A board's accuracy in the table of evaluate."""
    found = re.search(rf"^{board} [ \d]*?([\d.]+) %", said, re.M)
    assert found, said
    return float(found[1])


def check(said: dict[str, str], folder: Path, rounds: int, least: float) -> None:
    """That every step's output makes sense."""
    for label in gestures.LABELS:
        for board in ("kitchen", "window", "door"):
            answer = said[f"fedboard record {board} --label {label} --samples 12"]
            assert answer.startswith(f"{board}: 12 samples of {label} recorded, ")
    assert "kitchen: 36 samples of 60 features" in said["fedboard samples kitchen"]
    assert f"round {rounds}/{rounds}" in said["fedboard run home.toml"]
    table = said["fedboard evaluate"]
    assert min(share(table, board) for board in ("kitchen", "window", "door", "mean")) > least
    personal = said["fedboard personalize window"]
    assert re.search(r"15 samples learned, judged by the other 21\n +before +[\d.]+ %", personal)
    assert float(re.findall(r"after +([\d.]+) %", personal)[0]) > least
    predictions = said["fedboard predict window --count 9"].splitlines()
    assert len(predictions) == 10  # a line about the model first
    assert all(line.split()[0] in gestures.LABELS for line in predictions[1:])
    assert "back to the global model" in said["fedboard personalize window --undo"]
    assert (folder / "model.h").exists()


def test_on_micropython_boards(tmp_path, micropython):
    """From step 4 on, as people without hardware do."""
    gestures.main([str(tmp_path / "home"), "--rate-hz", "1000", "--seed", "2"])
    said = {line: follow(line, tmp_path / "home") for line in all_but("deploy", "boards")}
    check(said, tmp_path / "home", rounds=20, least=60)
    seen = [line.split()[0] for line in said["fedboard predict window --count 9"].splitlines()[1:]]
    played = [label for label in gestures.LABELS for _ in range(3)]
    assert sum(a == b for a, b in zip(seen, played, strict=True)) >= 6


def test_home_made_is_that_of_the_tutorial(tmp_path, micropython):
    gestures.main([str(tmp_path)])
    made = config.load(tmp_path / "home.toml")
    (text,) = blocks(PAGE, "toml")
    shown = config.parse(text, tmp_path / "home.toml")
    assert (made.name, made.layers, made.labels) == (shown.name, shown.layers, shown.labels)
    assert made.rule == shown.rule == "centred"
    assert (made.rounds, made.quorum) == (shown.rounds, shown.quorum)
    assert [b.name for b in made.boards] == [b.name for b in shown.boards]


@pytest.mark.pico
def test_with_a_pico(deployed, tmp_path, micropython):
    """All steps, with an emulated Pico as the kitchen's board; windows are short, as it is slow."""
    import pico_lab
    from pico.lab import Pico

    folder = tmp_path / "home"
    gestures.main([str(folder), "--rate-hz", "1000", "--window", "20"])
    (text,) = blocks(PAGE, "toml")
    made = config.load(folder / "home.toml")
    links = {board.name: board.link for board in made.boards}
    with Pico(flash=Path(shutil.copy(deployed, tmp_path / "flash.img"))) as board:
        links["kitchen"] = f"serial:{board.port}"
        for name, link in links.items():
            before, _, after = text.partition(f'name = "{name}"\nlink = ')
            text = f'{before}name = "{name}"\nlink = "{link}"' + after[after.index('"', 1) + 1 :]
        files = ", ".join(f'"{label}.bin"' for label in gestures.LABELS)
        text = text.replace('module = "mpu6050"', f'module = "replay"\nfiles = [{files}]')
        text = re.sub("(?m)^(sda|scl) = .*\n", "", text).replace("rate_hz = 50", "rate_hz = 1000")
        text = text.replace("window = 100", "window = 20").replace("rounds = 20", "rounds = 6")
        (folder / "home.toml").write_text(text)
        sources = [str(folder / "kitchen" / f"{label}.bin") for label in gestures.LABELS]
        pico_lab.mpremote(board, "cp", *sources, ":")
        said = {}
        for line in COMMANDS:
            # only the Pico is on USB
            here = line.replace("fedboard deploy", "fedboard deploy kitchen --wait 250")
            here = here.replace("fedboard boards", f"fedboard boards {board.port}")
            said[line] = follow(here, folder, 3 * pico_lab.TIMEOUT_S)
    assert "restarted, answers as kitchen" in said["fedboard deploy --home home.toml"]
    assert board.port in said["fedboard boards"]
    check(said, folder, rounds=6, least=34)
