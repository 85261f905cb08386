"""Recording, listing, removing and predicting: a whole board with a sensor, and its hub."""

from __future__ import annotations

import os
from array import array

import pytest

from fedboard import DataError, cohort, collect, messages, party, wire
from fedboard.base import MemoryBase
from fedboard.board import Board
from fedboard.channel import MOST_UNHEARD
from fedboard.hub import Hub, Joined
from fedboard.model import Spec, init_params, new_params
from fedboard.node import Identity
from fedboard_host.virtual import ArraySamples

SPEC = Spec((4, 6, 3), seed=5)
TICK_MS = 5


class Sensor:
    """Every third reading fills a sample: the label, and how many came before."""

    n_in = 4
    period_ms = 20

    def __init__(self) -> None:
        self.label = -1
        self.n = 0
        self.breaks_at = -1
        self.times: list[int] = []

    def start(self, label: int) -> None:
        self.label = label
        self.n = 0

    def poll(self, x: array[int]) -> bool:
        self.n += 1
        if self.n == self.breaks_at:
            raise DataError("the sensor cannot be read: OSError: 5")
        if self.n % 3:
            return False
        for i in range(4):
            x[i] = 10 * self.label + self.n // 3
        return True


class World:
    """A board with a sensor and some samples, and a hub: joined."""

    def __init__(self, labels=(0, 0, 1), with_sensor=True, model=True) -> None:
        self.sensor = Sensor()
        self.samples = ArraySamples([[i % 99] * 4 for i in range(len(labels))], list(labels))
        self.base = MemoryBase()
        self.own = MemoryBase()
        if model:
            self.keep(self.base, 3, seed=5)
        self.said: list[str] = []
        self.board = Board(
            Identity("lab", b"1", 4), None, self.base, self.samples, os.urandom,
            log=self.said.append, personal=lambda: self.own,
            open_sensor=self.open_sensor if with_sensor else None,
        )  # fmt: skip
        self.n_opened = 0
        self.now_ms = 0
        self.events: list[object] = []
        self.connect()

    def open_sensor(self):
        self.n_opened += 1
        return self.sensor

    def keep(self, base, version, seed):
        spec = Spec(SPEC.sizes, seed=seed)
        params = new_params(spec)
        init_params(spec, params)
        base.begin(SPEC.pack())
        base.write(params)
        base.commit(version, SPEC.digest(params))

    def connect(self):
        self.hub = Hub(None, os.urandom)
        self.hub.open(self.now_ms)
        self.board.open(self.now_ms)
        self.run(lambda: any(isinstance(e, Joined) for e in self.events))
        self.events.clear()

    def run(self, done, ticks=4000):
        for _ in range(ticks):
            self.board.receive(self.hub.outgoing(self.now_ms), self.now_ms)
            self.board.step(self.now_ms)
            self.events += self.hub.receive(self.board.outgoing(self.now_ms), self.now_ms)
            if done():
                return
            self.now_ms += TICK_MS
        raise AssertionError(f"nothing came of it: {self.events}")

    def found(self, kind):
        return [e for e in self.events if isinstance(e, kind)]

    def ask(self, message, until):
        """Send it; the events until that is true of one of them."""
        self.events.clear()
        self.hub.send(message)
        self.run(lambda: any(until(e) for e in self.events))
        return self.events

    def error(self, message):
        self.ask(message, lambda e: isinstance(e, messages.Error))
        (error,) = self.found(messages.Error)
        assert error.round == message.token
        return error.text

    def record(self, **fields):
        self.ask(
            collect.Record(token=7, **fields),
            lambda e: isinstance(e, messages.Error) or (isinstance(e, collect.Recorded) and e.done),
        )
        return self.found(collect.Recorded)[-1]

    def labels(self, message=None):
        self.ask(
            message or collect.Labels(token=9), lambda e: isinstance(e, collect.Runs) and not e.more
        )
        found = []
        for runs in self.found(collect.Runs):
            assert runs.first == len(found)
            for at in range(0, len(runs.runs), 3):
                label, low, high = runs.runs[at : at + 3]
                found += [label] * (low + 256 * high)
        return found


def test_record_so_many():
    world = World()
    done = world.record(label=2, n=5)
    assert (done.token, done.n, done.n_all) == (7, 5, 8)
    assert len(world.samples) == 8
    x = array("b", bytes(4))
    assert [(world.samples.read(3 + i, x), list(x)) for i in range(2)] == [
        (2, [21] * 4), (2, [22] * 4),
    ]  # fmt: skip
    reports = world.found(collect.Recorded)
    assert reports[0].n == 0  # at once: the sensor is there
    assert [r.n for r in reports] == sorted(r.n for r in reports)
    world.run(lambda: world.found(messages.Status))
    assert world.found(messages.Status)[-1].n_samples == 8


@pytest.mark.parametrize("message", [
    collect.Labels(token=9), cohort.Peer(round=9, nonce=bytes(16), place=0, of=3, name="lab"),
])  # fmt: skip
def test_no_room_for_the_code_is_told_of_and_the_session_goes_on(monkeypatch, message):
    def unpack(kind, payload, load=messages.unpack):
        if kind == message.KIND:
            raise MemoryError
        return load(kind, payload)

    world = World()
    world.board.learner.party = party.Party(bytes(32), "lab")
    monkeypatch.setattr(messages, "unpack", unpack)
    world.ask(message, lambda e: isinstance(e, messages.Error))
    (error,) = world.found(messages.Error)
    assert (error.code, error.round) == (messages.NO_MEMORY, 9)
    assert "restart the board" in error.text
    assert world.said == ["joined", error.text]
    monkeypatch.undo()
    assert world.labels() == [0, 0, 1]


def test_record_so_long():
    world = World()
    started_ms = world.now_ms
    done = world.record(label=1, duration_ms=1000)
    assert 1000 <= world.now_ms - started_ms < 1100
    assert done.n == 50 // 3


def test_record_until_stop_and_begin_again():
    world = World()
    world.hub.send(collect.Record(token=7, label=1))
    world.run(lambda: any(r.n >= 4 for r in world.found(collect.Recorded)))
    assert world.board.busy
    assert world.board.wait_ms(world.now_ms, 1000) <= world.sensor.period_ms
    done = world.ask(collect.Stop(token=7), lambda e: isinstance(e, collect.Recorded))[-1]
    assert done.done == 1
    assert done.n >= 4
    world.run(lambda: not world.board.busy)
    assert world.record(label=0, n=1).n == 1
    assert world.n_opened == 1


def test_first_samples_of_a_board_can_be_learned():
    world = World(labels=())
    assert world.record(label=2, n=4).n_all == 4
    task = messages.Task(
        run=1, round=1, version=3, digest=world.base.digest, op=messages.EVALUATE, spec=SPEC.pack()
    )
    world.ask(task, lambda e: isinstance(e, messages.Metrics))
    assert world.found(messages.Metrics)[0].n == 4


def test_slow_sensor_is_not_hurried():
    world = World()
    world.hub.send(collect.Record(token=7, label=1, n=1000))
    world.run(lambda: world.sensor.n > 3)
    world.now_ms += 60_000
    before = world.sensor.n
    for _ in range(100):
        world.board.step(world.now_ms)
    assert world.sensor.n - before <= 55  # a second's worth, not a minute's


def test_labels_come_as_runs():
    world = World(labels=(0, 0, 1, 1, 1, 0))
    assert world.labels() == [0, 0, 1, 1, 1, 0]
    assert world.found(collect.Runs)[0].n_in == 4
    many = [i % 3 for i in range(200)]
    assert World(labels=many).labels() == many
    assert World(labels=()).labels() == []


@pytest.mark.parametrize(
    ("remove", "left"),
    [
        ({"label": 1}, [0, 0, 2]),
        ({"label": collect.ANY, "n_last": 2}, [0, 1, 0]),
        ({"label": 0, "n_last": 1}, [1, 1]),
        ({"label": 5}, [0, 1, 0, 1, 2]),
        ({"label": collect.ANY, "n_last": 99}, []),
    ],
)
def test_remove(remove, left):
    world = World(labels=(0, 1, 0, 1, 2))
    assert world.labels(collect.Remove(token=1, **remove)) == left
    assert len(world.samples) == len(left)


def test_predict():
    world = World()
    world.ask(
        collect.Predict(token=4, n=3), lambda e: isinstance(e, collect.Prediction) and e.number == 3
    )
    net = world.board.learner.net
    for n, prediction in enumerate(world.found(collect.Prediction), 1):
        assert (prediction.token, prediction.number, prediction.version) == (4, n, 3)
        assert prediction.personal == 0
        labels, odds = prediction.shares[::2], prediction.shares[1::2]
        assert labels[0] == net.predict(array("b", [n - 10] * 4))  # label -1 is what the sensor got
        assert sorted(labels) == [0, 1, 2]
        assert list(odds) == sorted(odds, reverse=True)
        assert 252 <= sum(odds) <= 255
    world.run(lambda: not world.board.busy)


def test_predict_with_the_personal_model_and_give_it_back():
    world = World()
    world.keep(world.own, 2, seed=77)
    world.ask(collect.Predict(token=4, n=1), lambda e: isinstance(e, collect.Prediction))
    assert world.found(collect.Prediction)[0].personal == 1
    spec = Spec(SPEC.sizes, seed=5)
    expected = new_params(spec)
    init_params(spec, expected)
    assert world.board.learner.params == expected
    assert not world.board.learner.astray


def test_predictions_end_with_the_session():
    world = World()
    world.hub.send(collect.Predict(token=4))
    world.run(lambda: len(world.found(collect.Prediction)) > 3)
    world.events.clear()
    world.connect()
    n = world.sensor.n
    for _ in range(100):
        world.now_ms += TICK_MS
        world.board.step(world.now_ms)
    assert world.sensor.n == n


def test_task_ends_a_recording():
    world = World()
    world.hub.send(collect.Record(token=7, label=1))
    world.run(lambda: any(r.n >= 2 for r in world.found(collect.Recorded)))
    task = messages.Task(
        run=1, round=1, version=3, digest=world.base.digest, op=messages.EVALUATE, spec=SPEC.pack()
    )
    world.ask(task, lambda e: isinstance(e, messages.Metrics))
    assert [r.done for r in world.found(collect.Recorded)] == [1]
    assert world.found(messages.Metrics)[0].n == len(world.samples)


def test_not_while_it_learns():
    world = World()
    world.board.step(0)
    world.hub.send(
        messages.Task(
            run=1, round=1, version=3, digest=world.base.digest, op=messages.TRAIN, layers=3,
            epochs=200, batch=1, top_permille=1000, bits=16, spec=SPEC.pack(),
        )
    )  # fmt: skip
    assert "learning just now" in world.error(collect.Record(token=5, label=1))
    world.run(lambda: world.board.learner.update is not None)
    assert len(world.samples) == 3


def test_what_cannot_be_done():
    assert "no sensor" in World(with_sensor=False).error(collect.Record(token=1))
    assert "no model yet" in World(model=False).error(collect.Predict(token=2))
    world = World()
    world.sensor.n_in = 5
    assert "4 features, the sensor gives 5" in world.error(collect.Record(token=3, label=1))
    assert "4 inputs, the sensor 5 features" in world.error(collect.Predict(token=4))
    assert len(world.samples) == 3


def test_sensor_that_breaks_loses_nothing():
    world = World()
    world.sensor.breaks_at = 8
    assert "OSError: 5" in world.error(collect.Record(token=1, label=1))
    assert world.found(collect.Recorded)[-1].done == 1
    assert len(world.samples) == 5
    assert world.said == ["joined", "the sensor cannot be read: OSError: 5"]
    assert world.record(label=1, n=1).n == 1  # it is plugged in again


def test_a_host_that_hears_nothing_any_more_costs_no_memory():
    """It was killed, and its port stays open: predictions, reports and news of samples go on."""
    for message in (collect.Predict(token=1), collect.Record(token=1, label=2)):
        world = World()
        world.hub.send(message)
        world.run(lambda world=world: len(world.events) > 2)
        for _ in range(8000):
            world.sensor.n %= 90  # what it says are bytes
            world.board.step(world.now_ms)
            world.board.outgoing(world.now_ms)
            world.now_ms += TICK_MS
        assert world.board.collecting
        assert len(world.board.node.channel.queue) == MOST_UNHEARD
        world.connect()
        assert len(world.labels()) == len(world.samples)


def test_flash_that_fails_when_a_recording_ends_stops_nothing_else():
    world = World()
    world.hub.send(collect.Record(token=1, label=2))
    world.run(lambda: len(world.samples) > 4)

    def full():
        raise DataError("the flash is full")

    world.samples.flush = full
    world.board.open(world.now_ms)
    assert not world.board.collecting
    assert "the flash is full" in world.said


def test_shares_follow_the_rule():
    class Net:
        def __init__(self, rule, out):
            self.spec = Spec((2, len(out)), rule)
            self.out = out

    assert list(collect.shares(Net("fedboard", array("i", [0, 64])))) == [1, 170, 0, 85]
    assert list(collect.shares(Net("tifed", array("i", [16, 0])))) == [0, 240, 1, 15]
    assert list(collect.shares(Net("fedboard", array("i", [0] * 300))))[:4] == [0, 0, 1, 0]
    assert list(collect.shares(Net("fedboard", array("i", [0, 100_000_000])))) == [1, 255, 0, 0]
    half = Net("float", array("f", [0.0, 0.6931472]))
    assert list(collect.shares(half)) == pytest.approx([1, 170, 0, 85], abs=3)


def test_messages_fit_a_frame():
    worst = b"\x7e" * 200
    for message in (
        collect.Runs(runs=worst[: 3 * collect._RUNS]),
        collect.Prediction(shares=worst[: 2 * collect.MAX_SHARES]),
    ):
        payload = message.pack()
        assert wire.fit(payload, 0) == len(payload)
        assert len(payload) < 105
