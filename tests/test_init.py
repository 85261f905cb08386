"""`fedboard init`: what it writes is sound, whoever answers, and nothing is overwritten."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fedboard import DataError
from fedboard_host import cli, config, discover, homefile
from fedboard_host.config import BoardEntry


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> list[discover.Finding]:
    """What is plugged in: nothing, unless a test appends to it."""
    found: list[discover.Finding] = []

    async def knock(ports: object) -> list[discover.Finding]:
        return found

    monkeypatch.setattr(discover, "serial_ports", lambda: list(found))
    monkeypatch.setattr(discover, "knock_on_ports", knock)
    return found


def init(*arguments: str | Path, answers: str = "") -> Result:
    return CliRunner().invoke(cli.cli, ["init", *map(str, arguments)], input=answers)


def test_four_answers(tmp_path: Path, ports: list[discover.Finding]) -> None:
    ports.append(discover.Finding("/dev/ttyACM0", "Pico", state="here", name="window"))
    ports.append(discover.Finding("/dev/ttyACM1", "Pico"))
    path = tmp_path / "home.toml"
    done = init(path, answers="kitchen\nusb,wifi\n36,24,4\nheld-out.npz\n")
    assert done.exit_code == 0, done.output
    home = config.load(path)
    assert home.name == "kitchen"
    assert home.layers == (36, 24, 4)
    assert home.boards == (
        BoardEntry("window", "serial:/dev/ttyACM0"), BoardEntry("board2", "serial:/dev/ttyACM1"),
    )  # fmt: skip
    assert home.listen == ("0.0.0.0", 4850)
    assert home.evaluate == tmp_path / "held-out.npz"
    assert home.key_file is not None
    key = home.key_file.read_text().strip()
    assert len(key) == 64
    assert key not in done.output + path.read_text()
    if os.name == "posix":
        assert stat.S_IMODE(home.key_file.stat().st_mode) == 0o600
    assert path.read_text().count("#") > 8


def test_wrong_answers_are_asked_for_again(tmp_path: Path, ports: list[discover.Finding]) -> None:
    path = tmp_path / "home.toml"
    done = init(path, answers="home\nusb\nmars\nwifi\n64\n64,x\n64,10\n\n")
    assert done.exit_code == 0, done.output
    assert "no board is plugged in" in done.output
    assert "mars: use usb, wifi" in done.output
    assert "2 to 7 numbers" in done.output
    assert "use numbers with commas" in done.output
    assert config.load(path).layers == (64, 10)


def test_no_answer_leaves_the_question_and_writes_nothing(
    tmp_path: Path, ports: list[discover.Finding]
) -> None:
    done = init(tmp_path / "home.toml", answers="kitchen\n")
    assert done.exit_code == 1
    text = f"\nfedboard: no answer: {tmp_path / 'home.toml'} is not written (--yes asks nothing)\n"
    assert done.output.endswith(text)
    assert not list(tmp_path.iterdir())


def test_no_questions(tmp_path: Path, ports: list[discover.Finding]) -> None:
    path = tmp_path / "den" / "home.toml"
    done = init(path, "--yes", "--board", "socket://pi:4000", "--rounds", "9")
    assert done.exit_code == 0, done.output
    home = config.load(path)
    assert (home.name, home.rounds) == ("den", 9)
    assert home.boards == (BoardEntry("board1", "socket://pi:4000"),)
    assert not list(path.parent.glob("*.key"))
    told = init(tmp_path / "b.toml", "--json", "--name", "x", "--board", "wifi")
    assert json.loads(told.stdout)["key"] == str(tmp_path / "x.key")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--board", "moon"), "use usb, wifi"),
        (("--board", "usb"), "no board is plugged in"),
        (("--board", "wifi", "--layers", "4097,2"), "1 to 4096"),
        (("--board", "wifi", "--layers", "4096,4096,9"), "parameters is too large"),
        (("--board", "wifi", "--rounds", "0"), "rounds = 0"),
    ],
)
def test_wrong_options(
    options: tuple[str, ...], says: str, tmp_path: Path, ports: list[discover.Finding]
) -> None:
    done = init(tmp_path / "home.toml", "--yes", *options)
    assert done.exit_code == 1
    assert says in done.stderr
    assert not (tmp_path / "home.toml").exists()


def test_an_existing_file_is_left_alone(tmp_path: Path, ports: list[discover.Finding]) -> None:
    path = tmp_path / "home.toml"
    path.write_text("mine")
    done = init(path, "--yes", "--board", "wifi")
    assert done.exit_code == 1
    assert "--force" in done.stderr
    assert path.read_text() == "mine"
    assert init(path, "--yes", "--board", "wifi", "--force").exit_code == 0
    assert config.load(path).listen


def test_names_cannot_break_out_of_the_file(tmp_path: Path) -> None:
    answers = homefile.Answers(name='k"\nrounds = 7 #\\', listen=homefile.LISTEN)
    text = homefile.compose(answers, tmp_path / "home.toml")
    assert config.parse(text, tmp_path / "home.toml").name == answers.name
    with pytest.raises(DataError, match="letters, digits"):
        homefile.compose(
            homefile.Answers(boards=(BoardEntry("a b", "serial:x"),)), tmp_path / "h.toml"
        )
