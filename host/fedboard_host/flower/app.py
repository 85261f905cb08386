"""The folder that `flwr run` wants: a pyproject.toml that names our two apps, and its settings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from fedboard import VERSION, DataError
from fedboard_host.export import write_whole

Value = int | float | str

FLWR = "flwr>=1.42,<1.43"  # as in our pyproject.toml
CONFIG: dict[str, Value] = {
    "layers": "64-32-10",
    "rule": "fedboard",
    "seed": 1,
    "homes": 3,  # that must be here before the first round
    "rounds": 10,
    "home-rounds": 5,  # of a home's boards, for each round
    "timeout-s": 600.0,
    "strategy": "fedavg",
    "top-percent": 50.0,
    "bits": 8,
    "down-percent": 100.0,
    "down-bits": 16,
    "gain": 1,
    "average-shift": 0,
    "merge": "mean",
    "faulty": 1,
    "noise": 0.0,
    "clip-norm": 0,
    "out": "fedboard-homes",
}

_TEMPLATE = """\
[project]
name = "fedboard-homes"
version = "{version}"
description = "Homes of fedboard boards learn together"
license = {{ file = "LICENSE" }}
dependencies = ["{flwr}"]

[tool.flwr.app]
publisher = "fedboard"
fab-format-version = 1
flwr-version-target = "{target}"

[tool.flwr.app.components]
serverapp = "fedboard_host.flower.server:app"
clientapp = "fedboard_host.flower.client:app"

[tool.flwr.app.config]
{config}
"""


def write(folder: Path, settings: Mapping[str, Value]) -> None:
    """Make the folder. Raises DataError for an unknown setting, or if there is one already."""
    path = folder / "pyproject.toml"
    if path.exists():
        raise DataError(f"{path} is there already: edit its last table, or name another folder")
    for name in settings:
        if name not in CONFIG:
            raise DataError(f"no setting {name}: there are {', '.join(CONFIG)}")
    config = "\n".join(f"{k} = {_toml(v)}" for k, v in {**CONFIG, **settings}.items())
    target = FLWR.split(">=")[1].split(",")[0] + ".0"
    text = _TEMPLATE.format(version=VERSION, flwr=FLWR, target=target, config=config)
    write_whole(path, text.encode())
    write_whole(folder / "LICENSE", b"The MIT License, as fedboard's own.\n")


def parse(pairs: Iterable[str]) -> dict[str, Value]:
    """The settings in NAME=VALUE texts, of CONFIG's types. Raises DataError."""
    found: dict[str, Value] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or name not in CONFIG:
            raise DataError(f"{pair}: write NAME=VALUE, with a name of {', '.join(CONFIG)}")
        try:
            found[name] = type(CONFIG[name])(text)
        except ValueError:
            raise DataError(f"{pair}: {name} is a number") from None
    return found


def _toml(value: Value) -> str:
    if isinstance(value, str):
        return json.dumps(value)  # JSON's escapes are TOML's
    return repr(value)
