"""An echo at the far end of each kind of link, for tests of links.

    async with kind() as link: ...      kind: one of KINDS
    run(work)                           a coroutine, with a time limit

Each gives back what it is sent until its link is closed, and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import threading

import pytest

from fedboard_host.links.memory import pair
from fedboard_host.links.process import ProcessOpener
from fedboard_host.links.serial import SerialOpener
from fedboard_host.links.tcp import TcpListener, TcpOpener

posix = pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")


def run(work, timeout_s=20):
    async def body():
        async with asyncio.timeout(timeout_s):
            return await work

    return asyncio.run(body())


async def read_n(link, n):
    data = b""
    while len(data) < n:
        more = await link.read()
        assert more, f"closed after {len(data)} of {n} bytes"
        data += more
    return data


@contextlib.asynccontextmanager
async def memory_echo():
    host, board = pair()

    async def echo():
        while data := await board.read():
            await board.write(data)

    task = asyncio.create_task(echo())
    yield host
    task.cancel()


@contextlib.asynccontextmanager
async def tcp_echo():
    ends = []

    def on_link(link):
        async def echo():
            while data := await link.read():
                await link.write(data)
            await link.close()

        ends.append(asyncio.create_task(echo()))

    listener = TcpListener("127.0.0.1", 0, on_link)
    await listener.start()
    link = await TcpOpener("127.0.0.1", listener.port).open()
    yield link
    await link.close()
    await asyncio.gather(*ends)
    await listener.close()


class SocketEcho:
    """What a serial server does, in a thread."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        connection, _ = self.server.accept()
        with connection:
            while data := connection.recv(4096):
                connection.sendall(data)

    def close(self):
        self.server.close()
        self.thread.join(5)


@contextlib.asynccontextmanager
async def serial_socket_echo():
    echo = SocketEcho()
    link = await SerialOpener(f"socket://127.0.0.1:{echo.port}").open()
    yield link
    await link.close()
    echo.close()


@contextlib.asynccontextmanager
async def serial_loop():
    link = await SerialOpener("loop://").open()
    yield link
    await link.close()


@contextlib.asynccontextmanager
async def serial_pty():
    """A real serial device file, as far as the driver goes."""
    import tty

    master, slave = os.openpty()
    tty.setraw(slave)

    def echo():
        with contextlib.suppress(OSError):
            while data := os.read(master, 4096):
                os.write(master, data)

    thread = threading.Thread(target=echo, daemon=True)
    thread.start()
    link = await SerialOpener(os.ttyname(slave)).open()
    yield link
    await link.close()
    os.close(slave)
    thread.join(5)
    os.close(master)


ECHO = """
import os, sys
while True:
    data = os.read(0, 4096)
    if not data: break
    while data: data = data[os.write(1, data):]
"""


@contextlib.asynccontextmanager
async def process_echo():
    link = await ProcessOpener([sys.executable, "-c", ECHO]).open()
    yield link
    await link.close()


KINDS = [
    memory_echo,
    tcp_echo,
    serial_socket_echo,
    serial_loop,
    pytest.param(serial_pty, marks=posix),
    pytest.param(process_echo, marks=posix),
]
