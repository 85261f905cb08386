"""What the documents tell people to copy works."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from fedboard import cohort, collect, messages
from fedboard.message import Message
from fedboard_device import config as board_config
from fedboard_host import cli, config, config_keys

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of this language; "": those that name none, commands mostly."""
    found: list[str] = []
    inside = ""
    for line in page.read_text("utf-8").splitlines(keepends=True):
        if inside and line.startswith("```"):
            inside = ""
        elif line.startswith("```"):
            inside = "```" + line[3:].strip()
            if inside == "```" + language:
                found.append("")
        elif inside == "```" + language:
            found[-1] += line
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_each_home_toml_is_sound(page: Path) -> None:
    for text in blocks(page, "toml"):
        assert config.parse(text, page).boards


def test_home_md_names_every_key() -> None:
    pages = ("home.md", "strategies.md", "sensors.md")
    text = "".join((ROOT / "docs" / page).read_text("utf-8") for page in pages)
    missing = [
        key
        for table in config_keys.TABLES.values()
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
    for block in blocks(page, ""):
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
                settings.update({k: "ab" * 32 for k in ("key", "mask_key") if k in settings})
                (tmp_path / "fedboard.json").write_text(json.dumps(settings))
                assert board_config.load(str(tmp_path / "fedboard.json")).problems == []


def test_privacy_names_all_that_a_board_says() -> None:
    text = (ROOT / "docs" / "privacy.md").read_text("utf-8")
    kinds = [
        kind
        for module in (messages, collect, cohort)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Message) and kind.KIND
    ]
    said = {k.__name__ for k in kinds if not (k.__doc__ or "").startswith("Hub")}
    assert {"Hello", "Status", "Metrics", "Prediction"} < said
    assert [name for name in sorted(said) if name.upper() not in text] == []


def test_privacy_tells_the_masks_cost_that_board_measures() -> None:
    """In prose what `python3 tools/bench.py board` printed, as docs/board.md has it."""
    lines = (ROOT / "docs" / "board.md").read_text("utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    found = {row[0]: row[2:] for row in rows if len(row) == 5}
    mask = found["mask 500 of 10000, 8 boards"][-1]
    opening = sorted(round(float(ms)) for ms in found["open the sum, 1 of 8 lost"])
    text = " ".join((ROOT / "docs" / "privacy.md").read_text("utf-8").split())
    cycles = f"{float(mask) / 8:.1f}"  # million, at 125 MHz
    for said in (
        f"500 values take {mask} ms to mask ({cycles} million cycles",
        f"and {found['500 of 10000 masked'][-1]} bytes; to open the sum",
        f"{opening[0]} to {opening[-1]} ms and {found['opening'][-1]} bytes",
        f"changes in 4 bits take {found['500 of 10000'][-1]}.",
    ):
        assert said in text, said


def test_the_picture_of_the_demo_is_of_the_run_that_readme_shows() -> None:
    """docs/demo.png: copied from the same `fedboard-demo/`; what its legend says is written in."""
    readme = (ROOT / "README.md").read_text("utf-8")
    picture = (ROOT / "docs" / "demo.png").read_bytes()
    for pattern, legend in (
        (r"up, on the wire +(\d+) ", "up, on the wire: mean {} B"),
        (r"down, on the wire +(\d+)\n", "down, on the wire: mean {} B"),
        (r"merged model +([\d.]+) %", "merged model: {} %"),
        (r"each board alone, mean +([\d.]+) %", "one board alone, mean: {} %"),
        (r"all samples in one place +([\d.]+) %", "all samples in one place: {} %"),
    ):
        shown = re.search(pattern, readme)
        assert shown, pattern
        assert legend.format(shown[1]).encode() in picture, "copy fedboard-demo/demo.png to docs/"
    privacy = (ROOT / "docs" / "privacy.md").read_text("utf-8")
    (bytes_up,) = re.findall(r"whose (\d+) bytes", privacy)
    assert f"up, on the wire: mean {bytes_up} B".encode() in picture
