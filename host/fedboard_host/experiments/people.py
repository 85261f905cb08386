"""People as clients: whose samples these are, and how the same sample looks a moment earlier.

    speech     six speakers say ten digits: 20 frames of 13 int8 MFCC       views: other onsets
    punchflex  seven people punch and flex, 6 axes -> 60 features of fedboard.features
    wand       three people draw three strokes with a wand, 3 axes -> 30 features

Files come from --data (a file, or a folder with NAME.npz), or a folder shared/data beside the
checkout. Without them scikit-learn's digits stand in: four "people" whose paper lies further left
or right.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedboard import DataError
from fedboard.features import Features
from fedboard.model import Spec, with_centre
from fedboard_host import digits
from fedboard_host.dataset import Labels

_BESIDE = Path(__file__).resolve().parents[4] / "shared" / "data"
_ONSETS = (0, -1, 1, -2, 2)  # frames

Views = NDArray[np.int8]
Values = NDArray[np.int16]


@dataclass(frozen=True)
class People:
    """views: int8 (n_views, n, n_in), the first as recorded; y, person: (n,); names: of people."""

    name: str
    views: Views
    y: Labels
    person: Labels
    names: tuple[str, ...]
    reduced: bool = False
    rule: str = "fedboard"

    @property
    def n_in(self) -> int:
        return int(self.views.shape[2])

    @property
    def n_classes(self) -> int:
        return int(self.y.max()) + 1

    def spec(self, hidden: int, seed: int) -> Spec:
        """Of the network that learns them."""
        return Spec(with_centre((self.n_in, hidden, self.n_classes), self.rule), self.rule, seed)

    def rows(self, person: int) -> NDArray[np.intp]:
        return np.flatnonzero(self.person == person)


Looks = Callable[[str], People]


def speech(data: Path | None) -> People:
    """A sample that begins one or two frames earlier or later is another view of it."""
    arrays = _find("fsdd_mfcc", data, ("x", "y", "speaker", "speakers"))
    if arrays is None:
        return stand_in("speech")
    x = arrays["x"]
    frames = np.arange(x.shape[1])
    views = [x[:, np.clip(frames - k, 0, len(frames) - 1)].reshape(len(x), -1) for k in _ONSETS]
    names = tuple(str(name) for name in arrays["speakers"])
    return _people("speech", np.stack(views), arrays["y"], arrays["speaker"], names)


def punchflex(data: Path | None, blocks: int = 3, bands: int = 5) -> People:
    """Blocks and octaves of each axis; boards compute 3 and 5 if they are not told otherwise."""
    arrays = _find("gestures_punchflex", data, ("x", "y", "user"))
    if arrays is None:
        return stand_in("punchflex")
    x = arrays["x"]
    found = features(x, np.full(len(x), x.shape[1]), blocks, bands)
    names = tuple(f"user {k + 1}" for k in range(int(arrays["user"].max()) + 1))
    return _people("punchflex", found[None], arrays["y"], arrays["user"], names)


def wand(data: Path | None, blocks: int = 3, bands: int = 5) -> People:
    """Wing, ring and slope. The set's other motions are in another unit, and not used.

    Strokes are in whole g; as counts of 4096 a g they are above what features take for noise.
    """
    arrays = _find("gestures_wand", data, ("x", "length", "y", "person"))
    if arrays is None:
        return stand_in("wand")
    drawn = arrays["y"] < 3
    x = np.clip(arrays["x"][drawn].astype(np.int32) * 4096, -32768, 32767).astype(np.int16)
    people, person = np.unique(arrays["person"][drawn], return_inverse=True)
    found = features(x, arrays["length"][drawn], blocks, bands)
    names = tuple(f"person {k + 1}" for k in range(len(people)))
    return _people("wand", found[None], arrays["y"][drawn], person, names)


def looks(load: Callable[[Path | None, int, int], People], data: Path | None) -> Looks:
    """The same people as a network sees them: "3x5 centred" is 3 blocks, 5 octaves, that rule."""

    @cache
    def look(name: str) -> People:
        sizes, rule = name.split()
        blocks, bands = map(int, sizes.split("x"))
        return replace(load(data, blocks, bands), rule=rule)

    return look


def features(x: Values, lengths: NDArray[np.integer], blocks: int, bands: int) -> Views:
    """Each window (readings, axes), or the beginning of it that was recorded, as features."""
    n, readings, axes = x.shape
    made = np.empty((n, Features(readings, axes, blocks, bands).n_out), np.int8)
    for i in range(n):
        length = int(min(lengths[i], readings))
        out = array("b", bytes(made.shape[1]))
        window = array("h", x[i, :length].astype(np.int16).tobytes())
        Features(length, axes, blocks, bands).compute(window, out)
        made[i] = out
    return made


def stand_in(name: str) -> People:
    """scikit-learn's digits: person p's are shifted by p - 1 columns."""
    print(
        f"*** No data for {name}: --data tells where they are. These figures are of scikit-learn's "
        "digits,\n*** shifted for each of four people: they show that it runs, no more.",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    own = digits.load()
    x = own.x.reshape(-1, 8, 8)
    person = np.arange(len(x)) % 4
    shifted = np.stack([np.roll(image, p - 1, axis=1) for image, p in zip(x, person, strict=True)])
    names = tuple(f"columns {p - 1:+}" for p in range(4))
    flat = shifted.reshape(len(x), -1).astype(np.int8)
    return People(f"{name} (digits instead)", flat[None], own.y, person, names, True)


def _find(name: str, data: Path | None, wanted: tuple[str, ...]) -> dict[str, NDArray[Any]] | None:
    """The arrays of a set; None where there is none beside the checkout."""
    path = data / f"{name}.npz" if data is not None and data.is_dir() else data
    if path is None and (_BESIDE / f"{name}.npz").is_file():
        path = _BESIDE / f"{name}.npz"
    if path is None:
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in wanted}
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: needs arrays {', '.join(wanted)}: {error}") from None


def _people(
    name: str,
    views: Views,
    y: NDArray[Any],
    person: NDArray[Any],
    names: tuple[str, ...],
) -> People:
    return People(name, views, y.astype(np.int64), person.astype(np.int64), names)
