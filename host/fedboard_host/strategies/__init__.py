"""The strategies by name: `make("tifed-full", {"rate": 4096})`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields

from fedboard import DataError
from fedboard_host.strategies.base import BoardInfo, Strategy, Work
from fedboard_host.strategies.fedavg import FedAvg
from fedboard_host.strategies.reptile import Reptile, TinyMetaFed, TinyReptile
from fedboard_host.strategies.single_layer import FedAvgSingleLayer
from fedboard_host.strategies.tifed import TifedFull, TifedSingleLayer

__all__ = ["BoardInfo", "Strategy", "Work", "make", "names", "parameters"]

_STRATEGIES: dict[str, type[Strategy]] = {
    cls.name: cls
    for cls in (
        FedAvg,
        FedAvgSingleLayer,
        TifedFull,
        TifedSingleLayer,
        Reptile,
        TinyReptile,
        TinyMetaFed,
    )
}


def names() -> list[str]:
    return list(_STRATEGIES)


def parameters(name: str) -> dict[str, object]:
    """The parameters of a strategy and their defaults."""
    return {f.name: f.default for f in fields(_find(name))}


def make(name: str, params: Mapping[str, object] | None = None) -> Strategy:
    """The strategy `name`. Raises DataError for an unknown name or parameter, or a bad value."""
    cls = _find(name)
    known = parameters(name)
    for key in params or {}:
        if key not in known:
            raise DataError(f"strategy {name} has no parameter '{key}'" + _nearest(key, known))
    return cls(**dict(params or {}))


def _find(name: str) -> type[Strategy]:
    if name not in _STRATEGIES:
        raise DataError(f"no strategy '{name}'" + _nearest(name, _STRATEGIES))
    return _STRATEGIES[name]


def _nearest(word: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    if close:
        return f": did you mean '{close[0]}'?"
    return ": use one of " + ", ".join(known)
