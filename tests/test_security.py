"""What docs/protocol.md promises of a session with a key: who has none, on the way or at an end."""

from __future__ import annotations

import random
from binascii import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedboard import PROTOCOL, auth, messages, wire
from fedboard.node import Opened
from fedboard.session import Denied
from test_session import KEY, Wire, entropy, is_joined, make_hub, make_node

OTHER = b"x" * 32


def frames(data: bytes, bond: int = 0) -> list[wire.Frame]:
    return [wire.unpack(body, bond=bond) for body in wire.Decoder().feed(data)]


def repack(frame: wire.Frame, payload: bytes | None = None, sign=None, bond: int = 0) -> bytes:
    """The same frame with another payload, tag or bond, as somebody on the way can make it."""
    return wire.pack(
        frame.kind, frame.seq, frame.ack, frame.flags & ~wire.KEYED, frame.counter,
        frame.payload if payload is None else payload, sign, bond=bond,
    )  # fmt: skip


def rebind(data: bytes, bond: int, other: int) -> bytes:
    """Frames and tags as they are, but the checksums fit another session: anybody can do that."""
    return b"".join(
        repack(f, sign=(lambda _, tag=f.tag: tag) if f.tag else None, bond=other)
        for f in frames(data, bond)
    )


def never_joins(line: Wire) -> Wire:
    with pytest.raises(AssertionError, match="in time"):
        line.run(lambda x: x.hub.joined or any(isinstance(e, Opened) for e in x.node_events), 3000)
    return line


def test_a_board_without_the_key_never_joins(monkeypatch):
    """It takes any WELCOME for good, as a hostile one would."""
    hostile = make_node(OTHER)
    monkeypatch.setattr(auth, "equal", lambda a, b: True)
    hub = make_hub()
    hub.open(0)
    hostile.open(0)
    hub.receive(hostile.outgoing(0), 0)
    hostile.receive(hub.outgoing(0), 0)
    monkeypatch.undo()
    said = hostile.outgoing(0)
    assert [f.kind for f in frames(said, hostile.channel.bond)] == [messages.Status.KIND]
    assert hub.receive(said, 0) == []
    assert not hub.joined
    assert hub.channel.n_refused == 1


def test_a_host_without_the_key_hears_nothing_but_hello():
    said = []
    line = Wire(make_hub(OTHER), make_node(), up=lambda data: said.append(data) or data)
    never_joins(line)
    assert {f.kind for data in said for f in frames(data)} == {messages.Hello.KIND}
    assert {type(e) for e in line.node_events} == {Denied}


def test_nobody_on_the_way_can_take_the_key_out():
    """HELLO changed to say that there is no key: the host refuses it."""

    def up(data):
        out = b""
        for frame in frames(data):
            hello = messages.unpack(frame.kind, frame.payload)
            hello.keyed = 0
            out += repack(frame, hello.pack())
        return out

    line = never_joins(Wire(make_hub(), make_node(), up=up))
    assert "has no key" in line.hub_events[0].reason


@pytest.mark.parametrize("field", ["window", "uid", "nonce", "name"])
def test_nobody_on_the_way_can_change_hello(field):
    """All of HELLO is in the session's keys: the host's WELCOME is then no proof to the board."""

    def up(data):
        out = b""
        for frame in frames(data):
            if frame.kind == messages.Hello.KIND:
                hello = messages.unpack(frame.kind, frame.payload)
                value = getattr(hello, field)
                other = value + 1 if isinstance(value, int) else value[:-1] + value[:1]
                setattr(hello, field, other)
                frame = frames(repack(frame, hello.pack()))[0]
            out += repack(frame)
        return out

    def down(data):
        return rebind(data, crc32(line.hub._greeting), line.node.channel.bond)

    line = Wire(make_hub(), make_node(), down, up)
    never_joins(line)
    assert {type(e) for e in line.node_events} == {Denied}


def test_a_forged_hello_costs_a_repeat():
    """Before the real one, with its nonce but another window: the real one still counts."""
    forged = []

    def up(data):
        for frame in [] if forged else frames(data):
            if frame.kind == messages.Hello.KIND:
                hello = messages.unpack(frame.kind, frame.payload)
                hello.window += 3
                forged.append(repack(frame, hello.pack()))
                return forged[0] + data
        return data

    line = Wire(make_hub(), make_node(), up=up).run(is_joined)
    assert forged
    assert line.hub.hello.window == line.node.identity.window


def test_a_welcome_without_its_tag_is_refused():
    def down(data):
        bond = line.node.channel.bond
        return b"".join(repack(f, bond=bond) for f in frames(data, bond))

    line = Wire(make_hub(), make_node(), down)
    never_joins(line)
    assert {type(e) for e in line.node_events} == {Denied}


def test_frames_without_their_tags_are_refused():
    line = Wire(make_hub(), make_node()).run(is_joined)
    line.node.send(messages.Progress(round=1))
    bond = line.node.channel.bond
    said = line.node.outgoing(line.now_ms)
    stripped = b"".join(repack(f, bond=bond) for f in frames(said, bond))
    assert stripped
    assert line.hub.receive(stripped, line.now_ms) == []
    assert line.hub.channel.n_refused == 1


@pytest.mark.parametrize("version", [0, PROTOCOL - 1, PROTOCOL + 1, 255])
def test_another_version_is_refused_by_either_side(version, monkeypatch):
    hub, board = make_hub(), make_node()
    hub.open(0)
    board.open(0)
    (frame,) = frames(board.outgoing(0))
    hello = messages.unpack(frame.kind, frame.payload)
    if version != PROTOCOL:
        hello.protocol = version
        (denied,) = hub.receive(repack(frame, hello.pack()), 0)
        assert f"protocol {version}" in denied.reason
        assert hub.hello is None
        # The node's side: even a WELCOME that is properly signed.
        nonce = entropy(5)(16)
        _, tx = auth.signers(KEY, frame.payload, nonce)
        welcome = messages.Welcome(protocol=version, window=1, nonce=nonce)
        data = wire.pack(
            messages.Welcome.KIND, 0, 0, wire.FROM_HUB, 0, welcome.pack(), tx.tag,
            bond=board.channel.bond,
        )  # fmt: skip
        (denied,) = board.receive(data, 0)
        assert f"protocol {version}" in denied.reason
        assert not board.channel.open


@given(st.integers(0, 2**32))
def test_no_frame_of_a_session_counts_twice_or_early(seed):
    """A whole session's frames again, in any order, into the same session and into another."""
    rng = random.Random(seed)
    said = []
    line = Wire(make_hub(), make_node(), up=lambda data: said.append(data) or data).run(is_joined)
    for n in range(4):
        line.node.send(messages.Progress(round=n))
    line.run(lambda x: x.node.channel.idle)
    assert [e.round for e in line.hub_events[1:]] == [0, 1, 2, 3]
    fresh = Wire(make_hub(seed=7), make_node(seed=8)).run(is_joined)
    again = [d for d in said if d and d[1] != messages.Hello.KIND]
    rng.shuffle(again)
    for hub in (line.hub, fresh.hub):
        for data in again:
            data = rebind(data, line.hub.channel.bond, hub.channel.bond)
            assert hub.receive(data, line.now_ms) == []
    assert line.hub.channel.n_bad == fresh.hub.channel.n_bad == 0


def test_each_side_puts_a_nonce_in():
    """The same peer and the same key: either's new nonce alone makes other tags."""

    def status_tag(hub_seed, node_seed):
        said = []
        hub, board = make_hub(seed=hub_seed), make_node(seed=node_seed)
        Wire(hub, board, up=lambda data: said.append(data) or data).run(is_joined)
        found = frames(b"".join(said), hub.channel.bond)
        return next(f.tag for f in found if f.kind == messages.Status.KIND)

    assert status_tag(2, 1) == status_tag(2, 1)
    assert len({status_tag(2, 1), status_tag(3, 1), status_tag(2, 4)}) == 3


@pytest.mark.parametrize("compare", [auth.equal, auth._equal])
def test_both_ways_to_compare(compare):
    rng = random.Random(1)
    for _ in range(300):
        a = rng.randbytes(rng.randrange(10))
        b = bytearray(a)
        assert compare(a, bytes(b))
        if b:
            b[rng.randrange(len(b))] ^= 1 << rng.randrange(8)
            assert not compare(a, bytes(b))
        assert not compare(a, a + b"\0")
