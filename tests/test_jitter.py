"""What is learned is jittered, the same everywhere; the golden vectors have the numbers."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from device_lab import SPEC, InProcess, make_samples, make_task, start_params
from fedboard import centre, delta, messages
from fedboard.dfa import Network
from fedboard.model import Spec
from fedboard.order import Order
from fedboard.prng import Xorshift, mix
from interpreters import DEVICE, SHARED, run

LABEL = 512


def jittered(x, rng, amount):
    """The plain way, sample by sample."""
    return array("b", [max(-127, min(127, v + rng.below(2 * amount + 1) - amount)) for v in x])


def test_viper_is_right_and_takes_nothing_from_the_heap(micropython):
    script = Path(__file__).with_name("jitter_board.py")
    lines = run("micropython", script, paths=(SHARED, DEVICE)).decode().splitlines()
    assert lines[0] == "right blur"
    (fast, used, total), (pure, also, same) = (line.split() for line in lines[1:])
    assert (fast, pure) == ("viper", "pure")
    assert (used, also) == ("0", "0")
    assert total == same


@pytest.mark.parametrize("local", [0, 2])
def test_a_round_learns_jittered_samples(local):
    made, amount = make_samples(), 28
    start = start_params()
    task = make_task(
        start, 3, SPEC, epochs=2, batch=1, top_permille=1000, bits=16, jitter=amount,
        local=local, n_local=7 if local else 0,
    )  # fmt: skip
    board = InProcess(made)
    update = board.round(task, start)
    got = delta.parse_update(SPEC, 3 & ~local, update.begin.meta, update.data)
    net = Network(SPEC, array("h", start))
    rng = Xorshift(mix(task.seed, task.round, LABEL))
    passes = [mix(task.seed, task.round, epoch) for epoch in range(2)]
    if local:
        order = Order(len(made), mix(mix(task.seed, task.round, 256), 0))
        net.configure(1, local, task.rate)
        for _ in range(7):
            x, label = made[order.next()]
            net.learn(jittered(x, rng, amount), label)
    net.configure(1, task.layers, task.rate)
    for seed in passes:
        order = Order(len(made), seed)
        for _ in made:
            x, label = made[order.next()]
            net.learn(jittered(x, rng, amount), label)
    for l, indices, values in got:
        at = SPEC.at(l)
        for i, value in zip(indices, values, strict=True):
            assert start[at + i] + value == net.params[at + i]
    task.jitter = 0
    other = InProcess(made)
    assert other.round(task, start).data != update.data


def test_too_much_is_refused_and_nothing_lost():
    board = InProcess(make_samples())
    start = start_params()
    board.hub.send(make_task(start, 1, SPEC))  # the model is on its way: see round()
    board.round(make_task(start, 1, SPEC), start)
    for op in (messages.TRAIN, messages.ADAPT):
        board.hub.send(
            make_task(
                start, 2, SPEC, version=1, op=op, shots=5, n_max=9, batch=1, jitter=128,
            )
        )  # fmt: skip
        error = board.until(messages.Error)
        assert error.round == 2
        assert "jitter is 0 to 127, not 128" in error.text
    assert board.round(make_task(start, 3, SPEC, version=1, jitter=127), None).begin.round == 3


def test_a_centred_networks_mean_is_of_what_it_is_given():
    """So a federation asks for the mean without jitter: see strategies.centring."""
    spec = Spec((4, 4, 3, 2), "centred", 3)
    net = centre.Network(spec, array("h", bytes(2 * spec.n_params)), 1, 1)
    x = array("b", (1, 2, 3, 4))
    rng = Xorshift(9)
    blurred = jittered(x, rng, 5)
    net.learn(blurred, 0)
    net.flush()
    assert list(net.params[:4]) == [256 * v for v in blurred]
