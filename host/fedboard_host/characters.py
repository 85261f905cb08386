"""Handwritten characters of several alphabets: Omniglot, dealt out to homes and made into tasks.

    archive        npz: grey or images (n, 28, 28), class_id, alphabet_id (n,), alphabets (names)
    Characters     drawings int8 (characters, drawings, side, side), 0 (paper) to 127 (ink)
    Homes          who has which characters, and each visit's samples
    NewTasks       fixed few-shot tasks: `shots` drawings of each of WAYS characters, and queries

(Lake et al., "Human-level concept learning", 2015; rotations by 90 degrees count as characters of
their own, as in Santoro et al., 2016.) Without an archive, scikit-learn's digits stand in.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedboard import DataError
from fedboard_host import digits

WAYS = 5
SHIFT = 3  # pixels, at most, that a sample is moved by while a home learns it

Array = NDArray[Any]


@dataclass(frozen=True)
class Characters:
    """drawings: int8 (characters, drawings, side, side); alphabet: (characters,), their names."""

    drawings: NDArray[np.int8]
    alphabet: NDArray[np.str_]

    @property
    def side(self) -> int:
        return int(self.drawings.shape[2])

    def only(self, names: Sequence[str]) -> Characters:
        """Those of the alphabets called so. Raises DataError if there is none."""
        chosen = np.isin(self.alphabet, list(names))
        if not chosen.any():
            raise DataError(f"no characters of {', '.join(names)} in this data set")
        return Characters(self.drawings[chosen], self.alphabet[chosen])

    def turned(self) -> Characters:
        """With rotations by 90, 180 and 270 degrees, as characters of their own."""
        turns = [np.rot90(self.drawings, k, (2, 3)) for k in range(4)]
        return Characters(np.concatenate(turns), np.tile(self.alphabet, 4))


def load(path: Path) -> Characters:
    """An archive of drawings, see above. Raises DataError."""
    try:
        with np.load(path, allow_pickle=False) as data:
            ink = data["grey"] >> 1 if "grey" in data else data["images"] * 127
            classes, alphabets = data["class_id"], data["alphabet_id"]
            names = data["alphabets"]
            if ink.ndim != 3 or ink.shape[1] != ink.shape[2] or len(classes) != len(ink):
                raise DataError(f"{path}: drawings are (n, side, side), with a class_id each")
            counts = np.bincount(classes)
            n = int(counts.min())
            rows = np.concatenate([np.flatnonzero(classes == c)[:n] for c in range(len(counts))])
            drawings = ink[rows].astype(np.int8).reshape(len(counts), n, *ink.shape[1:])
            return Characters(drawings, names[alphabets[rows[::n]]])
    except (OSError, KeyError, ValueError, IndexError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: no archive of characters: {error}") from None


def load_digits() -> Characters:
    """scikit-learn's digits, 16x16 by doubling; alphabets "low" (0 to 4) and "high" (5 to 9)."""
    own = digits.load()
    n = int(np.bincount(own.y).min())
    rows = np.concatenate([np.flatnonzero(own.y == digit)[:n] for digit in range(10)])
    ink = np.minimum(own.x[rows].astype(np.int16) + 64, 127).astype(np.int8)
    doubled = ink.reshape(10, n, 8, 8).repeat(2, 2).repeat(2, 3)
    return Characters(doubled, np.array(["low"] * 5 + ["high"] * 5))


class Homes:
    """Boards, each with `ways` characters of its own, all different, in an order of the seed's.

    With fewer characters than that, all homes have them all.
    """

    def __init__(self, characters: Characters, ways: int, seed: int) -> None:
        n = len(characters.drawings)
        self.ways = min(ways, n)
        self._characters = characters
        self._rng = np.random.default_rng((0, seed))
        order = self._rng.permutation(n)[: n // self.ways * self.ways]
        self._own = order.reshape(-1, self.ways)

    def __len__(self) -> int:
        return len(self._own)

    def visit(self, n_boards: int, n_samples: int, anew: bool = False) -> tuple[Array, ...]:
        """Choose boards, and a stream of samples for each of them.

        Returns boards (n_boards,), x int8 (n_boards, n_samples, side * side) and labels. Characters
        come in turns, drawings by chance. anew: boards do not matter, each has a new choice of
        characters.
        """
        rng = self._rng
        if anew:
            boards = np.zeros(n_boards, np.intp)
            n = len(self._characters.drawings)
            own = np.stack([rng.permutation(n)[: self.ways] for _ in range(n_boards)])
        else:
            boards = rng.permutation(np.arange(max(len(self), n_boards)) % len(self))[:n_boards]
            own = self._own[boards]
        turns = -(-n_samples // self.ways)
        labels = rng.permuted(np.tile(np.arange(self.ways), (n_boards, turns, 1)), axis=2)
        labels = labels.reshape(n_boards, -1)[:, :n_samples]
        which = rng.integers(0, self._characters.drawings.shape[1], labels.shape)
        chosen = np.take_along_axis(own, labels, 1)
        return boards, self._moved(self._characters.drawings[chosen, which]), labels

    def _moved(self, x: Array) -> Array:
        """Each sample is shifted by up to SHIFT pixels, what comes in is paper."""
        boards, n, side, _ = x.shape
        wide = np.pad(x, ((0, 0), (0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)))
        down, right = self._rng.integers(0, 2 * SHIFT + 1, (2, boards, n))
        at = np.arange(side)
        board, sample = np.ogrid[:boards, :n]
        moved: Array = wide[
            board[..., None, None],
            sample[..., None, None],
            (down[..., None] + at)[..., None],
            (right[..., None] + at)[:, :, None],
        ]
        flat: Array = moved.reshape(boards, n, side * side)
        return flat


class NewTasks:
    """`n` tasks of WAYS characters: x (n, shots * WAYS, side²), y, query_x, query_y (their labels).

    The same characters and queries for every number of shots up to `most_shots`, and every learner.
    """

    def __init__(
        self,
        characters: Characters,
        n: int,
        shots: int,
        seed: int,
        most_shots: int = 5,
        queries: int = 15,
    ) -> None:
        rng = np.random.default_rng((1, seed))
        n_characters, n_drawings, side, _ = characters.drawings.shape
        queries = min(queries, n_drawings - most_shots)
        chosen = np.stack([rng.permutation(n_characters)[:WAYS] for _ in range(n)])
        order = rng.permuted(np.tile(np.arange(n_drawings), (n, WAYS, 1)), axis=2)
        x = characters.drawings[chosen[:, :, None], order[:, :, : most_shots + queries]]
        x = x.reshape(n, WAYS, most_shots + queries, side * side)
        self.shots = shots
        self.x = x[:, :, :shots].reshape(n, WAYS * shots, -1)
        self.y = np.repeat(np.arange(WAYS), shots)
        self.query_x = x[:, :, most_shots:].reshape(n, WAYS * queries, -1)
        self.query_y = np.repeat(np.arange(WAYS), queries)

    def __len__(self) -> int:
        return len(self.x)

    def nearest(self) -> float:
        """How many queries are of their nearest drawing's character: squared distance of pixels."""
        right = 0
        for x, queries in zip(self.x.astype(np.int64), self.query_x.astype(np.int64), strict=True):
            distance = (x**2).sum(1) - 2 * queries @ x.T
            right += int((self.y[distance.argmin(1)] == self.query_y).sum())
        return right / self.query_y.size / len(self)
