"""JSON that every reader takes: what is infinite, or no number, is the text "inf" or "nan"."""

from __future__ import annotations

import json
import math


def dumps(value: object) -> str:
    """One line, of dicts with names, lists and tuples, and what JSON has by itself."""
    return json.dumps(_plain(value), allow_nan=False)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
