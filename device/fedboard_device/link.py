"""Byte streams to the host, each with its platform's quirks: USB serial (the console), and TCP.

    open()           may block for some seconds; OSError says why it failed
    read() -> bytes  what is there, or a view of it until the next read; b"" if nothing is; never
                     waits; OSError: the link is gone
    write(data)      all of it; waits while the far end is slow, then OSError
    wait(ms)         until something can be read, or the time is over
    dials            True: the board opens it, and opens it again after a break
    window           frames of 256 bytes that the receive buffer surely holds

0x03 is never part of a frame: on a console it is Ctrl-C. Boards raise KeyboardInterrupt in their
driver; a desktop's console is made raw here and does it in read().
"""

import errno
import select
import sys

from fedboard import wire
from fedboard_device import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

CONNECT_TIMEOUT_S = 5
WRITE_TIMEOUT_MS = 5000
WIFI_TIMEOUT_MS = 20000
READ_BYTES = 256
_CANONICAL = 0x102  # ICANON, of Linux and of macOS
_WAIT = (errno.EAGAIN, 10035)  # nothing there yet; the latter is Windows'


def _poller(stream: "Any") -> "Any":
    """A poll object for reading from `stream`, or None where there is no such thing."""
    if not hasattr(select, "poll"):
        return None
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    return poll


class _Link:
    dials = False
    window = 1
    _poll: "Any" = None

    def wait(self, timeout_ms: int) -> None:
        if self._poll is None:
            system.sleep_ms(min(timeout_ms, 5))
        else:
            self._poll.poll(timeout_ms)

    def leave(self) -> None:
        """Switch off what makes the link possible, to sleep; open() switches it on."""


class Console(_Link):
    """USB serial, or whatever else stdin and stdout are: a UART, a pty, pipes."""

    def __init__(self) -> None:
        # A Pico's buffer holds two frames, an ESP32's one; a desktop's pty many.
        self.window = 4 if system.DESKTOP else 2 if sys.platform == "rp2" else 1
        self._in: Any = sys.stdin.buffer
        self._out = sys.stdout.buffer
        self._one = bytearray(1)
        self._buffer = bytearray(READ_BYTES)
        self._header = bytearray(wire.HEADER_BYTES)
        self._at = -1  # how much of it has come; -1: all, or there is none
        self._xor = 0  # what unescapes the next byte
        self._due = 0  # bytes that must still come
        self._saved: Any = None

    def open(self) -> None:
        stream: Any = sys.stdin
        self._poll = _poller(stream)
        if self._poll is None:
            raise OSError("no serial console on this system: use a tcp link")
        if system.DESKTOP:
            self._saved = _make_raw(stream.fileno() if system.RUNTIME == "cpython" else 0)

    def close(self) -> None:
        if self._saved is not None:
            import termios

            termios.tcsetattr(0, termios.TCSANOW, self._saved)
            self._saved = None

    def read(self) -> "Any":
        if system.RUNTIME == "cpython":
            import os

            data = b""
            if self._poll.poll(0):
                data = os.read(0, READ_BYTES)
                if not data:
                    raise OSError("the console was closed")
        else:
            data = self._read_each()
        if system.DESKTOP and b"\x03" in bytes(data):
            raise KeyboardInterrupt
        return data

    def _read_each(self) -> "Any":
        """A view of what came, until the next read.

        Byte by byte: a read of n waits for all n, and nobody tells how many there are.

        But a frame's header says how many must still come. They are read at once, five times as
        fast on a Pico; if they do not, they are waited for, until the host repeats itself.
        """
        one = self._one
        buffer = self._buffer
        readinto = self._in.readinto
        ipoll = self._poll.ipoll  # poll() would allocate, for each byte
        n = 0
        while n < READ_BYTES:
            if self._due:
                m = readinto(memoryview(buffer)[n : min(n + self._due, READ_BYTES)])
                if not m:
                    raise OSError("the console was closed")
                self._due -= m
                n += m
                continue
            for _ in ipoll(0):
                break
            else:
                break
            if not readinto(one):
                raise OSError("the console was closed")
            byte = buffer[n] = one[0]
            n += 1
            # Most bytes that come one by one are a header's: it is unstuffed here.
            at = self._at
            if byte == 0x7E:
                self._at = 0
                self._xor = 0
            elif at < 0:
                pass
            elif byte == 0x7D:
                self._xor = 0x20
            else:
                self._header[at] = byte ^ self._xor
                self._xor = 0
                self._at = at + 1
                if at + 1 == wire.HEADER_BYTES:
                    self._at = -1
                    self._due = wire.n_due(self._header)
        return memoryview(buffer)[:n] if n else b""

    def write(self, data: bytes) -> None:
        _write_all(self._out.write, data)
        if system.RUNTIME == "cpython":
            self._out.flush()


class Tcp(_Link):
    """A connection to the host, at the first of `hosts`, (address, port), that takes it.

    CircuitPython's sockets come from a pool, others from `socket`.
    """

    dials = True
    window = 4

    def __init__(self, hosts: "list[tuple[str, int]]", wifi: "dict[str, Any]") -> None:
        self._hosts = hosts
        self._wifi = wifi
        self._socket: Any = None
        self._buffer = bytearray(READ_BYTES)

    def open(self) -> None:
        self.close()
        if self._wifi:
            join_wifi(self._wifi["ssid"], self._wifi.get("password", ""))
        last = OSError("no address of a host")
        pool = _sockets()
        for family, kind, protocol, _, address in self._addresses(pool):
            connection = pool.socket(family, kind, protocol)
            try:
                connection.settimeout(CONNECT_TIMEOUT_S)
                connection.connect(address)
                connection.setblocking(False)
            except OSError as error:
                connection.close()
                last = error
                continue
            try:
                connection.setsockopt(6, 1, 1)  # TCP_NODELAY: our frames are small and awaited
            except (AttributeError, OSError, ValueError):
                pass  # slower, no worse
            self._socket = connection
            try:
                self._poll = _poller(connection)
            except (TypeError, OSError):
                self._poll = None
            return
        raise last

    def _addresses(self, pool: "Any") -> "Iterator[Any]":
        """What to dial. A name that nobody knows is passed over, unless it is the last hope."""
        for host, port in self._hosts:
            try:
                found = pool.getaddrinfo(host, port, 0, pool.SOCK_STREAM)
            except OSError:
                if host == self._hosts[-1][0]:
                    raise
                continue
            yield from found

    def close(self) -> None:
        self._poll = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def leave(self) -> None:
        if not system.DESKTOP and self._wifi:
            leave_wifi()

    def read(self) -> "Any":
        try:
            if hasattr(self._socket, "recv_into"):
                n = self._socket.recv_into(self._buffer)
            else:
                n = self._socket.readinto(self._buffer)
        except OSError as error:
            if error.errno in _WAIT:
                return b""
            raise
        if n is None:
            return b""
        if n == 0:
            raise OSError("the host closed the connection")
        return memoryview(self._buffer)[:n]

    def write(self, data: bytes) -> None:
        _write_all(self._socket.send, data)


def _write_all(write: "Any", data: bytes) -> None:
    """write() some, until all is written, or nothing went for WRITE_TIMEOUT_MS."""
    view = memoryview(data)
    at = 0
    since_ms = system.clock_ms()
    while at < len(data):
        try:
            n = write(view[at:]) or 0
        except OSError as error:
            if error.errno not in _WAIT:
                raise
            n = 0
        at += n
        if n:
            since_ms = system.clock_ms()
        elif system.clock_ms() - since_ms > WRITE_TIMEOUT_MS:
            raise OSError("the host does not read")
        else:
            system.sleep_ms(1)


def _sockets() -> "Any":
    if system.RUNTIME == "circuitpython":
        import socketpool
        import wifi

        return socketpool.SocketPool(wifi.radio)
    import socket

    return socket


def join_wifi(ssid: str, password: str) -> None:
    """Join the network unless that is done. Desktops are on theirs. The password is never shown."""
    if system.DESKTOP:
        return
    if system.RUNTIME == "circuitpython":
        import wifi

        if not wifi.radio.connected:
            wifi.radio.connect(ssid, password)
        return
    import network

    station = network.WLAN(network.STA_IF)
    if station.isconnected():
        return
    station.active(True)
    station.connect(ssid, password)
    until_ms = system.clock_ms() + WIFI_TIMEOUT_MS
    while not station.isconnected():
        if system.clock_ms() > until_ms:
            station.disconnect()
            raise OSError(f"no WiFi {ssid}: check its name, password, and that it is 2.4 GHz")
        system.sleep_ms(100)


def leave_wifi() -> None:
    if system.RUNTIME == "circuitpython":
        import wifi

        wifi.radio.stop_station()
        return
    import network

    network.WLAN(network.STA_IF).active(False)


def _make_raw(fd: int) -> "Any":
    """Have a terminal hand over bytes as they come. Returns what it was, None: nothing to undo."""
    try:
        import termios

        saved = termios.tcgetattr(fd)
        if not saved[3] & _CANONICAL:
            return None  # it is raw already; and the list takes more than a kilobyte
        if system.RUNTIME != "cpython":
            termios.setraw(fd)
            return saved
        mode = termios.tcgetattr(fd)
        mode[0] &= ~(
            termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON | termios.IXOFF
            | termios.ISTRIP | termios.BRKINT
        )  # fmt: skip
        mode[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
        mode[6][termios.VMIN] = 1
        mode[6][termios.VTIME] = 0
        termios.tcsetattr(fd, termios.TCSANOW, mode)
        return saved
    except (ImportError, OSError, ValueError):
        return None
    except Exception as error:  # CPython's termios.error is no OSError
        if type(error).__name__ != "error":
            raise
        return None
