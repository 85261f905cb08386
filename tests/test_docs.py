"""What the documents tell people to copy works."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fedboard_host import cli, config, paths

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_each_home_toml_is_sound(page: Path) -> None:
    for text in blocks(page, "toml"):
        assert config.parse(text, page).boards


def test_home_md_names_every_key() -> None:
    text = (ROOT / "docs" / "home.md").read_text("utf-8")
    text += (ROOT / "docs" / "strategies.md").read_text("utf-8")
    missing = [
        key
        for table in config._TABLES.values()
        for key in table
        if not re.search(rf"\b{key}\b", text)
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_exist(page: Path) -> None:
    """Every `fedboard X --option` in a block is one that the command has."""
    for block in re.findall(r"^```\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.M):
        for line in re.findall(r"^fedboard .*", block, re.M):
            words = shlex.split(line, comments=True)
            helped = CliRunner().invoke(cli.cli, [words[1], "--help"])
            assert helped.exit_code == 0, line
            assert all(w in helped.output for w in words if w.startswith("--")), line


def test_recording_loop(tmp_path: Path) -> None:
    """The loop of docs/board.md, with a sensor, makes a file that a board learns from."""
    (loop,) = (b for b in blocks(ROOT / "docs" / "board.md", "python") if "SampleFile" in b)
    (tmp_path / "sensor.py").write_text("def read():\n    return [k * 4096 for k in range(16)]\n")
    (tmp_path / "record.py").write_text(loop)
    environment = {"PYTHONPATH": f"{paths.device_dir()}"}
    for n_samples in (20, 40):
        done = subprocess.run(
            [sys.executable, "record.py"], cwd=tmp_path, env=environment,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{n_samples} samples\n"
    assert (tmp_path / "fedboard_data" / "samples.bin").stat().st_size == 8 + 40 * 17
