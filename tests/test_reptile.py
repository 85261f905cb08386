"""The meta-learner: streams, exact interpolation, local layers, few shots; boards as simulated."""

from __future__ import annotations

from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import interpreters
from fedboard import DataError, StateError, delta, dfa, mlp, model, reptile, update
from fedboard.base import MemoryBase
from fedboard_host import metalearn
from fedboard_host.experiments import waves
from fedboard_host.metalearn import Setting
from fedboard_host.selection import dense_bytes


class Samples:
    """What a board has, in memory. read() notes what was asked for."""

    def __init__(self, xs, targets):
        self.xs, self.targets, self.n_in = xs, targets, len(xs[0])
        self.asked = []

    def __len__(self):
        return len(self.xs)

    def read(self, i, x):
        self.asked.append(i)
        for k in range(len(x)):
            x[k] = self.xs[i][k]
        return self.targets[i]


def integer_net(sizes=(6, 8, 3), seed=2, **options):
    spec = model.Spec(sizes, seed=seed)
    params = model.new_params(spec)
    model.init_params(spec, params)
    return dfa.Network(spec, params, **options), array("b", bytes(sizes[0]))


def float_net(sizes=(6, 8, 3), seed=2, **options):
    spec = model.Spec(sizes, seed=seed)
    image = model.new_params(spec)
    model.init_params(spec, image)
    net = mlp.Network(spec, mlp.new_params(spec), x_scale=1 / 128, **options)
    net.load(image)
    return net, array("b", bytes(sizes[0]))


def blobs(n, labels=(0, 1, 2), seed=1):
    """n samples in three places; labels: what the places are called in this task."""
    rng = np.random.default_rng(seed)
    places = np.random.default_rng(99).integers(-90, 91, (3, 6))
    which = rng.integers(0, 3, n)
    xs = np.clip(places[which] + rng.normal(0, 25, (n, 6)), -128, 127).astype(int)
    return Samples(xs.tolist(), [labels[k] for k in which])


@pytest.fixture(params=["integer", "float"])
def make(request):
    return integer_net if request.param == "integer" else float_net


def image_of(net):
    if isinstance(net, dfa.Network):
        return array("h", net.params)
    image = array("h", bytes(2 * net.spec.n_params))
    net.store(image)
    return image


def test_a_stream_is_one_pass_after_the_other(make):
    net, x = make(batch=4)
    samples = blobs(10)
    n_steps = sum(1 for _ in reptile.stream(net, samples, x, 23, seed=5))
    assert n_steps == 23 == net.n_seen
    assert not net.flush()  # what was left over has been applied
    assert sorted(samples.asked[:10]) == sorted(samples.asked[10:20]) == list(range(10))
    assert samples.asked[:10] != samples.asked[10:20]
    first = image_of(net)
    again, x = make(batch=4)
    for _ in reptile.stream(again, blobs(10), x, 23, seed=5):
        pass
    assert image_of(again) == first


@pytest.mark.parametrize("local", [0b01, 0b10])
def test_reconstruction_leaves_the_shared_layers_alone(make, local):
    usual, own = (6000, 9000) if make is float_net else (6, 4)
    net, x = make(batch=2, rate=usual)
    before = image_of(net)
    for _ in reptile.reconstruct(net, blobs(9), x, 15, 1, local, own):
        assert (net.layers, net.rate) == (local, own)
    after = image_of(net)
    for l in range(2):
        at, end = net.spec.at(l), net.spec.at(l + 1)
        assert (after[at:end] != before[at:end]) == bool(local >> l & 1)
    assert (net.batch, net.layers, net.rate) == (2, 0b11, usual)


def test_few_shots_and_back(make):
    net, x = make(rate=6000 if make is float_net else 5)
    initial = reptile.Start(image_of(net))
    few = reptile.FewShot(net, initial, local=0b10)
    exact = array(net.params.typecode, net.params)
    task = blobs(30, labels=(2, 0, 1))
    for _ in few.adapt(task, x, 300, n_local=30):
        pass
    tests = blobs(60, labels=(2, 0, 1), seed=7)
    right = sum(tests.read(i, x) == net.predict(x) for i in range(60))
    assert right > 50
    adapted = image_of(net)
    for _ in few.adapt(task, x, 300, n_local=30):  # from the initialization again, not from there
        pass
    assert image_of(net) == adapted
    few.restore()
    assert net.params == exact
    with pytest.raises(DataError, match="layers"):
        reptile.FewShot(net, initial, local=4)


def test_restore_takes_the_layers_that_it_is_told(make):
    net, x = make()
    start = image_of(net)
    for _ in reptile.stream(net, blobs(30), x, 90, 1):
        pass
    trained = image_of(net)
    reptile.restore(net, reptile.Start(start), 0b10)
    at = net.spec.at(1)
    assert image_of(net) == trained[:at] + start[at:]
    assert trained[at:] != start[at:]


PARAMETER = st.integers(-32767, 32767)


@given(
    st.lists(
        st.tuples(st.lists(PARAMETER, min_size=4, max_size=4), st.integers(0, 4096)), max_size=20
    )
)
def test_nothing_is_lost_to_rounding(steps):
    phi, rest = array("h", (0, 1, -30000, 32767)), array("h", bytes(8))
    exact = [value << reptile.ALPHA_BITS for value in phi]
    for tuned, alpha in steps:
        for i in range(4):
            exact[i] += alpha * (tuned[i] - phi[i])
        reptile.interpolate_int(phi, array("h", tuned), rest, alpha)
        found = [(phi[i] << reptile.ALPHA_BITS) + rest[i] for i in range(4)]
        for i in range(4):
            if abs(exact[i]) < 32767 << reptile.ALPHA_BITS:
                assert found[i] == exact[i]
            else:  # the limit costs the rest
                assert abs(phi[i]) == 32767
                exact[i] = found[i]


def test_small_steps_arrive():
    """A step of 1/1000 of 3 is nothing to an integer; after 1000 of them 3 are there."""
    phi, rest = array("h", (10, -10)), array("h", bytes(4))
    for _ in range(1024):
        reptile.interpolate_int(phi, array("h", (phi[0] + 3, phi[1] - 3)), rest, 4)
    assert phi.tolist() == [13, -13]
    floats = array("f", (1, 2))
    reptile.interpolate(floats, array("f", (3, -2)), 0.25)
    assert floats.tolist() == [1.5, 1]
    for call in (
        lambda: reptile.interpolate(floats, array("f", (1,)), 0.5),
        lambda: reptile.interpolate_int(phi, phi, array("h"), 5),
        lambda: reptile.Reptile(integer_net()[0], array("h")),
    ):
        with pytest.raises(StateError):
            call()
    for alpha in (-1, 4097):
        with pytest.raises(DataError):
            reptile.interpolate_int(phi, phi, rest, alpha)


def test_schedules():
    assert [reptile.linear(4096, 0, t, 4) for t in range(6)] == [4096, 3072, 2048, 1024, 0, 0]
    assert reptile.linear(100, 10, 50, 100) == 55
    assert [reptile.halving(400, 60, t, 10) for t in (0, 9, 10, 25, 35, 1000)] == [
        400, 400, 200, 100, 60, 60,
    ]  # fmt: skip


def test_it_pays_where_labels_are_permuted(make):
    """Places have other names in every task: two shots of each, and the learned start is ahead."""
    labels = [(0, 1, 2), (2, 0, 1), (1, 2, 0), (0, 2, 1), (1, 0, 2), (2, 1, 0)]
    net, x = make((6, 16, 3), rate=6000 if make is float_net else 8)
    start = array(net.params.typecode, net.params)
    meta = reptile.Reptile(net, array(net.params.typecode, net.params))
    for t in range(240):
        meta.begin()
        for _ in reptile.stream(net, blobs(20, labels[t % 6], seed=t), x, 20, t):
            pass
        meta.end(reptile.linear(3000, 300, t, 240))

    def accuracy(initial):
        right = 0
        for t in range(24):
            for i in range(len(initial)):
                net.params[i] = initial[i]
            pool = blobs(100, labels[t % 6], seed=1000 + t)
            found = [[i for i in range(100) if pool.targets[i] == k][:2] for k in range(3)]
            chosen = [i for shots in found for i in shots]
            few = Samples([pool.xs[i] for i in chosen], [pool.targets[i] for i in chosen])
            for _ in reptile.stream(net, few, x, 12, t):
                pass
            tests = blobs(30, labels[t % 6], seed=2000 + t)
            right += sum(tests.read(i, x) == net.predict(x) for i in range(30))
        return right / (24 * 30)

    before, after = accuracy(start), accuracy(meta.phi)
    assert after > before + 0.1
    assert after > (0.8 if make is float_net else 0.5)


INTEGERS = """
from array import array
from fedboard import dfa, model, reptile
spec = model.Spec((6, 8, 3), seed=2)
phi = model.new_params(spec)
model.init_params(spec, phi)
net = dfa.Network(spec, model.new_params(spec), 1, 0, 6)
meta = reptile.Reptile(net, phi)
class Samples:
    def __len__(self):
        return 12
    def read(self, i, x):
        for k in range(6):
            x[k] = (i * 37 + k * 59 + self.task * 11) % 255 - 127
        return (i + self.task) % 3
samples = Samples()
x = array("b", bytes(6))
for t in range(20):
    samples.task = t
    meta.begin()
    for _ in reptile.stream(net, samples, x, 24, t):
        pass
    meta.end(reptile.linear(1500, 100, t, 20))
few = reptile.FewShot(net, reptile.Start(phi), 2)
for _ in few.adapt(samples, x, 12, 6):
    pass
print(",".join([str(v) for v in phi]))
print(",".join([str(v) for v in net.params]))
"""


def test_integer_reptile_is_the_same_everywhere(board_runtime, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(INTEGERS)
    assert interpreters.run(board_runtime, script) == interpreters.run("cpython", script)


class Board:
    """One board of the simulated federation, out of the shared modules alone."""

    def __init__(self, spec, setting):
        self.spec, self.setting = spec, setting
        self.net = mlp.Network(
            spec, mlp.new_params(spec), rate=round(setting.rate * 65536), loss="squared",
            batch=setting.batch,
        )  # fmt: skip
        self.base = MemoryBase()
        self.image = model.new_params(spec)

    def round(self, phi, x, y):
        """(sent, bytes) of one task, from the model phi."""
        self.base.begin(self.spec.pack())
        self.base.write(array("h", phi.tolist()))
        self.base.commit(1, bytes(8))
        reptile.restore(self.net, self.base)
        for i in range(len(x)):
            local_only = i < self.setting.n_local
            if self.setting.n_local and i in (0, self.setting.n_local):
                self.net.configure(1, 1 << self.spec.n_layers - 1 if local_only else 0,
                                   round(self.setting.rate * 65536))  # fmt: skip
            self.net.learn(x[i], y[i])
        self.net.flush()
        self.net.store(self.image)
        shared = self.setting.shared(self.spec)
        made = update.Update(
            self.spec, self.image, self.base, shared, self.setting.up_permille,
            self.setting.up_bits,
        )  # fmt: skip
        made.prepare()
        data = b"".join(made.chunks())
        sent = np.zeros(self.spec.n_params, np.int64)
        for l, indices, values in delta.parse_update(self.spec, shared, made.meta(), data):
            sent[self.spec.at(l) + np.array(indices, int)] = np.array(values, int)
        return sent, len(data) + len(made.meta())


@pytest.mark.parametrize(
    "setting",
    [
        Setting("tinyreptile"),
        Setting("reptile", batch=10, rate=0.02),
        Setting("local, sparse", local=True, up_permille=200, up_bits=6),
        Setting("reconstructed", local=True, n_local=7, up_permille=500, up_bits=4),
    ],
    ids=lambda s: s.name,
)
def test_the_simulated_federation_is_boards_and_a_host(setting):
    """Floats differ in their last bit, so an image may by one step, and then what is its top."""
    spec, rounds, seeds = model.Spec((1, 12, 10, 1)), 6, (3, 4)
    federation = metalearn.Federation(spec, [setting], seeds, rounds)
    tasks = waves.Stream(seeds)
    board = Board(spec, setting)
    for t in range(rounds):
        x, y = tasks.next()
        phi = federation.phi(0)
        up_before = federation.n_bytes(0)[0].copy()
        federation.step(x, y)
        alpha = 1 - t / rounds
        for k in range(len(seeds)):
            sent, n_bytes = board.round(phi[k], x[k], y[k])
            moved = federation.phi(0)[k] - phi[k]
            off = np.abs(moved - alpha * sent) > alpha + 1
            assert off.mean() <= (0 if setting.up_permille == 1000 else 0.06)
            counted = federation.n_bytes(0)[0][k] - up_before[k]
            if setting.up_permille == 1000:
                assert counted == dense_bytes(spec) >= n_bytes
            else:
                assert abs(int(counted) - n_bytes) <= 2
            if setting.local:
                assert not phi[k, spec.at(2) :].any()
    assert (federation.phi(0) != 0).any()


def test_settings_in_one_federation_do_not_meet():
    """A lane's path is its own: together or alone, a setting gives the same model and bytes."""
    spec, rounds, seeds = model.Spec((1, 8, 8, 1)), 12, (1, 2)
    sparse = {"up_permille": 100, "up_bits": 6, "down_permille": 100, "down_bits": 6}
    settings = [
        Setting("a"),
        Setting("b", rate=0.02, local=True, residual="beside", decay=0.5, **sparse),
        Setting("c", residual="inside", **sparse),
        Setting("d", local=True, n_local=5, alpha=0.5, alpha_last=0.5),
    ]
    both = metalearn.learn(spec, settings, seeds, waves.Stream(seeds), rounds, 3)
    for i, setting in enumerate(settings):
        alone = metalearn.learn(spec, [setting], seeds, waves.Stream(seeds), rounds, 3)
        assert (alone.phi(0) == both.phi(i)).all()
        assert np.array_equal(alone.n_bytes(0), both.n_bytes(i))
    up, down = both.n_bytes(0)
    assert (up == rounds * dense_bytes(spec)).all()
    assert (up == down).all()
    assert (both.n_bytes(1)[1] < down / 2).all()
    wild = metalearn.learn(
        spec, [settings[0], Setting("e", rate=1e6)], seeds, waves.Stream(seeds), rounds, 3
    )
    assert (wild.phi(0) == both.phi(0)).all()
    for wrong in ([Setting(batch=1), Setting(batch=10)], [Setting(residual="later")]):
        with pytest.raises(DataError):
            metalearn.Federation(spec, wrong, seeds, 1)
