"""home.toml: every mistake is named with its line and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedboard import DataError
from fedboard_host import config, config_keys, strategies
from fedboard_host.strategies import FedAvg, TifedSingleLayer

GOOD = """\
[federation]
name = "kitchen"

[model]
layers = [64, 32, 10]

[[board]]
name = "window"
link = "serial:/dev/ttyACM0"
"""


def parse(text: str) -> config.Home:
    return config.parse(text, Path("home/home.toml"))


def problems(text: str) -> list[str]:
    with pytest.raises(DataError) as caught:
        parse(text)
    return str(caught.value).splitlines()


def test_defaults() -> None:
    home = parse(GOOD)
    assert home.name == "kitchen"
    assert home.folder == Path("home/runs/kitchen")
    assert home.boards == (config.BoardEntry("window", "serial:/dev/ttyACM0"),)
    assert home.layers == (64, 32, 10)
    assert home.strategy == FedAvg(**config_keys.THRIFT)  # type: ignore[arg-type]
    assert (home.key_file, home.listen, home.evaluate) == (None, None, None)


def test_everything_set() -> None:
    home = parse("""
[federation]
name = "k"
folder = "here"
strategy = "tifed-single-layer"
rotate = false
epochs = 2
batch = 25
rate = 4096
rounds = 9
quorum = 2
deadline_s = 7.5
silent_s = 60
seed = 3
key_file = "k.key"
[model]
layers = [4, 3]
rule = "tifed"
[[board]]
name = "a"
link = "process:micropython device/main.py --config a.json"
[[board]]
name = "b"
link = "network"
[network]
listen = "0.0.0.0:4850"
[evaluate]
data = "/data/held-out.npz"
""")
    assert home.strategy == TifedSingleLayer(epochs=2, batch=25, rate=4096, rotate=False)
    assert home.folder == Path("home/here")
    assert home.key_file == Path("home/k.key")
    assert home.evaluate == Path("/data/held-out.npz")
    assert home.listen == ("0.0.0.0", 4850)
    assert home.silent_s == 60
    assert (home.rule, home.rounds, home.quorum, home.deadline_s) == ("tifed", 9, 2, 7.5)


@pytest.mark.parametrize(
    ("wrong", "line", "says"),
    [
        ('nam = "x"', 3, "unknown key nam in [federation]: did you mean name?"),
        ("round = 5", 3, "did you mean rounds?"),
        ("rounds = 0", 3, "rounds = 0: 1 to 1000000 is possible"),
        ("rounds = 2.5", 3, "a whole number"),
        ("rounds = true", 3, "rounds = true: a whole number"),
        ("top_percent = 500", 3, "0.1 to 100"),
        ('top_percent = "5"', 3, "a number"),
        ("bits = 9", 3, "1 to 8, or 16"),
        ("carry = 1", 3, "true or false"),
        ("rotate = true", 3, "strategy fedavg has no rotate"),
        ('strategy = "fedavgg"', 3, "did you mean fedavg?"),
        ("strategy = 3", 3, "a text in quotes"),
        ('folder = ""', 3, "a text in quotes"),
        ("quorum = 2", 3, "of 1 boards"),
        ("zzz = 1", 3, "unknown key zzz in [federation]: there are name, folder"),
        ("federation.name = 1", 3, "unknown key federation in [federation]"),
    ],
)
def test_wrong_line_in_federation(wrong: str, line: int, says: str) -> None:
    (found,) = problems(GOOD.replace('name = "kitchen"\n', f'name = "kitchen"\n{wrong}\n'))
    assert found.startswith(f"home/home.toml:{line}: ")
    assert says in found


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ('name = "kitchen"', "", 1, "[federation] needs name"),
        ("layers = [64, 32, 10]", "", 4, "[model] needs layers"),
        ("[64, 32, 10]", '[64, "32"]', 5, "a list of whole numbers"),
        ("[64, 32, 10]", "[64]", 5, "2 to 7 numbers"),
        ("[64, 32, 10]", "[64, 5000]", 5, "1 to 4096"),
        ("[64, 32, 10]", '[64, 10]\nrule = "tifd"', 6, "did you mean tifed?"),
        ("[model]", "[modle]", 4, "unknown table [modle]: did you mean model?"),
        ("[[board]]", "[board]", 7, "two brackets"),
        ('"window"', '"../x y"', 8, "letters, digits"),
        ('link = "serial:/dev/ttyACM0"', "", 7, "needs link"),
        ("serial:/dev/ttyACM0", "usb:3", 9, "use one of serial:PORT"),
        ("serial:/dev/ttyACM0", "network", 9, "add [network] listen"),
        (
            '"serial:/dev/ttyACM0"',
            '"network"\n[network]\nlisten = "0.0.0.0:4850"',
            11,
            "fedboard key",
        ),
        (
            '"serial:/dev/ttyACM0"',
            '"network"\n[network]\nlisten = "0.0.0.0"',
            11,
            "use ADDRESS:PORT",
        ),
        (
            '"serial:/dev/ttyACM0"',
            '"serial:b"\n[[board]]\nlink = "COM3"\nname = "window"',
            11,
            "use one of serial:PORT",
        ),
        (
            '"serial:/dev/ttyACM0"',
            '"serial:b"\n[[board]]\nlink = "serial:c"\nname = "window"',
            12,
            'two boards are named "window"',
        ),
        ("[64, 32, 10]", "[64, 32,", 7, "no TOML"),
    ],
)
def test_wrong_elsewhere(old: str, new: str, line: int, says: str) -> None:
    found = problems(GOOD.replace(old, new, 1))
    assert any(p.startswith(f"home/home.toml:{line}: ") and says in p for p in found), found


def test_all_problems_at_once_in_order() -> None:
    found = problems(GOOD.replace("name", "nme").replace("layers", "layer"))
    lines = [int(p.split(":")[1]) for p in found]
    assert lines == sorted(lines)
    assert len(found) >= 5


def test_empty_file() -> None:
    found = problems("")
    assert len(found) == 3
    assert any("no boards" in p for p in found)


def test_missing_and_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        config.load(tmp_path / "home.toml")
    (tmp_path / "home.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read"):
        config.load(tmp_path / "home.toml")


def test_multi_line_strings_do_not_shift_lines() -> None:
    text = GOOD.replace('"kitchen"', '"""\nrounds = 3\n"""').replace("layers", "layer")
    assert any(":7: unknown key layer" in p for p in problems(text))


def test_meta_learning() -> None:
    text = GOOD.replace("[federation]", '[federation]\nstrategy = "tinymetafed"\nrounds = 9')
    home = parse(text)
    assert home.strategy.name == "tinymetafed"
    assert strategies.parameters("tinymetafed")["bits"] == 6
    params = vars(home.strategy)
    assert (params["rounds"], params["bits"], params["top_percent"]) == (9, 6, 10.0)
    more = text.replace("rounds = 9", "rounds = 9\nalpha = 0.5\nin_turn = true\nlocal = 7")
    with pytest.raises(DataError, match="local = 7: 0 to 5"):
        parse(more)
    with pytest.raises(DataError, match=r":2: local = 4 of \d layers: some must be shared"):
        parse(text.replace("rounds = 9", "rounds = 9\nlocal = 4"))
    floats = text.replace("[model]", '[model]\nrule = "float"').replace("rounds = 9", "rate = 655")
    assert parse(floats).rule == "float"


def test_labels_and_sensor() -> None:
    text = GOOD.replace("[model]", '[model]\nlabels = ["idle", "wave"]')
    text += '[sensor]\nmodule = "mpu6050"\nwindow = 100\nsda = 4\nscl = "SCL"\npins = [26, "A1"]\n'
    home = parse(text)
    assert home.labels == ("idle", "wave")
    assert home.sensor == {
        "module": "mpu6050", "window": 100, "sda": 4, "scl": "SCL", "pins": [26, "A1"],
    }  # fmt: skip
    assert parse(GOOD).labels == ()
    for old, new, says in (
        ('["idle", "wave"]', '["idle", "idle"]', "different texts"),
        ('["idle", "wave"]', "[1, 2]", "a list of texts"),
        ("window = 100", "windw = 100", "did you mean window?"),
        ("sda = 4", "sda = [4]", "a pin is a number or a name"),
        ('[26, "A1"]', "26", "a list of them"),
        ("[64, 32, 10]", "[64, 1]", "2 labels for 1 classes"),
    ):
        assert any(says in p for p in problems(text.replace(old, new, 1))), says


def test_images_are_learned_one_by_one() -> None:
    text = GOOD.replace("[64, 32, 10]", '[81, 4, 10]\nrule = "conv1"')
    assert any("set batch = 1" in line for line in problems(text))
    sound = text.replace("[federation]", "[federation]\nbatch = 1")
    assert parse(sound).layers == (81, 4, 10)
    assert any("square" in line for line in problems(sound.replace("81", "80")))
