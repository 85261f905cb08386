"""Homes that train a convolution together on drawings, and a board that adapts it to new ones.

train() averages what homes learn in their visits; adapt() learns a new task's few drawings from
there, one at a time. In integers as boards do it (fedboard.conv), or in floats beside it. Rates are
floats; of integers they are shifts, 1/8 for 7 in conv's units. See omniglot, which chose them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedboard import ckernels
from fedboard.model import Spec, init_params, new_params
from fedboard_host.characters import WAYS, Characters, Homes, NewTasks
from fedboard_host.fleet_conv import ConvFleet, FloatConvFleet

LAYERS = (16, 32, 64, 32)  # three convolutions' channels, features
HOME_WAYS = 25  # characters of a home
BOARDS = 8  # in a round
SAMPLES = 50  # of a visit
PASSES = (1, 3, 10)  # over the support; the last one is the headline
RATE, ADAPT_RATE = 0.03, 0.015  # floats
SHIFT, ADAPT_SHIFT = 7, 8  # integers: 1/8 and 1/16 in conv's units
_LAST = 0.1  # of the rate, in the last round; shifts go to SHIFT + 3
_ONE = 1 << ckernels.WEIGHT_BITS
_CHUNK = 50  # tasks that adapt at once

Array = NDArray[Any]


@dataclass(frozen=True)
class Learner:
    """How homes learn together. ways 0: one home has all characters."""

    name: str
    integers: bool = False
    ways: int = HOME_WAYS
    boards: int = BOARDS
    samples: int = SAMPLES
    rounds: float = 1.0  # of the experiment's
    anew: bool = False  # homes have other characters at every visit
    shared_head: bool = False  # the last layer travels, too
    forget: bool = False  # a local last layer is zero again at every visit, as with real boards
    rate: float = 0.0  # 0: RATE or SHIFT
    adapt_rate: float = 0.0

    def at(self, r: int, rounds: int) -> float:
        """The rate in round r, annealed."""
        part = _LAST + (1 - _LAST) * (1 - r / rounds)
        if self.integers:
            return int(self.rate or SHIFT) - round(float(np.log2(part)))
        return (self.rate or RATE) * part

    @property
    def adapt_at(self) -> float:
        return self.adapt_rate or (ADAPT_SHIFT if self.integers else ADAPT_RATE)


def train(learner: Learner, characters: Characters, seed: int, rounds: int) -> tuple[Spec, Array]:
    """Homes learn together. Returns the network for a new task, and its start: (n_params,).

    Integers as int16 has them; floats as such.
    """
    homes = Homes(characters, learner.ways or len(characters.drawings), seed)
    side = characters.side
    spec = spec_of(side, homes.ways, seed)
    end = spec.at(spec.n_layers - 1)
    params = new_params(spec)
    init_params(spec, params)
    shared = np.array(params, np.float64)  # with fractions: what the averages leave
    if not learner.integers:  # the first layer's start is a quarter, for int8's sake
        shared /= _ONE
        shared[: spec.at(1)] *= 4
    heads = np.zeros((len(homes), spec.n_params - end))
    fleet = (ConvFleet if learner.integers else FloatConvFleet)(spec, learner.boards)
    for r in range(rounds):
        boards, x, y = homes.visit(learner.boards, learner.samples, learner.anew)
        sent = np.rint(shared) if learner.integers else shared
        fleet.load(sent)
        if not learner.shared_head:
            fleet.params[:, end:] = 0 if learner.anew or learner.forget else heads[boards]
        _learn(fleet, learner, x, y, learner.at(r, rounds))
        shared += (fleet.params - sent).mean(0)
        if not learner.anew:
            heads[boards] = fleet.params[:, end:]
    start = np.rint(shared) if learner.integers else shared
    new = spec_of(side, WAYS, seed)
    found = np.zeros(new.n_params)
    found[:end] = start[:end]
    if learner.shared_head:
        found[end:] = start[end:]
    return new, found


def spec_of(side: int, ways: int, seed: int) -> Spec:
    """The network for images of that side and so many characters."""
    return Spec((side * side, *LAYERS, ways), "conv3", seed)


def adapt(learner: Learner, spec: Spec, start: Array, tasks: NewTasks) -> list[float]:
    """The accuracy on queries after so many PASSES over a new task's drawings."""
    kind = ConvFleet if learner.integers else FloatConvFleet
    right = np.zeros(len(PASSES))
    n_shots = len(tasks.y)
    rng = np.random.default_rng((2, 0))
    for at in range(0, len(tasks), _CHUNK):
        x, queries = tasks.x[at : at + _CHUNK], tasks.query_x[at : at + _CHUNK]
        fleet = kind(spec, len(x))
        fleet.load(start)
        done = 0
        for k, passes in enumerate(PASSES):
            n = passes - done
            order = rng.permuted(np.tile(np.arange(n_shots), (len(x), n, 1)), axis=2)
            order = order.reshape(len(x), -1)
            stream = np.take_along_axis(x, order[:, :, None], 1)
            _learn(fleet, learner, stream, tasks.y[order], learner.adapt_at)
            done = passes
            for i, label in enumerate(tasks.query_y):
                logits = fleet.predict(queries[:, i] * _scale(learner))
                right[k] += (logits.argmax(1) == label).sum()
    return [float(n) / len(tasks) / len(tasks.query_y) for n in right]


def _learn(fleet: Any, learner: Learner, x: Array, y: Array, rate: float) -> None:
    """A stream for each lane, one sample at a time."""
    for i in range(x.shape[1]):
        fleet.learn(x[:, i] * _scale(learner), y[:, i], rate)


def _scale(learner: Learner) -> Any:
    """What int8 ink is multiplied by."""
    return 1 if learner.integers else np.float32(1 / 128)
