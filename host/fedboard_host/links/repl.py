"""Starts a board's program through its raw REPL, on the link that the frames then use.

    \\r Ctrl-C Ctrl-C    stop what runs      Ctrl-A    raw REPL, "raw REPL; CTRL-B to exit\\r\\n>"
    Ctrl-D              soft reset, which skips main.py and leaves a clean heap
    code Ctrl-D         run; the board answers "OK", then whatever the program says
"""

from __future__ import annotations

import asyncio
import contextlib

from fedboard_host.clock import SLOW
from fedboard_host.links import Link

# As device/main.py: the files are in :/device after `mpremote cp -r device/ :`, or in :/.
CODE = b"""import sys
if "/device" not in sys.path:
    sys.path.append("/device")
from fedboard_device.node import run
run()
"""
_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"
_PIECE = 128  # a UART bridge has no flow control, and the board's buffer 260 bytes


async def start_program(link: Link, code: bytes = CODE, timeout_s: float = 3.0 * SLOW) -> str:
    """Returns "" when the program runs, else why it does not and what to do."""
    board = _Talk(link)
    await link.write(b"\r\x03\x03")
    await board.drain(0.2)
    await link.write(b"\r\x01")
    if not await board.until(_PROMPT, timeout_s):
        return (
            f"no MicroPython prompt on {link.name}: is it the right port, and is no other program "
            "(Thonny, mpremote) using it? Unplug the board and plug it in again"
        )
    await link.write(b"\x04")
    await board.until(_PROMPT, timeout_s)  # without a soft reset the prompt is still there
    for at in range(0, len(code), _PIECE):
        await link.write(code[at : at + _PIECE])
        await asyncio.sleep(0.02)
    await link.write(b"\x04")
    if not await board.until(b"OK", timeout_s):
        return f"the board on {link.name} does not take the program: press its reset button"
    # A program that fails at once ends with two Ctrl-D, its traceback between them.
    if not await board.until(b"\x04", 0.5):
        return ""
    await board.until(b"\x04", 0.5)
    words = board.before.decode("utf-8", "replace").strip()
    last = words.splitlines()[-1] if words else "no reason given"
    if "ImportError" in last:
        return f"fedboard is not on the board on {link.name} ({last}): run `fedboard deploy`"
    return f"fedboard does not start on the board on {link.name}: {last}"


class _Talk:
    """Reads up to what is waited for."""

    def __init__(self, link: Link) -> None:
        self.before = b""  # what came before it
        self._link = link
        self._buffer = b""

    async def drain(self, quiet_s: float) -> None:
        """Read until nothing has come for so long, at most a second."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while True:
                    async with asyncio.timeout(quiet_s):
                        if not await self._link.read():
                            return

    async def until(self, wanted: bytes, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                while wanted not in self._buffer:
                    data = await self._link.read()
                    if not data:
                        return False
                    self._buffer += data
        except TimeoutError:
            return False
        self.before, _, self._buffer = self._buffer.partition(wanted)
        return True
