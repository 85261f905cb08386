"""Who has which samples: a data set dealt out to boards, evenly or as unevenly as in life.

    iid          everybody something of everything
    dirichlet    each class is dealt in shares drawn from Dirichlet(alpha): the smaller alpha, the
                 fewer classes a board has, and the more their numbers differ (Hsu et al., 2019)
    label        every board has `n_classes` classes only, shared out evenly (McMahan et al., 2017)
    writer       a board has the samples of one person, or of several if there are more people

Each function returns one array of row numbers a board, shuffled; no row twice; the same for the
same seed. With "label" some classes may be nobody's, if there are few boards.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedboard import DataError

Rows = list[NDArray[np.intp]]
Labels = NDArray[np.int64]

SPLITS = ("iid", "dirichlet", "label", "writer")


def split(
    how: str,
    y: Labels,
    writer: Labels,
    n_boards: int,
    seed: int,
    alpha: float = 0.3,
    n_classes: int = 2,
) -> Rows:
    """The rows of each board. Raises DataError for what cannot be dealt so."""
    if not 1 <= n_boards <= len(y):
        raise DataError(f"{n_boards} boards cannot share {len(y)} samples")
    rng = np.random.default_rng(seed)
    if how == "iid":
        return iid(len(y), n_boards, rng)
    if how == "dirichlet":
        return dirichlet(y, n_boards, alpha, rng)
    if how == "label":
        return by_label(y, n_boards, n_classes, rng)
    if how == "writer":
        return by_writer(writer, n_boards, rng)
    raise DataError(f"no split '{how}': use one of {', '.join(SPLITS)}")


def iid(n: int, n_boards: int, rng: np.random.Generator) -> Rows:
    return _even(rng.permutation(n), n_boards)


def dirichlet(y: Labels, n_boards: int, alpha: float, rng: np.random.Generator) -> Rows:
    """Every board gets at least one sample, if there are enough."""
    if not alpha > 0:
        raise DataError(f"alpha = {alpha}: use a number above 0, like 0.3")
    hands: list[list[NDArray[np.intp]]] = [[] for _ in range(n_boards)]
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        shares = rng.dirichlet(np.full(n_boards, alpha))
        cuts = (np.cumsum(shares)[:-1] * len(rows)).round().astype(int)
        for hand, part in zip(hands, np.split(rows, cuts), strict=True):
            hand.append(part)
    dealt = [rng.permutation(np.concatenate(hand)) for hand in hands]
    for b in range(n_boards):
        if not len(dealt[b]):
            rich = max(range(n_boards), key=lambda k: len(dealt[k]))
            dealt[b], dealt[rich] = dealt[rich][:1], dealt[rich][1:]
    return dealt


def by_label(y: Labels, n_boards: int, n_classes: int, rng: np.random.Generator) -> Rows:
    labels = rng.permutation(np.unique(y))
    if not 1 <= n_classes <= len(labels):
        raise DataError(f"a board has 1 to {len(labels)} classes, not {n_classes}")
    # Board b's are the next n_classes of the endless row of all labels: each as often as others.
    owners: dict[int, list[int]] = {}
    for k in range(n_boards * n_classes):
        owners.setdefault(int(labels[k % len(labels)]), []).append(k // n_classes)
    hands: list[list[NDArray[np.intp]]] = [[] for _ in range(n_boards)]
    for label, boards in owners.items():
        rows = rng.permutation(np.flatnonzero(y == label))
        for b, part in zip(boards, _even(rows, len(boards)), strict=True):
            hands[b].append(part)
    return [rng.permutation(np.concatenate(hand)) for hand in hands]


def by_writer(writer: Labels, n_boards: int, rng: np.random.Generator) -> Rows:
    people = np.unique(writer)
    if not len(people):
        raise DataError("the data do not tell whose the samples are: use another split")
    if len(people) < n_boards:
        raise DataError(f"{n_boards} boards, but only {len(people)} people: use fewer boards")
    groups = _even(rng.permutation(people), n_boards)
    return [rng.permutation(np.flatnonzero(np.isin(writer, group))) for group in groups]


def _even(rows: NDArray[np.intp], n: int) -> list[NDArray[np.intp]]:
    """n parts whose lengths differ by one at most."""
    return np.array_split(rows, n)
