"""The channel over a hostile line: everything arrives once and in order, or not at all."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedboard import auth, wire
from fedboard.channel import Channel


def pair(window=1, keyed=True):
    node, hub = Channel(False), Channel(True)
    a, b = auth.signers(b"k" * 32, b"hello", b"h" * 16) if keyed else (None, None)
    node.start(a, b, window)
    hub.start(b, a, window)
    return node, hub


def take(channel, data):
    return list(channel.frames(data))


def run(node, hub, line, n_expected, limit_ms=600_000):
    """Shuttle bytes both ways through `line(data) -> data` until n_expected payloads came."""
    got, back = [], []
    for now_ms in range(0, limit_ms, 20):
        got += [f.payload for f in take(hub, line(node.outgoing(now_ms)))]
        back += [f.payload for f in take(node, line(hub.outgoing(now_ms)))]
        if len(got) + len(back) >= n_expected and node.idle and hub.idle:
            break
    return got, back


def noisy(seed, p_lost=0.0, p_flip=0.0, p_twice=0.0):
    """A line that loses, damages and doubles whole writes, and damages single bytes."""
    rng = random.Random(seed)

    def line(data):
        if data and rng.random() < p_lost:
            return b""
        data = bytes(b ^ 1 << rng.randrange(8) if rng.random() < p_flip else b for b in data)
        return data + data if data and rng.random() < p_twice else data

    return line


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("window", [1, 4])
def test_clean_line(window, keyed):
    node, hub = pair(window, keyed)
    sent = [bytes([i]) * i for i in range(100)]
    for payload in sent:
        node.send(20, payload)
        hub.send(21, payload)
    got, back = run(node, hub, bytes, 200)
    assert got == back == sent
    assert node.n_bad == node.n_refused == node.n_repeated == 0


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 8), st.booleans())
def test_hostile_line(seed, window, keyed):
    node, hub = pair(window, keyed)
    sent = [bytes([i % 251]) * (i % 60) for i in range(300)]  # sequence numbers wrap
    for payload in sent:
        node.send(20, payload)
    for payload in sent[:50]:
        hub.send(21, payload)
    got, back = run(node, hub, noisy(seed, 0.05, 0.001, 0.1), 350)
    assert got == sent
    assert back == sent[:50]


def test_a_lost_frame_in_a_window_is_repeated_early():
    node, hub = pair(window=4)
    for i in range(4):
        node.send(20, bytes([i]))
    first = node.outgoing(0)
    frames = first.split(wire.FLAG + wire.FLAG)
    assert len(frames) == 4
    lost = wire.FLAG + wire.FLAG.join([b"", frames[1], b"", frames[2], b"", frames[3]])
    assert take(hub, lost) == []
    assert take(node, hub.outgoing(1)) == []
    assert [f.payload for f in take(hub, node.outgoing(2))] == [b"\0", b"\1", b"\2", b"\3"]
    assert node.n_repeated == 0, "no timeout was needed"


def test_replay_reflection_other_key_and_missing_tag_are_refused():
    node, hub = pair()
    node.send(20, b"pay")
    data = node.outgoing(0)
    assert len(take(hub, data)) == 1
    assert take(hub, data) == []  # replayed
    assert take(node, data) == []  # reflected
    stranger, _ = auth.signers(b"K" * 32, b"hello", b"h" * 16)
    forged = wire.pack(20, 1, 0, 0, 99, b"pay", stranger.tag)
    bare = wire.pack(20, 1, 0, 0, 99, b"pay")
    assert take(hub, forged + bare) == []
    assert (hub.n_refused, node.n_refused) == (3, 1)
    take(node, hub.outgoing(0))
    node.send(20, b"more")
    assert [f.payload for f in take(hub, node.outgoing(9999))] == [b"more"]


def test_an_unkeyed_channel_refuses_tagged_frames():
    _, hub = pair(keyed=False)
    assert take(hub, wire.pack(20, 0, 0, 0, 1, b"x", lambda d: b"t" * 8)) == []
    assert hub.n_refused == 1


def test_two_ends_do_not_answer_each_others_noise_for_ever():
    node, hub = pair()
    take(node, b"boot text" + wire.FLAG)
    sizes = []
    for now_ms in range(0, 2000, 20):
        data = node.outgoing(now_ms)
        take(hub, b"?" + data)
        sizes.append(len(data) + len(back := hub.outgoing(now_ms)))
        take(node, b"?" + back)
    assert sum(1 for size in sizes if size) <= 4


def test_nothing_is_taken_before_a_session():
    hub = Channel(True)
    assert take(hub, wire.pack(20, 0, 0, 0, 1, b"x")) == []
    assert hub.outgoing(0) == b""


def test_a_board_acknowledges_every_other_frame_or_after_a_while():
    node, hub = Channel(False), Channel(True)
    hub.start(None, None, 4)
    node.start(None, None, 1, rx_window=4)
    for i in range(4):
        hub.send(21, bytes([i]))
    bodies = wire.Decoder().feed(hub.outgoing(0))
    for i, said in enumerate([False, True, False, True]):
        frame = wire.FLAG + bodies[i] + wire.FLAG
        assert take(node, frame)[0].payload == bytes([i])
        assert bool(node.outgoing(0)) == said
    take(hub, wire.pack(20, 0, 4, 0, 9, b"piggyback"))
    hub.send(21, b"last")
    take(node, hub.outgoing(1))
    assert node.outgoing(1) == b""
    assert node.outgoing(20) == b""
    assert node.outgoing(21) != b""


@pytest.mark.parametrize("lag_ms", [5, 50])
def test_one_timeout_does_not_make_a_storm_of_repeats(lag_ms):
    """A board that was busy for long answers the repeats, too: what follows is not repeated."""
    node, hub = Channel(False), Channel(True)
    hub.start(None, None, 2)
    node.start(None, None, 1, rx_window=2)
    for i in range(100):
        hub.send(21, bytes([i]))
    under_way = wire.Decoder().feed(hub.outgoing(0) + hub.outgoing(300))
    assert len(under_way) == 4
    got, n_frames = [], 4
    for now_ms in range(300, 99999, lag_ms):
        if under_way:  # a frame takes the board a while
            got += take(node, wire.FLAG + under_way.pop(0) + wire.FLAG)
        take(hub, node.outgoing(now_ms))
        more = wire.Decoder().feed(hub.outgoing(now_ms))
        under_way += more
        n_frames += sum(1 for body in more if wire.unpack(body).kind == 21)
    assert [frame.payload[0] for frame in got] == list(range(100))
    assert n_frames == 102


@pytest.mark.parametrize(("window", "waits"), [(1, False), (3, True)])
def test_a_lost_acknowledgement_comes_again_with_the_repeat(window, waits):
    """At once where the peer can send nothing more: its window is one frame."""
    node, hub = Channel(False), Channel(True)
    hub.start(None, None, window)
    node.start(None, None, 1, rx_window=window)
    hub.send(21, b"x")
    assert [f.payload for f in take(node, hub.outgoing(0))] == [b"x"]
    assert node.outgoing(0) + node.outgoing(20)
    assert take(node, hub.outgoing(320)) == []
    assert (node.outgoing(320) == b"") == waits
    assert node.outgoing(340) != b"" or not waits
