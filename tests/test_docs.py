"""What the documents tell people to copy works."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from fedboard_device import config as board_config
from fedboard_host import cli, config

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_each_home_toml_is_sound(page: Path) -> None:
    for text in blocks(page, "toml"):
        assert config.parse(text, page).boards


def test_home_md_names_every_key() -> None:
    pages = ("home.md", "strategies.md", "sensors.md")
    text = "".join((ROOT / "docs" / page).read_text("utf-8") for page in pages)
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


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_each_fedboard_json_is_sound(page: Path, tmp_path: Path) -> None:
    for text in blocks(page, "json"):
        rest = text.strip()
        while rest.startswith('{"'):
            settings, end = json.JSONDecoder().raw_decode(rest)
            rest = rest[end:].strip()
            if settings.keys() & {"sensor", "link", "wifi", "key"}:
                settings.update({"key": "ab" * 32} if "key" in settings else {})
                (tmp_path / "fedboard.json").write_text(json.dumps(settings))
                assert board_config.load(str(tmp_path / "fedboard.json")).problems == []
