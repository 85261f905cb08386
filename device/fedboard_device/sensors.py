"""Where samples come from: a file on flash, or a sensor of the user's own.

A sensor is a module on the board with a function `read()` that returns a sequence of numbers, say
/sensor.py that asks an accelerometer. Its numbers from `low` to `high` become int8 features, -127
to 127; what lies outside is clamped. fedboard.json names it:

    "sensor": {"module": "sensor", "low": -1.0, "high": 1.0}
"""

from fedboard import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Sequence
    from typing import Any

    from fedboard_device.samplefile import SampleFile

SAMPLES = "samples.bin"


def stored(folder: str, log: "Callable[[str], None]", max_samples: int = 0) -> "SampleFile":
    """The labelled samples in the folder of data: the ones that a board learns from."""
    from fedboard_device.samplefile import SampleFile

    try:
        return SampleFile(folder + "/" + SAMPLES, max_samples)
    except DataError as error:
        log(f"{folder}/{SAMPLES}: {error}")
        return SampleFile("")


class Sensor:
    """The user's sensor, as `settings` (the "sensor" of fedboard.json) has it. Raises DataError."""

    def __init__(self, settings: "dict[str, Any]") -> None:
        name = settings.get("module", "sensor")
        try:
            module = __import__(name)
        except ImportError as error:
            raise DataError(f"no sensor {name}.py: {error}; copy it onto the board")
        if not hasattr(module, "read"):
            raise DataError(f"{name}.py needs a function read() that returns numbers")
        self._read: Callable[[], Sequence[float]] = module.read
        self._low = settings.get("low", -128)
        self._high = settings.get("high", 128)
        if not self._low < self._high:
            raise DataError("a sensor's `low` must be below its `high`")

    def read(self, x: "array[int]") -> None:
        """Fill x, array('b'), with the features of this moment. Raises DataError."""
        values = self._read()
        if len(values) != len(x):
            raise DataError(f"the sensor read {len(values)} values, {len(x)} are expected")
        scale = 254 / (self._high - self._low)
        for i in range(len(x)):
            value = int((values[i] - self._low) * scale + 0.5) - 127
            x[i] = -127 if value < -127 else 127 if value > 127 else value
