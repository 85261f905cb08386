"""Homes as the boards of a federation above them: orders down, updates up, one merged model.

    homes = Homes(spec, strategy, home_rounds=10, run=7)
    order = homes.order(home, round)          for each home that is there: bytes for Branch.answer()
    homes.take(home, round, reply)            what it says
    homes.merge()                             the model that homes get next; homes.result(): to use

A home gets the model as exact changes to the one that it holds (dense, if that is unknown), does
`home_rounds` rounds with its boards, and sends its largest changes in few bits. The merger is a
fedboard strategy's: integer sums weighted by samples, master, running average. No Flower in here.
"""

from __future__ import annotations

from array import array
from typing import Any

from fedboard import DataError, delta
from fedboard.delta import encode_delta
from fedboard.model import Spec
from fedboard.rebase import SPARSE
from fedboard_host import branch, door
from fedboard_host.robust import Merging
from fedboard_host.strategies.base import BoardInfo, Strategy

_N_KEPT = 8  # models, so that a home that missed rounds gets changes


class Homes:
    """home: any int that names one. run: u32 that names this federation to homes."""

    def __init__(
        self,
        spec: Spec,
        strategy: Strategy,
        home_rounds: int,
        run: int,
        merging: Merging = Merging(),  # noqa: B008 - frozen
    ) -> None:
        self.bytes_up = self.bytes_down = 0  # of orders and replies, so far
        self._spec = spec
        self._strategy = strategy
        self._home_rounds = home_rounds
        self._run = run
        self._merger = strategy.merger(spec)
        self._merger.set_up(merging)
        self._merger.start(strategy.start(spec))
        self._models: dict[int, array[int]] = {}  # by round
        self._held: dict[int, tuple[int, bytes]] = {}  # by home: version, digest that it has
        self._settled: dict[int, int] = {}  # by home: the last round that its update is in
        self._taken: dict[int, int] = {}  # the same of this round, which is not merged yet
        self._least = merging.least

    @property
    def n_updates(self) -> int:
        """Homes that are in this round's sums."""
        return self._merger.n_updates

    def params(self) -> array[int]:
        """The model that homes get."""
        return self._merger.params()

    def result(self) -> array[int]:
        """The model to use."""
        return self._merger.result()

    def order(self, home: int, round_no: int) -> bytes:
        """What a home is asked in this round; a model's version is the round that it starts."""
        spec = self._spec
        if round_no not in self._models:
            self._models[round_no] = self._merger.params()
            self._models = dict(list(self._models.items())[-_N_KEPT:])
        now = self._models[round_no]
        # Until it says so it has nothing: its reply may come too late, when it has moved on.
        version, digest = self._held.pop(home, (0, b""))
        old = self._models.get(version)
        if old is not None and spec.digest(old) != digest:
            old = None
        encoding, meta, data = encode_delta(spec, old, now)
        work = self._strategy.plan(spec, [BoardInfo("home", "")], round_no)["home"]
        order = branch.write_order(branch.Order(
            run=self._run, round=round_no, rounds=self._home_rounds, spec=spec.pack(),
            version=round_no, digest=spec.digest(now), base=version if encoding == SPARSE else 0,
            encoding=encoding, meta=meta, data=data, top_permille=work.top_permille,
            bits=work.bits, settled=self._settled.get(home, 0),
        ))  # fmt: skip
        self.bytes_down += len(order)
        return order

    def take(self, home: int, round_no: int, reply: bytes) -> int:
        """Add a home's update. How many samples are behind it. Raises DataError, WireError."""
        head, data = door.unpack(reply)
        digest, meta, layers, n_samples = self._read(head, round_no)
        parsed = delta.parse_update(self._spec, layers, meta, data)
        self._merger.add(parsed, self._merger.counted(n_samples), str(home))
        self.bytes_up += len(reply)
        self._held[home] = round_no, digest
        self._taken[home] = round_no
        return n_samples

    def miss(self, home: int) -> None:
        """A home failed: what it holds is not known, so it gets the model dense."""
        self._held.pop(home, None)

    def merge(self) -> bool:
        """Into the model. False: too few homes for the rule: they keep what they sent."""
        taken, self._taken = self._taken, {}
        if self._merger.n_updates < self._least:
            self._merger.drop()
            return False
        self._merger.merge()
        self._settled.update(taken)
        return True

    def epsilon(self) -> float | None:
        """Of all rounds so far, for a home: see privacy; None: there is no noise."""
        return self._merger.epsilon()

    def _read(self, head: dict[str, Any], round_no: int) -> tuple[bytes, bytes, int, int]:
        """(digest, meta, layers, samples) of a reply to this round's order."""
        try:
            digest, meta = bytes.fromhex(head["digest"]), bytes.fromhex(head["meta"])
            numbers = [int(head[k]) for k in ("round", "version", "layers", "n_samples")]
        except (KeyError, TypeError, ValueError, OverflowError):
            raise DataError("this is no reply of a home's") from None
        if numbers[3] < 1:
            raise DataError("a home without samples")
        now = self._spec.digest(self._models[round_no])
        if numbers[:2] != [round_no, round_no] or digest != now:
            raise DataError("the home's update is of another round")
        return digest, meta, numbers[2], numbers[3]
