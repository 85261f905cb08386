"""The errors that docs/troubleshooting.md quotes are those that the code prints."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "troubleshooting.md"
ROOMS = ("shared", "device/fedboard_device", "host")
SOURCES = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
HOLE = "\0"


def quotes() -> list[str]:
    """What stands in backticks in the first cell of each row."""
    found = []
    for line in PAGE.read_text("utf-8").splitlines():
        cell = re.match(r"\| (`.*?) \| ", line)
        if cell:
            long = re.findall(r"``` (.*?) ```", cell[1])
            found += long or re.findall(r"`([^`]+)`", cell[1])
    return found


def texts() -> list[str]:
    """All strings of the code but docstrings, what they are filled in with being a hole."""
    found = []
    for path in SOURCES:
        tree = ast.parse(path.read_text("utf-8"))
        docs = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if node in docs:
                continue
            if isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(
                        str(part.value) if isinstance(part, ast.Constant) else HOLE
                        for part in node.values
                    )
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


TEXTS = texts()


@pytest.mark.parametrize("quote", quotes())
def test_each_quoted_error_is_in_the_code(quote: str) -> None:
    pattern = re.compile(".*?".join(re.escape(part) for part in quote.split("...")), re.DOTALL)
    assert any(pattern.search(text) for text in TEXTS), quote


def test_the_test_can_fail() -> None:
    assert len(quotes()) > 40
    with pytest.raises(AssertionError):
        test_each_quoted_error_is_in_the_code("there is no such ... in the code")
