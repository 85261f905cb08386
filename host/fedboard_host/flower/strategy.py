"""Homes as a Flower strategy: each home is a client, an order is a train message."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from logging import INFO, WARNING

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedboard import FedboardError
from fedboard_host.flower.homes import Homes


class HomesStrategy(Strategy):
    """on_model(round, model) is told after each merge."""

    def __init__(self, homes: Homes, on_model: Callable[[int, array[int]], None]) -> None:
        self._homes = homes
        self._on_model = on_model

    def initial_arrays(self) -> ArrayRecord:
        return _record(self._homes.params())

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """An order for each home that is there."""
        messages = []
        for node in sorted(grid.get_node_ids()):
            order = ConfigRecord({"message": self._homes.order(node, server_round)})
            content = RecordDict({"order": order})
            messages.append(Message(content=content, dst_node_id=node, message_type="train"))
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Merge what came. A home that failed is told of and left out."""
        homes = self._homes
        n_samples = 0
        for reply in replies:
            node = reply.metadata.src_node_id
            if reply.has_error():
                homes.miss(node)
                log(WARNING, "home %s is left out: %s", node, reply.error.reason)
                continue
            try:
                message = reply.content["reply"]["message"]
                assert isinstance(message, bytes)
                n_samples += homes.take(node, server_round, message)
            except (FedboardError, KeyError, TypeError, AssertionError) as error:
                homes.miss(node)
                log(WARNING, "home %s is left out: %r", node, error)
        n_homes = homes.n_updates
        if not homes.merge():
            log(WARNING, "%s homes are too few in round %s: the model stays", n_homes, server_round)
            return None, None
        self._on_model(server_round, homes.result())
        metrics = MetricRecord({
            "homes": n_homes, "num-examples": n_samples, "bytes-up": homes.bytes_up,
            "bytes-down": homes.bytes_down,
        })  # fmt: skip
        return _record(homes.params()), metrics

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
        log(INFO, "\tfedboard: integer updates of homes")


def _record(params: array[int]) -> ArrayRecord:
    return ArrayRecord([np.asarray(params, dtype=np.int16)])
