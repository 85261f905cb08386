"""The papers' experiments, one readable file each: run(quick, seeds, out_dir, as_json) -> rows.

Some also take `data`, a file or a folder. Each prints a table (published | ours | difference),
writes NAME.csv, NAME.jsonl and NAME.png, and takes minutes; quick: seconds, to see that it works.
Settings were chosen on validation data; a file's choose() shows how, and repeats it. A module's
SEEDS, or else SEEDS here, is how many seeds `fedboard reproduce` runs it with if it is not told.
"""

from __future__ import annotations

import importlib
from typing import Any

from fedboard import DataError

NAMES = (
    "tifed-mnist", "tifed-fashion", "tifed-transfer", "fedboard-mnist", "fedboard-fashion",
    "sine", "tinymetafed", "omniglot", "speech", "gestures", "permuted", "robust", "crowd",
)  # fmt: skip
SEEDS = 5


def load(name: str) -> Any:
    """The module of an experiment. Raises DataError for an unknown name."""
    if name not in NAMES:
        raise DataError(f"no experiment '{name}': use one of " + ", ".join(NAMES))
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def seeds(name: str) -> int:
    """How many seeds an experiment runs with, if nothing else is asked for."""
    return int(getattr(load(name), "SEEDS", SEEDS))


def summary(name: str) -> str:
    """What an experiment is about, in one line."""
    doc: str = load(name).__doc__ or ""
    return doc.strip().splitlines()[0].rstrip(".")
