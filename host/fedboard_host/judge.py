"""Judging a model on held-out samples, and training without federation to compare with.

All in the boards' own arithmetic, dfa's or mlp's: what is measured is what a board would do.
"""

from __future__ import annotations

from array import array
from typing import Any

from fedboard import DataError, centre, mlp, prng
from fedboard.dfa import Network
from fedboard.model import Spec, new_params
from fedboard.order import Order
from fedboard_host.dataset import Set
from fedboard_host.strategies.base import BoardInfo, Strategy


class Judge:
    """judge(params) -> (accuracy 0 to 1, mean loss in the rule's unit) on held-out samples.

    Where numbers are predicted, no classes, there is no accuracy: None.

    counts: of the last call, how many of each class were taken for which: [class][prediction].
    """

    def __init__(self, spec: Spec, own: Set) -> None:
        self.spec = spec
        if own.n_in != spec.sizes[0]:
            raise DataError(
                f"the held-out samples have {own.n_in} features, the model {spec.sizes[0]} "
                "inputs: use samples of the same features"
            )
        n_out = spec.sizes[-1]
        self._has_classes = spec.rule != "float-squared"
        if not self._has_classes:
            if own.n_targets != n_out or not len(own):
                raise DataError(f"held-out samples need {n_out} targets each, at least one sample")
        elif own.n_targets or not len(own) or own.y.max() >= n_out or own.y.min() < 0:
            raise DataError(f"held-out samples need labels from 0 to {n_out - 1}, at least one")
        self._net = network(spec)
        self._samples = own
        self._x = array("b", bytes(spec.sizes[0]))
        self.counts: tuple[tuple[int, ...], ...] = ()

    def __call__(self, params: array[int]) -> tuple[float | None, float]:
        net, x = self._net, self._x
        if self.spec.is_float:
            net.load(params)
        else:
            net.params[:] = params
        n_out = self.spec.sizes[-1]
        counts = [[0] * n_out for _ in range(n_out if self._has_classes else 0)]
        loss = 0
        for i in range(len(self._samples)):
            target = self._samples.read(i, x)
            predicted = net.predict(x)
            if self._has_classes:
                counts[target][predicted] += 1
            loss += net.loss(target)
        self.counts = tuple(tuple(row) for row in counts)
        n_correct = sum(row[k] for k, row in enumerate(counts))
        accuracy = n_correct / len(self._samples) if self._has_classes else None
        return accuracy, loss / (net.loss_scale * len(self._samples))


def network(spec: Spec) -> Any:
    """A dfa.Network, centre.Network or mlp.Network of zeros, as the rule wants it."""
    if spec.is_float:
        return mlp.make(spec, mlp.new_params(spec))
    return (centre.Network if spec.is_centred else Network)(spec, new_params(spec))


def train_centrally(spec: Spec, strategy: Strategy, own: Set, rounds: int, run: int) -> array[int]:
    """The model after `rounds` rounds on the samples in one place, without any wire.

    The same rule, batch, rate and passes a round as a board's under `strategy`, and the same
    running average of the models; changes are merged dense and exact, all layers trained.
    """
    board = BoardInfo("central", "", n_samples=len(own), n_in=own.n_in)
    work = strategy.plan(spec, [board], 1)["central"]
    params = strategy.start(spec)
    merger = strategy.alone().merger(spec)
    merger.start(params)
    net = Network(spec, params, work.batch, 0, work.rate)
    x = array("b", bytes(spec.sizes[0]))
    n = len(own)
    everywhere = [(l, array("i", range(spec.n_layer_params(l)))) for l in range(spec.n_layers)]
    for round_no in range(1, rounds + 1):
        before = array("h", params)
        for epoch in range(work.epochs):
            order = Order(n, prng.mix(run, round_no, epoch))
            for _ in range(n):
                label = own.read(order.next(), x)
                net.learn(x, label)
        net.flush()
        change = [
            (l, at, array("i", [params[k] - before[k] for k in range(spec.at(l), spec.at(l + 1))]))
            for l, at in everywhere
        ]
        merger.add(change, merger.weight(n))
        params[:] = merger.merge()
    return merger.result()
