"""The console as a link: USB serial on most boards, or a UART; a desktop's pty or pipes.

It is shared with what the program prints, and with the REPL before and after it. 0x03 is never part
of a frame: on a console it is Ctrl-C. Boards raise KeyboardInterrupt in their driver; a desktop's
console is made raw, and read() does it.

Nobody tells how many bytes are there, and a read of n waits for all n. So read() takes one at a
time, but for what is sure to come: the rest of a chunk whose header is here.
"""

import sys

from fedboard import messages, wire
from fedboard_device import link, system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PIECE_BYTES = 128  # of a frame, read at once: all of them are waited for, so they must not be many
PIECE_MS = 300  # how long the next one is waited for


class Console(link.Link):
    """stdin and stdout, whatever they are."""

    def __init__(self) -> None:
        self.window = system.CONSOLE_WINDOW
        self.frame = link.long_frame() if system.CONSOLE_WAITS else 0
        # CircuitPython's have no `buffer`; but nothing that its text does touches a frame's bytes.
        self._in: Any = getattr(sys.stdin, "buffer", sys.stdin)
        self._out = getattr(sys.stdout, "buffer", sys.stdout)
        self._one = bytearray(1)
        self._view = memoryview(bytearray(max(link.READ_BYTES, self.frame)))
        self._header = bytearray(wire.HEADER_BYTES)
        self._at = -1  # how much of it has come; -1: all, or there is none
        self._xor = 0  # what unescapes the next byte
        self._is_whole = False  # a whole frame was read, and nothing behind it
        self._saved: Any = None

    def open(self) -> None:
        stream: Any = sys.stdin
        self._poll = link.poller(stream)
        if self._poll is None:
            raise OSError("no serial console on this system: use a tcp link")
        if system.DESKTOP:
            from fedboard_device import terminal

            self._saved = terminal.make_raw(stream.fileno() if system.RUNTIME == "cpython" else 0)

    def close(self) -> None:
        if self._saved is not None:
            from fedboard_device import terminal

            terminal.restore(0, self._saved)
            self._saved = None

    def read(self) -> "Any":
        if system.RUNTIME == "cpython":
            import os

            data = b""
            if self._poll.poll(0):
                data = os.read(0, link.READ_BYTES)
                if not data:
                    raise OSError("the console was closed")
        else:
            data = self._read_each()
        if system.DESKTOP and b"\x03" in bytes(data):
            raise KeyboardInterrupt
        return data

    def _read_each(self) -> "Any":
        """A view of what came, until the next read.

        A chunk's kind and header say how many bytes must still come: those are read at once, twenty
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
        link.write_all(self._out.write, data)
        if system.RUNTIME == "cpython":
            self._out.flush()
