"""A board adapts a model to a few of its own samples: before, after, kept, and forgotten."""

from __future__ import annotations

from array import array

import pytest

import device_lab
from device_lab import Host, InProcess, Process, make_samples, make_task, make_waves, start_params
from fedboard import DataError, conv, messages, mlp, reptile
from fedboard.dfa import Network
from fedboard.hub import Joined
from fedboard.model import Spec
from fedboard.personal import Shots

KINDS = ("fedboard", "float", "float-relu", "float-squared", "conv1")
RATES = {
    "fedboard": 6, "tifed": 64, "conv1": 6, "float": 3000, "float-relu": 3000,
    "float-squared": 655,
}  # fmt: skip


def spec_of(rule):
    if rule == "conv1":  # images of 4x4
        return Spec((16, 12, 4), rule, 7)
    return Spec((1, 12, 12, 1) if rule == "float-squared" else (16, 12, 4), rule, 7)


def samples_of(rule):
    return make_waves() if rule == "float-squared" else make_samples()


def adapt_task(round_, rule="fedboard", **changes):
    """Adapt whatever model the board has."""
    fields = {
        "round": round_, "op": messages.ADAPT, "shots": 5, "n_max": 40, "batch": 1,
        "rate": RATES[rule], "seed": 4,
    }  # fmt: skip
    return messages.Task(**(fields | changes))


def training(params, round_=1, rule="fedboard", **changes):
    fields = {"rate": RATES[rule], "batch": 1}
    return make_task(params, round_, spec_of(rule), **(fields | changes))


def ask(board, task):
    board.hub.send(task)
    return board.until(messages.Metrics)


def read_all(store, spec):
    params = array("h", bytes(2 * spec.n_params))
    store.read(0, params)
    return params


def network(spec, params):
    if spec.n_conv:
        return conv.Network(spec, array("h", params))
    if not spec.is_float:
        return Network(spec, array("h", params))
    net = mlp.make(spec, mlp.new_params(spec))
    net.load(params)
    return net


def judged(net, made, kept_out):
    """(n, n_correct, mean loss) of all samples but those."""
    n = n_correct = loss = 0
    for i, (x, target) in enumerate(made):
        if not kept_out(i):
            n += 1
            n_correct += net.predict(x) == target
            loss += net.loss(target)
    return n, n_correct, 1000 * loss // (n * net.loss_scale)


@pytest.mark.parametrize("rule", KINDS)
@pytest.mark.parametrize(("local", "n_local"), [(0, 0), (2, 7)])
def test_before_and_after(rule, local, n_local):
    spec, made = spec_of(rule), samples_of(rule)
    board = InProcess(made)
    start = start_params(spec)
    board.round(training(start, rule=rule), start)
    found = ask(board, adapt_task(9, rule, flags=messages.KEEP, local=local, n_local=n_local))
    learner = board.board.learner
    base = read_all(learner.base, spec)
    assert base == start, "the base is as it was"
    assert all(learner.wire[i] == base[i] for i in range(spec.n_params)), "so are the parameters"

    own = read_all(board.personal, spec)
    net = network(spec, base)
    x = array("b", bytes(spec.sizes[0]))
    support = Shots(learner.samples)
    for i in range(len(made)):
        if i in _chosen(made, spec, 5, 4):
            support.add(i)
    assert len(support) == found.n_support == (5 if rule == "float-squared" else 20)
    n, n_correct, loss = judged(net, made, support.has)
    assert (found.n, found.n_correct_before, found.loss_before) == (n, n_correct, loss)
    chosen = Shots(learner.samples)
    for i in _chosen(made, spec, 5, 4):
        chosen.add(i)
    net.configure(1, 0, RATES[rule])
    few = reptile.FewShot(net, learner.base, local)
    for _ in few.adapt(chosen, x, 40, n_local, 4):
        pass
    assert judged(net, made, support.has) == (found.n, found.n_correct, found.loss)
    assert own == image(net)
    assert board.personal.digest == spec.digest(own)
    if rule != "float-squared":  # five shots of a wave are few without a learned start
        assert found.n_correct > found.n_correct_before
        assert found.loss < found.loss_before


def image(net):
    if not net.spec.is_float:
        return net.params
    found = array("h", bytes(2 * len(net.params)))
    net.store(found)
    return found


def _chosen(made, spec, shots, seed):
    """The numbers of the support samples, in order of choice."""
    from fedboard.order import Order
    from fedboard.prng import mix

    order = Order(len(made), mix(seed, 0))
    counts, found = {}, []
    for _ in made:
        i = order.next()
        label = made[i][1] if isinstance(made[i][1], int) else 0
        if counts.get(label, 0) < shots:
            counts[label] = counts.get(label, 0) + 1
            found.append(i)
    return found


def test_what_a_board_learned_since_is_no_part_of_the_global_model():
    board = InProcess(make_samples())
    start = start_params()
    board.round(training(start), start)
    learner = board.board.learner
    assert learner.wire != start
    spec = spec_of("fedboard")
    task = messages.Task(
        op=messages.EVALUATE, round=2, version=1, digest=spec.digest(start), spec=spec.pack()
    )
    found = ask(board, task)
    net = network(spec, start)
    assert (found.n, found.n_correct, found.loss) == judged(net, make_samples(), lambda i: False)
    assert learner.wire == start


def test_kept_used_and_forgotten():
    board = InProcess(make_samples())
    start = start_params()
    board.round(training(start), start)
    plain = ask(board, adapt_task(2))
    assert board.personal.version == 0
    kept = ask(board, adapt_task(3, flags=messages.KEEP))
    assert (kept.n_correct, kept.loss) == (plain.n_correct, plain.loss)
    assert board.personal.version == board.board.learner.base.version == 1
    evaluate = {"op": messages.EVALUATE, "round": 4}
    general = ask(board, messages.Task(**evaluate))
    own = ask(board, messages.Task(flags=messages.PERSONAL, **evaluate))
    assert general.n == own.n == 60
    assert own.n_correct > general.n_correct
    assert own.loss < general.loss
    params = start_params()
    again = board.round(training(params, 5, version=1, digest=device_lab.SPEC.digest(start)), None)
    other = InProcess(make_samples())
    other.round(training(start), start)
    wanted = other.round(training(params, 5, version=1, digest=device_lab.SPEC.digest(start),
                                  flags=0), None)  # fmt: skip
    assert again.data == wanted.data, "a round starts from the base, not from the personal model"
    assert ask(board, messages.Task(flags=messages.PERSONAL, **evaluate)).loss == own.loss
    assert ask(board, messages.Task(op=messages.FORGET, round=6)).n == 0
    board.hub.send(messages.Task(flags=messages.PERSONAL, **evaluate))
    assert "no personal model" in board.until(messages.Error).text


def test_a_new_task_overtakes_an_adaptation():
    board = InProcess(make_samples())
    start = start_params()
    board.round(training(start, flags=0), start)
    board.hub.send(adapt_task(2, n_max=100_000))
    board.until(messages.Progress)
    learner = board.board.learner
    assert learner.astray
    board.hub.send(messages.Task(op=messages.EVALUATE, round=3))
    after = board.until(messages.Metrics)
    assert (after.round, learner.astray) == (3, False)
    assert learner.params == start


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"shots": 0}, "at least 1"),
        ({"n_max": 0}, "at least 1"),
        ({"shots": 255}, "leave no sample to judge by"),
        ({"local": 8}, "no layers"),
        ({"batch": 0}, "a batch has"),
        ({"op": 77}, "unknown here"),
    ],
)
def test_what_cannot_be(changes, text):
    board = InProcess(make_samples())
    start = start_params()
    board.round(training(start), start)
    board.hub.send(adapt_task(2, **changes))
    error = board.until(messages.Error)
    assert text in error.text
    assert error.round == 2
    assert ask(board, adapt_task(3)).n_support == 20, "it goes on"


def test_without_a_model_or_a_place():
    board = InProcess(make_samples())
    board.hub.send(adapt_task(2))
    assert "no model yet" in board.until(messages.Error).text
    board.board.learner.personal = None
    start = start_params()
    board.round(training(start), start)
    board.hub.send(adapt_task(2, flags=messages.KEEP))
    assert "a place for it" in board.until(messages.Error).text


def test_samples_must_suit_the_rule():
    start = start_params(spec_of("float-squared"))
    board = InProcess(make_samples(n_in=1))
    Host.send_task(board, training(start, rule="float-squared"), start)
    assert "0 targets for a model of 1" in board.until(messages.Error).text
    board = InProcess(make_waves())
    spec = Spec((1, 4, 1), "fedboard")
    Host.send_task(board, make_task(start_params(spec), spec=spec), start_params(spec))
    assert "1 targets for a model of 0" in board.until(messages.Error).text


def test_diverged_floats_say_so_and_start_over():
    spec = spec_of("float-squared")
    board = InProcess(make_waves())
    start = start_params(spec)
    Host.send_task(board, training(start, rule="float-squared", rate=65535, epochs=9), start)
    assert "lower the learning rate" in board.until(messages.Error).text
    good = training(start, 2, "float-squared", version=1, digest=spec.digest(start))
    assert board.round(good, None).begin.n_samples == 120


@pytest.mark.parametrize("rule", ["fedboard", "float", "float-squared"])
def test_on_a_board(rule, tmp_path, micropython):
    """MicroPython: as in this process, integers to the bit; what is kept outlives a power cut."""
    spec, made = spec_of(rule), samples_of(rule)
    start = start_params(spec)
    here = InProcess(made)
    whole = {"rule": rule, "top_permille": 1000, "bits": 16}
    wanted = device_lab.apply(start, here.round(training(start, **whole), start), spec)
    expected = ask(here, adapt_task(9, rule, flags=messages.KEEP, local=2, n_local=5))
    evaluate = messages.Task(op=messages.EVALUATE, flags=messages.PERSONAL, round=4)
    expected_own = ask(here, evaluate)
    device_lab.write_samples(tmp_path / "data", made)
    with Process(micropython, tmp_path, {}) as board:
        host = Host(board.stream)
        host.until(Joined)
        got = device_lab.apply(start, host.round(training(start, **whole), start), spec)
        found = ask(host, adapt_task(9, rule, flags=messages.KEEP, local=2, n_local=5))
    with Process(micropython, tmp_path, {}) as board:
        host = Host(board.stream)
        host.until(Joined)
        own = ask(host, evaluate)
    # Floats: sums on both machines are of 64 bits, so an image differs by its last bit at most.
    off = max(abs(a - b) for a, b in zip(got, wanted, strict=True))
    assert off <= (1 if spec.is_float else 0)
    assert (found.n, found.n_support) == (expected.n, expected.n_support)
    if not spec.is_float:
        assert found.pack() == expected.pack()
        assert own.pack() == expected_own.pack()
    else:
        assert abs(found.loss - expected.loss) <= 0.02 * expected.loss + 2
        assert abs(own.loss - expected_own.loss) <= 0.02 * expected_own.loss + 2
        assert abs(found.n_correct - expected.n_correct) <= 1


def test_shots():
    with pytest.raises(DataError):
        reptile.FewShot(Network(device_lab.SPEC, start_params()), None, 4)
    shots = Shots(device_lab.ListSamples(make_samples(20)))
    for i in (3, 17):
        shots.add(i)
    assert [shots.has(i) for i in range(20)] == [i in (3, 17) for i in range(20)]
    x = array("b", bytes(16))
    assert (len(shots), shots.read(1, x)) == (2, 1)
