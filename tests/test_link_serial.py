"""Serial ports, and serial servers elsewhere: what can be wrong with one is told."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from fedboard_host.links import LinkError
from fedboard_host.links.serial import SerialOpener
from link_ends import posix, run, serial_pty, serial_socket_echo


def test_a_port_that_is_not_there_or_nonsense_is_told():
    async def work():
        with pytest.raises(LinkError, match="is not there: is the board plugged in"):
            await SerialOpener("/dev/no-such-port").open()
        with pytest.raises(LinkError, match="cannot be opened"):
            await SerialOpener("nonsense://x").open()
        with pytest.raises(LinkError):
            await SerialOpener("socket://127.0.0.1:1").open()

    run(work())


@posix
def test_a_port_that_is_in_use_is_told():
    async def work():
        async with serial_pty() as link:
            with pytest.raises(LinkError, match=r"in use by Thonny, mpremote"):
                await SerialOpener(link.name).open()

    run(work())


@pytest.mark.parametrize("opens", [True, False])
def test_an_opening_that_is_given_up_holds_nobody_up(monkeypatch, opens):
    """Not the end of the loop either; a port that opens after all is closed."""
    begun, may_end, closed = threading.Event(), threading.Event(), threading.Event()

    class Port:
        close = closed.set

    def slow(self):
        begun.set()
        may_end.wait(60)
        if opens:
            return Port()
        raise LinkError("nobody there")

    monkeypatch.setattr(SerialOpener, "_open", slow)

    async def work():
        task = asyncio.create_task(SerialOpener("socket://pi:4000").open())
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(work())
    (thread,) = [t for t in threading.enumerate() if t.name == "serial-open"]
    assert not closed.is_set()
    may_end.set()
    thread.join()
    assert closed.is_set() == opens


def test_a_serial_server_elsewhere_is_a_network():
    assert SerialOpener("socket://192.168.1.7:4000")._is_network
    assert SerialOpener("rfc2217://pi.local:4000")._is_network
    assert not SerialOpener("socket://localhost:4000")._is_network
    assert not SerialOpener("loop://")._is_network
    assert not SerialOpener("COM5")._is_network


def test_an_unplugged_port_is_an_end():
    async def work():
        async with serial_socket_echo() as link:
            link._port._socket.shutdown(socket.SHUT_RDWR)
            assert await link.read() == b""

    run(work())
