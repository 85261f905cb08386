"""Boards on the network: they dial, we listen. Plain TCP, authenticated by the session's key.

A board on WiFi vanishes without a word: dead connections are found by the session's pings.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable

from fedboard_host.links import Link, LinkError, Opener

_READ_BYTES = 4096
_LINGER_S = 1.0  # for the last words to go out
_MAX_UNWRITTEN = 1 << 14  # bytes that may wait in this process for a slow board


class TcpLink(Link):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        peer = writer.get_extra_info("peername") or ("?", 0)
        self.address = str(peer[0])
        self.name = f"tcp {self.address}:{peer[1]}"
        self.is_network = not is_loopback(self.address)
        writer.transport.set_write_buffer_limits(_MAX_UNWRITTEN)
        sock = writer.get_extra_info("socket")
        if sock is not None:
            # The frames are small and their acknowledgements are waited for.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def read(self) -> bytes:
        try:
            return await self._reader.read(_READ_BYTES)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        if self._writer.is_closing():
            return
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            await self.close()

    async def close(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(_LINGER_S):
                await self._writer.wait_closed()
        except TimeoutError:
            self._writer.transport.abort()  # what a stuck board does not take must not keep us
        except OSError:
            pass


class TcpListener:
    """Calls on_link(link) for each board that dials in."""

    def __init__(self, host: str, port: int, on_link: Callable[[Link], None]) -> None:
        self.host = host
        self.port = port  # the real one after start(), if 0 was asked for
        self._on_link = on_link
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Raises LinkError if the address cannot be listened on."""
        try:
            self._server = await asyncio.start_server(
                self._connected, self.host, self.port, limit=2 * _READ_BYTES
            )
        except OSError as error:
            raise LinkError(
                f"cannot listen on {self.host}:{self.port} ({error.strerror or error}): "
                "is another host running? Choose another port"
            ) from None
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Take no new boards; the links that are open stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._on_link(TcpLink(reader, writer))


class TcpOpener(Opener):
    """Dials; for tests and for boards that listen."""

    def __init__(self, host: str, port: int) -> None:
        self.name = f"tcp {host}:{port}"
        self._address = (host, port)

    async def open(self) -> Link:
        try:
            reader, writer = await asyncio.open_connection(
                self._address[0], self._address[1], limit=2 * _READ_BYTES
            )
        except OSError as error:
            raise LinkError(f"{self.name} does not answer ({error.strerror or error})") from None
        return TcpLink(reader, writer)


def is_loopback(address: str) -> bool:
    """Only this machine is at the far end."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
