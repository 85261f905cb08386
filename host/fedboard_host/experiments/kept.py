"""Rows of an earlier run that `fedboard reproduce --resume` need not make again.

A row says by a digest what settings it is of. Those of other settings are made anew, those of more
seeds than are asked for are left out. People are told, and the file that had them stays as
NAME.jsonl.old. Rows that were made before there was a digest are taken for what their titles say.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fedboard_host.experiments import common
from fedboard_host.experiments.common import Row
from fedboard_host.export import write_whole


class Kept:
    """settings: by variant all that decides its rows but the seed; what has a repr of its values.

    rows: to begin with; done: which (variant, seed) they are. Both are empty without `resume`.
    Raises DataError for a file that holds no rows.
    """

    def __init__(
        self, name: str, out_dir: Path, resume: bool, settings: Mapping[str, object], seeds: int
    ) -> None:
        self._digests = {variant: _digest(own) for variant, own in settings.items()}
        self.rows: list[Row] = []
        path = out_dir / f"{name}.jsonl"
        if resume and path.is_file():
            self.rows = self._sorted_out(path, seeds)
        self.done = {(row.variant, row.seed) for row in self.rows if row.seed is not None}

    def stamped(self, rows: Sequence[Row]) -> list[Row]:
        """The same rows; they say what settings they are of."""
        return [replace(row, settings=self._digests[row.variant]) for row in rows]

    def _sorted_out(self, path: Path, seeds: int) -> list[Row]:
        found = [row for row in common.read(path) if row.seed is not None]
        known = [row for row in found if row.variant in self._digests and (row.seed or 0) <= seeds]
        rows = [row for row in known if row.settings in ("", self._digests[row.variant])]
        changed = dict.fromkeys(row.variant for row in known if row not in rows)
        n_old = sum(not row.settings for row in rows)
        n_beyond = sum((row.seed or 0) > seeds for row in found)
        old = path.with_name(path.name + ".old")
        if changed or n_beyond:
            write_whole(old, path.read_bytes())
        if changed:
            names = "; ".join(changed)
            _say(f"{path}: of other settings, made anew: {names}. What was there is in {old}")
        if n_beyond:
            _say(f"{path}: {n_beyond} rows are of seeds above {seeds}: they are in {old} only")
        if n_old:
            _say(f"{path}: {n_old} rows do not say what settings they are of, and are kept")
        return rows


def _digest(settings: object) -> str:
    return hashlib.sha256(repr(settings).encode()).hexdigest()[:12]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
