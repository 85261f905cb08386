"""Node and Hub joined by a fake wire: handshake, transfers, restarts, refusals, violations."""

import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedboard import (
    PROTOCOL,
    DataError,
    StateError,
    WireError,
    auth,
    messages,
    node,
    wire,
)
from fedboard.hub import Hub, Joined, Left, Update
from fedboard.message import Message
from fedboard.node import Identity, Node, Opened

KEY = b"k" * 32
MODEL = bytes(random.Random(1).randbytes(3000)) + b"\x7e" * 300
UPDATE = bytes(random.Random(2).randbytes(777))


def entropy(seed):
    return random.Random(seed).randbytes


def status():
    return messages.Status(firmware="test", kernels="pure", n_samples=7, n_in=64)


def make_node(key=KEY, seed=1, name="kitchen"):
    return Node(Identity(name, b"uid", 4), key, entropy(seed), status)


def make_hub(key=KEY, seed=2):
    return Hub(key, entropy(seed), "home")


def describe(event):
    """An event as something that compares by value."""
    if isinstance(event, Update):
        return ("Update", repr(event.begin), event.data)
    if isinstance(event, Joined):
        return ("Joined", event.hello.name, repr(event.status))
    if isinstance(event, Message):
        return repr(event)
    return (type(event).__name__, getattr(event, "reason", ""))


class Wire:
    """A clock and a line between the two; `down` and `up` may change what passes."""

    def __init__(self, hub, node, down=bytes, up=bytes):
        self.hub, self.node, self.down, self.up = hub, node, down, up
        self.now_ms = 0
        self.hub_events, self.node_events = [], []
        hub.open(0)

    def run(self, until, limit_ms=300_000):
        end = self.now_ms + limit_ms
        while self.now_ms < end:
            data = self.down(self.hub.outgoing(self.now_ms))
            self.node_events += self.node.receive(data, self.now_ms)
            data = self.up(self.node.outgoing(self.now_ms))
            self.hub_events += self.hub.receive(data, self.now_ms)
            if until(self):
                return self
            self.now_ms += 10
        raise AssertionError("nothing came of it in time")


def is_joined(line):
    return line.hub.joined


def converse(line):
    """A whole round: join, a model down, an update up, its acceptance."""
    line.run(is_joined)
    line.hub.send(messages.Task(round=3, version=2))
    line.hub.transfer(messages.Begin(what=messages.MODEL, version=2, n_bytes=len(MODEL)), [MODEL])
    line.run(lambda x: any(isinstance(e, messages.End) for e in x.node_events))
    line.node.send(messages.Progress(round=3, done=1, total=2))
    pieces = [UPDATE[i : i + 100] for i in range(0, len(UPDATE), 100)]
    line.node.transfer(messages.Begin(what=messages.UPDATE, round=3, meta=b"meta"), pieces)
    line.run(lambda x: any(isinstance(e, Update) for e in x.hub_events))
    line.hub.send(messages.Accepted(round=3))
    line.run(lambda x: any(isinstance(e, messages.Accepted) for e in x.node_events))
    return [describe(e) for e in line.hub_events], model_of(line.node_events)


def model_of(events):
    """Node events with the chunks joined: how they are cut is not part of the meaning."""
    data = b"".join(e.data for e in events if isinstance(e, messages.Chunk))
    return [describe(e) for e in events if not isinstance(e, messages.Chunk)], data


@pytest.mark.parametrize("key", [KEY, None])
def test_a_round(key):
    hub_events, (node_events, model) = converse(Wire(make_hub(key), make_node(key)))
    assert [e[0] if isinstance(e, tuple) else e.split("(")[0] for e in hub_events] == [
        "Joined", "Progress", "Update",
    ]  # fmt: skip
    assert hub_events[2][2] == UPDATE
    assert model == MODEL
    assert node_events[0] == ("Opened", "")


def test_byte_at_a_time_gives_the_same_events():
    class Bytewise(Node):
        def receive(self, data, now_ms):
            return [e for b in data for e in super(Bytewise, self).receive(bytes([b]), now_ms)]

    node = Bytewise(Identity("kitchen", b"uid", 4), KEY, entropy(1), status)
    assert converse(Wire(make_hub(), node)) == converse(Wire(make_hub(), make_node()))


def test_any_one_write_lost_in_either_direction_changes_nothing():
    reference = converse(Wire(make_hub(), make_node()))

    def dropping(index):
        count = -1

        def line(data):
            nonlocal count
            count += bool(data)
            return b"" if count == index and data else data

        return line

    for index in range(25):
        assert converse(Wire(make_hub(), make_node(), down=dropping(index))) == reference
        assert converse(Wire(make_hub(), make_node(), up=dropping(index))) == reference


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32))
def test_a_noisy_line_changes_nothing(seed):
    rng = random.Random(seed)

    def line(data):
        if rng.random() < 0.05:
            return b""
        data = bytes(b ^ 1 << rng.randrange(8) if rng.random() < 0.001 else b for b in data)
        return b"print() " + data if rng.random() < 0.1 else data

    assert converse(Wire(make_hub(), make_node(), line, line)) == converse(
        Wire(make_hub(), make_node())
    )


@settings(deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_garbage_raises_nothing_but_wire_error(data, framed):
    line = Wire(make_hub(None), make_node(None)).run(is_joined)
    if framed:  # well-formed frames with nonsense inside, from a peer that has joined
        bond = line.hub.channel.bond
        data = b"".join(
            wire.pack(16 + data[i] % 20, i & 255, 0, 0, 50 + i, data[i + 1 : i + 60], bond=bond)
            for i in range(0, len(data), 60)
        )
    for peer in (line.hub, line.node):
        with contextlib.suppress(WireError):
            peer.receive(data, 10)


def test_wrong_key_never_joins_and_says_so():
    line = Wire(make_hub(b"x" * 32), make_node())
    with pytest.raises(AssertionError, match="in time"):
        line.run(is_joined, 3000)
    assert "does not have this board's key" in line.node_events[0].reason
    assert not line.hub_events


@pytest.mark.parametrize(
    ("hub_key", "node_key", "remedy"), [(KEY, None, "deploy"), (None, KEY, "key file")]
)
def test_a_key_on_one_side_only_is_refused(hub_key, node_key, remedy):
    line = Wire(make_hub(hub_key), make_node(node_key))
    with pytest.raises(AssertionError, match="in time"):
        line.run(is_joined, 1000)
    assert remedy in line.hub_events[0].reason
    assert remedy in line.node_events[0].reason


@pytest.mark.parametrize("key", [KEY, None])
@pytest.mark.parametrize("other", [PROTOCOL - 1, PROTOCOL + 1])
def test_other_protocol_is_refused_with_a_remedy(monkeypatch, other, key):
    line = Wire(make_hub(key), make_node(key))
    monkeypatch.setattr(node, "PROTOCOL", other)
    with pytest.raises(AssertionError, match="in time"):
        line.run(is_joined, 1000)
    for denied in (line.hub_events[0], line.node_events[0]):
        assert f"speaks protocol {other}, this host {PROTOCOL}: deploy again" in denied.reason


def test_a_board_that_restarts_leaves_and_joins_again():
    line = Wire(make_hub(), make_node()).run(is_joined)
    line.hub.transfer(messages.Begin(what=messages.MODEL, n_bytes=len(MODEL)), [MODEL])
    line.node = make_node(seed=9)
    line.node.open(line.now_ms)
    line.run(lambda x: len(x.hub_events) == 3)
    assert [type(e) for e in line.hub_events] == [Joined, Left, Joined]
    assert not line.hub.transferring


def test_a_host_that_restarts_joins_the_running_board():
    line = Wire(make_hub(), make_node()).run(is_joined)
    line.hub = make_hub(seed=7)
    line.hub.open(line.now_ms)
    line.run(is_joined)
    assert [type(e) for e in line.node_events] == [Opened, Opened]


def test_a_recorded_session_is_worthless_in_the_next():
    recorded = []

    def tap(data):
        recorded.append(data)
        return data

    converse(Wire(make_hub(), make_node(), up=tap))
    hub = make_hub(seed=99)
    hub.open(0)
    for data in recorded:
        assert hub.receive(data, 0) == []
        hub.outgoing(0)
    assert not hub.joined


def test_a_silent_board_is_asked_and_its_silence_counted():
    line = Wire(make_hub(), make_node()).run(is_joined)
    heard = line.hub.heard_ms
    line.run(lambda x: x.hub.heard_ms > heard)
    assert 5000 <= line.now_ms - heard <= 5100
    line.up = lambda data: b""
    line.run(lambda x: x.hub.silent_ms(x.now_ms) >= 20_000)


@pytest.mark.parametrize(
    "said",
    [
        [messages.Chunk(offset=0, data=b"x")],
        [messages.Begin(what=messages.MODEL)],
        [messages.Begin(what=messages.UPDATE, n_bytes=1 << 30)],
        [messages.Begin(what=messages.UPDATE), messages.Chunk(offset=9, data=b"x")],
        [messages.Begin(what=messages.UPDATE), messages.End(n_bytes=5)],
        [messages.Begin(what=messages.UPDATE), messages.End(n_bytes=0, crc=1)],
        [messages.End()],
    ],
)
def test_violations_raise_wire_error(said):
    line = Wire(make_hub(), make_node()).run(is_joined)
    for message in said:
        line.node.send(message)
    with pytest.raises(WireError):
        line.run(lambda x: x.node.channel.idle)


def test_the_first_word_must_be_status():
    hub, node = make_hub(None), make_node(None)
    hub.open(0)
    node.open(0)
    hub.receive(node.outgoing(0), 0)
    hub.outgoing(0)
    with pytest.raises(WireError, match="STATUS"):
        hub.receive(wire.pack(messages.Ping.KIND, 0, 0, 0, 1, bytes(4), bond=hub.channel.bond), 0)


def test_an_update_larger_than_agreed_is_cut_off():
    hub = Hub(KEY, entropy(2), max_update_bytes=500)
    line = Wire(hub, make_node()).run(is_joined)
    line.node.transfer(messages.Begin(what=messages.UPDATE), [UPDATE])
    with pytest.raises(WireError, match="more than 500"):
        line.run(lambda x: False, 2000)


def test_nothing_can_be_sent_before_the_session():
    with pytest.raises(StateError, match="no session"):
        make_node().send(messages.Ping())


@pytest.mark.parametrize("name", ["", "a b", "x" * 25, "\x1b[31m", "ü", ".hidden", "a/b"])
def test_names_that_need_escaping_somewhere_are_refused(name):
    with pytest.raises(DataError, match="letters"):
        Identity(name, b"")


def test_messages_round_trip_and_reject_every_cut():
    task = messages.Task(
        run=1, round=2, version=3, digest=b"12345678", spec=b"s" * 20, seed=2**32 - 1
    )
    assert repr(messages.unpack(task.KIND, task.pack())) == repr(task)
    for at in range(len(task.pack())):
        with pytest.raises(WireError):
            messages.unpack(task.KIND, task.pack()[:at])
    with pytest.raises(WireError, match="too many"):
        messages.unpack(task.KIND, task.pack() + b"x")
    with pytest.raises(WireError, match="unknown"):
        messages.unpack(0x7F, b"")
    with pytest.raises(StateError, match="out of range"):
        messages.Task(layers=1 << 16).pack()
    with pytest.raises(StateError, match="no field"):
        messages.Task(epoch=1)


def test_worst_case_messages_fit_a_frame():
    worst = messages.Task(digest=b"\x7e" * 8, spec=b"\x7e" * 21, **{
        name: 0x7E7E7E7E & (1 << 8 * {"B": 1, "H": 2, "I": 4}[code]) - 1
        for name, code in messages.Task.FIELDS if code in "BHI"
    })  # fmt: skip
    sign = auth.Signer(KEY).tag
    assert (
        len(wire.pack(worst.KIND, 0x7E, 0x7E, 2, 0x7E7E7E7E, worst.pack(), sign)) <= wire.MAX_FRAME
    )
