"""Time for the whole companion: one place, so that tests and soak runs can make it fast.

now_ms() only grows. With speed = 20 a second of the machine counts as 20: timeouts of the protocol
then pass in a twentieth of the time, and nothing else changes. FEDBOARD_SLOW=5 in the environment
makes all of it five times as patient: for emulated boards, or a very busy machine.
"""

from __future__ import annotations

import asyncio
import os
import time

SLOW = float(os.environ.get("FEDBOARD_SLOW", "1"))


class Clock:
    def __init__(self, speed: float = 1 / SLOW) -> None:
        self.speed = speed
        self._start_s = time.monotonic()

    def now_ms(self) -> int:
        return int((time.monotonic() - self._start_s) * 1000 * self.speed)

    def seconds(self, ms: float) -> float:
        """The machine's seconds in `ms`, for asyncio's timeouts."""
        return ms / 1000 / self.speed

    async def wait(self, event: asyncio.Event, timeout_ms: float | None) -> bool:
        """Until the event is set, which is then cleared; False if the time ran out first."""
        if not event.is_set():
            try:
                timeout_s = None if timeout_ms is None else self.seconds(max(0, timeout_ms))
                async with asyncio.timeout(timeout_s):
                    await event.wait()
            except TimeoutError:
                return False
        event.clear()
        return True
