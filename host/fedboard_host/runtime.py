"""What commands that run boards share: fast kernels, the way to stop, where MicroPython is."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
import shutil
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fedboard import DataError, fkernels, kernels
from fedboard_host import paths

if TYPE_CHECKING:
    from fedboard_host.progress import View
    from fedboard_host.server import Federation


@contextlib.contextmanager
def fast_kernels() -> Iterator[None]:
    """NumPy's kernels in this process: the same integers, sooner; and floats, almost the same."""
    try:
        fast = importlib.import_module("fedboard_host.kernels_numpy")
        fast_floats = importlib.import_module("fedboard_host.fkernels_numpy")
    except ImportError:
        yield
        return
    before, before_floats = kernels.backend, fkernels.backend
    kernels.use(fast)
    fkernels.use(fast_floats)
    try:
        yield
    finally:
        if before == "pure":
            kernels.use(None)
        if before_floats == "pure":
            fkernels.use(None)


@contextlib.contextmanager
def quick_collections() -> Iterator[None]:
    """Boards collect garbage once a round; here each time would go through all that NumPy imported.

    What exists by now is left out of that until the end.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def stop_on_interrupt(federation: Federation, view: View) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM lets the open round finish, the second one stops at once."""
    loop = asyncio.get_running_loop()
    numbers = [signal.SIGINT, signal.SIGTERM]

    def stop() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)
        federation.request_stop()
        view.note("stopping after this round (Ctrl-C again: at once)")

    try:
        for number in numbers:
            loop.add_signal_handler(number, stop)
    except (NotImplementedError, RuntimeError, ValueError):
        yield  # Windows, or not the main thread: Ctrl-C stops at once
        return
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def find_micropython() -> str:
    """MicroPython's unix port: $FEDBOARD_MICROPYTHON, PATH, or what tools/dev.py has fetched."""
    fetched = paths.device_dir().parent / ".tools" / "micropython" / "micropython"
    for candidate in (
        os.environ.get("FEDBOARD_MICROPYTHON"),
        shutil.which("micropython"),
        str(fetched) if fetched.is_file() else None,
    ):
        if candidate:
            return candidate
    raise DataError(
        "no micropython here: install it, or in a checkout run `python3 tools/dev.py micropython`"
    )
