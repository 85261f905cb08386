"""Sine waves as tasks, and how fast a network learns a new one: what both sine experiments measure.

A task is y = amplitude sin(x + phase), amplitude in U(0.1, 5), phase in U(0, 2 pi), x in [-5, 5]
(Finn et al., "MAML", 2017; Nichol et al., "Reptile", 2018). A board sees GRID samples of it, the
points of an even grid in a random order, and no sample twice.

    learners   x, y float32 (seeds, GRID, 1): each seed has its own stream of tasks
    new tasks  fixed sets: `shots` random points to learn from, the grid to be judged by

Roles keep the streams apart: settings are chosen on VALIDATION tasks, figures come from TEST tasks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedboard.model import Spec
from fedboard_host.fleet_float import FloatFleet, Floats, Ints

GRID = 50
TRAIN, VALIDATION, TEST, CURVE = range(4)  # roles of a stream of tasks

_DIVERGED = 100  # an error; to predict nothing costs about 4.4

_AT = np.linspace(-5, 5, GRID)


class Stream:
    """Endless tasks for several seeds at once; next() gives one task each.

    mixed: every sample is of a task of its own, as for a network that is trained jointly.
    """

    def __init__(self, seeds: Sequence[int], role: int = TRAIN, mixed: bool = False) -> None:
        self._rngs = [np.random.default_rng((role, seed)) for seed in seeds]
        self._n = GRID if mixed else 1

    def next(self) -> tuple[Floats, Floats]:
        """x, y: (seeds, GRID, 1)."""
        x = np.stack([rng.permutation(_AT) for rng in self._rngs])
        amplitude, phase = np.stack([_draw(rng, self._n) for rng in self._rngs], 1)
        y = amplitude * np.sin(x + phase)
        return x[:, :, None].astype(np.float32), y[:, :, None].astype(np.float32)


def _draw(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """(2, n): amplitudes and phases."""
    return np.stack([rng.uniform(0.1, 5, n), rng.uniform(0, 2 * np.pi, n)])


class NewTasks:
    """A fixed set of tasks that no learner has seen, to judge initializations by."""

    def __init__(self, n: int, shots: int, role: int, seed: int = 0) -> None:
        rng = np.random.default_rng((role, seed, 7))
        amplitude, phase = _draw(rng, n)[:, :, None]
        x = rng.uniform(-5, 5, (n, shots))
        self.x: Floats = x[:, :, None].astype(np.float32)
        self.y: Floats = (amplitude * np.sin(x + phase))[:, :, None].astype(np.float32)
        grid = np.broadcast_to(_AT, (n, GRID))
        self.query_x: Floats = grid[:, :, None].astype(np.float32)
        self.query_y: Floats = (amplitude * np.sin(grid + phase))[:, :, None].astype(np.float32)

    def errors(
        self,
        spec: Spec,
        image: Ints,
        steps: Sequence[int],
        rate: float,
        batch: bool = True,
    ) -> list[float]:
        """Query MSE, the tasks' mean, after so many steps (rising) from the initialization `image`.

        batch: a step takes all shots at once; else one shot after the other, as a board does that
        stores nothing. inf: diverged.
        """
        n, shots, _ = self.x.shape
        fleet = FloatFleet(spec, n)
        fleet.load(image)
        rates = fleet.rates(rate)
        found = []
        done = 0
        with np.errstate(over="ignore", invalid="ignore"):
            for wanted in steps:
                while done < wanted:
                    if batch:
                        fleet.learn(self.x, self.y, rates)
                    else:
                        fleet.learn(self.x[:, done % shots], self.y[:, done % shots], rates)
                    done += 1
                error = float(np.mean((fleet.predict(self.query_x) - self.query_y) ** 2))
                found.append(error if error < _DIVERGED else math.inf)
        return found
