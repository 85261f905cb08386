"""Labelled samples on flash: recorded on the board, or copied there. The format: fedboard.samples.

    samples.bin   the newest      samples.old   older ones      samples.new   one that is made

They survive a power cut at any instant, and few erases write them: see SampleFile.
"""

import os
from array import array

from fedboard import DataError, StateError, samples
from fedboard_device.store import read_at, remove, replace, sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SAMPLES = "samples.bin"


def stored(folder: str, log: "Callable[[str], None]", max_samples: int = 0) -> "SampleFile":
    """The labelled samples in the folder of data: the ones that a board learns from."""
    try:
        return SampleFile(folder + "/" + SAMPLES, max_samples)
    except DataError as error:
        log(f"{folder}/{SAMPLES}: {error}")
        return SampleFile("")


class _Run:
    """One file. Raises OSError if there is none, DataError if it holds something else."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.file: Any = open(path, "rb")
        try:
            header = self.file.read(samples.HEADER_BYTES)
            self.n_in = samples.unpack_header(header)
        except DataError:
            self.file.close()
            raise
        self.age = samples.age_of(header)
        self.made = samples.made_of(header)
        self.n_targets = samples.n_targets_of(header)
        self.n = samples.n_records(os.stat(path)[6], self.n_in, self.n_targets)
        self._record_bytes = samples.record_bytes(self.n_in, self.n_targets)
        self._label = bytearray(1)
        self._targets = array("h", bytes(2 * self.n_targets))
        self._writes = False

    def read(self, i: int, x: "array[int]") -> "Any":
        read_at(self.file, samples.HEADER_BYTES + i * self._record_bytes, x, self.n_in)
        rest = self._targets if self.n_targets else self._label
        if self.file.readinto(rest) != self._record_bytes - self.n_in:
            raise DataError(f"{self.path} was cut short meanwhile: restart the board")
        return self._targets if self.n_targets else self._label[0]

    def append(self, record: bytes, flush: bool) -> None:
        if not self._writes:
            self.file.close()
            self.file = open(self.path, "r+b")
            self._writes = True
        # Not the file's end: what the power cut short is written over.
        self.file.seek(samples.HEADER_BYTES + self.n * self._record_bytes)
        self.file.write(record)
        self.n += 1
        if flush:
            sync(self.file)


class SampleFile:
    """Labelled samples on flash, read one at a time. No file: no samples, and n_in is 0.

    A ring in two files, as flash likes it: samples are appended, none is written over. A
    samples.bin that holds max_samples/2 becomes samples.old, in place of the one before, and a new
    one goes on: max_samples/2 to max_samples are kept, the newest. What the host copied there is
    kept whole until then. max_samples 0: only a full flash ends it. Samples get new numbers when
    the oldest go, so none is added while a task runs.
    """

    def __init__(self, path: str, max_samples: int = 0) -> None:
        """Raises DataError if the file is there and holds something else."""
        self._path = path
        self._half = (max_samples + 1) // 2
        self._runs: list[_Run] = []  # the older first
        self.n_in = 0
        self.n_targets = 0  # 0: samples have labels
        self.made = 0  # how: see fedboard.samples; to be set before the first one is added
        if path:
            self._find()

    def _find(self) -> None:
        """Open what a stop at any instant left behind."""
        run = self._open("bin")
        if run is None:
            try:
                run = self._open("new")  # between two renames, or in the middle of a first sample
            except DataError:
                pass
            if run is not None:
                run.file.close()
                replace(run.path, self._path)
                run = self._open("bin")
        remove(self._name("new"))
        old = None
        try:
            old = self._open("old")
        except DataError:
            pass
        self.n_targets = 0
        if run is None:
            self.n_in = 0
        else:
            self.n_in = run.n_in
            self.n_targets = run.n_targets
            self.made = run.made
            if old and (old.n_in, old.made) == (run.n_in, run.made) and (
                samples.next_age(old.age) == run.age
            ):
                self._runs = [old, run]
                return
            self._runs = [run]
        if old:
            old.file.close()
        remove(self._name("old"))  # of samples that were deleted, or replaced by the host's

    def _open(self, kind: str) -> "_Run | None":
        try:
            return _Run(self._name(kind))
        except OSError:
            return None

    def _name(self, kind: str) -> str:
        return self._path if kind == "bin" else self._path.rsplit(".", 1)[0] + "." + kind

    def __len__(self) -> int:
        n = 0
        for run in self._runs:
            n += run.n
        return n

    def read(self, i: int, x: "array[int]") -> "Any":
        """Fill x, array('b') of n_in, with sample i. Returns its label, an int, or its targets.

        Those are in a buffer, array('h'), that the next read() fills anew.
        """
        if len(x) != self.n_in or not 0 <= i < len(self):
            self._refuse(i, len(x))
        run = self._runs[0]
        if i >= run.n:
            i -= run.n
            run = self._runs[1]
        return run.read(i, x)

    def _refuse(self, i: int, n_in: int) -> None:
        raise StateError(f"no sample {i} of {n_in} features: {len(self)} of {self.n_in} exist")

    def append(self, x: "array[int]", label: int, flush: bool = True) -> None:
        """Add a sample; the first one makes the file. It is on flash when this returns.

        Without `flush` it is so after the next flush() or close(): fewer erases, if many come.
        """
        record = samples.pack_record(x, label)
        self._check_labels()
        if not self._path:
            raise DataError("no samples can be added: remove the file that holds something else")
        if not self._runs:
            self._find()
        runs = self._runs
        if runs and len(x) != self.n_in:
            raise StateError(f"a sample of {len(x)} features among those of {self.n_in}")
        try:
            if not runs:
                self._begin(samples.pack_header(len(x), 0, self.made), record)
            elif self._half and runs[-1].n >= self._half:
                age = samples.next_age(runs[-1].age)
                self._begin(samples.pack_header(self.n_in, age, self.made), record)
            else:
                runs[-1].append(record, flush)
        except OSError as error:
            self._fail(error)

    def flush(self) -> None:
        """Have all samples on flash."""
        try:
            if self._runs:
                sync(self._runs[-1].file)
        except OSError as error:
            self._fail(error)

    def remove(self, label: int, n_last: int = 0) -> int:
        """Delete the samples with this label, and the last n. All or none. How many they were."""
        self._check_labels()
        x = array("b", bytes(self.n_in))
        first_last = len(self) - n_last
        n = 0
        try:
            with open(self._name("new"), "wb") as file:
                if self.n_in:
                    file.write(samples.pack_header(self.n_in, 0, self.made))
                for i in range(len(self)):
                    found = self.read(i, x)
                    if found == label or i >= first_last:
                        n += 1
                    else:
                        file.write(samples.pack_record(x, found))
                sync(file)
            kept = len(self) - n
            self.close()
            if n and kept:
                replace(self._name("new"), self._path)
            elif n:
                remove(self._name("new"))
                os.remove(self._path)
            self._find()
        except OSError as error:
            self._fail(error)
        return n

    def _check_labels(self) -> None:
        if self.n_targets:
            raise DataError(f"{self._path} has targets, not labels: remove it first")

    def _begin(self, header: bytes, record: bytes) -> None:
        """Go on in a new file. At each instant the samples are whole: see _find()."""
        with open(self._name("new"), "wb") as file:
            file.write(header + record)
            sync(file)
        if self._runs:
            self.close()
            replace(self._path, self._name("old"))
        replace(self._name("new"), self._path)
        self._find()

    def _fail(self, error: OSError) -> None:
        self.close()
        self._find()
        raise DataError(
            f"cannot write {self._path} ({error}): free some of the flash, or set max_samples lower"
        )

    def close(self) -> None:
        for run in self._runs:
            try:
                run.file.close()
            except OSError:
                pass  # of a full flash
        self._runs = []
