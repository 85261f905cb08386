"""Sensors: the user's own, and the built-in ones on a make-believe `machine`."""

from __future__ import annotations

import random
import re
from array import array
from pathlib import Path

import pytest

import interpreters
from fedboard import DataError, features, replay
from fedboard_device import sensors

SCRIPT = Path(__file__).parent / "sensors_board.py"


def recording(n: int, n_axes: int, strength: int, seed: int) -> bytes:
    """A file of readings."""
    rng = random.Random(seed)
    values = array("h", [rng.randint(-strength, strength) for _ in range(n * n_axes)])
    return replay.pack_header(n_axes) + values.tobytes()


def readings(data: bytes, n_axes: int) -> list[list[int]]:
    values = array("h", data[replay.HEADER_BYTES :])
    return [list(values[at : at + n_axes]) for at in range(0, len(values), n_axes)]


def described(rows: list[list[int]], **sizes: int) -> list[int]:
    made = features.Features(len(rows), len(rows[0]), **sizes)
    x = array("b", bytes(made.n_out))
    made.compute(array("h", [v for row in rows for v in row]), x)
    return list(x)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replay")
    (folder / "idle.bin").write_bytes(recording(50, 3, 20, 1))
    (folder / "wave.bin").write_bytes(recording(50, 3, 9000, 2))
    return folder


@pytest.fixture(scope="module")
def expected(folder):
    return interpreters.run(
        "cpython", SCRIPT, folder, paths=(interpreters.SHARED, interpreters.DEVICE)
    )


def plain(printed: bytes) -> str:
    """Without the systems' own words for errors."""
    lines = printed.decode().lower().splitlines()
    return "\n".join(re.sub(r"\(.*\)", "", line) if "error" in line else line for line in lines)


def test_every_interpreter_reads_the_same(board_runtime, folder, expected):
    printed = interpreters.run(
        board_runtime, SCRIPT, folder, paths=(interpreters.SHARED, interpreters.DEVICE)
    )
    assert plain(printed) == plain(expected)


def test_what_they_read(expected, folder):
    lines = expected.decode().splitlines()
    mpu, written, lis, *rest = lines
    assert mpu.startswith("mpu6050 60 20 40 ")  # features, ms, readings for two samples
    assert "(104, 107, 1)" in written  # awake
    assert lis.startswith("lis3dh 30 10 25 ")  # the second window overlaps
    wrong = [line for line in rest if "DataError" in line]
    assert [line.split(": ", 1)[1] for line in wrong] == [
        "no MPU6050 answers at 0x69 (5): check its wires and `address`",
        "the chip at 0x19 is no LIS3DH: it says 0x44",
        "an I2C sensor needs both `sda` and `scl`",
        "no pin 99 on this board: invalid pin",
        'an adc sensor needs its `pins`, such as "pins": [26]',
        "no file of readings for label 2: there are 2",
        wrong[6].split(": ", 1)[1],
        wrong[7].split(": ", 1)[1],
        "the sensor's read() gives a int, no list",
    ]
    assert "cannot read none.bin" in wrong[6]
    assert "no sensor nothing.py" in wrong[7]
    adc, burst, digital, low = [line for line in rest if line not in wrong][:4]
    assert adc.startswith("adc 2 1000 2 ")
    assert burst.startswith("adc 10 250 2 ")  # a read() is a window
    assert digital.startswith("digital 20 20 20 ")
    assert low == "digital 1 1000 2 [[-127], [-127]]"


def test_replay_goes_on_and_begins_anew(expected, folder):
    lines = [line for line in expected.decode().splitlines() if line.startswith("replay 30")]
    idle = readings((folder / "idle.bin").read_bytes(), 3)
    wave = readings((folder / "wave.bin").read_bytes(), 3)
    for line, rows in zip(lines, (idle, wave), strict=False):
        rows = rows + rows  # 60 readings of 50
        samples = [described(rows[at : at + 30]) for at in (0, 30)]
        assert line == f"replay 30 20 60 {samples}"


def test_replay_shows_all_in_turn(folder):
    settings = {
        "module": "replay", "files": ["idle.bin", "wave.bin"], "folder": str(folder),
        "window": 10,
    }  # fmt: skip
    sensor = sensors.Sensor(settings)
    sensor.start(-1)
    x = array("b", bytes(sensor.n_in))
    strong = []
    while len(strong) < 90:
        if sensor.poll(x):
            strong.append(x[7] > -20)  # the logarithm of the first axis's spread
    assert strong == [False] * 30 + [True] * 30 + [False] * 30  # 300 readings each


def test_readings_file_format():
    assert replay.unpack_header(replay.pack_header(6)) == 6
    for data in (b"", b"fbrp\x01\x00\x00\x00", b"fbsm\x01\x06\x00\x00", b"fbrp\x02\x06\x00\x00"):
        with pytest.raises(DataError, match="no file of readings"):
            replay.unpack_header(data)
    with pytest.raises(DataError):
        replay.pack_header(256)


# The user's own


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Makes a sensor module of this source, and a Sensor of these settings."""
    monkeypatch.syspath_prepend(str(tmp_path))
    count = iter(range(100))

    def make(source: str, **settings: object) -> sensors.Sensor:
        name = f"own_sensor_{next(count)}_{tmp_path.name}"
        (tmp_path / f"{name}.py").write_text(source)
        return sensors.Sensor({"module": name, **settings})

    return make


def test_own_sensor_of_whole_samples(own):
    sensor = own("def read():\n    return (-9, -1.0, 0, 0.5, 1.0, 9)\n", low=-1, high=1.0)
    assert (sensor.n_in, sensor.period_ms) == (6, 1000)
    x = array("b", bytes(6))
    sensor.start(0)
    assert sensor.poll(x)
    assert list(x) == [-127, -127, 0, 64, 127, 127]


def test_own_sensor_with_a_window(own):
    source = "n = [0]\ndef read():\n    n[0] += 1\n    return [n[0] * 1.9, -n[0]]\n"
    sensor = own(source, window=8, blocks=2, bands=2, rate_hz=1000)
    assert (sensor.n_in, sensor.period_ms) == (12, 1)
    x = array("b", bytes(12))
    sensor.start(0)
    assert [sensor.poll(x) for _ in range(8)] == [False] * 7 + [True]
    rows = [[int(n * 1.9), -n] for n in range(2, 10)]  # the first one is read to see that it works
    assert list(x) == described(rows, blocks=2, bands=2)


def test_own_sensor_in_its_own_unit(own):
    sensor = own(
        "def read():\n    return [-2.0, 0.0, 2.0]\n", low=-2, high=2, window=2, blocks=0, bands=1
    )
    x = array("b", bytes(sensor.n_in))
    sensor.start(0)
    assert [sensor.poll(x), sensor.poll(x)] == [False, True]
    assert list(x[::3]) == [-127, 0, 127]


@pytest.mark.parametrize(
    ("source", "settings", "says"),
    [
        ("", {}, "needs a function read"),
        ("def read():\n    return [1]\n", {"low": 1, "high": 1}, "below"),
        ("def read():\n    return [1]\n", {"window": 9, "low": 1}, "below"),
        ("def read():\n    return [1]\n", {"rate_hz": 0}, "1 to 1000 times"),
        ("def read():\n    return [1]\n", {"window": 1}, "2 to 1024 readings"),
        ("def read():\n    raise OSError(5)\n", {}, "cannot be read: OSError: 5"),
        ("def read():\n    return 1 / 0\n", {}, "cannot be read: ZeroDivisionError"),
        ("def read():\n    return 5\n", {}, r"read\(\) gives a int, no list"),
        ("def read()\n    return 5\n", {}, "cannot be imported: SyntaxError"),
        ("def setup(s):\n    s['pin']\ndef read():\n    return [1]\n", {}, "set up: KeyError"),
    ],
)
def test_own_sensor_that_cannot_be(own, source, settings, says):
    with pytest.raises(DataError, match=says):
        own(source, **settings)


def test_own_sensor_that_does_not_start(own):
    sensor = own("def start(label, rate_hz):\n    raise OSError(5)\ndef read():\n    return [1]\n")
    with pytest.raises(DataError, match="cannot be started: OSError: 5"):
        sensor.start(0)


@pytest.mark.parametrize(
    ("later", "says"),
    [
        ("[1, 2, 3]", "read 3 values, 2 are expected"),
        ("[]", "read 0 values"),
        ("7", "gives a int"),
        ("['a', 'b']", "are no numbers"),
        ("[float('nan'), 0]", "are no numbers"),
    ],
)
def test_own_sensor_that_changes_its_mind(own, later, says):
    sensor = own(f"n = []\ndef read():\n    n.append(0)\n    return {later} if n[1:] else [1, 2]\n")
    sensor.start(0)
    with pytest.raises(DataError, match=says):
        sensor.poll(array("b", bytes(2)))
