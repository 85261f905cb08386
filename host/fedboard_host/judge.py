"""Judging a model on held-out samples, and training without federation to compare with.

All in the boards' own integers, through fedboard.dfa: what is measured is what a board would do.
"""

from __future__ import annotations

from array import array

from fedboard import DataError, prng
from fedboard.dfa import Network
from fedboard.model import Spec, init_params, new_params
from fedboard.order import Order
from fedboard_host.dataset import Set
from fedboard_host.strategies.base import BoardInfo, Strategy


class Judge:
    """judge(params) -> (accuracy 0 to 1, mean loss in the rule's unit) on held-out samples."""

    def __init__(self, spec: Spec, own: Set) -> None:
        if own.n_in != spec.sizes[0]:
            raise DataError(
                f"the held-out samples have {own.n_in} features, the model {spec.sizes[0]} "
                "inputs: use samples of the same features"
            )
        n_out = spec.sizes[-1]
        worst = max(own.y.tolist(), default=0)
        if not len(own) or worst >= n_out or min(own.y.tolist()) < 0:
            raise DataError(f"held-out samples need labels from 0 to {n_out - 1}, at least one")
        self._params = new_params(spec)
        self._net = Network(spec, self._params)
        self._samples = own
        self._x = array("b", bytes(spec.sizes[0]))

    def __call__(self, params: array[int]) -> tuple[float, float]:
        self._params[:] = params
        net, x = self._net, self._x
        n_correct = 0
        loss = 0
        for i in range(len(self._samples)):
            label = self._samples.read(i, x)
            n_correct += net.predict(x) == label
            loss += net.loss(label)
        return n_correct / len(self._samples), loss / len(self._samples)


def train_centrally(spec: Spec, strategy: Strategy, own: Set, rounds: int, run: int) -> array[int]:
    """The model after `rounds` rounds on the samples in one place, without any wire.

    The same rule, batch, rate and passes a round as a board's under `strategy`, and the same
    running average of the models; changes are merged dense and exact, all layers trained.
    """
    board = BoardInfo("central", "", n_samples=len(own), n_in=own.n_in)
    work = strategy.plan(spec, [board], 1)["central"]
    params = new_params(spec)
    init_params(spec, params)
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
