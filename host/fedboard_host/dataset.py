"""Labelled samples on the host: arrays in memory, npz files, and the file that a board learns from.

npz: x (n, n_in) int8, y (n,) integers, or y (n, n_targets) numbers within ±8: what to predict for
rule "float-squared". A board's samples.bin: see fedboard.samples.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedboard import DataError, replay, samples
from fedboard.mlp import TARGET_BITS
from fedboard_host import npz

Features = npt.NDArray[np.int8]
Labels = npt.NDArray[np.int64]
Readings = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Set:
    """Samples: x (n, n_in) int8, y (n,) classes. Also what fedboard.board.Board reads from.

    Or y (n, n_targets), in 1 / 4096: see targets().
    """

    x: Features
    y: Labels

    @property
    def n_in(self) -> int:
        return int(self.x.shape[1])

    @property
    def n_targets(self) -> int:
        """0: y are classes."""
        return int(self.y.shape[1]) if self.y.ndim == 2 else 0

    def __len__(self) -> int:
        return len(self.y)

    def read(self, i: int, x: array[int]) -> Any:
        """Fill array('b') x with the features of sample i; its label, or array('h') targets."""
        x[:] = array("b", self.x[i].tobytes())
        return array("h", self.y[i].tolist()) if self.y.ndim == 2 else int(self.y[i])


def targets(y: npt.NDArray[Any]) -> Labels:
    """Real targets (n, n_targets) as samples have them. Raises DataError beyond ±8."""
    scaled = np.rint(np.asarray(y, np.float64) * (1 << TARGET_BITS))
    if not (np.abs(scaled) <= 32767).all():
        raise DataError("targets are numbers within ±8: scale them before packing")
    return scaled.astype(np.int64)


def load_samples(path: Path) -> Set:
    """Samples from an npz with x (n, n_in) int8 and y: see the module. Raises DataError."""
    data = npz.read(path, "x", "y")
    x, y = data["x"], data["y"]
    if x.ndim != 2 or x.dtype != np.int8 or y.shape[:1] != x.shape[:1] or y.dtype.kind not in "iuf":
        raise DataError(f"{path}: x must be int8 of shape (n, n_in), y integers of shape (n,)")
    if y.ndim == 2:
        return Set(x, targets(y))
    if y.ndim != 1 or y.dtype.kind == "f":
        raise DataError(
            f"{path}: y must be classes of shape (n,), or targets of shape (n, n_targets)"
        )
    return Set(x, y.astype(np.int64))


def sample_file(own: Set) -> bytes:
    """A board's samples.bin. Raises DataError for a label that does not fit it."""
    if own.n_targets:
        out = bytearray(samples.pack_targets_header(own.n_in, own.n_targets))
    else:
        out = bytearray(samples.pack_header(own.n_in))
    x = array("b", bytes(own.n_in))
    for i in range(len(own)):
        label = own.read(i, x)
        out += samples.pack_record(x, label)
    return bytes(out)


def load_readings(path: Path, label: int | None = None) -> Readings | None:
    """The readings (n, n_axes) in an npz whose x is int16; None if it holds none.

    Windows (n, readings, n_axes) are put one after the other; with a label those of that y alone.
    Raises DataError.
    """
    data = npz.read(path, *(("x",) if label is None else ("x", "y")))
    x = data["x"]
    y = data["y"] if label is not None else None
    if x.dtype != np.int16:
        return None
    if y is not None:
        if y.shape != x.shape[:1]:
            raise DataError(f"{path}: y must be of shape (n,), one for each of x")
        x = x[y == label]
    if x.ndim not in (2, 3) or not x.size:
        raise DataError(f"{path}: x must be (n, axes) or (n, readings, axes), and not empty")
    found: Readings = x.reshape(-1, x.shape[-1])
    return found


def replay_file(readings: Readings) -> bytes:
    """A file of readings for a board's replay sensor."""
    return replay.pack_header(readings.shape[1]) + readings.astype("<i2").tobytes()
