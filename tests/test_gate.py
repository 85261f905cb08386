"""Strangers before they prove the key: how little is kept of them, and how they are slowed down."""

from __future__ import annotations

import asyncio
from binascii import crc32

from hypothesis import given
from hypothesis import strategies as st

from fedboard import PROTOCOL, messages, wire
from fedboard.channel import MOST_RAW
from fedboard.hub import Hub
from fedboard_host import gate
from fedboard_host.events import Note
from fedboard_host.gate import Gate
from fedboard_host.virtual import VirtualBoard
from federations import blobs
from test_host_roster import gone, in_fleet, stranger
from test_session import KEY, entropy


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
        assert not channel.queue
        assert not channel._raw
        assert not hub._data


@given(st.lists(st.sampled_from(["keyless", "old", "genuine"]), min_size=40, max_size=60))
def test_who_floods_and_never_reads_is_not_queued_for(kinds):
    """A cable's far end, as of networks 8 KiB are taken in all."""
    hub = Hub(KEY, entropy(1))
    hub.open(0)
    for i, kind in enumerate(kinds):
        hello = messages.Hello(
            protocol=PROTOCOL - (kind == "old"), keyed=int(kind != "keyless"),
            nonce=i.to_bytes(16, "big"), name="n",
        )  # fmt: skip
        hub.receive(wire.pack(messages.Hello.KIND, 0, 0, 0, 0, hello.pack()), i)
    said = wire.Decoder().feed(hub.outgoing(99))
    assert len(said) <= MOST_RAW
    if kinds[-1] == "genuine":
        last = wire.unpack(said[-1], bond=crc32(hello.pack()))
        assert last.kind == messages.Welcome.KIND


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
