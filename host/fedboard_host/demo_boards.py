"""The boards of a demo: in this process, or each a program of its own on a pseudo-terminal.

    async with Boards("micropython", key) as boards:
        opener = boards.add("board-0", samples)        for Federation.add_opener(), or open() it
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from fedboard_host import dataset, paths
from fedboard_host.links import Opener
from fedboard_host.links.process import ProcessOpener
from fedboard_host.runtime import find_micropython
from fedboard_host.virtual import ArraySamples, VirtualBoard

RUNTIMES = ("memory", "micropython", "cpython")


class Boards:
    """runtime: one of RUNTIMES. micropython: its command, "": whichever is found."""

    def __init__(
        self,
        runtime: str,
        key: bytes | None = None,
        micropython: str = "",
        mask_key: bytes | None = None,
    ) -> None:
        self._runtime = runtime
        self._key = key
        self._mask_key = mask_key
        self._command = [sys.executable]
        if runtime == "micropython":
            self._command = [micropython or find_micropython()]
        self._lives: list[asyncio.Task[None]] = []
        self._stack = contextlib.ExitStack()
        self._folder: Path | None = None

    async def __aenter__(self) -> Boards:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for life in self._lives:
            life.cancel()
        await asyncio.gather(*self._lives, return_exceptions=True)
        self._stack.close()

    def add(self, name: str, own: dataset.Set) -> Opener:
        """A board with these samples."""
        if self._runtime == "memory":
            samples = ArraySamples(own.x.tolist(), own.y.tolist())
            board = VirtualBoard(name, samples, key=self._key, mask_key=self._mask_key)
            self._lives.append(asyncio.create_task(board.run()))
            return board
        return self._process(name, own)

    def _process(self, name: str, own: dataset.Set) -> Opener:
        """Give it a folder with settings and samples, as a real one has on its flash."""
        if self._folder is None:
            made = tempfile.TemporaryDirectory(prefix="fedboard-")
            self._folder = Path(self._stack.enter_context(made))
        data_dir = self._folder / name
        data_dir.mkdir()
        (data_dir / "samples.bin").write_bytes(dataset.sample_file(own))
        settings: dict[str, Any] = {"name": name, "data_dir": str(data_dir)}
        for setting, key in (("key", self._key), ("mask_key", self._mask_key)):
            if key is not None:
                settings[setting] = key.hex()
        config = data_dir / "fedboard.json"
        config.write_text(json.dumps(settings))
        env = dict(os.environ)
        env.pop("MICROPYPATH", None)
        main = str(paths.device_dir() / "main.py")
        return ProcessOpener([*self._command, main, "--config", str(config)], name=name, env=env)
