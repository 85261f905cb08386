"""One run a folder: a lock that its process holds, and that the system frees when it dies.

The file also holds the process id, for the message to the second one.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import BinaryIO

from fedboard import DataError

_FAR = 1 << 20  # Windows locks bytes against reading, too: one that is not there


class FolderLock:
    """Held until release(). `stale`: the id of a process that died without releasing it, or ""."""

    def __init__(self, folder: Path) -> None:
        path = folder / "lock"
        self._file: BinaryIO = open(path, "a+b")  # noqa: SIM115 - held while the run goes on
        self._file.seek(0)
        owner = self._file.read(32).decode("ascii", "replace").strip()
        try:
            _lock(self._file)
        except OSError:
            self._file.close()
            raise DataError(
                f"{folder} is in use by process {owner or '?'}: stop it, or choose another folder"
            ) from None
        self.stale = owner
        self._file.truncate(0)
        self._file.write(b"%d\n" % os.getpid())
        self._file.flush()

    def release(self) -> None:
        if self._file.closed:
            return
        with contextlib.suppress(OSError):
            self._file.truncate(0)
        self._file.close()  # frees the lock


if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        file.seek(_FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
