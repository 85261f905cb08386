"""A whole board against a hub, in memory: rounds, broken links, refusals, models too large."""

from array import array

import pytest

from board_world import SPEC, Samples, World, initial, make_task, send_model
from fedboard import DataError, delta, messages, update
from fedboard.base import MemoryBase
from fedboard.channel import MOST_UNHEARD
from fedboard.cohort import Peer
from fedboard.delta import encode_delta
from fedboard.dfa import Network
from fedboard.hub import Joined, Update
from fedboard.order import Order
from fedboard.prng import mix


def expected_update(start, params, task, samples):
    """What the board must send and hold: the same learning, done here by hand."""
    base = MemoryBase()
    base.begin(SPEC.pack())
    base.write(start)
    base.commit(1, b"12345678")
    net = Network(SPEC, params)
    net.configure(task.batch, task.layers, task.rate)
    x = array("b", bytes(12))
    for epoch in range(task.epochs):
        order = Order(len(samples), mix(task.seed, task.round, epoch))
        for _ in range(len(samples)):
            label = samples.read(order.next(), x)
            net.learn(x, label)
    net.flush()
    up = update.Update(SPEC, params, base, task.layers, task.top_permille, task.bits)
    up.prepare()
    return up, b"".join(up.chunks())


def test_rounds_with_residual_and_sparse_models():
    world = World()
    start = initial()
    task = make_task(start)
    world.hub.send(task)
    send_model(world, start, 1)
    up = world.wait_for(Update)
    mine = initial()
    sent, data = expected_update(start, mine, task, world.board.learner.samples)
    assert up.data == data
    assert up.begin.n_samples == 80
    assert world.board.learner.params == mine
    world.hub.send(messages.Accepted(round=1))
    world.run_until(lambda: world.board.learner.update is None)
    sent.settle()
    assert world.board.learner.params == mine
    assert mine != start, "what was not sent stays as residual"

    merged = array("h", start)
    for layer, indices, values in delta.parse_update(SPEC, 3, up.begin.meta, up.data):
        for i, value in zip(indices, values, strict=True):
            merged[SPEC.at(layer) + i] += value
    world.hub.send(make_task(merged, version=2, round=2))
    assert send_model(world, merged, 2, old=start, base=1) == 1, "sparse"
    world.run_until(lambda: world.base.version == 2)
    for i in range(SPEC.n_params):
        mine[i] += merged[i] - start[i]
    copy = array("h", bytes(2 * SPEC.n_params))
    world.base.read(0, copy)
    assert copy == merged
    assert world.wait_for(Update).begin.round == 2
    assert world.board.learner.net.n_seen == 80


def test_a_model_that_is_already_there_is_not_sent_again():
    world = World()
    start = initial()
    world.hub.send(make_task(start))
    send_model(world, start, 1)
    world.wait_for(Update)
    world.hub.send(make_task(start, round=2))
    assert world.wait_for(Update).begin.round == 2


@pytest.mark.parametrize("ticks", [1, 3, 5, 8, 12, 20, 40, 80, 100, 120, 150])
def test_a_link_cut_anywhere_gives_the_same_update(ticks):
    quiet, cut = World(), World()
    start = initial()
    for world in (quiet, cut):
        world.hub.send(make_task(start))
        send_model(world, start, 1)
    reference = quiet.wait_for(Update)
    count = 0

    def gone():
        nonlocal count
        count += 1
        return count >= ticks

    cut.run_until(gone)
    cut.cut("pulled the plug")
    status = cut.last(Joined).status
    cut.hub.send(make_task(start))
    if status.version != 1:
        send_model(cut, start, 1)
    again = cut.wait_for(Update)
    assert (again.data, again.begin.meta) == (reference.data, reference.begin.meta)
    assert cut.board.learner.params == quiet.board.learner.params


def test_training_goes_on_while_the_link_is_down():
    world = World()
    start = initial()
    world.hub.send(make_task(start))
    send_model(world, start, 1)
    world.run_until(lambda: world.board.learner.done > 3)
    world.board.open(world.now_ms)
    while world.board.step(world.now_ms):
        pass
    assert world.board.learner.net.n_seen == 80
    world.cut(None)
    world.hub.send(make_task(start))
    assert world.wait_for(Update).begin.n_samples == 80


def test_a_refused_update_stays_on_the_board():
    world = World()
    start = initial()
    world.hub.send(make_task(start))
    send_model(world, start, 1)
    world.wait_for(Update)
    learned = array("h", world.board.learner.params)
    world.hub.send(messages.Refused(round=1, reason="too late"))
    world.run_until(lambda: any("too late" in line for line in world.lines))
    assert world.board.learner.params == learned
    assert world.board.learner.update is None


def test_without_carry_a_round_starts_from_the_model():
    world = World()
    start = initial()
    world.hub.send(make_task(start, flags=0))
    send_model(world, start, 1)
    first = world.wait_for(Update)
    world.hub.send(make_task(start, flags=0, seed=78))
    world.wait_for(Update)
    world.hub.send(make_task(start, flags=0))
    assert world.wait_for(Update).data == first.data


def test_a_damaged_model_is_asked_for_again_and_the_old_one_kept():
    world = World()
    start = initial()
    world.hub.send(make_task(start))
    send_model(world, start, 1, spoil=True)
    error = world.wait_for(messages.Error)
    assert error.code == messages.BAD_MODEL
    assert "digest" in error.text
    assert world.base.version == 0
    send_model(world, start, 1)
    world.wait_for(Update)
    before = array("h", world.board.learner.params)
    other = array("h", [v + 1 for v in start])
    world.hub.send(make_task(other, version=2, round=2))
    send_model(world, other, 2, old=start, base=1, spoil=True)
    world.wait_for(messages.Error)
    assert (world.base.version, world.board.learner.params) == (1, before)
    send_model(world, other, 2)
    assert world.wait_for(Update).begin.version == 2


def test_a_model_that_finds_no_memory_when_it_comes_is_told_of(monkeypatch):
    world = World()
    start = initial()

    def fail(block):
        raise MemoryError

    world.hub.send(make_task(start))
    with monkeypatch.context() as patch:
        patch.setattr(world.base, "write", fail)
        send_model(world, start, 1)
        assert world.wait_for(messages.Error).code == messages.NO_MEMORY
    assert not world.board.receiving
    world.hub.send(make_task(start))
    send_model(world, start, 1)
    assert world.wait_for(Update)


def test_a_host_that_hears_nothing_costs_a_board_that_learns_no_memory():
    world = World()
    start = initial()
    world.hub.send(make_task(start, epochs=200))
    send_model(world, start, 1)
    world.wait_for(messages.Progress)
    while world.board.step(world.now_ms):
        world.board.outgoing(world.now_ms)
        world.now_ms += 1000
    assert world.board.learner.update is not None
    assert len(world.board.node.channel.queue) <= MOST_UNHEARD + 3


def test_a_model_too_large_is_refused_with_the_numbers():
    world = World(free_memory=lambda: 8192 + 2 * SPEC.n_params - 1)
    world.hub.send(make_task(initial()))
    error = world.wait_for(messages.Error)
    assert error.code == messages.NO_MEMORY
    assert str(8192 + 2 * SPEC.n_params) in error.text
    assert str(8192 + 2 * SPEC.n_params - 1) in error.text


@pytest.mark.parametrize(
    ("samples", "changes", "code", "word"),
    [
        (Samples(n=0), {}, messages.NO_SAMPLES, "record"),
        (Samples(n_in=13), {}, messages.BAD_TASK, "13"),
        (None, {"spec": b"\xff" * 12}, messages.BAD_TASK, "spec"),
        (None, {"top_permille": 0}, messages.BAD_TASK, "permille"),
        (None, {"bits": 17}, messages.BAD_TASK, "bits"),
        (None, {"batch": 0}, messages.BAD_TASK, "batch"),
        (None, {"layers": 8}, messages.BAD_TASK, "layers"),
        (None, {"op": 7}, messages.BAD_TASK, "op"),
    ],
)
def test_a_task_that_cannot_be_done_says_why(samples, changes, code, word):
    world = World(samples)
    start = initial()
    world.hub.send(make_task(start, **changes))
    send_model(world, start, 1)
    error = world.wait_for(messages.Error)
    assert error.code == code
    assert word in error.text
    if samples is None:
        world.hub.send(make_task(start, round=2))
        if world.base.version == 0:
            send_model(world, start, 1)
        assert world.wait_for(Update).begin.round == 2, "a bad task leaves no trace"


def test_evaluation():
    world = World()
    start = initial()
    world.hub.send(make_task(start, op=messages.EVALUATE))
    send_model(world, start, 1)
    metrics = world.wait_for(messages.Metrics)
    net = Network(SPEC, start)
    right = sum(net.predict(x) == label for x, label in world.board.learner.samples.rows)
    assert (metrics.n, metrics.n_correct) == (40, right)


@pytest.mark.parametrize("error", [DataError("sample 7 is damaged"), OSError(5, "pulled out")])
def test_a_sample_that_cannot_be_read_is_reported(error):
    class Broken(Samples):
        def read(self, i, x):
            raise error

    world = World(Broken())
    start = initial()
    world.hub.send(make_task(start))
    send_model(world, start, 1)
    assert str(error) in world.wait_for(messages.Error).text


def test_an_unexpected_error_at_work_leaves_no_work_behind():
    class Broken(Samples):
        is_well = True

        def read(self, i, x):
            if not self.is_well:
                raise ValueError("a defect")
            return super().read(i, x)

    world = World(Broken())
    start = initial()
    world.hub.send(make_task(start))
    send_model(world, start, 1)
    world.run_until(lambda: world.board.learner.done > 3)
    world.board.learner.samples.is_well = False
    with pytest.raises(ValueError, match="a defect"):
        world.board.step(world.now_ms)
    assert not world.board.step(world.now_ms)
    world.board.learner.samples.is_well = True
    world.hub.send(make_task(start))
    assert world.wait_for(Update).begin.n_samples == 80


def test_order_visits_each_sample_once():
    for n in [1, 2, 3, 7, 40, 100, 179, 1000, 20_000]:
        for seed in range(5):
            order = Order(n, seed)
            assert sorted(order.next() for _ in range(n)) == list(range(n))
    spread = Order(100, 1)
    steps = {abs(spread.next() - spread.next()) for _ in range(40)}
    assert min(steps) > 5


def test_new_samples_are_told_once_and_not_too_often():
    samples = Samples(10)
    world = World(samples)
    for _ in range(3):
        samples.rows.append(samples.rows[0])
        world.run_until(lambda: True)
    assert world.wait_for(messages.Status).n_samples == 13
    n = len(world.hub_events)
    before_ms = world.now_ms
    samples.rows.pop()
    assert world.wait_for(messages.Status).n_samples == 12
    assert world.now_ms - before_ms >= 500
    assert sum(isinstance(e, messages.Status) for e in world.hub_events[n:]) == 1


def test_a_rest_lasts_until_the_next_task():
    world = World()
    params = initial()
    world.hub.send(messages.Sleep(seconds=60))
    world.run_until(lambda: world.board.rest_s == 60)
    world.hub.send(make_task(params))
    send_model(world, params, 1)
    world.wait_for(messages.Progress)
    assert world.board.rest_s == 0


def masked(params, number=1, **changes):
    """The peers of a masked round, and its task."""
    flags = messages.CARRY | messages.MASKED
    nonce = bytes((number,)) * 16
    peers = [Peer(round=number, nonce=nonce, place=i, of=3, name="abc"[i]) for i in range(3)]
    return [*peers, make_task(params, round=number, bits=16, flags=flags, **changes)]


def test_no_model_comes_under_a_masked_update():
    world = World(mask_key=bytes(32))
    start = initial()
    for message in masked(start):
        world.hub.send(message)
    send_model(world, start, 1)
    first = world.wait_for(Update)
    learned = array("h", world.board.learner.params)
    other = array("h", start)
    other[0] += 9
    for params in (start, other):
        send_model(world, params, 1)
        world.hub.send(masked(start)[-1])  # the same task: the same update once more
        assert world.wait_for(Update).data == first.data
    assert world.board.learner.params == learned
    assert not world.board.receiving


def test_a_new_cohort_breaks_a_model_off():
    world = World(mask_key=bytes(32))
    start = initial()
    encoding, meta, data = encode_delta(SPEC, None, start)
    begin = messages.Begin(
        what=messages.MODEL, version=1, encoding=encoding, n_bytes=len(data),
        digest=SPEC.digest(start), meta=meta,
    )  # fmt: skip
    board = world.board
    for message in masked(start):
        world.hub.send(message)
    world.run_until(lambda: board.task is not None)
    board._on_begin(begin)
    assert board.receiving
    board._on_chunk(board._rebase, messages.Chunk(offset=0, data=data[:40]))
    peer = masked(start, 2)[0]
    board._on_rare(peer.KIND, peer.pack())
    assert not board.receiving
    assert board.task is None
    world.hub.transfer(begin, [data])  # which nobody wants any more: nothing comes of it
    world.run_until(lambda: world.hub.channel.idle and not world.hub.transferring)
    assert world.base.version == 0
    for message in masked(start, 2):
        world.hub.send(message)
    send_model(world, start, 1)
    assert world.wait_for(Update)


def test_a_board_with_a_mask_key_sends_nothing_in_the_clear():
    world = World(mask_key=bytes(32))
    world.hub.send(make_task(initial()))
    assert "masked updates only" in world.wait_for(messages.Error).text


def test_a_board_without_a_mask_key_says_so_once():
    """And loads nothing for it."""
    world = World()
    for message in masked(initial()):
        world.hub.send(message)
    assert 'no "mask_key" in fedboard.json' in world.wait_for(messages.Error).text
    world.run_until(lambda: world.hub.channel.idle)
    assert sum(isinstance(e, messages.Error) for e in world.hub_events) == 1
    assert world.board.learner.party is None
