"""A board's own settings, :/fedboard.json, which a new deployment leaves alone.

    {"name": "kitchen", "key": "64 hex digits", "mask_key": "64 others", "link": "usb" or "tcp",
     "host": "kitchen.local:PORT, 192.168.1.10:PORT", "sleep": "" or "light" or "deep",
     "wifi": {"ssid": "...", "password": "..."}, "data_dir": "/fedboard_data", "max_samples": 1000,
     "saves_per_hour": 600, "watchdog_ms": 0,
     "sensor": {"module": "sensor", "low": -1.0, "high": 1.0}}

host: tried one after the other, like a name first and an address as the fallback. sleep: between
rounds, while the host has nothing to do; deep saves most, but forgets what was learned and not
sent. All are optional. Whatever is wrong becomes a line in Settings.problems and its default holds,
in the end USB serial: a board with a broken file can still be reached. Values are never repeated
there, because some are secrets. On a network a key is required.

CircuitPython keeps secrets in settings.toml: what is not in fedboard.json is looked up there, or in
the environment of a desktop: FEDBOARD_NAME, FEDBOARD_KEY, FEDBOARD_MASK_KEY, FEDBOARD_HOST,
CIRCUITPY_WIFI_SSID, CIRCUITPY_WIFI_PASSWORD.
"""

import json
import os

from fedboard import DataError
from fedboard_device import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TYPES = {
    "name": (str, "a text"),
    "key": (str, "a text"),
    "mask_key": (str, "a text"),
    "link": (str, 'a text, "usb" or "tcp"'),
    "host": (str, 'a text such as "192.168.1.10:PORT"'),
    "data_dir": (str, "a text"),
    "watchdog_ms": (int, "a whole number"),
    "max_samples": (int, "a whole number, 0 for as many as fit"),
    "saves_per_hour": (int, "a whole number, 0 for any number"),
    "wifi": (dict, 'an object such as {"ssid": ..., "password": ...}'),
    "sensor": (dict, 'an object such as {"module": "sensor"}'),
    "sleep": (str, 'a text, "light" or "deep"'),
}
MAX_SAMPLES = 1000  # kept, unless the settings say otherwise
SAVES_PER_HOUR = 0 if system.DESKTOP else 600  # models on flash, likewise
_WIFI = {"ssid": (str, "a text"), "password": (str, "a text")}
_SENSOR = {
    "module": (str, "a text"),
    "low": ((int, float), "a number"),
    "high": ((int, float), "a number"),
    "pins": (list, "a list of pins such as [26, 27]"),
    "pull": (str, 'a text, "up", "down" or "none"'),
    "files": (list, 'a list of files such as ["idle.bin", "wave.bin"]'),
    "sda": ((int, str), "a pin"),
    "scl": ((int, str), "a pin"),
}
for _name in ("window", "hop", "rate_hz", "blocks", "bands", "group", "floor", "burst", "i2c",
              "address"):
    _SENSOR[_name] = (int, "a whole number")


_NAMES = sorted(set(list(_TYPES) + list(_WIFI) + list(_SENSOR)))
_LONGEST = 16  # letters of a name that may be meant for one of these


class Settings:
    """What the file said, checked. hosts: (address, port) each; key None: none."""

    def __init__(self) -> None:
        self.name = ""
        self.key: bytes | None = None
        self.mask_key: bytes | None = None
        self.link = "usb"
        self.hosts: list[tuple[str, int]] = []
        self.data_dir = ""
        self.watchdog_ms = 0
        self.max_samples = MAX_SAMPLES
        self.saves_per_hour = SAVES_PER_HOUR
        self.sleep = ""
        self.folder = ""  # of the file
        self.wifi: dict[str, Any] = {}
        self.sensor: dict[str, Any] = {}
        self.problems: list[str] = []


def load(path: str) -> Settings:
    """The settings in the file at `path`, or defaults where it is missing or wrong."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError:
        text = b"{}"  # most boards on USB have none
    return parse(text, path)


def parse(text: bytes, path: str) -> Settings:
    """The settings in the text of the file at `path`; see load()."""
    settings = Settings()
    settings.folder = path.replace("\\", "/").rpartition("/")[0]
    try:
        if text[:3] == b"\xef\xbb\xbf":  # Windows' editors
            text = text[3:]
        values = json.loads(text.decode())
    except (ValueError, UnicodeError, RuntimeError):  # the last: nested without end
        # The error's own text might quote the file.
        settings.problems.append(f"{path} is no valid JSON, all defaults hold: check its commas")
        return settings
    if isinstance(values, dict):
        right = _checked(values, _TYPES, "", settings.problems)
        _add_environment(right)
        _fill(settings, right)
    else:
        settings.problems.append(f"{path} is no JSON object, all defaults hold: use name: value")
    return settings


def _add_environment(values: "dict[str, Any]") -> None:
    """What is in settings.toml, or in a desktop's environment, and not in the file."""
    get = getattr(os, "getenv", None)
    if get is None:
        return
    for name in ("name", "key", "mask_key", "host"):
        value = get("FEDBOARD_" + name.upper())
        if value and name not in values:
            values[name] = str(value)
    ssid = get("CIRCUITPY_WIFI_SSID")
    if ssid and "wifi" not in values:
        values["wifi"] = {"ssid": ssid, "password": get("CIRCUITPY_WIFI_PASSWORD") or ""}


def _fill(settings: Settings, values: "dict[str, Any]") -> None:
    problems = settings.problems
    settings.wifi = _checked(values.get("wifi", {}), _WIFI, "wifi.", problems)
    if settings.wifi and not settings.wifi.get("ssid"):
        problems.append("wifi.ssid is missing: name the network")
        settings.wifi = {}
    settings.sensor = _checked(values.get("sensor", {}), _SENSOR, "sensor.", problems)
    settings.name = values.get("name", "")
    settings.data_dir = values.get("data_dir", "")
    settings.watchdog_ms = max(0, values.get("watchdog_ms", 0))
    settings.max_samples = max(0, values.get("max_samples", MAX_SAMPLES))
    settings.saves_per_hour = max(0, values.get("saves_per_hour", SAVES_PER_HOUR))
    sleep = values.get("sleep", "")
    if sleep in ("", "light", "deep"):
        settings.sleep = sleep
    else:
        problems.append('sleep must be "light" or "deep"; the board stays awake')
    for name in ("key", "mask_key"):
        if values.get(name):
            from fedboard.auth import parse_key

            try:
                setattr(settings, name, parse_key(values[name]))
            except DataError as error:
                problems.append(f"{name}: {error}")
    for text in values["host"].split(",") if "host" in values else ():
        host, _, port = text.strip().rpartition(":")
        if host and host[-1] != ":" and _is_port(port):
            settings.hosts.append((host, int(port)))
        else:
            problems.append('host must be an address and a port, such as "192.168.1.10:PORT"')
    link = values.get("link", "tcp" if "host" in values else "usb")
    if link not in ("usb", "tcp"):
        problems.append(f'link must be "usb" or "tcp"{_hint(link, ("usb", "tcp"))}; USB is used')
    elif link == "tcp":
        if not settings.hosts:
            problems.append("a tcp link needs the host's address in `host`; USB is used")
        elif settings.key is None:
            problems.append("a network needs a `key` of 64 hex digits, the host's; USB is used")
        else:
            settings.link = "tcp"


def _is_port(text: str) -> bool:
    """isdigit() alone also takes digits that int() does not."""
    for c in text:
        if not "0" <= c <= "9":
            return False
    return 0 < len(text) <= 5 and 0 < int(text) < 65536


def _checked(
    values: "dict[str, Any]", types: "dict[str, Any]", prefix: str, problems: "list[str]"
) -> "dict[str, Any]":
    """Those of `values` whose name and type are right."""
    right = {}
    for name in values:
        value = values[name]
        if not isinstance(name, str) or name not in types:
            problems.append(_unknown(name, types, prefix))
            continue
        kind, text = types[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            problems.append(f"{prefix}{name} must be {text}; its default holds")
        else:
            right[name] = value
    return right


def _unknown(name: "Any", types: "dict[str, Any]", prefix: str) -> str:
    """MicroPython's JSON does without commas: where one is missing, a name may be a secret.

    So only what resembles a setting's is repeated.
    """
    if isinstance(name, str) and (_nearest(name, types) or _nearest(name, _NAMES)):
        return f"unknown setting {prefix}{name}{_hint(name, types)}"
    where = f" in {prefix[:-1]}" if prefix else ""
    return f"something else than a setting's name{where}: check the commas; {_known(types)}"


def _hint(name: str, known: "Any") -> str:
    best = _nearest(name, known)
    return ": " + (f"did you mean {best}?" if best else _known(known))


def _known(names: "Any") -> str:
    return "known are " + ", ".join(sorted(names))


def _nearest(name: str, known: "Any") -> str:
    """Which of them may be meant; or none."""
    best = ""
    least = max(3, 1 + len(name) // 2) if len(name) <= _LONGEST else 0
    for each in sorted(known):
        d = _distance(name.lower(), each)
        if d < least:
            best = each
            least = d
    return best


def _distance(a: str, b: str) -> int:
    """How many letters must be changed, put in or left out to make b of a (Levenshtein)."""
    row = list(range(len(b) + 1))
    for i in range(len(a)):
        diagonal = row[0]
        row[0] = i + 1
        for j in range(len(b)):
            changed = diagonal + (a[i] != b[j])
            diagonal = row[j + 1]
            row[j + 1] = min(changed, diagonal + 1, row[j] + 1)
    return row[-1]
