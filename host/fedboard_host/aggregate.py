"""Merging updates: streaming integer sums in NumPy, memory O(model) however many boards there are.

    acc[i] += weight * change[i]              on each update, int64: exact, so in any order the same
    model   = merge(acc, total weight)        once, at the round's close

A layer is averaged over the boards that trained it (its own total weight); a board that left an
entry out counts there as no change. What is far longer than usual is cut (clip); with a rule of
`robust` updates are held until the round closes, and compared. All state is integers: bit-identical
on every machine, and restored from a checkpoint it goes on as if nothing had happened. What the
sums do to the model is in `means` and the strategies.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedboard import DataError, StateError, WireError
from fedboard.model import Spec
from fedboard_host import aligned, clip, decode
from fedboard_host.beside import Beside
from fedboard_host.clip import NormClip, Update
from fedboard_host.lockstep import Added, Wire
from fedboard_host.privacy import Bits, Privacy, epsilon, system_bits
from fedboard_host.robust import Merging, Opinion, Rule

Ints = NDArray[np.int64]

MAX_WEIGHT = 1 << 24  # of one update
MAX_TOTAL = 1 << 33  # of a round: times a change (17 bits), the master's 8 and the gain: int64


class Merger(ABC):
    """start() or restore() first; then per round add()* and merge()."""

    clips = True  # what is far longer than usual

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.n_updates = 0
        self.opinions: list[Opinion] = []  # of the last merge(), a board each
        self.clip = NormClip(spec.n_layers)
        self.rule: Rule | None = None  # None: the mean
        self.privacy = Privacy()
        self.spent = 0  # see privacy.epsilon()
        self.n_clear = 0  # merges without noise
        self._bits: Callable[[], Bits] = system_bits
        self._acc: Ints = aligned.zeros(spec.n_params, np.int64)
        self._beside = Beside(spec.n_params)  # what other threads have added, until _gather()
        self._totals = [0] * spec.n_layers
        self._clipped: dict[str, bool] = {}  # by board, this round
        sizes = [spec.n_layer_params(l) for l in range(spec.n_layers)]
        limits = np.array([spec.limit(l) for l in range(spec.n_layers)], np.int64)
        self._limits: Ints = np.repeat(limits, sizes)  # the largest magnitude of each parameter

    def set_up(self, merging: Merging, bits: Callable[[], Bits] = system_bits) -> None:
        """Merge so; bits(): where the noise of the next merge() comes from."""
        self.compare(merging.rule(self.spec))
        self.protect(merging.privacy, bits)

    def protect(self, privacy: Privacy, bits: Callable[[], Bits]) -> None:
        """With noise: clip to a fixed length, count all alike, add noise to the sum."""
        if privacy.noise:
            epsilon(privacy.spent)  # before anything is learned: the accountant may be missing
        self.privacy = privacy
        self._bits = bits

    def counted(self, n_samples: int) -> int:
        """What an update over so many samples counts here."""
        return 1 if self.privacy.noise else self.weight(n_samples)

    def compare(self, rule: Rule | None) -> None:
        """Hold updates for this rule; None: sum them as they come, for their mean."""
        self.rule = rule

    def weight(self, n_samples: int) -> int:
        """What an update over so many samples counts."""
        return n_samples

    def add(self, update: Update, weight: int, board: str = "") -> None:
        """Take one board's changes, as decode.Decoder returns them."""
        self._check_weights([weight])
        self.n_updates += 1
        if self.rule is not None:
            self.rule.add(board, update)
            return
        clipped = False
        if self.privacy.noise:
            update, clipped = clip.cut_update(update, self.privacy.clip)
        for l, indices, values in update:
            acc = self._acc[self.spec.at(l) : self.spec.at(l + 1)]
            squares = decode.add(acc, indices, values, weight)
            if self._too_long(l, [squares]):
                decode.add(acc, indices, self.clip.excess(l, values), -weight)
                clipped = True
            self._totals[l] += weight
        self._clipped[board] = clipped

    def take(
        self, decoder: decode.Decoder, layers: int, meta: bytes, data: bytes, weight: int,
        board: str = "",
    ) -> None:  # fmt: skip
        """add(decoder.parse(layers, meta, data), weight, board), the faster way where there is one.

        Raises WireError, and then nothing has changed.
        """
        for error in self.take_all(decoder, [(weight, layers, meta, data)], [board]).values():
            raise error

    def take_all(
        self, decoder: decode.Decoder, updates: Sequence[Wire], boards: Sequence[str]
    ) -> dict[int, WireError]:
        """take() each of these updates. Those that are refused have changed nothing.

        Many at once take less time than one after the other.
        """
        self._check_weights([update[0] for update in updates])
        added: list[Added] = []
        refused: dict[int, WireError] = {}
        rest: Iterable[int] = range(len(updates))
        if self.sums_streams:
            self._clipped.update(dict.fromkeys(boards, False))  # in their order
            added, refused, rest = decoder.add_all(self._acc, updates, self._beside)
        for members, layers, squares in added:
            self.n_updates += len(members)
            weight = sum([updates[i][0] for i in members])
            for l, column in zip(layers, squares.T.tolist(), strict=True):
                self._totals[l] += weight
                for place in self._too_long(l, column):
                    self._cut(decoder, updates[members[place]], l)
                    self._clipped[boards[members[place]]] = True
        for i in rest:
            weight, mask, meta, data = updates[i]
            try:
                self.add(decoder.parse(mask, meta, data), weight, boards[i])
            except WireError as error:
                refused[i] = error
        for i in refused:
            self._clipped.pop(boards[i], None)
        return refused

    def _cut(self, decoder: decode.Decoder, update: Wire, layer: int) -> None:
        """Take off what is too long of this layer of an update, which has been added."""
        weight, layers, meta, data = update
        for l, indices, values in decoder.parse(layers, meta, data):
            if l == layer:
                acc = self._acc[self.spec.at(l) : self.spec.at(l + 1)]
                decode.add(acc, indices, self.clip.excess(l, values), -weight)

    @property
    def sums_streams(self) -> bool:
        """take() may be the faster way: loops are compiled, and changes are only summed."""
        return decode.is_compiled() and self.rule is None and not self.privacy.noise

    def _too_long(self, l: int, squares: list[int]) -> list[int]:
        """Which of these changes of a layer are to be cut."""
        return self.clip.measure(l, squares) if self.clips and not self.privacy.noise else []

    def add_sums(
        self, layers: int, sums: Ints, weights: Sequence[int], norms: Ints,
        boards: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Take many boards' changes at once: sums (n_params,) of weight * change, of these layers.

        For simulators; the model that follows is the same as after as many add()s. norms (boards,
        n_layers): of the changes; those that are too long have been cut by cut_rows().
        """
        bounds = self.clip.bounds
        for board, own in zip(boards, norms.tolist(), strict=False):
            self._clipped[board] = any(0 < most < n for most, n in zip(bounds, own, strict=True))
        for weight in weights:
            self._check_weights([weight])
            for l in range(self.spec.n_layers):
                self._totals[l] += weight * (layers >> l & 1)
        for l in range(self.spec.n_layers):
            if layers >> l & 1:
                at, end = self.spec.at(l), self.spec.at(l + 1)
                self._acc[at:end] += sums[at:end]
                self.clip.note(l, norms[:, l].tolist())
        self.n_updates += len(weights)

    def cut_rows(self, changes: Ints) -> Ints:
        """Cut what is too long of changes (boards, n_params), in place; the norms that they had.

        Changes nothing here: threads may ask at once.
        """
        if self.privacy.noise:
            clip.cut_whole(changes, self.privacy.clip)
        elif self.clips:
            return self.clip.cut_rows(self.spec, changes)
        return np.zeros((len(changes), self.spec.n_layers), np.int64)

    def epsilon(self) -> float | None:
        """Of all merges so far, at privacy.DELTA; None: there is no noise. inf: some had none."""
        if not self.privacy.noise:
            return None
        return math.inf if self.n_clear else epsilon(self.spent)

    @property
    def is_full(self) -> bool:
        """There is no room to hold a further update."""
        return self.rule is not None and self.rule.is_full

    def _check_weights(self, weights: Sequence[int]) -> None:
        for weight in min(weights), max(weights):
            if not 0 < weight <= MAX_WEIGHT:
                raise StateError(f"an update's weight is 1 to {MAX_WEIGHT}, not {weight}")
        if max(self._totals) + sum(weights) > MAX_TOTAL:
            raise StateError("too many updates for one round: the sums could overflow")

    def drop(self) -> None:
        """Forget this round's updates."""
        self._acc[:] = 0
        self._beside.drop()
        self._forget()

    def _forget(self) -> None:
        """All but the sums."""
        self._totals = [0] * self.spec.n_layers
        self._clipped = {}
        self.n_updates = 0
        self.clip.drop()
        if self.rule is not None:
            self.rule.drop()

    def merge(self) -> array[int]:
        """The model after this round; a layer that nobody trained stays. The sums start over."""
        self._gather()
        for l, total in enumerate(self._totals):
            at, end = self.spec.at(l), self.spec.at(l + 1)
            if total:
                self._merge_layer(at, end, self._acc[at:end], total)
            else:
                self._acc[at:end] = 0
        self._after()
        self._forget()
        return self.params()

    def _gather(self) -> None:
        """Have all updates in the sums, and an opinion of each."""
        self._beside.move_to(self._acc)
        if self.rule is not None:
            self._acc, self._totals, self.opinions = self.rule.close()
        else:
            self.opinions = [Opinion(board, cut) for board, cut in self._clipped.items()]
            self.clip.close()
        if self.privacy.noise:
            self._acc += self.privacy.draw(self.spec.n_params, self._bits())
            self.spent += self.privacy.spent
        else:
            self.n_clear += 1

    @abstractmethod
    def start(self, params: array[int]) -> None:
        """Begin with this model."""

    @abstractmethod
    def params(self) -> array[int]:
        """The model that boards get."""

    def result(self) -> array[int]:
        """The model to use and to evaluate: params(), or their running average."""
        return self.params()

    def state(self) -> dict[str, Ints]:
        """All that restore() needs to go on bit-identically, between two rounds."""
        return {
            "bounds": np.array(self.clip.bounds, np.int64),
            "spent": np.array([self.spent, self.n_clear], np.int64),
        }

    def restore(self, state: Mapping[str, Ints]) -> None:
        """Raises DataError for what is not this merger's state."""
        bounds = state.get("bounds")
        if bounds is not None and bounds.shape == (self.spec.n_layers,):
            self.clip.bounds = [int(most) for most in bounds]
        spent = state.get("spent")
        if spent is not None and spent.shape == (2,):
            self.spent, self.n_clear = int(spent[0]), int(spent[1])
        else:  # nobody knows what was told before
            self.spent, self.n_clear = 0, 1

    @abstractmethod
    def _merge_layer(self, at: int, end: int, acc: Ints, total: int) -> None:
        """Move a layer's parameters by acc / total; acc is 0 afterwards."""

    def _after(self) -> None:  # noqa: B027 - a hook
        """Called once a round, when all layers are merged."""

    def _checked(self, state: Mapping[str, Ints], key: str) -> Ints:
        value = state.get(key)
        if value is None or value.shape != (self.spec.n_params,) or value.dtype != np.int64:
            raise DataError(f"the checkpoint has no '{key}' of this model: another strategy's?")
        return value.copy()
