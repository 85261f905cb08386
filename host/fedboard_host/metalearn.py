"""Meta-learning over a federation of float boards, simulated: TinyReptile, Reptile, TinyMetaFed.

One board a round, in turn. All lanes (settings times seeds) go through the same rounds at once:

    down   the board's base moves to the host's phi, or by the largest differences only; "exact" is
           the former as the protocol does it: what changed since the board's base
    board  floats = base; one pass over the task's stream; change = wire image - base
    up     the change's Top-P%, quantised; the rest is forgotten or kept on the board
    host   phi += alpha x what was sent, exactly: integers with ALPHA_BITS more bits than the wire

What travels is the int16 wire image of mlp, counted as the real codec codes it (a dense way at 2
bytes a parameter). TinyMetaFed's published listings were not at hand: its settings here (local last
layer, Top-P% both ways, annealed alpha) are our own reading of its abstract (Ren et al., 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fedboard import DataError
from fedboard.mlp import WIRE_BITS
from fedboard.model import Spec
from fedboard.reptile import ALPHA_BITS
from fedboard_host.fleet_float import FloatFleet, Floats, Ints, start_images
from fedboard_host.selection import delta_bytes, dense_bytes, select

RESIDUALS = ("forget", "inside", "beside")


class Tasks(Protocol):
    def next(self) -> tuple[Floats, Floats]:
        """x, targets of one task a seed: (seeds, samples, ...)."""


@dataclass(frozen=True)
class Setting:
    """How a federation learns.

    residual, of what was not sent: "forget" it; keep it "inside" the board's parameters, so that
    its next task starts from there; or "beside" them, added to the next task's change. `decay`
    times what is kept.
    A local last layer never travels; it is zero at the start of every task.
    """

    name: str = ""
    rate: float = 0.01  # of the inner loop
    batch: int = 1  # 1: TinyReptile, nothing is stored; more: Reptile
    passes: int = 1  # over a task's samples, which Reptile has stored
    alpha: float = 1.0  # the outer step in the first round, annealed linearly
    alpha_last: float = 0.0  # in the last one
    local: bool = False  # the last layer
    n_local: int = 0  # samples of a stream that the local layer learns alone, before the others
    up_permille: int = 1000
    up_bits: int = 16
    down_permille: int = 1000
    down_bits: int = 16
    exact_down: bool = False  # at down_permille 1000: counts the changes, not all parameters
    residual: str = "forget"
    decay: float = 1.0

    def shared(self, spec: Spec) -> int:
        """The mask of the layers that travel."""
        return (1 << spec.n_layers - self.local) - 1


class Federation:
    """Lanes: settings x seeds, seeds fastest. All settings need the same batch and passes."""

    def __init__(
        self,
        spec: Spec,
        settings: Sequence[Setting],
        seeds: Sequence[int],
        rounds: int,
        n_boards: int = 1,
    ) -> None:
        if len({(s.batch, s.passes) for s in settings}) != 1:
            raise DataError("settings that run together need the same batch and passes")
        if any(s.residual not in RESIDUALS for s in settings):
            raise DataError("a residual is one of " + ", ".join(RESIDUALS))
        self.spec = spec
        self.settings = settings
        self.rounds = rounds
        self.round = 0
        n = len(seeds)
        self._lanes = [slice(i * n, (i + 1) * n) for i in range(len(settings))]
        image = np.tile(start_images(spec.sizes, seeds), (len(settings), 1))
        for s, at in zip(settings, self._lanes, strict=True):
            if s.local:
                image[at, spec.at(spec.n_layers - 1) :] = 0
        self._fleet = FloatFleet(spec, len(image))
        self._master = image << ALPHA_BITS
        self._bases = np.repeat(image[None], n_boards, 0)
        keep = any(s.residual != "forget" for s in settings)
        self._residuals = np.zeros((n_boards if keep else 1, *image.shape), np.int64)
        self._bytes = np.zeros((2, len(image)), np.int64)
        self._usual, self._first = self._rates()

    def phi(self, setting: int) -> Ints:
        """The initializations of a setting: wire images (seeds, n_params)."""
        return self._phi()[self._lanes[setting]]

    def n_bytes(self, setting: int) -> tuple[Ints, Ints]:
        """All bytes up, all bytes down, (seeds,) each."""
        return self._bytes[0, self._lanes[setting]], self._bytes[1, self._lanes[setting]]

    def step(self, x: Floats, y: Floats) -> None:
        """One round; x, y (seeds, samples, ...) is the task of each seed."""
        board = self.round % len(self._bases)
        base = self._bases[board]
        residual = self._residuals[board % len(self._residuals)]
        phi = self._phi()
        start = base.copy()
        for s, at in zip(self.settings, self._lanes, strict=True):
            self._down(s, at, base, phi)
            start[at] = base[at] + residual[at] if s.residual == "inside" else base[at]
        self._fleet.load(start)
        with np.errstate(over="ignore", invalid="ignore"):
            self._learn(x, y)
        lost = ~np.isfinite(self._fleet.params).all(axis=1)
        if lost.any():  # a board that diverged says so, and has no update
            self._fleet.params[lost] = start[lost] / (1 << WIRE_BITS)
        change = self._fleet.store() - base
        for s, at in zip(self.settings, self._lanes, strict=True):
            self._up(s, at, change, residual)
        self.round += 1

    def _phi(self) -> Ints:
        return (self._master + (1 << ALPHA_BITS >> 1)) >> ALPHA_BITS

    def _down(self, s: Setting, at: slice, base: Ints, phi: Ints) -> None:
        """Bring a board's base to phi, or nearer. The first time it has nothing and gets all."""
        shared = s.shared(self.spec)
        is_first = self.round < len(self._bases)
        if s.exact_down and not is_first:
            for lane in range(at.start, at.stop):
                self._bytes[1, lane] += delta_bytes(self.spec, base[lane], phi[lane])
            base[at] = phi[at]
        elif s.down_permille == 1000 or is_first:
            base[at] = phi[at]
            self._bytes[1, at] += dense_bytes(self.spec, shared)
        else:
            difference = phi[at] - base[at]
            sent, n_bytes = select(self.spec, difference, s.down_permille, s.down_bits, shared)
            base[at] += sent
            self._bytes[1, at] += n_bytes

    def _learn(self, x: Floats, y: Floats) -> None:
        """The inner loop of all lanes."""
        n = len(self.settings)
        x = np.tile(x, (n,) + (1,) * (x.ndim - 1))
        y = np.tile(y, (n,) + (1,) * (y.ndim - 1))
        batch, passes = self.settings[0].batch, self.settings[0].passes
        longest = max(s.n_local for s in self.settings)
        early = np.repeat([s.n_local for s in self.settings], len(x) // n)[:, None]
        for i in range(0, x.shape[1] * passes, batch):
            at = i % x.shape[1]
            rates = np.where(i < early, self._first, self._usual) if i < longest else self._usual
            where = at if batch == 1 else slice(at, at + batch)
            self._fleet.learn(x[:, where], y[:, where], rates)

    def _rates(self) -> tuple[Floats, Floats]:
        """Rates (lanes, layers): usually, and while the local layer learns alone."""
        usual = np.zeros((len(self._master), self.spec.n_layers), np.float32)
        for s, at in zip(self.settings, self._lanes, strict=True):
            usual[at] = s.rate
        first = usual.copy()
        first[:, :-1] = 0
        return usual, first

    def _up(self, s: Setting, at: slice, change: Ints, residual: Ints) -> None:
        """What one setting's board sends, and what the host makes of it."""
        shared = s.shared(self.spec)
        end = self.spec.at(self.spec.n_layers - s.local)
        mine = change[at]
        if s.residual == "beside":
            mine = mine + residual[at]
        if s.up_permille == 1000 and s.up_bits == 16:
            sent = mine.copy()
            sent[:, end:] = 0
            self._bytes[0, at] += dense_bytes(self.spec, shared)
        else:
            sent, n_bytes = select(self.spec, mine, s.up_permille, s.up_bits, shared)
            self._bytes[0, at] += n_bytes
        alpha = s.alpha + (s.alpha_last - s.alpha) * self.round / self.rounds
        limit = 32767 << ALPHA_BITS
        moved = self._master[at] + round(alpha * (1 << ALPHA_BITS)) * sent
        self._master[at] = np.clip(moved, -limit, limit)
        if s.residual != "forget":
            residual[at] = np.rint((mine - sent) * s.decay).astype(np.int64)
            residual[at, end:] = 0


def learn(
    spec: Spec,
    settings: Sequence[Setting],
    seeds: Sequence[int],
    tasks: Tasks,
    rounds: int,
    n_boards: int = 1,
    watch: Callable[[Federation], None] | None = None,
) -> Federation:
    """All rounds; watch(federation) is called after each."""
    federation = Federation(spec, settings, seeds, rounds, n_boards)
    for _ in range(rounds):
        federation.step(*tasks.next())
        if watch is not None:
            watch(federation)
    return federation
