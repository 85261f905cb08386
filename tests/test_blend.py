"""A personal model's answers blended with the global one's: judged, kept, used, forgotten."""

from __future__ import annotations

from array import array

import pytest

import device_lab
from device_lab import Host, InProcess, Process, make_samples, start_params
from fedboard import blend, collect, messages, reptile
from fedboard.hub import Joined
from fedboard.personal import Shots
from fedboard.prng import Xorshift, mix
from test_jitter import LABEL, jittered
from test_personal import (
    RATES,
    _chosen,
    adapt_task,
    ask,
    image,
    network,
    read_all,
    samples_of,
    spec_of,
    training,
)

HOW = messages.KEEP | messages.BLEND
EVALUATE = {"op": messages.EVALUATE, "round": 4}
AMOUNT = 28


def blended(first, second, is_float):
    """The mean of two lists of logits."""
    pairs = zip(first, second, strict=True)
    return [(a + b) / 2 if is_float else (a + b) >> 1 for a, b in pairs]


def judged(general, own, made, kept_out):
    """(n, n_correct, mean loss) of the blended answers to all samples but those."""
    n = n_correct = loss = 0
    for i, (x, target) in enumerate(made):
        if not kept_out(i):
            general.predict(x)
            own.predict(x)
            both = blended(general.out, own.out, own.spec.is_float)
            for k, value in enumerate(both):
                own.out[k] = value
            n += 1
            n_correct += list(own.out).index(max(own.out)) == target
            loss += own.loss(target)
    return n, n_correct, 1000 * loss // (n * own.loss_scale)


@pytest.mark.parametrize("rule", ["fedboard", "tifed", "float", "conv1"])
def test_adapting_with_jitter_and_blend(rule):
    spec, made = spec_of(rule), samples_of(rule)
    board = InProcess(made)
    start = start_params(spec)
    board.round(training(start, rule=rule), start)
    found = ask(board, adapt_task(9, rule, flags=HOW, jitter=AMOUNT))
    learner = board.board.learner
    chosen = Shots(learner.samples)
    for i in _chosen(made, spec, 5, 4):
        chosen.add(i)
    general, own = network(spec, start), network(spec, start)
    own.configure(1, 0, RATES[rule])
    words = Xorshift(mix(4, 0, LABEL))

    class Plainly:
        def __len__(self):
            return len(chosen)

        def read(self, i, x):
            target = chosen.read(i, x)
            x[:] = jittered(x, words, AMOUNT)
            return target

    few = reptile.FewShot(own, learner.base)
    x = array("b", bytes(spec.sizes[0]))
    for _ in few.adapt(Plainly(), x, 40, 0, 4):
        pass
    assert read_all(board.personal, spec) == image(own)
    assert judged(general, own, made, chosen.has) == (found.n, found.n_correct, found.loss)
    alone = ask(board, adapt_task(10, rule, jitter=AMOUNT))
    assert (alone.n_correct_before, alone.loss_before) == (
        found.n_correct_before,
        found.loss_before,
    )
    assert alone.loss != found.loss
    kept = ask(board, messages.Task(flags=messages.PERSONAL, **EVALUATE))
    assert kept.version == found.version == 1
    own = network(spec, read_all(board.personal, spec))
    wanted = judged(general, own, made, lambda i: False)
    assert (kept.n, kept.n_correct, kept.loss) == wanted


def test_undone_and_asked_for():
    board = InProcess(make_samples())
    start = start_params()
    board.round(training(start), start)
    ask(board, adapt_task(2, flags=messages.KEEP))
    assert not blend.is_blended(board.personal.version)
    plain = ask(board, messages.Task(flags=messages.PERSONAL, **EVALUATE))
    asked = ask(board, messages.Task(flags=messages.PERSONAL | messages.BLEND, **EVALUATE))
    assert plain.loss != asked.loss
    ask(board, adapt_task(3, flags=HOW))
    assert blend.is_blended(board.personal.version)
    assert ask(board, messages.Task(flags=messages.PERSONAL, **EVALUATE)).loss == asked.loss
    assert board.board.learner.wire == start
    ask(board, messages.Task(op=messages.FORGET, round=6))
    assert not blend.is_blended(board.personal.version)
    for flags in (messages.PERSONAL, messages.PERSONAL | messages.BLEND):
        board.hub.send(messages.Task(flags=flags, **EVALUATE))
        assert "no personal model" in board.until(messages.Error).text


def test_what_cannot_be_blended():
    board = InProcess(samples_of("float-squared"))
    start = start_params(spec_of("float-squared"))
    board.round(training(start, rule="float-squared"), start)
    board.hub.send(adapt_task(2, "float-squared", flags=HOW))
    assert "blend is for classes" in board.until(messages.Error).text
    assert ask(board, adapt_task(3, "float-squared", flags=messages.KEEP)).n_support == 5
    board = InProcess(make_samples())
    start = start_params()
    board.round(training(start), start)
    board.board.learner.free_memory = lambda: 500
    board.hub.send(adapt_task(4, flags=HOW))
    error = board.until(messages.Error)
    assert error.code == messages.NO_MEMORY
    assert error.text == (
        "to blend 40 answers needs 640 bytes, 500 are free: do without it (--no-blend)"
    )
    assert ask(board, adapt_task(5, flags=messages.KEEP)).n_support == 20


def test_kept_through_a_restart_and_used(tmp_path, micropython):
    """MicroPython's program: learns jittered, keeps, and blends what it judges and predicts."""
    spec, made = spec_of("fedboard"), make_samples()
    start = start_params(spec)
    here = InProcess(made)
    exact = {"top_permille": 1000, "bits": 16, "jitter": 5}
    wanted = device_lab.apply(start, here.round(training(start, **exact), start), spec)
    expected = ask(here, adapt_task(9, flags=HOW, jitter=AMOUNT, local=2, n_local=5))
    expected_own = ask(here, messages.Task(flags=messages.PERSONAL, **EVALUATE))
    general, own = network(spec, start), network(spec, read_all(here.personal, spec))
    x = array("b", [9] * 16)
    general.predict(x)
    own.predict(x)
    for k, value in enumerate(blended(general.out, own.out, False)):
        own.out[k] = value
    shares = collect.shares(own)
    device_lab.write_samples(tmp_path / "data", made)
    (tmp_path / "sensor.py").write_text("def read():\n    return [9] * 16\n")
    sensor = {"sensor": {"rate_hz": 100}}
    with Process(micropython, tmp_path, sensor) as board:
        host = Host(board.stream)
        host.until(Joined)
        got = device_lab.apply(start, host.round(training(start, **exact), start), spec)
        found = ask(host, adapt_task(9, flags=HOW, jitter=AMOUNT, local=2, n_local=5))
    with Process(micropython, tmp_path, sensor) as board:
        host = Host(board.stream)
        host.until(Joined)
        host.hub.send(collect.Predict(token=5, n=2))
        seen = host.until(collect.Prediction)
        host.idle()
        kept = ask(host, messages.Task(flags=messages.PERSONAL, **EVALUATE))
    assert got == wanted
    assert found.pack() == expected.pack()
    assert kept.pack() == expected_own.pack()
    assert (seen.personal, seen.version, bytes(seen.shares)) == (1, 1, shares)
