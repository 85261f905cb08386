"""The papers' experiments, one readable file each: run(quick, seeds, out_dir, as_json) -> rows.

Each prints a table (published | ours | difference), writes NAME.csv, NAME.jsonl and NAME.png, and
takes minutes; quick: seconds, to see that it works. Settings were chosen on validation data; a
file's choose() shows how, and repeats it.
"""

from __future__ import annotations

import importlib
from typing import Any

from fedboard import DataError

NAMES = ("sine", "tinymetafed")


def load(name: str) -> Any:
    """The module of an experiment. Raises DataError for an unknown name."""
    if name not in NAMES:
        raise DataError(f"no experiment '{name}': use one of " + ", ".join(NAMES))
    return importlib.import_module(f"{__name__}.{name}")
