"""Whether a board that was restarted runs fedboard again: knock on its port until it says hello.

The port of a board with USB of its own vanishes for a moment, and a program takes seconds to start:
so a port that cannot be opened, or is silent, is tried again until the time is over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from fedboard_host import discover
from fedboard_host.deploy import DeployError
from fedboard_host.discover import Finding

_PAUSE_S = 0.3

Knock = Callable[[str, "bytes | None"], Finding]


def knock(port: str, key: bytes | None) -> Finding:
    """Who answers there, once."""
    (found,) = asyncio.run(discover.knock_on_ports([Finding(port)], key))
    return found


def wait(
    port: str,
    key: bytes | None,
    timeout_s: float,
    ask: Knock = knock,
    now_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Finding:
    """The board, once it answers; one with another key answers, too. Raises DeployError."""
    end_s = now_s() + timeout_s
    while True:
        found = ask(port, key)
        if found.state in ("here", "denied"):
            return found
        if now_s() >= end_s:
            break
        sleep(_PAUSE_S)
    why = f" ({found.state}: {found.why})" if found.why else ""
    raise DeployError(
        f"{port}: all files are there, but fedboard has not answered in {timeout_s:g} s{why}. See "
        f"what it says: mpremote connect {port} reset, then mpremote connect {port} repl"
    )
