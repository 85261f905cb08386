"""The base model on flash, and how to write files there. It survives a power cut at any instant.

    base.bin   the base, a checkpoint (fedboard.checkpoint)     base.old   the one before
    base.new   one that is being received, or was cut short     base.bad   a damaged one, set aside
    own.bin... the same for the personal model (fedboard.personal), if there is one

A base is written to base.new in blocks, flushed, and takes its place by a rename. FAT removes the
old file before it renames, so at each instant one of bin, new, old is whole; at start the first
that is takes its place. Each new model is one write of its size, and each write wears the flash:
Wear counts and bounds them.
"""

import os
from array import array

from fedboard import DataError, StateError, checkpoint
from fedboard_device import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fedboard.base import MemoryBase

HOUR_MS = 3600000

replace = getattr(os, "replace", os.rename)  # Windows' rename does not replace


class Wear:
    """Counts the models written to flash: at most `per_hour`, in each hour since the start.

    per_hour 0: any number.
    """

    def __init__(self, per_hour: int = 0, clock_ms: "Callable[[], int]" = system.clock_ms) -> None:
        self.n_saves = 0  # since the start
        self._per_hour = per_hour
        self._clock_ms = clock_ms
        self._hour = 0
        self._n_this_hour = 0

    def check(self) -> None:
        """Raise DataError if there may be no more in this hour."""
        hour = self._clock_ms() // HOUR_MS
        if hour != self._hour:
            self._hour = hour
            self._n_this_hour = 0
        if self._per_hour and self._n_this_hour >= self._per_hour:
            raise DataError(
                f"the flash got {self._per_hour} models in this hour, as many as saves_per_hour"
                " allows: let rounds be longer"
            )

    def count(self) -> None:
        """One more is being written. Raises DataError as check()."""
        self.check()
        self.n_saves += 1
        self._n_this_hour += 1


def open_base(
    folder: str, log: "Callable[[str], None]", name: str = "base", wear: "Wear | None" = None
) -> "FileBase | MemoryBase":
    """A FileBase; but in memory where a CircuitPython board may not write: its drive is the host's.

    Samples can be read there all the same: the host copies them onto the drive.
    """
    if system.RUNTIME == "circuitpython":
        make_folder(folder)
        try:
            open(folder + "/" + name + ".new", "ab").close()
        except OSError as error:
            log(
                f"cannot write {folder} ({error}): the model is in memory until the board is off;"
                " see CircuitPython in docs/board.md"
            )
            from fedboard.base import MemoryBase

            return MemoryBase()
    return FileBase(folder, log, name, wear)


class FileBase:
    """The base model in a file: what base.MemoryBase is in memory.

    folder: made if missing. log(text) gets a line for a damaged file. name: of the files.
    wear: counts the writes of several such.
    """

    def __init__(
        self,
        folder: str,
        log: "Callable[[str], None]",
        name: str = "base",
        wear: "Wear | None" = None,
    ) -> None:
        self.version = 0
        self.digest = b""
        self.spec_bytes = b""
        self._folder = folder
        self._name = name
        self._log = log
        self._wear = wear or Wear()
        self._n_params = 0
        self._offset = 0
        self._file: Any = None
        self._staged: Any = None
        self._writer: checkpoint.Writer | None = None
        self._n_staged = 0
        self._offset_staged = 0
        make_folder(folder)
        try:
            self._find()
        except OSError as error:
            log(f"cannot write {folder}: {error}")

    def _find(self) -> None:
        """Open what a stop at any instant left behind, as base.bin."""
        for name in ("bin", "new", "old"):
            try:
                if self._open(name, True):
                    if name != "bin":
                        self._close()
                        replace(self._path(name), self._path("bin"))
                        self._open("bin", True)
                    break
            except DataError as error:
                if name == "bin":
                    self._log(f"{self._path(name)}: {error}; set aside as {self._name}.bad")
                    replace(self._path(name), self._path("bad"))
        self._remove("new")

    def read(self, at: int, out: "array[int]") -> None:
        """Fill `out` with the base's parameters from number `at` on. Raises DataError."""
        if self._file is None or at < 0 or at + len(out) > self._n_params:
            raise StateError(f"a base of {self._n_params} parameters has no {len(out)} at {at}")
        read_at(self._file, self._offset + 2 * at, out, 2 * len(out))

    @property
    def n_saves(self) -> int:
        """How many models went to flash since the start, or began to."""
        return self._wear.n_saves

    def check_wear(self) -> None:
        """Raise DataError if begin() would, as too many went to flash already."""
        self._wear.check()

    def begin(self, spec_bytes: bytes) -> None:
        """Start to stage a new base; an unfinished one is dropped. DataError: see check_wear()."""
        self._wear.count()
        self.abort()
        self._remove("old")  # makes room: never more than two models on the flash
        try:
            self._staged = open(self._path("new"), "w+b")
            self._writer = checkpoint.Writer(self._staged.write, spec_bytes)
        except OSError as error:
            self._fail(error)
        self._offset_staged = checkpoint.params_offset(spec_bytes)
        self._n_staged = 0

    def write(self, block: "array[int] | bytes | memoryview") -> None:
        """Append the next parameters, or their bytes, to the staged base.

        Raises DataError if the flash is full.
        """
        if self._writer is None:
            raise StateError("write() to a base needs begin() first")
        try:
            self._writer.append(block)
        except OSError as error:
            self._fail(error)
        self._n_staged += len(block) if isinstance(block, array) else len(block) // 2

    def read_staged(self, at: int, out: "array[int]") -> None:
        """Fill `out` with the staged parameters from number `at` on."""
        if self._staged is None or at < 0 or at + len(out) > self._n_staged:
            raise StateError(f"{self._n_staged} parameters are staged: no {len(out)} at {at}")
        read_at(self._staged, self._offset_staged + 2 * at, out, 2 * len(out))
        self._staged.seek(self._offset_staged + 2 * self._n_staged)

    def commit(self, version: int, digest: bytes) -> None:
        """Make the staged base the base, all or nothing."""
        if self._writer is None:
            raise StateError("commit() of a base needs begin() first")
        try:
            self._writer.finish(version, digest)
            sync(self._staged)
            self._staged.close()
            self._staged = self._writer = None
            if self._file is not None:
                self._close()
                replace(self._path("bin"), self._path("old"))
            replace(self._path("new"), self._path("bin"))
        except OSError as error:
            self._fail(error)
        self._open("bin", False)
        self.version = version
        self.digest = digest

    def abort(self) -> None:
        """Drop what is staged; the base stays as it was."""
        self._writer = None
        if self._staged is not None:
            try:
                self._staged.close()
            except OSError:
                pass  # of a full flash
            self._staged = None
            self._remove("new")

    def clear(self) -> None:
        """No base any more, nor the one before."""
        self.close()
        for name in ("old", "bin"):
            self._remove(name)
        self.version = 0
        self.digest = self.spec_bytes = b""

    def close(self) -> None:
        self.abort()
        self._close()

    def _open(self, name: str, check: bool) -> bool:
        """Read the base in that file; False if there is none. Raises DataError if it is damaged."""
        try:
            file = open(self._path(name), "rb")
        except OSError:
            return False
        try:
            reader = checkpoint.Reader(file.read)
            if check:
                reader.finish()
        except DataError:
            file.close()
            raise
        self._file = file
        self.spec_bytes = reader.spec.pack()
        self._n_params = reader.spec.n_params
        self._offset = checkpoint.params_offset(self.spec_bytes)
        self.version = reader.version
        self.digest = reader.digest
        return True

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _fail(self, error: OSError) -> None:
        self.abort()
        if self._file is None and self.version:  # between the two renames
            self.version = 0
            self._find()
        text = "full" if error.errno == 28 else "not writable"  # ENOSPC
        raise DataError(f"the flash is {text} ({error}): free some, or choose a smaller model")

    def _path(self, name: str) -> str:
        return self._folder + "/" + self._name + "." + name

    def _remove(self, name: str) -> None:
        remove(self._path(name))


def read_at(file: "Any", at: int, out: "array[int]", n_bytes: int) -> None:
    file.seek(at)
    if file.readinto(out) != n_bytes:
        raise DataError("a file was cut short meanwhile: restart the board")


def remove(path: str) -> None:
    try:
        os.remove(path)
    except OSError:
        pass  # there is none


def make_folder(folder: str) -> None:
    """The folder, and those above it, where missing."""
    path = ""
    for part in folder.replace("\\", "/").split("/"):
        path += part
        if part:
            try:
                os.mkdir(path)
            except OSError:
                pass  # it is there; if not, the first write tells
        path += "/"


def sync(file: "Any") -> None:
    """Have the file on flash or disk, not in a buffer."""
    file.flush()  # on littlefs, FAT and MicroPython's unix port this is all
    if hasattr(os, "fsync"):
        os.fsync(file.fileno())
