"""A TOML file's tree of tables, and all that is wrong with it, each with the line it is on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedboard import DataError
from fedboard_host.config_keys import TABLES
from fedboard_host.config_values import Key, check, find_lines, nearest, show


class Tree:
    """table() gives what is sound and collects what is not; raise_problems() tells all at once."""

    def __init__(self, tree: dict[str, Any], text: str, path: Path) -> None:
        self.tree = tree
        self.path = path
        self.lines = find_lines(text)
        self.problems: list[tuple[int, str]] = []
        self.flagged: set[tuple[str | int, ...]] = set()

    def table(self, name: str) -> dict[str, Any]:
        """The sound values of one table."""
        found = self.tree.get(name, {})
        if not isinstance(found, dict):
            self.problem((name,), f"{name} is a table: write [{name}] on a line of its own")
            return {}
        return self.values((name,), f"[{name}]", found, TABLES[name])

    def values(
        self, at: tuple[str | int, ...], title: str, found: dict[str, Any], keys: dict[str, Key]
    ) -> dict[str, Any]:
        sound: dict[str, Any] = {}
        for name, value in found.items():
            key = keys.get(name)
            if key is None:
                self.problem((*at, name), f"unknown key {name} in {title}{nearest(name, keys)}")
                continue
            reason = check(key, value)
            if reason:
                self.problem((*at, name), f"{name} = {show(value)}: {reason}")
            else:
                sound[name] = value
        return sound

    def problem(self, at: tuple[str | int, ...], text: str) -> None:
        self.flagged.add(at)
        while at and at not in self.lines:
            at = at[:-1]
        self.problems.append((self.lines.get(at, 0), text))

    def raise_problems(self) -> None:
        if self.problems:
            lines = [
                f"{self.path}:{line}: {text}" if line else f"{self.path}: {text}"
                for line, text in sorted(self.problems)
            ]
            raise DataError("\n".join(lines))
