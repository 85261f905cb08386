"""Who on the network may try again: failed handshakes, counted by address, in a bounded table.

    gate.admits(address, now_ms)    may it connect?
    gate.failed(address, now_ms)    its connection ended and no board had proved the key
    gate.passed(address)            one did: it starts afresh

The first FREE_TRIES failures cost nothing (a board in a weak WiFi has some). Each one after that
doubles the time for which the address is not listened to. Of IPv6, 2**64 addresses are one
household, so they count as one. No clock: now_ms is any millisecond count that only grows.
"""

from __future__ import annotations

import ipaddress

FREE_TRIES = 5
FIRST_WAIT_MS = 1000
MAX_WAIT_MS = 60_000
FORGET_MS = 600_000  # after which a failure is history
MAX_ADDRESSES = 256


class Gate:
    def __init__(self) -> None:
        self._failures: dict[str, tuple[int, int, int]] = {}  # how many, when, shut until

    def admits(self, address: str, now_ms: int) -> bool:
        _, _, until_ms = self._failures.get(_household(address), (0, 0, 0))
        return now_ms >= until_ms

    def failed(self, address: str, now_ms: int) -> int:
        """Returns for how many ms the address is shut out now."""
        who = _household(address)
        n, last_ms, _ = self._failures.pop(who, (0, now_ms, 0))
        n = n + 1 if now_ms - last_ms < FORGET_MS else 1
        wait_ms = 0
        if n > FREE_TRIES:
            wait_ms = min(FIRST_WAIT_MS << min(n - FREE_TRIES - 1, 16), MAX_WAIT_MS)
        if len(self._failures) >= MAX_ADDRESSES:
            del self._failures[next(iter(self._failures))]  # the one that failed longest ago
        self._failures[who] = n, now_ms, now_ms + wait_ms
        return wait_ms

    def passed(self, address: str) -> None:
        self._failures.pop(_household(address), None)


def _household(address: str) -> str:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 6 and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found.ipv4_mapped if found.version == 6 else found)
