"""Rule "centred": the mean of the features is measured, kept in the model, and subtracted."""

from __future__ import annotations

import asyncio
from array import array

import pytest

from fedboard import DataError, centre, messages, personal
from fedboard.base import MemoryBase
from fedboard.collect import shares
from fedboard.learner import Learner
from fedboard.model import CENTRE_BITS, Spec, init_params, new_params, unpack_spec, with_centre
from fedboard_host import strategies
from fedboard_host.strategies import BoardInfo, centring
from fedboard_host.virtual import ArraySamples
from federations import N_CLASSES, N_IN, Fleet, blobs

SPEC = Spec((4, 4, 6, 3), "centred", 7)


def network(spec=SPEC, **options):
    params = new_params(spec)
    init_params(spec, params)
    return centre.Network(spec, params, **options)


def x(*values):
    return array("b", values)


def test_spec():
    assert with_centre((4, 6, 3), "centred") == SPEC.sizes
    assert with_centre((4, 6, 3), "fedboard") == (4, 6, 3)
    assert unpack_spec(SPEC.pack()) == SPEC
    assert (SPEC.shape(0), SPEC.shape(1)) == ((0, 4), (4, 6))
    assert str(SPEC) == "4-6-3 centred"
    assert SPEC.n_params == 4 + 5 * 6 + 7 * 3
    assert SPEC.limit(0) == 127 << CENTRE_BITS
    for sizes in ((4, 3), (4, 6, 3)):
        with pytest.raises(DataError, match="begin with the inputs, twice"):
            Spec(sizes, "centred")


def test_the_mean_is_measured_and_subtracted():
    net = network(layers=1)
    weights = net.params[4:]
    for sample in ((10, -128, 127, 0), (11, -128, 127, 1), (10, -128, 127, 0)):
        assert not net.learn(x(*sample), 0)
    assert net.params[:4].tolist() == [0, 0, 0, 0]  # not before it is complete
    assert net.flush()
    assert net.params[:4].tolist() == [2645, -32512, 32512, 85]
    assert net.params[4:] == weights
    assert net.n_seen == 3
    net.predict(x(10, -128, -128, 127))
    assert net.features(0).tolist() == [0, -1, -127, 127]
    assert not net.flush()


def test_it_learns_what_an_offset_hides():
    """Three classes that differ little beside a large offset in all features."""
    samples = [(x(*[100 + 20 * (k == i % 3) for k in range(4)]), i % 3) for i in range(30)]

    def accuracy(layers):
        net = network(layers=layers)
        for sample, label in samples:
            net.learn(sample, label)
        net.flush()
        net.configure(rate=6)
        for _ in range(20):
            net.reset_counters()
            for sample, label in samples:
                net.learn(sample, label)
        return net.n_correct / net.n_seen

    assert accuracy(1) == 1
    assert accuracy(6) < 0.5


def test_personal_models_and_shares():
    """To adapt never moves the mean; the classes' shares are as rule fedboard's."""
    samples = ArraySamples(
        [[90, 90 + 9 * (i % 3), 0, i] for i in range(30)], [i % 3 for i in range(30)]
    )
    store = MemoryBase()
    learner = Learner(MemoryBase(), samples, personal=lambda: store)
    params = new_params(SPEC)
    init_params(SPEC, params)
    params[0] = 90 << CENTRE_BITS
    learner.base.begin(SPEC.pack())
    learner.base.write(params)
    learner.base.commit(1, SPEC.digest(params))
    task = messages.Task(
        op=messages.ADAPT, round=1, shots=5, n_max=60, batch=1, rate=6, seed=1, flags=messages.KEEP
    )
    learner.prepare(task)
    said = messages.Metrics()
    for _ in personal.adapt(learner, task, said):
        pass
    assert said.n == 15
    own = array("h", bytes(2 * SPEC.n_params))
    store.read(0, own)
    assert own[:4] == params[:4]
    assert own[4:] != params[4:]
    learner.net.predict(x(1, 2, 3, 4))
    assert abs(sum(shares(learner.net)[1::2]) - 255) < 3


def test_a_dropped_measurement_leaves_nothing_behind():
    """A round that is overtaken while the mean is measured: the next begins with the model's."""
    samples = ArraySamples([[50, 60, 70, 80]] * 6, [0] * 6)
    learner = Learner(MemoryBase(), samples)
    params = new_params(SPEC)
    learner.base.begin(SPEC.pack())
    learner.base.write(params)
    learner.base.commit(1, SPEC.digest(params))
    task = messages.Task(
        op=messages.TRAIN, round=1, version=1, digest=SPEC.digest(params), spec=SPEC.pack(),
        layers=1, epochs=1, batch=1, top_permille=1000, bits=16, flags=messages.CARRY,
    )  # fmt: skip
    learner.prepare(task)
    steps = learner.train(task)
    next(steps)
    learner.drop()
    assert learner.params[0] == 50 << CENTRE_BITS
    task.layers, task.round = 6, 2
    learner.prepare(task)
    for _ in learner.train(task):
        pass
    assert learner.params[:4].tolist() == [0, 0, 0, 0]
    assert [part.layer for part in learner.update.parts] == [1, 2]


def test_a_federation_measures_first_whatever_it_sends_later(tmp_path):
    spec = Spec((N_IN, N_IN, 10, N_CLASSES), "centred", 7)
    strategy = strategies.make("fedavg", {"batch": 4, "top_percent": 5, "bits": 1, "gain": 3})

    async def body():
        async with Fleet(tmp_path, 3, spec=spec, strategy=strategy) as fleet:
            result = await fleet.run(1)
            return list(result.params), list((await fleet.run(3)).params)

    first, last = asyncio.run(body())
    rows = [row for b in range(3) for row in blobs(b, 24)._rows]
    for i in range(N_IN):
        mean = 256 * sum(row[i] for row in rows) / len(rows)
        assert abs(first[i] - mean) <= 1
    start = new_params(spec)
    init_params(spec, start)
    assert first[N_IN:] == list(start[N_IN:])
    assert last[:N_IN] == first[:N_IN]
    assert last[N_IN:] != first[N_IN:]


def test_plans():
    inner = strategies.make("fedavg", {"batch": 100, "top_percent": 5, "bits": 2})
    spec = Spec((600, 600, 64, 10), "centred", 7)
    plain = Spec((600, 64, 10), "fedboard", 7)
    boards = [BoardInfo("a", ""), BoardInfo("small", "", free_ram=2 * spec.n_params + 20_000)]
    strategy = centring.for_model(inner, spec)
    first = strategy.plan(spec, boards, 1)
    assert {(w.layers, w.top_permille, w.bits) for w in first.values()} == {(1, 1000, 16)}
    later = strategy.plan(spec, boards, 2)
    assert {name: w.layers >> 1 for name, w in later.items()} == {
        name: w.layers for name, w in inner.plan(plain, boards, 2).items()
    }
    assert [w.layers for w in later.values()] == [0b110, 0b100]
    goes_on = centring.for_model(inner, spec, measures=False)
    assert goes_on.plan(spec, boards, 1) == later
    assert centring.for_model(inner, plain) is inner
