"""Starts a board's program through its raw REPL, on the link that the frames then use.

    \\r Ctrl-C Ctrl-C    stop what runs      Ctrl-A    raw REPL, "raw REPL; CTRL-B to exit\\r\\n>"
    Ctrl-D              soft reset, which skips main.py and leaves a clean heap
    code Ctrl-D         run; the board answers "OK", then whatever the program says
"""

from __future__ import annotations

import asyncio

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


async def start_program(link: Link, code: bytes = CODE, timeout_s: float = 3.0) -> str:
    """Returns "" when the program runs, else why it does not and what to do."""
    seen = bytearray()
    await link.write(b"\r\x03\x03")
    await _drain(link, 0.2)
    await link.write(b"\r\x01")
    if not await _until(link, _PROMPT, timeout_s, seen):
        return (
            f"no MicroPython prompt on {link.name}: is it the right port, and is no other program "
            "(Thonny, mpremote) using it? Unplug the board and plug it in again"
        )
    await link.write(b"\x04")
    await _until(link, _PROMPT, timeout_s, seen)  # without a soft reset the prompt is still there
    for at in range(0, len(code), _PIECE):
        await link.write(code[at : at + _PIECE])
        await asyncio.sleep(0.02)
    await link.write(b"\x04")
    if not await _until(link, b"OK", timeout_s, seen):
        return f"the board on {link.name} does not take the program: press its reset button"
    # A program that fails at once ends with two Ctrl-D, its traceback between them.
    text = bytearray()
    if await _until(link, b"\x04", 0.5, text):
        await _until(link, b"\x04", 0.5, text)
        words = text.replace(b"\x04", b" ").decode("utf-8", "replace").strip()
        last = words.splitlines()[-1] if words else "no reason given"
        if "ImportError" in last:
            return f"fedboard is not on the board on {link.name} ({last}): run `fedboard deploy`"
        return f"fedboard does not start on the board on {link.name}: {last}"
    return ""


async def _drain(link: Link, quiet_s: float) -> None:
    """Read until nothing has come for so long, at most a second."""
    try:
        async with asyncio.timeout(1):
            while True:
                async with asyncio.timeout(quiet_s):
                    if not await link.read():
                        return
    except TimeoutError:
        return


async def _until(link: Link, wanted: bytes, timeout_s: float, seen: bytearray) -> bool:
    """Read until `wanted` has come; seen: all that came since the last call that found it."""
    del seen[:]
    try:
        async with asyncio.timeout(timeout_s):
            while wanted not in seen:
                data = await link.read()
                if not data:
                    return False
                seen += data
    except TimeoutError:
        return False
    return True
