"""What docs/protocol.md promises against strangers, hostile peers and curious eyes."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import random
import stat

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fedboard import PROTOCOL, DataError, auth, messages, wire
from fedboard.hub import Hub
from fedboard.node import Identity, Node, Opened
from fedboard.session import Denied
from fedboard_host import asking, cli, demo, gate, keyfile, metademo
from fedboard_host.dashboard import page
from fedboard_host.dashboard.feed import Feed
from fedboard_host.events import Note
from fedboard_host.gate import Gate
from fedboard_host.virtual import VirtualBoard
from federations import Fleet, blobs
from test_host_roster import gone, in_fleet, stranger
from test_session import KEY, Wire, entropy, is_joined, make_hub, make_node, status

OTHER = b"x" * 32


def frames(data: bytes) -> list[wire.Frame]:
    return [wire.unpack(body) for body in wire.Decoder().feed(data)]


def repack(frame: wire.Frame, payload: bytes | None = None, sign=None) -> bytes:
    """The same frame with another payload or tag, as somebody on the way can make it."""
    return wire.pack(
        frame.kind, frame.seq, frame.ack, frame.flags & ~wire.KEYED, frame.counter,
        frame.payload if payload is None else payload, sign,
    )  # fmt: skip


def never_joins(line: Wire) -> Wire:
    with pytest.raises(AssertionError, match="in time"):
        line.run(lambda x: x.hub.joined or any(isinstance(e, Opened) for e in x.node_events), 3000)
    return line


# Mutual authentication, no way down


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
    assert [f.kind for f in frames(said)] == [messages.Status.KIND]
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

    line = never_joins(Wire(make_hub(), make_node(), up=up))
    assert {type(e) for e in line.node_events} == {Denied}


def test_a_forged_hello_costs_a_repeat():
    """Before the real one, with its nonce but another window: the real one still counts."""
    forged = []

    def up(data):
        for frame in frames(data)[:1]:
            if frame.kind == messages.Hello.KIND and not forged:
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
        return b"".join(repack(f) for f in frames(data))

    line = never_joins(Wire(make_hub(), make_node(), down=down))
    assert {type(e) for e in line.node_events} == {Denied}


def test_frames_without_their_tags_are_refused():
    line = Wire(make_hub(), make_node()).run(is_joined)
    line.node.send(messages.Progress(round=1))
    stripped = b"".join(repack(f) for f in frames(line.node.outgoing(line.now_ms)))
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
        data = wire.pack(messages.Welcome.KIND, 0, 0, wire.FROM_HUB, 0, welcome.pack(), tx.tag)
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
    again = [d for d in said if d and frames(d)[0].kind != messages.Hello.KIND]
    rng.shuffle(again)
    for hub in (line.hub, fresh.hub):
        assert [e for data in again for e in hub.receive(data, line.now_ms)] == []


def test_each_side_puts_a_nonce_in():
    """The same peer and the same key: either's new nonce alone makes other tags."""

    def status_tag(hub_seed, node_seed):
        said = []
        line = Wire(
            make_hub(seed=hub_seed), make_node(seed=node_seed),
            up=lambda data: said.extend(frames(data)) or data,
        )  # fmt: skip
        line.run(is_joined)
        return next(f.tag for f in said if f.kind == messages.Status.KIND)

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


# Bounds before authentication


@given(st.lists(st.binary(max_size=600), max_size=30))
def test_before_the_proof_a_hub_keeps_one_frame_and_one_hello(parts):
    """Whatever comes, hellos among it; outgoing() is taken now and then, as a connection does."""
    hub = Hub(KEY, entropy(1))
    hub.open(0)
    for i, part in enumerate(parts):
        nonce = (part + bytes(16))[:16]
        hello = messages.Hello(protocol=PROTOCOL, keyed=1, nonce=nonce, name=f"n{i}")
        hub.receive(part + wire.pack(messages.Hello.KIND, 0, 0, 0, 0, hello.pack()), i)
        hub.outgoing(i)
        channel = hub.channel
        assert len(channel.decoder.pending()) <= wire.MAX_FRAME
        assert len(channel.text) <= wire.MAX_FRAME
        assert not channel.queue
        assert not channel._raw
        assert not hub._data


def test_the_gate_slows_an_address_down_and_no_other():
    doors = Gate()
    waits = [doors.failed("192.0.2.1", 0) for _ in range(30)]
    assert waits[: gate.FREE_TRIES] == [0] * gate.FREE_TRIES
    assert waits[gate.FREE_TRIES :][:3] == [1000, 2000, 4000]
    assert waits[-1] == gate.MAX_WAIT_MS
    assert not doors.admits("192.0.2.1", gate.MAX_WAIT_MS - 1)
    assert doors.admits("192.0.2.1", gate.MAX_WAIT_MS)
    assert doors.admits("192.0.2.2", 0)
    doors.passed("192.0.2.1")
    assert doors.admits("192.0.2.1", 0)
    assert doors.failed("192.0.2.1", 0) == 0


def test_the_gate_forgets_and_keeps_few():
    doors = Gate()
    for _ in range(9):
        doors.failed("192.0.2.1", 0)
    assert doors.failed("192.0.2.1", gate.FORGET_MS) == 0
    for n in range(10 * gate.MAX_ADDRESSES):
        doors.failed(f"10.0.{n // 256}.{n % 256}", 0)
        assert len(doors._failures) <= gate.MAX_ADDRESSES


def test_one_household_of_ipv6_is_one_address():
    doors = Gate()
    for n in range(gate.FREE_TRIES + 1):
        doors.failed(f"2001:db8::{n:x}", 0)
    assert not doors.admits("2001:db8::ffff", 0)
    assert doors.admits("2001:db8:0:1::1", 0)
    for _ in range(gate.FREE_TRIES + 1):
        doors.failed("::ffff:192.0.2.1", 0)
    assert not doors.admits("192.0.2.1", 0)
    assert doors.admits("no address", 0)


def test_an_address_that_fails_again_and_again_is_not_listened_to(tmp_path, monkeypatch):
    monkeypatch.setattr(gate, "FREE_TRIES", 2)
    monkeypatch.setattr(gate, "FIRST_WAIT_MS", 1 << 40)
    monkeypatch.setattr(gate, "MAX_WAIT_MS", 1 << 40)

    async def body(fleet):
        hello = messages.Hello(protocol=PROTOCOL, keyed=1, nonce=bytes(16), name="evil")
        packed = wire.pack(messages.Hello.KIND, 0, 0, 0, 0, hello.pack())
        for _ in range(3):
            host, end = stranger(address="192.0.2.66")
            fleet.federation.add_link(host)
            await end.write(packed)
            assert await end.read()  # it was listened to
            await end.close()
            while any(c.link is host for c in fleet.federation._roster._connections):
                await asyncio.sleep(0)
        host, end = stranger(address="192.0.2.66")
        fleet.federation.add_link(host)
        await gone(host)  # unheard, and at once: there is no handshake timeout here
        note = await fleet.until(Note, level="warning")
        assert "192.0.2.66" in note.text
        good = VirtualBoard("good", blobs(5, 24), key=KEY, clock=fleet.clock)
        good.link.is_network = True
        good.link.address = "192.0.2.67"
        fleet.add(good)
        await fleet.until_ready(2)
        return await fleet.run(1)

    assert in_fleet(tmp_path, body, key=KEY, handshake_ms=1 << 40).round == 1


# The key at rest


@pytest.mark.skipif(os.name != "posix", reason="on Windows access follows the folder's")
def test_a_key_that_others_can_read_is_warned_of(tmp_path):
    path = tmp_path / "home.key"
    said: list[str] = []
    keyfile.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = keyfile.read(path, said.append)
    assert said == []
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        assert keyfile.read(path, said.append) == key
        assert f"chmod 600 {path}" in said.pop()
    path.chmod(0o644)
    done = CliRunner().invoke(cli.cli, ["boards", "--json", "--key-file", str(path), "loop://"])
    assert "other users can read this key" in done.stderr
    assert "other users" not in done.stdout


def test_keys_differ_and_a_key_file_is_never_replaced(tmp_path):
    for name in "ab":
        keyfile.write(tmp_path / name)
    assert keyfile.read(tmp_path / "a") != keyfile.read(tmp_path / "b")
    with pytest.raises(DataError, match="exists"):
        keyfile.write(tmp_path / "a")


# The key is nowhere else


def shapes(key: bytes) -> list[bytes]:
    """How a key could show in a text or a file."""
    return [key, key.hex().encode(), key.hex().upper().encode(), repr(key).encode(),
            base64.b64encode(key)[:40], str(list(key)).encode()]  # fmt: skip


def test_no_repr_and_no_error_shows_a_key(tmp_path):
    key = os.urandom(32)
    board = Node(Identity("kitchen", b"uid"), key, entropy(1), status)
    hub = Hub(key, entropy(2))
    line = Wire(hub, board).run(is_joined)
    things = [
        board, hub, hub.channel, board.channel, *auth.signers(key, b"hello", b"h"),
        *line.hub_events, *line.node_events, asking.Asked(None, key), Gate(),
        demo.Options(key=key), metademo.Options(key=key),
    ]  # fmt: skip
    (tmp_path / "k").write_text(key.hex()[:-1])  # one digit is missing
    with pytest.raises(DataError) as caught:
        keyfile.read(tmp_path / "k")
    text = "\n".join([repr(t) + str(t) for t in things] + [str(caught.value), repr(caught.value)])
    assert "Joined" in text
    assert key.hex()[:16] not in text
    assert not [s for s in shapes(key) if s in text.encode()]


def test_a_keyed_run_writes_and_tells_the_key_nowhere(tmp_path, caplog, capfd):
    """A round, a board with another key, a stranger: then look into everything that there is."""
    caplog.set_level(logging.DEBUG)
    key = os.urandom(32)
    heard: list[bytes] = []

    async def body():
        async with Fleet(tmp_path / "run", 2, key=key) as fleet:
            fleet.add(VirtualBoard("other", blobs(9, 24), key=OTHER, clock=fleet.clock))
            host, end = stranger()
            fleet.federation.add_link(host)
            heard.append(await end.read())
            await fleet.run(2)
            await fleet.until(Note, level="warning")
            texts = [repr(fleet.federation), *map(repr, fleet.events)]
            texts += [repr(view) for view in fleet.federation.boards()]
            return texts

    texts = asyncio.run(body())
    state = Feed(tmp_path / "run", ()).read()
    texts += [page.live(state, True), repr(state), caplog.text, *capfd.readouterr()]
    files = [p.read_bytes() for p in sorted((tmp_path / "run").rglob("*")) if p.is_file()]
    assert any(b"SQLite" in data for data in files)
    everything = b"\n".join([*files, *heard, *(t.encode() for t in texts)])
    assert b"other" in everything
    assert not [s for s in shapes(key) if s in everything]


def test_a_command_that_fails_shows_no_key_even_when_debugging(tmp_path):
    path = tmp_path / "home.key"
    keyfile.write(path)
    text = path.read_text().strip()
    for arguments in (
        ["--debug", "boards", "--key-file", str(path), "loop://"],
        ["--debug", "node", "--config", str(tmp_path), "--key-file", str(path)],
        ["--debug", "key", str(path)],
    ):
        done = CliRunner().invoke(cli.cli, arguments)
        said = done.output + repr(done.exception) + repr(done.exc_info)
        assert text not in said, arguments
