"""Labelled samples on the host: arrays in memory, npz files, and the file that a board learns from.

npz: x (n, n_in) int8, y (n,) integers. A board's samples.bin: see fedboard.samples.
"""

from __future__ import annotations

import io
import zipfile
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedboard import DataError, samples

Features = npt.NDArray[np.int8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Set:
    """Samples: x (n, n_in) int8, y (n,) classes. Also what fedboard.board.Board reads from."""

    x: Features
    y: Labels

    @property
    def n_in(self) -> int:
        return int(self.x.shape[1])

    def __len__(self) -> int:
        return len(self.y)

    def read(self, i: int, x: array[int]) -> int:
        """Fill array('b') x with the features of sample i; its label."""
        x[:] = array("b", self.x[i].tobytes())
        return int(self.y[i])


def load_samples(path: Path) -> Set:
    """Samples from an npz with x (n, n_in) int8 and y (n,) integers. Raises DataError."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as data:
            x, y = data["x"], data["y"]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: no npz with arrays x and y: {error}") from None
    if x.ndim != 2 or x.dtype != np.int8 or y.shape != x.shape[:1] or y.dtype.kind not in "iu":
        raise DataError(f"{path}: x must be int8 of shape (n, n_in), y integers of shape (n,)")
    return Set(x, y.astype(np.int64))


def sample_file(own: Set) -> bytes:
    """A board's samples.bin. Raises DataError for a label that does not fit it."""
    out = bytearray(samples.pack_header(own.n_in))
    x = array("b", bytes(own.n_in))
    for i in range(len(own)):
        label = own.read(i, x)
        out += samples.pack_record(x, label)
    return bytes(out)
