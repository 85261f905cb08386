"""Boards on USB serial, through pyserial: any port, and its URLs (socket://, rfc2217://, loop://).

A thread reads and a thread writes, since Windows cannot wait for a port in an event loop. Both
lines DTR and RTS stay as the system sets them on opening (a USB board is mute without DTR; both
together do not reset an ESP32), but on Windows behind a bridge chip, where pyserial would pulse
them one by one. On closing they are kept, so that a board goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import serial
from serial.tools import list_ports

from fedboard_host import portowner
from fedboard_host.links import Link, LinkError, Opener, repl
from fedboard_host.links.tcp import is_loopback

_READ_BYTES = 4096
_MAX_UNREAD = 1 << 16  # bytes: the thread stops reading until they are taken
_POLL_S = 0.1
_WRITE_TIMEOUT_S = 10.0
# Makers of bridge chips: FTDI, Silicon Labs, WCH, Prolific.
_BRIDGES = (0x0403, 0x10C4, 0x1A86, 0x067B)


class SerialLink(Link):
    """Made by SerialOpener.open()."""

    can_start = True

    def __init__(self, name: str, port: Any, is_network: bool = False) -> None:
        self.name = name
        self.is_network = is_network
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._inbox = bytearray()
        self._readable = asyncio.Event()
        self._room = threading.Event()
        self._room.set()
        self._closing = False
        self._ended = False  # the thread has: nothing more will come
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="serial-write")
        self._thread = threading.Thread(target=self._read_loop, name="serial-read", daemon=True)
        self._thread.start()

    async def read(self) -> bytes:
        while not self._inbox:
            if self._closing or self._ended:
                return b""
            self._readable.clear()
            await self._readable.wait()
        data = bytes(self._inbox)
        self._inbox.clear()
        self._room.set()
        return data

    async def write(self, data: bytes) -> None:
        if self._closing or not data:
            return
        try:
            await self._loop.run_in_executor(self._writer, self._port.write, data)
        except (OSError, serial.SerialException):
            await self.close()  # unplugged, or a board that takes nothing

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._readable.set()
        self._room.set()
        for cancel in ("cancel_read", "cancel_write"):
            with contextlib.suppress(Exception):
                getattr(self._port, cancel)()
        await self._loop.run_in_executor(None, self._shut)

    async def start_board(self) -> str:
        return await repl.start_program(self)

    def _shut(self) -> None:
        self._thread.join(2)
        self._writer.shutdown(wait=False, cancel_futures=True)
        sock = getattr(self._port, "_socket", None)
        with contextlib.suppress(Exception):
            self._port.close()
        if sock is not None:
            sock.close()  # pyserial leaves it open if the far end was gone

    def _read_loop(self) -> None:
        port = self._port
        is_socket = not hasattr(port, "fd") and hasattr(port, "_socket")
        try:
            while not self._closing:
                self._room.wait()
                data = port.read(1)
                if not data:
                    continue
                if is_socket:  # its in_waiting only says whether there is more
                    port.timeout = 0
                    data += port.read(_READ_BYTES)
                    port.timeout = _POLL_S
                elif waiting := port.in_waiting:
                    data += port.read(min(waiting, _READ_BYTES))
                self._loop.call_soon_threadsafe(self._take, data)
        except (OSError, TypeError, AttributeError, serial.SerialException):
            pass  # unplugged; pyserial shows a port closed under its feet in any of these ways
        except RuntimeError:
            return  # the loop is gone
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end)

    def _take(self, data: bytes) -> None:
        self._inbox += data
        if len(self._inbox) > _MAX_UNREAD:
            self._room.clear()
        self._readable.set()

    def _end(self) -> None:
        self._ended = True
        self._readable.set()


class SerialOpener(Opener):
    """port: COM5, /dev/ttyACM0, or a pyserial URL."""

    def __init__(self, port: str, baud: int = 115200) -> None:
        self.name = port
        self._baud = baud
        host = urlsplit(port).hostname if "://" in port else None
        self._is_network = host is not None and not is_loopback(host) and "loop:" not in port

    async def open(self) -> Link:
        opened: Future[Any] = Future()
        threading.Thread(
            target=self._open_for, args=(opened,), name="serial-open", daemon=True
        ).start()
        try:
            port = await asyncio.wrap_future(opened)
        except asyncio.CancelledError:
            if not opened.cancel() and not opened.exception():
                opened.result().close()
            raise
        return SerialLink(self.name, port, self._is_network)

    def _open_for(self, opened: Future[Any]) -> None:
        """In a thread that nobody waits for: over a network pyserial may take 5 s to give up."""
        try:
            port = self._open()
        except BaseException as error:
            with contextlib.suppress(InvalidStateError):
                opened.set_exception(error)
            return
        try:
            opened.set_result(port)
        except InvalidStateError:
            port.close()  # too late

    def _open(self) -> Any:
        options: dict[str, Any] = {"baudrate": self._baud, "timeout": _POLL_S}
        if "://" not in self.name:
            options["write_timeout"] = _WRITE_TIMEOUT_S
            if os.name == "posix":
                options["exclusive"] = True
        try:
            port = serial.serial_for_url(self.name, do_not_open=True, **options)
            if sys.platform == "win32" and _has_bridge(self.name):
                port.dtr = port.rts = False
            port.open()
        except (OSError, ValueError, serial.SerialException) as error:
            raise LinkError(explain(self.name, error)) from None
        keep_lines(port)
        return port


def _has_bridge(name: str) -> bool:
    return any(port.device == name and port.vid in _BRIDGES for port in list_ports.comports())


def keep_lines(port: Any) -> None:
    """Keep DTR and RTS when the port is closed: their fall resets some boards."""
    if os.name != "posix":
        return
    import termios

    with contextlib.suppress(termios.error, AttributeError, OSError, ValueError, TypeError):
        attributes = termios.tcgetattr(port.fd)
        attributes[2] &= ~termios.HUPCL
        termios.tcsetattr(port.fd, termios.TCSANOW, attributes)


def explain(name: str, error: Exception) -> str:
    """Why a port cannot be opened, and what to do."""
    text = str(error)
    low = text.lower()
    if "permission" in low and os.name == "posix":
        return f"{name}: no permission: join the group that owns it (often dialout), log in anew"
    if "exclusively lock" in low or "busy" in low or "access is denied" in low:
        owner = portowner.find(name)
        return f"{name} is in use by {owner or 'Thonny, mpremote or another program: close it'}"
    if isinstance(error, FileNotFoundError) or "no such file" in low or "could not find" in low:
        return f"{name} is not there: is the board plugged in? `fedboard boards` lists the ports"
    return f"{name} cannot be opened: {text}"
