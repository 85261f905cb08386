"""The simulator gives the bits of the real thing: network, board, host."""

from __future__ import annotations

import asyncio
from array import array
from binascii import crc32
from types import SimpleNamespace

import numpy as np
import pytest

from fedboard import delta, messages, prng
from fedboard.base import MemoryBase
from fedboard.delta import encode_delta
from fedboard.dfa import Network
from fedboard.learner import Learner
from fedboard.model import Spec, init_params, new_params, with_centre
from fedboard.order import Order
from fedboard_host import fleet_squeeze, strategies
from fedboard_host.dataset import Set
from fedboard_host.fleet import Fleet
from fedboard_host.fleet_judge import FleetJudge
from fedboard_host.fleet_order import in_order
from fedboard_host.fleet_rounds import FleetFederation
from fedboard_host.judge import Judge, network
from fedboard_host.strategies import centring
from federations import N_CLASSES, N_IN, blobs
from federations import Fleet as RealFleet

RULES = ("tifed", "fedboard")


def spec_of(n_in, hidden, n_out, rule, seed):
    return Spec(with_centre((n_in, hidden, n_out), rule), rule, seed)


def samples(n, n_in, n_out, seed=0):
    rng = np.random.default_rng(seed)
    return Set(rng.integers(-128, 128, (n, n_in)).astype(np.int8), rng.integers(0, n_out, n))


def start(spec):
    params = new_params(spec)
    init_params(spec, params)
    return params


@pytest.mark.parametrize("rule", [*RULES, "centred"])
@pytest.mark.parametrize("sizes", [(12, 10, 4), (20, 16, 9, 5), (7, 3)])
@pytest.mark.parametrize(
    ("batch", "rate", "layers"), [(1, 0, 0), (4, 3, 0), (7, 1, 1), (25, 12, 0), (50, 28, 0)]
)
def test_networks_are_equal(rule, sizes, batch, rate, layers):
    spec = Spec(with_centre(sizes, rule), rule, 7)
    own = samples(120, sizes[0], sizes[-1])
    x, y = own.x.reshape(3, 40, -1), own.y.reshape(3, 40)
    lengths = np.array([40, 37, 11])
    fleet = Fleet(spec, 3)
    fleet.load(fleet.pack(np.asarray(start(spec))))
    for _ in range(2):
        fleet.learn(x, y, batch, layers, rate, lengths)
    found = fleet.unpack(fleet.lanes)
    for b in range(3):
        params = start(spec)
        net = network(spec)
        net.params[:] = params
        net.configure(batch, layers, rate)
        for _ in range(2):
            for s in range(lengths[b]):
                net.learn(array("b", x[b, s].tobytes()), int(y[b, s]))
            net.flush()
        assert found[b].tolist() == net.params.tolist()
        classes = [net.predict(array("b", row.tobytes())) for row in x[b]]
        assert fleet.predict(x)[b].tolist() == classes


@pytest.mark.parametrize("rule", RULES)
def test_sums_beyond_float32_are_exact(rule):
    spec = Spec((300, 40, 10), rule, 3)
    own = samples(100, 300, 10)
    params = start(spec)
    rng = np.random.default_rng(1)
    for l in range(2):
        for i in range(spec.at(l), spec.at(l + 1)):
            params[i] = int(rng.integers(-spec.limit(l), spec.limit(l) + 1))
    fleet = Fleet(spec, 1)
    fleet.load(fleet.pack(np.asarray(params)))
    fleet.learn(own.x[None], own.y[None], 50, 0, 1)
    net = Network(spec, params, 50, 0, 1)
    for s in range(100):
        net.learn(array("b", own.x[s].tobytes()), int(own.y[s]))
    assert fleet.unpack(fleet.lanes)[0].tolist() == params.tolist()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("rate", "meets"), [(0, False), (1, True)])
def test_inputs_without_variation_are_squeezed(rule, rate, meets, monkeypatch):
    spec = Spec((500, 40, 10), rule, 3)
    own = samples(120, 500, 10)
    own.x[:, 100:] = 77
    own.x[:, 300:310] = -5
    own.x[60:, 400:] = -128
    own.x[7, 200:250] = 3
    x, y = own.x.reshape(2, 60, 500), own.y.reshape(2, 60)
    finished = []
    finish = fleet_squeeze.SqueezedLayer.finish
    monkeypatch.setattr(
        fleet_squeeze.SqueezedLayer, "finish", lambda *args: finished.append(finish(*args))
    )
    fleet = Fleet(spec, 2)
    fleet.load(fleet.pack(np.asarray(start(spec))))
    for _ in range(3):
        fleet.learn(x, y, 20, 0, rate)
    found = fleet.unpack(fleet.lanes)
    assert len(finished) == 3 or meets
    for b in range(2):
        params = start(spec)
        net = Network(spec, params, 20, 0, rate)
        for _ in range(3):
            for s in range(60):
                net.learn(array("b", x[b, s].tobytes()), int(y[b, s]))
        assert found[b].tolist() == params.tolist()
    assert (max(map(abs, params)) == spec.limit(0)) == meets


@pytest.mark.parametrize("rule", RULES)
def test_boards_are_summed_without_copies(rule):
    spec = Spec((500, 40, 10), rule, 3)
    own = samples(120, 500, 10)
    own.x[:, 100:] = 77
    x, y = own.x.reshape(2, 60, 500), own.y.reshape(2, 60)
    fleet = Fleet(spec, 2)
    common = fleet.pack(np.asarray(start(spec)))
    for rate in (0, 1):  # at the latter weights meet their limits
        fleet.load(common)
        assert not fleet.summed_changes(common).any()
        for _ in range(2):
            fleet.learn(x, y, 20, 0, rate)
            total, travel = fleet.summed_changes(common), fleet.travel
            changes = fleet.changes(common)
            assert (total == fleet.unpack(changes).sum(axis=0)).all()
            assert np.abs(changes).max() <= travel


@pytest.mark.parametrize("n", [1, 2, 7, 50, 1000])
def test_orders_are_equal(n):
    for seed in range(5):
        order = Order(n, seed)
        assert in_order(n, seed, n).tolist() == [order.next() for _ in range(n)]


class Boards:
    """The shared learner and the real codec on the host's own aggregation: no wire."""

    def __init__(self, spec, strategy, own, rows, run):
        self.spec, self.strategy, self.run = spec, strategy, run
        self.names = [f"board{b:05d}" for b in range(len(rows))]
        self.learners = [
            Learner(MemoryBase(), Set(own.x[rows[b]], own.y[rows[b]])) for b in range(len(rows))
        ]
        self.merger = strategy.merger(spec)
        self.merger.start(strategy.start(spec))
        self.models = {0: None}
        self.bytes_up = self.bytes_down = 0

    def round(self, number, asked):
        model = self.merger.params()
        self.models[number] = model
        infos = [
            strategies.BoardInfo(n, "", n_samples=len(b.samples), n_in=self.spec.sizes[0])
            for n, b in zip(self.names, self.learners, strict=True)
            if n in asked
        ]
        for name, work in self.strategy.plan(self.spec, infos, number).items():
            learner = self.learners[self.names.index(name)]
            task = SimpleNamespace(
                **{k: getattr(work, k) for k in work.__slots__}, op=messages.TRAIN, round=number,
                version=number, spec=self.spec.pack(),
                flags=work.flags, seed=prng.mix(self.run, crc32(name.encode())),
            )  # fmt: skip
            learner.prepare(task)
            digest = self.spec.digest(model)
            encoding, meta, data = encode_delta(self.spec, self.models[learner.base.version], model)
            self.bytes_down += len(meta) + len(data)
            begin = SimpleNamespace(
                encoding=encoding, meta=meta, n_bytes=len(data), version=number, digest=digest
            )
            rebase = learner.rebase(begin, work.carry)
            rebase.feed(data)
            rebase.finish()
            for _ in learner.train(task):
                pass
            made = learner.update
            stream = b"".join(made.chunks())
            self.bytes_up += len(stream) + len(made.meta())
            parsed = delta.parse_update(self.spec, work.sent, made.meta(), stream)
            self.merger.add(parsed, self.merger.weight(learner.done))
            learner.settle()
        self.merger.merge()


STRATEGIES = [
    ("fedboard", "fedavg", {"batch": 5, "rate": 6, "carry": False}),
    ("fedboard", "fedavg", {"batch": 5, "epochs": 2, "average_shift": 2, "n_max": 9}),
    ("fedboard", "fedavg", {"batch": 3, "rate": 4, "top_percent": 5, "bits": 4}),
    ("fedboard", "fedavg", {"rate": 2, "top_percent": 2, "bits": 1, "down_percent": 5}),
    ("fedboard", "fedavg", {"batch": 4, "top_percent": 20, "bits": 6, "carry": False}),
    ("tifed", "tifed-full", {"batch": 5, "epochs": 3, "rate": 512}),
    ("tifed", "tifed-full", {"batch": 5, "rate": 1}),
    ("tifed", "tifed-single-layer", {"batch": 5, "rate": 300}),
    ("fedboard", "tifed-single-layer", {"batch": 5}),
    ("fedboard", "fedavg-single-layer", {"batch": 5, "top_percent": 10, "bits": 4, "gain": 2}),
    ("fedboard", "tinyreptile", {"rate": 6, "rounds": 6}),
    ("fedboard", "reptile", {"rate": 5, "rate_last": 8, "rounds": 5, "n_max": 33, "batch": 4}),
    ("tifed", "reptile", {"rate": 512, "alpha": 0.4, "alpha_last": 0.3, "epochs": 3, "select": 2}),
    ("fedboard", "tinymetafed", {"rate": 5, "rounds": 5, "n_max": 40, "n_local": 13, "select": 2}),
    (
        "fedboard",
        "tinymetafed",
        {
            "rate": 4,
            "in_turn": True,
            "top_percent": 50,
            "rounds": 4,
            "top_percent_last": 5,
            "down_percent_last": 40,
            "carry": False,
        },
    ),
    (
        "fedboard",
        "tinymetafed",
        {"rate": 5, "rounds": 5, "n_max": 40, "keep_local": True, "alpha": 0.5},
    ),
    ("centred", "fedavg", {"batch": 3, "rate": 4, "top_percent": 20, "bits": 4, "gain": 2}),
    ("centred", "tinymetafed", {"rate": 5, "rounds": 5, "n_max": 40, "alpha": 0.5}),
]


@pytest.mark.parametrize(("rule", "name", "parameters"), STRATEGIES)
@pytest.mark.parametrize("n_select", [0, 3])
def test_federations_are_equal(rule, name, parameters, n_select):
    spec = spec_of(6, 8, 4, rule, 5)
    own = samples(150, 6, 4, 2)
    rows = np.split(np.arange(150), [10, 35, 50, 90, 91])
    strategy = strategies.make(name, parameters)
    fleet = FleetFederation(spec, strategy, own, rows, run=9, n_select=n_select, count=True)
    boards = Boards(spec, centring.for_model(strategy, spec), own, rows, 9)
    bytes_up = bytes_down = 0
    for number in range(1, 6):
        infos = [strategies.BoardInfo(n, "") for n in boards.names]
        everyone = fleet._strategy.asks_all(number)
        asked = {info.name for info in fleet._policy.select(infos, 9, number, everyone)}
        boards.round(number, asked)
        report = fleet.round()
        bytes_up += report.bytes_up
        bytes_down += report.bytes_down
        assert fleet.params.tolist() == boards.merger.params().tolist()
        assert fleet.result.tolist() == boards.merger.result().tolist()
    assert bytes_up == boards.bytes_up
    assert bytes_down == boards.bytes_down


@pytest.mark.parametrize("rule", [*RULES, "centred"])
def test_judges_are_equal(rule):
    spec = spec_of(6, 8, 4, rule, 5)
    own = samples(700, 6, 4, 2)
    params = start(spec)
    for i in range(len(params)):
        params[i] += i * 37 % 1001 - 500
    assert FleetJudge(spec, own)(np.asarray(params)) == Judge(spec, own)(params)[0]


@pytest.mark.parametrize(("rule", "name", "parameters"), STRATEGIES[1:8:2] + STRATEGIES[13:])
def test_a_restored_federation_goes_on(rule, name, parameters):
    spec = spec_of(6, 8, 4, rule, 5)
    own = samples(150, 6, 4, 2)
    strategy = strategies.make(name, parameters)
    made = [
        FleetFederation(spec, strategy, own, np.split(np.arange(150), 6), n_select=4)
        for _ in range(2)
    ]
    for _ in range(3):
        made[0].round()
    made[1].restore(made[0].state())
    for _ in range(2):
        assert made[0].round() == made[1].round()
        assert made[0].result.tolist() == made[1].result.tolist()


def test_exact_updates_without_counting_are_equal():
    spec = Spec((6, 8, 4), "fedboard", 5)
    own = samples(150, 6, 4, 2)
    rows = np.split(np.arange(150), 5)
    made = []
    for count in (True, False):
        strategy = strategies.make("fedavg", {"batch": 5, "carry": False})
        fleet = FleetFederation(spec, strategy, own, rows, count=count)
        for _ in range(3):
            fleet.round()
        made.append(fleet.params.tolist())
    assert made[0] == made[1]


@pytest.mark.parametrize(("rule", "name", "parameters"), STRATEGIES[2:7:2] + STRATEGIES[10:])
def test_the_real_protocol_gives_the_same_model(tmp_path, rule, name, parameters):
    spec = spec_of(N_IN, 10, N_CLASSES, rule, 7)
    strategy = strategies.make(name, parameters)

    async def real():
        async with RealFleet(tmp_path, 3, spec=spec, strategy=strategy) as fleet:
            return await fleet.run(3)

    result = asyncio.run(real())
    own = [blobs(b, 24) for b in range(3)]
    x = np.array([row for each in own for row in each._rows], np.int8)
    y = np.array([label for each in own for label in each._labels])
    fleet = FleetFederation(
        spec, strategy, Set(x, y), np.split(np.arange(72), 3), run=11, names=["b0", "b1", "b2"]
    )
    for _ in range(3):
        fleet.round()
    assert fleet.params.tolist() == list(result.params)
