"""A power cut before any one operation on flash, for a module of fedboard_device that writes.

    power = Power(n, fat)               n operations happen; the next raises PowerCut
    power.rule(monkeypatch, module)     its open, replace, remove and sync

A write is two operations: half of it may be there. FAT removes before it renames.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import pytest


class PowerCut(BaseException):
    pass


class Power:
    def __init__(self, left: int, fat: bool) -> None:
        self.left = left
        self.fat = fat

    def rule(self, patch: pytest.MonkeyPatch, module: ModuleType) -> None:
        patch.setattr(module, "replace", self.replace)
        patch.setattr(module, "remove", self.remove, raising=False)
        patch.setattr(module, "sync", lambda file: self.tick())
        patch.setattr(module, "open", self.open, raising=False)

    def tick(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise PowerCut

    def open(self, path: str, mode: str) -> CutFile:
        if mode == "wb" and os.path.exists(path):
            self.tick()
        return CutFile(self, path, mode)

    def replace(self, old: str, new: str) -> None:
        if self.fat and os.path.exists(new):
            self.tick()
            os.remove(new)
        self.tick()
        os.replace(old, new)

    def remove(self, path: str) -> None:
        if os.path.exists(path):
            self.tick()
            os.remove(path)


class CutFile:
    def __init__(self, power: Power, path: str, mode: str) -> None:
        self._power = power
        self.file = open(path, mode)  # noqa: SIM115

    def write(self, data: bytes) -> None:
        half = len(data) // 2
        for part in (data[:half], data[half:]):
            self._power.tick()
            self.file.write(part)
            self.file.flush()

    def __enter__(self) -> CutFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)
