"""The demo's handwriting: scikit-learn's bundled digits, dealt out unevenly to boards.

1,797 real scans of 8x8 pixels with 17 grey levels (UCI "Optical Recognition of Handwritten Digits",
Alpaydin and Kaynak, 1998). Features are int8: pixel (0..16) * 8 - 64. One sample in
five of every digit is held out for judging; of the rest each board gets mostly three digits, as
homes differ in what happens in them. The same seed gives the same deal on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedboard import DataError
from fedboard.prng import Xorshift, mix
from fedboard_host.dataset import Set

N_IN = 64
N_CLASSES = 10
HOME_DIGITS = 3  # a board's own digits
STRAY_PERCENT = 10  # of the samples go to any board, whatever their digit
TEST_PERCENT = 20

_TEST = 3  # labels of the random streams
_DEAL = 4


@dataclass(frozen=True)
class Deal:
    """What each board has, what is held out, and which digits are mostly a board's."""

    boards: tuple[Set, ...]
    test: Set
    homes: tuple[tuple[int, ...], ...]

    @property
    def everything(self) -> Set:
        """All boards' samples in one place: what central training sees."""
        return Set(
            np.concatenate([b.x for b in self.boards]), np.concatenate([b.y for b in self.boards])
        )


def load() -> Set:
    """All 1,797 samples. Raises DataError without scikit-learn."""
    try:
        from sklearn.datasets import load_digits  # slow to import: only when wanted
    except ImportError:
        raise DataError(
            "the demo's handwriting comes with scikit-learn: pip install 'fedboard[demo]'"
        ) from None
    pixels, labels = load_digits(return_X_y=True)
    return Set((pixels * 8 - 64).astype(np.int8), labels.astype(np.int64))


def deal(samples: Set, n_boards: int, seed: int) -> Deal:
    """Deal samples to n_boards; board b's own digits are 3b, 3b+1 and 3b+2 (mod 10)."""
    if not 1 <= n_boards <= 64:
        raise DataError(f"{n_boards} boards: the handwriting is enough for 1 to 64")
    homes = tuple(
        tuple(sorted((HOME_DIGITS * b + k) % N_CLASSES for k in range(HOME_DIGITS)))
        for b in range(n_boards)
    )
    hands: list[list[int]] = [[] for _ in range(n_boards)]
    test: list[int] = []
    n_dealt = 0
    for digit in range(N_CLASSES):
        rows = _shuffled(np.flatnonzero(samples.y == digit).tolist(), mix(seed, _TEST, digit))
        n_test = len(rows) * TEST_PERCENT // 100
        test += rows[:n_test]
        rows = rows[n_test:]
        n_stray = len(rows) * STRAY_PERCENT // 100
        for row in rows[:n_stray]:
            hands[n_dealt % n_boards].append(row)
            n_dealt += 1
        owners = [b for b in range(n_boards) if digit in homes[b]] or list(range(n_boards))
        for n, row in enumerate(rows[n_stray:]):
            hands[owners[(n + digit) % len(owners)]].append(row)
    boards = []
    for b, hand in enumerate(hands):
        rows = _shuffled(hand, mix(seed, _DEAL, b))
        boards.append(Set(samples.x[rows], samples.y[rows]))
    return Deal(tuple(boards), Set(samples.x[test], samples.y[test]), homes)


def _shuffled(rows: list[int], seed: int) -> list[int]:
    """With our own generator: NumPy's streams may change between versions."""
    Xorshift(seed).shuffle(rows)
    return rows
