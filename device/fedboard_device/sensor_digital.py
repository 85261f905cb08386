"""Digital pins: buttons, a motion detector, a tilt switch.

    "sensor": {"module": "digital", "pins": [15, 16], "pull": "up", "window": 50, "rate_hz": 25}

An axis for each pin: 0, or 16384 where the pin is high.
"""

from fedboard import DataError
from fedboard_device import pins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HIGH = 16384

_reads: "list[Callable[[], int]]" = []


def setup(settings: "dict[str, Any]") -> int:
    """Returns the number of axes."""
    names = settings.get("pins", [])
    if not names:
        raise DataError('a digital sensor needs its `pins`, such as "pins": [15]')
    _reads.clear()
    for name in names:
        _reads.append(pins.digital(name, settings.get("pull", "up")))
    return len(_reads)


def read() -> "list[int]":
    return [HIGH * each() for each in _reads]
