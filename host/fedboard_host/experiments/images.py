"""What the experiments on pictures share: the data, the stream of buffers, where they come from.

TIFeD's protocol: `workers` boards, each with a buffer of samples that it learns for some epochs;
then the buffer is refilled. course() deals a data set out so, without repeats within a pass:

    course[b, w]    the rows that worker w's buffer holds at the b-th time

Data come from --data (a file, or a folder with NAME.npz), or a folder shared/data beside the
checkout. Without them scikit-learn's digits stand in, in a reduced form: that is said, loudly.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedboard_host import datafile, digits
from fedboard_host.dataset import Set

WORKERS = 8
BUFFER = 50
BATCH = 25
EPOCHS = 5
HIDDEN = 200
VALIDATION = 10_000  # the last training samples, where settings are chosen

Course = NDArray[np.intp]

_BESIDE = Path(__file__).resolve().parents[4] / "shared" / "data"
_REDUCED_PASSES = 10
_REDUCED_HIDDEN = 64


@dataclass(frozen=True)
class Pictures:
    """passes: over the training samples, in place of the one that a large data set allows."""

    name: str
    train: Set
    test: Set
    hidden: int = HIDDEN  # units of the network that learns them
    passes: int = 1
    reduced: bool = False

    @property
    def sizes(self) -> tuple[int, int, int]:
        return self.train.n_in, self.hidden, int(self.train.y.max()) + 1

    def validation(self) -> Pictures:
        """The same data without the test samples: the last training samples judge instead."""
        n = len(self.train) - min(VALIDATION, len(self.train) // 6)
        x, y = self.train.x, self.train.y
        return replace(self, train=Set(x[:n], y[:n]), test=Set(x[n:], y[n:]))


def find(name: str, data: Path | None, scale: str) -> Pictures:
    """The data set "mnist" or "fashion". scale: see datafile.features()."""
    path = data / f"{name}.npz" if data is not None and data.is_dir() else data
    if path is None and (_BESIDE / f"{name}.npz").is_file():
        path = _BESIDE / f"{name}.npz"
    if path is not None:
        return Pictures(name, *datafile.load(path).sets(scale))
    print(
        f"*** No {name}.npz: --data tells where it is. These figures are of scikit-learn's 1,797 "
        "digits\n*** and a smaller network: they show that the experiment runs, no more.",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    own = digits.load()
    held_out = np.zeros(len(own), bool)
    for label in range(digits.N_CLASSES):
        held_out[np.flatnonzero(own.y == label)[4::5]] = True
    pixels = own.x.astype(np.int16) + 64  # 0 to 128
    pixels = np.minimum(2 * pixels, 255).astype(np.uint8)
    x = datafile.features(pixels, scale, pixels)
    return Pictures(
        f"{name} (digits instead)", Set(x[~held_out], own.y[~held_out]),
        Set(x[held_out], own.y[held_out]), _REDUCED_HIDDEN, _REDUCED_PASSES, True,
    )  # fmt: skip


def course(
    n_samples: int, seed: int, passes: int = 1, workers: int = WORKERS, buffer: int = BUFFER
) -> Course:
    """(buffers, workers, buffer) row numbers; what does not fill a buffer of all is left out."""
    rng = np.random.default_rng(seed)
    each = n_samples // (workers * buffer)
    dealt = [
        rng.permutation(n_samples)[: each * workers * buffer].reshape(workers, each, buffer)
        for _ in range(passes)
    ]
    return np.concatenate(dealt, axis=1).transpose(1, 0, 2)
