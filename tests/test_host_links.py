"""Links: the same promises from memory, a network socket, a serial port and a process.

What is special to memory and TCP, and addresses, too; serial ports, processes and boards at their
prompt have files of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from fedboard import DataError
from fedboard_host import links
from fedboard_host.links import LinkError
from fedboard_host.links.memory import MAX_PENDING, Faults, pair
from fedboard_host.links.tcp import TcpListener, TcpOpener, is_loopback
from link_ends import KINDS, read_n, run, tcp_echo

ALL_BYTES = bytes(range(256))


@pytest.mark.parametrize("kind", KINDS)
def test_every_byte_comes_through(kind):
    async def work():
        async with kind() as link:
            for size in (1, 256, 3000):
                data = (ALL_BYTES * 20)[:size]
                await link.write(data)
                assert await read_n(link, size) == data

    run(work())


@pytest.mark.parametrize("kind", KINDS)
def test_close_ends_a_pending_read_and_may_be_called_again(kind):
    async def work():
        async with kind() as link:
            reading = asyncio.create_task(link.read())
            await asyncio.sleep(0.05)
            await link.close()
            assert await reading == b""
            assert await link.read() == b""
            await link.write(b"nobody hears this")
            await link.close()

    run(work())


@pytest.mark.parametrize("kind", KINDS)
def test_a_cancelled_read_loses_nothing(kind):
    async def work():
        async with kind() as link:
            for _ in range(3):
                reading = asyncio.create_task(link.read())
                await asyncio.sleep(0.01)
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            await link.write(b"hello")
            assert await read_n(link, 5) == b"hello"

    run(work())


# Memory


def test_memory_tells_the_writer_to_wait():
    async def work():
        host, board = pair()
        await host.write(bytes(MAX_PENDING + 1))
        writing = asyncio.create_task(host.write(b"more"))
        await asyncio.sleep(0.01)
        assert not writing.done()
        assert len(await board.read()) == MAX_PENDING + 1
        await writing
        assert await board.read() == b"more"

    run(work())


def test_memory_close_leaves_what_was_sent_and_cut_does_not():
    async def work():
        host, board = pair()
        await host.write(b"bye")
        await host.close()
        assert await board.read() == b"bye"
        assert await board.read() == b""
        host, board = pair()
        await host.write(b"bye")
        host.cut()
        assert await board.read() == b""

    run(work())


def test_faults_are_as_frequent_as_asked_and_the_same_for_a_seed():
    async def through(faults):
        host, board = pair(down=faults)
        out = []
        for i in range(400):
            await host.write(bytes([i & 0xFF]) * 10)
        await host.close()
        while data := await board.read():
            out.append(data)
        return b"".join(out)

    sent = b"".join(bytes([i & 0xFF]) * 10 for i in range(400))
    assert run(through(Faults())) == sent
    lost = run(through(Faults(loss=0.5)))
    assert 1500 < len(lost) < 2500
    assert run(through(Faults(loss=0.5))) == lost
    assert run(through(Faults(seed=2, loss=0.5))) != lost
    spoilt = run(through(Faults(corrupt=0.5)))
    assert 150 < sum(a != b for a, b in zip(spoilt, sent, strict=True)) < 250
    assert 5000 < len(run(through(Faults(duplicate=0.5)))) < 7000
    mixed = run(through(Faults(reorder=0.3)))
    assert mixed != sent
    assert sorted(mixed)[: len(mixed)] == sorted(sent)[: len(mixed)] or len(mixed) < len(sent)


# TCP


def test_tcp_knows_whether_it_is_a_network():
    assert is_loopback("127.0.0.1")
    assert is_loopback("127.8.9.1")
    assert is_loopback("::1")
    assert is_loopback("localhost")
    for address in ("192.168.1.4", "fe80::1%eth0", "0.0.0.0", "laptop.local", "", "?"):
        assert not is_loopback(address)

    async def work():
        async with tcp_echo() as link:
            assert not link.is_network
            assert link.name.startswith("tcp 127.0.0.1:")

    run(work())


def test_a_port_that_is_taken_is_told():
    async def work():
        first = TcpListener("127.0.0.1", 0, lambda link: None)
        await first.start()
        second = TcpListener("127.0.0.1", first.port, lambda link: None)
        with pytest.raises(LinkError, match="Choose another port"):
            await second.start()
        await first.close()
        with pytest.raises(LinkError, match="does not answer"):
            await TcpOpener("127.0.0.1", first.port).open()

    run(work())


@contextlib.asynccontextmanager
async def dialled():
    """A link that somebody dialled in on, and the socket at its far end."""
    got = []
    listener = TcpListener("127.0.0.1", 0, got.append)
    await listener.start()
    with socket.create_connection(("127.0.0.1", listener.port)) as client:
        while not got:
            await asyncio.sleep(0.01)
        yield got[0], client
        await got[0].close()
    await listener.close()


def test_a_far_end_that_resets_is_an_end():
    async def work():
        async with dialled() as (link, client):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            client.close()
            assert await link.read() == b""
            await link.write(b"x" * 100_000)

    run(work())


def test_a_far_end_that_does_not_read_cannot_keep_us():
    async def work():
        async with dialled() as (link, _):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    while True:
                        await link.write(bytes(100_000))

    run(work())


# Addresses


def test_parse():
    assert links.parse("serial:/dev/ttyACM0").name == "/dev/ttyACM0"
    assert links.parse("COM5").name == "COM5"
    assert links.parse("socket://localhost:4000").name == "socket://localhost:4000"
    opener = links.parse('process:micropython "a b.py" --config x')
    assert opener.name == "process micropython"
    assert opener._command == ["micropython", "a b.py", "--config", "x"]
    for bad in ("", "serial:", "process:", "process:  "):
        with pytest.raises(DataError, match="needs a"):
            links.parse(bad)
