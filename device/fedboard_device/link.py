"""Byte streams to the host: what a link is, and the console. Others: usbserial, tcp.

    open()           may block for some seconds; OSError says why it failed
    read() -> bytes  what is there, or a view of it until the next read; b"" if nothing is; never
                     waits; OSError: the link is gone
    write(data)      all of it; waits while the far end is slow, then OSError
    wait(ms)         until something can be read, or the time is over
    dials            True: the board opens it, and opens it again after a break
    window           frames that may be under way to the board, each of `frame` bytes
    frame            bytes of the longest frame that it takes, if its flow control makes the host
                     wait while the receive buffer is full; 0: 256, and the buffer surely holds
                     `window` of them

0x03 is never part of a frame: on a console it is Ctrl-C. Boards raise KeyboardInterrupt in their
driver; a desktop's console is made raw here and does it in read().
"""

import errno
import sys

from fedboard import messages, wire
from fedboard_device import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WRITE_TIMEOUT_MS = 5000
READ_BYTES = 256
PIECE_BYTES = 128  # of a frame, read at once: all of them are waited for, so they must not be many
PIECE_MS = 300  # how long the next one is waited for
LONG_FRAME = 2048  # where the other side waits while a buffer is full: fewer frames, less time
ROOMY_BYTES = 65536  # free at the start: enough for a model, and for a buffer of that size
_CANONICAL = 0x102  # ICANON, of Linux and of macOS
WAIT = (errno.EAGAIN, 10035)  # nothing there yet; the latter is Windows'


def poller(stream: "Any") -> "Any":
    """A poll object for reading from `stream`, or None where there is no such thing."""
    try:
        import select
    except ImportError:  # the smallest boards
        return None
    if not hasattr(select, "poll"):
        return None
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    return poll


class Link:
    dials = False
    window = 1
    frame = 0
    steady = False  # a transfer is under way: more is sure to come
    _poll: "Any" = None

    def open(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def read(self) -> "Any":
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether read() may find something: asked before, as most of the time there is nothing."""
        ipoll = getattr(self._poll, "ipoll", None)  # poll() would allocate
        if ipoll is None:
            return True
        for _ in ipoll(0):
            return True
        return False

    def wait(self, timeout_ms: int) -> None:
        if self._poll is None:
            system.sleep_ms(min(timeout_ms, 5))
        else:
            self._poll.poll(timeout_ms)

    def leave(self) -> None:
        """Switch off what makes the link possible, to sleep; open() switches it on."""


def serial() -> Link:
    """The board's serial port to the host. OSError: it has none."""
    try:
        from fedboard_device import usbserial
    except ImportError:
        return Console()
    return usbserial.UsbSerial()


class Console(Link):
    """USB serial, or whatever else stdin and stdout are: a UART, a pty, pipes."""

    def __init__(self) -> None:
        self.window = system.CONSOLE_WINDOW
        self.frame = long_frame() if system.CONSOLE_WAITS else 0
        # CircuitPython's have no `buffer`; but nothing that its text does touches a frame's bytes.
        self._in: Any = getattr(sys.stdin, "buffer", sys.stdin)
        self._out = getattr(sys.stdout, "buffer", sys.stdout)
        self._one = bytearray(1)
        self._view = memoryview(bytearray(max(READ_BYTES, self.frame)))
        self._header = bytearray(wire.HEADER_BYTES)
        self._at = -1  # how much of it has come; -1: all, or there is none
        self._xor = 0  # what unescapes the next byte
        self._is_whole = False  # a whole frame was read, and nothing behind it
        self._saved: Any = None

    def open(self) -> None:
        stream: Any = sys.stdin
        self._poll = poller(stream)
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

        But a chunk's kind and header say how many must still come: those are read at once, twenty
        times as fast on a Pico, and nothing behind them, so that the decoder gets it in one piece.
        While a transfer is under way another frame is sure to come: so is its header. If they do
        not come, see _take(), what does is read byte by byte again.
        """
        one = self._one
        view = self._view
        ipoll = self._poll.ipoll  # poll() would allocate, for each byte
        n = due = 0
        if self.steady and self._at < 0 and self._is_whole:
            n = self._take(0, 1 + wire.HEADER_BYTES)  # a flag comes first
            due = self._parse(n) if n else 0
        self._is_whole = False
        while n < len(view):
            if due:
                n = self._take(n, due)
                if view[n - 1] == 0x7E:
                    self._is_whole = True
                    break
                due = 0
                continue
            for _ in ipoll(0):
                break
            else:
                break
            if not self._in.readinto(one):
                raise OSError("the console was closed")
            view[n] = one[0]
            n += 1
            due = self._follow(one[0])
            if one[0] == 0x7E and n > 1:
                break  # a frame at a time: so it need not be copied, either
            if self._at == 1 and self._header[0] == messages.Chunk.KIND:
                at = n  # its header is sure to come, like the chunk itself
                n = self._take(at, wire.HEADER_BYTES - 1)
                for byte in view[at:n]:
                    due = self._follow(byte)
        return view[:n] if n else b""

    def _take(self, n: int, due: int) -> int:
        """Read `due` bytes, one more for each escape, behind the first n: how many are there?

        Fewer if a host stops amid them, or begins anew: they are read in pieces.
        """
        n_flags = 0 if n else 1  # a frame's own
        while due:
            for _ in self._poll.ipoll(PIECE_MS):
                break
            else:
                break
            part = self._view[n : n + min(due, PIECE_BYTES)]
            got = self._in.readinto(part)
            if not got:
                if not len(part):
                    break  # the buffer is full: it was no frame
                raise OSError("the console was closed")
            n += got
            due -= got - wire.count(part, got, 0x7D)
            if due and wire.count(part, got, 0x7E) > n_flags:
                break
            n_flags = 0
        return n

    def _parse(self, n: int) -> int:
        """How many bytes are due behind a flag and a header, the first n."""
        header = bytearray(self._view[1:n])
        if self._view[0] == 0x7E and wire.unstuff(header, n - 1) == wire.HEADER_BYTES:
            return wire.n_due(header, len(self._view))
        due = 0
        for byte in self._view[:n]:
            due = self._follow(byte)
        return due

    def _follow(self, byte: int) -> int:
        """Unstuff what may be a header. When it is complete: how many bytes are due behind it."""
        at = self._at
        if byte == 0x7E:
            self._at = self._xor = 0
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
                return wire.n_due(self._header, len(self._view))
        return 0

    def write(self, data: bytes) -> None:
        write_all(self._out.write, data)
        if system.RUNTIME == "cpython":
            self._out.flush()


def long_frame() -> int:
    """What a link says in `frame` if it may: nothing where memory is short."""
    if system.free_memory and system.free_memory() < ROOMY_BYTES:
        return 0
    return LONG_FRAME


def write_all(write: "Any", data: bytes) -> None:
    """write() some, until all is written, or nothing went for WRITE_TIMEOUT_MS."""
    view = memoryview(data)
    at = 0
    since_ms = system.clock_ms()
    while at < len(data):
        try:
            n = write(view[at:]) or 0
        except OSError as error:
            if error.errno not in WAIT:
                raise
            n = 0
        at += n
        if n:
            since_ms = system.clock_ms()
        elif system.clock_ms() - since_ms > WRITE_TIMEOUT_MS:
            raise OSError("the host does not read")
        else:
            system.sleep_ms(1)


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
