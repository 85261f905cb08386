"""Voltages on ADC pins: a light or a microphone module, a potentiometer, a thermistor.

    light        {"module": "adc", "pins": [26], "window": 50, "rate_hz": 10}
    microphone   {"module": "adc", "pins": [26], "window": 512, "burst": 512, "rate_hz": 4,
                  "blocks": 8, "bands": 8, "floor": 16}

An axis for each pin, -32768 to 32767. With `burst` so many readings are taken at once, as fast as
the board can: several thousand a second.
"""

from fedboard import DataError
from fedboard_device import pins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_reads: "list[Callable[[], int]]" = []
_burst = 1


def setup(settings: "dict[str, Any]") -> int:
    """Returns the number of axes."""
    global _burst
    names = settings.get("pins", [])
    if not names:
        raise DataError('an adc sensor needs its `pins`, such as "pins": [26]')
    _burst = max(1, settings.get("burst", 1))
    _reads.clear()
    for name in names:
        _reads.append(pins.analog(name))
    return len(_reads)


def read() -> "list[int]":
    values = []
    for _ in range(_burst):
        for each in _reads:
            values.append(each() - 32768)
    return values
