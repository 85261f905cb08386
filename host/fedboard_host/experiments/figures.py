"""Figures computed from an experiment's rows: means over seeds, and what is made of others.

A Figure is a function of the rows. Metrics and variants may have a *, for anything, where only a
mean is asked for. Missing: there are no such rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from fedboard import DataError
from fedboard_host.experiments import common
from fedboard_host.experiments.common import Row

Figure = Callable[[Sequence[Row]], float]


class Missing(DataError):
    """There are no such rows."""


def mean(metric: str, variant: str) -> Figure:
    """Mean of `ours` over the seeds; inf if one of them is."""
    return _mean(metric, variant, lambda row: row.ours)


def bytes_up(metric: str, variant: str) -> Figure:
    """Mean of the bytes up that the figure cost."""
    return _mean(metric, variant, lambda row: row.bytes_up)


def bytes_both(metric: str, variant: str) -> Figure:
    """Mean of the bytes in both directions."""
    up = bytes_up(metric, variant)
    down = _mean(metric, variant, lambda row: row.bytes_down)
    return lambda rows: up(rows) + down(rows)


def published(metric: str, variant: str) -> Figure:
    return _mean(metric, variant, lambda row: row.published)


def ratio(above: Figure, below: Figure) -> Figure:
    return lambda rows: above(rows) / below(rows)


def minus(first: Figure, second: Figure | float) -> Figure:
    def figure(rows: Sequence[Row]) -> float:
        return first(rows) - (second if isinstance(second, float) else second(rows))

    return figure


def distance(first: Figure, second: Figure | float) -> Figure:
    """How far two figures are apart."""
    difference = minus(first, second)
    return lambda rows: abs(difference(rows))


def least(*figures: Figure) -> Figure:
    return lambda rows: min(figure(rows) for figure in figures)


def most(*figures: Figure) -> Figure:
    return lambda rows: max(figure(rows) for figure in figures)


Which = tuple[str, str]  # (metric, variant)


def above(these: Which, those: Which) -> Figure:
    """How far these are above those, seed by seed: the 95 % interval's lower end."""

    def figure(rows: Sequence[Row]) -> float:
        first, second = _by_seed(rows, these), _by_seed(rows, those)
        pairs = [first[seed] - second[seed] for seed in first if seed in second]
        return _lower_end(pairs, f"pairs of {these} and {those}")

    return figure


def lowest(*which: Which) -> Figure:
    """The lower end of the 95 % interval over seeds, of the mean of these, seed by seed."""

    def figure(rows: Sequence[Row]) -> float:
        each = [_by_seed(rows, one) for one in which]
        seeds = [seed for seed in each[0] if all(seed in values for values in each)]
        means = [sum(values[seed] for values in each) / len(each) for seed in seeds]
        return _lower_end(means, f"seeds of {which}")

    return figure


def _by_seed(rows: Sequence[Row], which: Which) -> dict[int | None, float]:
    return {row.seed: row.ours for row in rows if (row.metric, row.variant) == which}


def _lower_end(values: Sequence[float], of: str) -> float:
    if len(values) < 2:
        raise Missing(f"no two {of}")
    middle, half = common.interval(values)
    return middle - half


def first(*figures: Figure) -> Figure:
    """The first of them that there are rows for."""

    def figure(rows: Sequence[Row]) -> float:
        for each in figures[:-1]:
            with contextlib.suppress(Missing):
                return each(rows)
        return figures[-1](rows)

    return figure


def _mean(metric: str, variant: str, value: Callable[[Row], float | None]) -> Figure:
    def figure(rows: Sequence[Row]) -> float:
        values = [
            value(row)
            for row in rows
            if fnmatchcase(row.metric, metric) and fnmatchcase(row.variant, variant)
        ]
        known = [v for v in values if v is not None]
        if not known or len(known) < len(values):
            raise Missing(f"no {metric} of {variant}")
        return sum(known) / len(known)

    return figure
