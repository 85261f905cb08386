"""One value of home.toml: what it may be, why it cannot be, and the line that it is on."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Key:
    """What a key may hold: a kind, and a range or a choice of values."""

    kind: str  # int, number, flag, text, file, ints, texts, pin, pins
    low: float = 0
    high: float = 0
    choices: tuple[str, ...] = ()


def check(key: Key, value: Any) -> str:
    """Why the value cannot be, or ""."""
    if key.kind in ("text", "file"):
        if not isinstance(value, str) or not value:
            return 'a text in quotes is wanted, like "kitchen"'
        if key.choices and value not in key.choices:
            return f"use one of {', '.join(key.choices)}{nearest(value, key.choices)}"
        return ""
    if key.kind == "ints":
        if not isinstance(value, list) or not all(type(n) is int for n in value):
            return "a list of whole numbers is wanted, like [64, 32, 10]"
        if not 2 <= len(value) <= 7:
            return "2 to 7 numbers are wanted: inputs, hidden units, classes"
        if not all(key.low <= n <= key.high for n in value):
            return f"each number is {key.low:g} to {key.high:g}"
        return ""
    if key.kind == "texts":
        if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
            return 'a list of texts is wanted, like ["idle", "wave"]'
        if not key.low <= len(value) <= key.high or len(set(value)) < len(value):
            return f"{key.low:g} to {key.high:g} different texts are wanted"
        return ""
    if key.kind in ("pin", "pins"):
        pins = value if isinstance(value, list) else [value]
        if isinstance(value, list) != (key.kind == "pins") or not all(
            type(pin) is int or isinstance(pin, str) for pin in pins
        ):
            return "a pin is a number or a name; `pins` is a list of them, like [26, 27]"
        return ""
    if key.kind == "flag":
        return "" if isinstance(value, bool) else "true or false is wanted"
    if type(value) is not int and (key.kind == "int" or type(value) is not float):
        return "a whole number is wanted" if key.kind == "int" else "a number is wanted"
    if not key.low <= value <= key.high:
        return f"{key.low:g} to {key.high:.10g} is possible"
    return ""


def show(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def nearest(name: str, known: Any) -> str:
    """: did you mean 'rounds'?  or the list of what there is."""
    near = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f": did you mean {near[0]}?" if near else f": there are {', '.join(known)}"


_HEADER = re.compile(r"\s*(\[\[?)\s*([\w\-. \"']+?)\s*\]\]?\s*(#.*)?$")
_ASSIGN = re.compile(r"\s*([\w\-\"']+(?:\s*\.\s*[\w\-\"']+)*)\s*=")


def find_lines(text: str) -> dict[tuple[str | int, ...], int]:
    """Path of a key -> its line (from 1): tomllib does not tell. Good enough for messages."""
    lines: dict[tuple[str | int, ...], int] = {}
    here: tuple[str | int, ...] = ()
    counts: dict[str, int] = {}
    quote = ""  # inside a multi-line string: what ends it
    for number, line in enumerate(text.splitlines(), 1):
        if quote:
            quote = "" if quote in line else quote
            continue
        for mark in ('"""', "'''"):
            if line.count(mark) % 2:
                quote = mark
        header = _HEADER.match(line)
        assign = _ASSIGN.match(line)
        if header:
            here = tuple(part.strip().strip("\"'") for part in header[2].split("."))
            if header[1] == "[[":
                n = counts.get(str(here[-1]), 0)
                counts[str(here[-1])] = n + 1
                lines.setdefault(here, number)
                here = (*here, n)
            lines.setdefault(here, number)
        elif assign:
            parts = [part.strip().strip("\"'") for part in assign[1].split(".")]
            for n in range(1, len(parts) + 1):
                lines.setdefault((*here, *parts[:n]), number)
    return lines


def is_port(text: str) -> bool:
    """Whether this is the number of a port. (isdigit() alone takes digits that int() does not.)"""
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536
