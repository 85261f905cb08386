"""fedboard.json: whatever is wrong, there is a clear line, and the board stays reachable."""

from __future__ import annotations

import json

import pytest

from fedboard_device import config, system

KEY = "00112233445566778899aabbccddeeff" * 2


@pytest.fixture
def load(tmp_path_factory):
    def load(text):
        path = tmp_path_factory.mktemp("settings") / "fedboard.json"
        path.write_bytes(text if isinstance(text, bytes) else json.dumps(text).encode())
        return config.load(str(path))

    return load


def test_missing_file(tmp_path):
    settings = config.load(str(tmp_path / "none.json"))
    assert (settings.link, settings.key, settings.problems) == ("usb", None, [])
    assert settings.max_samples == 1000
    assert settings.saves_per_hour == 0  # a desktop's disk does not wear


def test_all_of_it(load):
    settings = load(
        b"\xef\xbb\xbf"
        + json.dumps(
            {
                "name": "kitchen", "key": KEY, "watchdog_ms": 8000, "sleep": "deep",
                "host": "laptop.local:4711, 192.168.1.2:4712",
                "wifi": {"ssid": "home", "password": "p"}, "data_dir": "/sd/data",
                "sensor": {"module": "mine", "low": 0, "high": 3.3},
                "max_samples": 50,
                "saves_per_hour": 20,
            }
        ).encode()
    )  # fmt: skip
    assert settings.problems == []
    assert (settings.link, settings.hosts) == (
        "tcp", [("laptop.local", 4711), ("192.168.1.2", 4712)],
    )  # fmt: skip
    assert settings.sleep == "deep"
    assert settings.key == bytes.fromhex(KEY)
    assert settings.wifi == {"ssid": "home", "password": "p"}
    assert settings.sensor == {"module": "mine", "low": 0, "high": 3.3}
    assert settings.max_samples == 50
    assert settings.saves_per_hour == 20
    assert (settings.name, settings.data_dir, settings.watchdog_ms) == ("kitchen", "/sd/data", 8000)


WRONG = [
    (b"", "no valid JSON"),
    (b'{"name": "secret",', "no valid JSON"),
    (b"\xff\xfe\x00", "no valid JSON"),
    (b"[]", "no JSON object"),
    ({"nmae": "secret"}, "unknown setting nmae: did you mean name?"),
    ({"Key": "secret"}, "did you mean key?"),
    ({"secret" * 3: 1}, "something else than a setting's name: check the commas"),
    ({"sensor": {"secret" * 3: 1}}, "something else than a setting's name in sensor"),
    ({"wifi": {"ssid": "home", "secret": 1}}, "name in wifi: check the commas; known are pass"),
    ({"password": "secret"}, "unknown setting password: known are data_dir, host, key"),
    ({"wifi": {"ssid": "home", "pasword": "secret"}}, "wifi.pasword: did you mean password?"),
    ({"wifi": {"password": "secret"}}, "wifi.ssid is missing"),
    ({"wifi": "secret"}, "wifi must be an object"),
    ({"wifi": {"ssid": 5}}, "wifi.ssid must be a text"),
    ({"name": 5}, "name must be a text"),
    ({"sleep": "secret"}, 'sleep must be "light" or "deep"'),
    ({"watchdog_ms": True}, "watchdog_ms must be a whole number"),
    ({"watchdog_ms": "secret"}, "watchdog_ms must be a whole number"),
    ({"key": "secret"}, "64 hexadecimal digits"),
    ({"key": KEY + "00"}, "64 hexadecimal digits"),
    ({"link": "ubs"}, "did you mean usb?"),
    ({"link": "tcp"}, "needs the host's address"),
    ({"host": "laptop", "key": KEY}, "an address and a port"),
    ({"host": "laptop:0", "key": KEY}, "an address and a port"),
    ({"host": "laptop:99999", "key": KEY}, "an address and a port"),
    ({"host": "laptop:1234"}, "a network needs a `key`"),
    ({"host": "laptop:1234", "link": "tcp", "key": "secret"}, "a network needs a `key`"),
    ({"sensor": {"module": "m", "lo": 3}}, "sensor.lo: did you mean low?"),
]


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_wrong(load, text, expected):
    settings = load(text)
    problems = "\n".join(settings.problems)
    assert expected in problems
    assert "secret" not in problems
    assert KEY not in problems
    assert settings.link == "usb"


def test_usb_with_a_host_given(load):
    settings = load({"link": "usb", "host": "laptop:1234"})
    assert (settings.link, settings.problems) == ("usb", [])


def test_system():
    assert system.clock_ms() <= system.clock_ms()
    assert len(system.entropy(16)) == 16
    assert system.unique_id("a") == system.unique_id("a") != system.unique_id("b")
    name = system.default_name(b"123456")
    assert 0 < len(name) <= 24
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert system.firmware().startswith("cpython 3.")
