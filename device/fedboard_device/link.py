"""Byte streams to the host: what a link is. Such are in console, usbserial and tcp.

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

A board loads only the one that it uses.
"""

import errno

from fedboard_device import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WRITE_TIMEOUT_MS = 5000
READ_BYTES = 256
LONG_FRAME = 2048  # where the other side waits while a buffer is full: fewer frames, less time
ROOMY_BYTES = 65536  # free at the start: enough for a model, and for a buffer of that size
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
        from fedboard_device import console

        return console.Console()
    return usbserial.UsbSerial()


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
