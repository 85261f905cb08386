"""A Flower strategy over homes: sparse integer updates, merged exactly, sent down as changes.

Each home is one client. It gets the model as exact changes to the one that it holds (dense, if that
is unknown), does `home_rounds` rounds with its boards, and sends its largest changes in few bits.
The merger is a fedboard strategy's: integer sums weighted by num-examples, master, running average.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from logging import INFO, WARNING

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy as FlowerStrategy

from fedboard import FedboardError, update
from fedboard.model import Spec
from fedboard.rebase import SPARSE, encode_delta
from fedboard_host import branch, door
from fedboard_host.strategies.base import BoardInfo, Strategy

_N_KEPT = 8  # models, so that a home that missed rounds gets changes
Model = Callable[[int, "array[int]"], None]


class Homes(FlowerStrategy):
    """run: u32 that names this federation to homes. on_model(round, model) after each merge."""

    def __init__(
        self, spec: Spec, strategy: Strategy, home_rounds: int, run: int, on_model: Model
    ) -> None:
        self._spec = spec
        self._strategy = strategy
        self._home_rounds = home_rounds
        self._run = run
        self._on_model = on_model
        self._merger = strategy.merger(spec)
        self._merger.start(strategy.start(spec))
        self._version = 0
        self._models: dict[int, array[int]] = {}
        self._held: dict[int, tuple[int, bytes]] = {}  # node: version, digest that it has
        self._settled: dict[int, int] = {}  # node: the last round that its update is in
        self.bytes_up = self.bytes_down = 0  # of models and updates, so far

    def initial_arrays(self) -> ArrayRecord:
        return _record(self._merger.params())

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """An order for each home that is there."""
        self._version = server_round
        self._models[server_round] = self._merger.params()
        self._models = dict(list(self._models.items())[-_N_KEPT:])
        messages = []
        for node in sorted(grid.get_node_ids()):
            order = branch.write_order(self._order(node, server_round))
            self.bytes_down += len(order)
            content = RecordDict({"order": ConfigRecord({"message": order})})
            messages.append(Message(content=content, dst_node_id=node, message_type="train"))
        return messages

    def _order(self, node: int, round_no: int) -> branch.Order:
        spec, now = self._spec, self._models[round_no]
        version, digest = self._held.get(node, (0, b""))
        old = self._models.get(version)
        if old is not None and spec.digest(old) != digest:
            old = None
        encoding, meta, data = encode_delta(spec, old, now)
        work = self._strategy.plan(spec, [BoardInfo("home", "")], round_no)["home"]
        return branch.Order(
            run=self._run, round=round_no, rounds=self._home_rounds, spec=spec.pack(),
            version=round_no, digest=spec.digest(now), base=version if encoding == SPARSE else 0,
            encoding=encoding, meta=meta, data=data, top_permille=work.top_permille,
            bits=work.bits, settled=self._settled.get(node, 0),
        )  # fmt: skip

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Merge what came. A home that failed is told of, and gets the model dense next time."""
        n_samples = 0
        for reply in replies:
            node = reply.metadata.src_node_id
            try:
                n_samples += self._take(node, server_round, reply)
            except (FedboardError, KeyError, TypeError, ValueError) as error:
                self._held.pop(node, None)
                log(WARNING, "home %s is left out: %s", node, error)
        n_homes = self._merger.n_updates
        if not n_homes:
            log(WARNING, "no home could do round %s: the model stays", server_round)
            return None, None
        params = self._merger.merge()
        self._on_model(server_round, self._merger.result())
        metrics = MetricRecord({
            "homes": n_homes, "num-examples": n_samples, "bytes-up": self.bytes_up,
            "bytes-down": self.bytes_down,
        })  # fmt: skip
        return _record(params), metrics

    def _take(self, node: int, round_no: int, reply: Message) -> int:
        """Add one home's update. How many samples are behind it."""
        if reply.has_error():
            raise ValueError(reply.error.reason)
        message = reply.content["reply"]["message"]
        assert isinstance(message, bytes)
        head, data = door.unpack(message)
        digest = bytes.fromhex(head["digest"])
        now = self._spec.digest(self._models[round_no])
        if (head["round"], head["version"], digest) != (round_no, round_no, now):
            raise ValueError("its update is of another round")
        parsed = update.parse_update(
            self._spec, int(head["layers"]), bytes.fromhex(head["meta"]), data
        )
        n_samples = int(head["n_samples"])
        self._merger.add(parsed, self._merger.weight(n_samples))
        self.bytes_up += len(message)
        self._held[node] = round_no, digest
        self._settled[node] = round_no
        return n_samples

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Homes judge on their own: nothing is asked."""
        return []

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        return None

    def summary(self) -> None:
        log(INFO, "\tfedboard: %s, %s", self._spec, self._strategy)


def _record(params: array[int]) -> ArrayRecord:
    return ArrayRecord([np.asarray(params, dtype=np.int16)])
