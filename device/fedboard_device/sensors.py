"""A board's sensor, which is asked for new samples.

A sensor is a module on the board with a function `read()` that returns a sequence of numbers, say
/sensor.py that asks an accelerometer. fedboard.json names it, or one of those that are built in:
adc, digital, mpu6050, lis3dh, replay.

    "sensor": {"module": "sensor", "low": -1.0, "high": 1.0}            a read() is a sample
    "sensor": {"module": "mpu6050", "window": 100, "rate_hz": 50}       100 of them are one

With `window` samples are features of so many readings, see fedboard.features: for it numbers are
whole ones of 16 bits, or `low` to `high` become -32767 to 32767. Without it they are the features:
`low` to `high` become -127 to 127. What lies outside is clamped.

A module may also have setup(settings), called once, which may return how many numbers a reading
has (a read() may then return several readings at once), and start(label, rate_hz), called before
each recording, and with label -1 before predictions.
"""

from array import array
from binascii import crc32

from fedboard import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from fedboard.features import Window

RATE_HZ = 50  # with a window; else one sample a second
_FEATURES = ("blocks", "bands", "group", "floor")
# Features mean the same whatever these are: how it is wired, which windows are taken, what is
# replayed. The others may change them, a module's own, too.
_NO_MATTER = ("hop", "folder", "files", "sda", "scl", "i2c", "address")


class Sensor:
    """The sensor that `settings` (the "sensor" of fedboard.json) describe: what collect asks.

    It is read once, to see that it works. Raises DataError, also for what read() raises.
    """

    def __init__(self, settings: "dict[str, Any]") -> None:
        self._module = _load(settings.get("module", "sensor"))
        self._window: Window | None = None
        rate_hz = settings.get("rate_hz", RATE_HZ if "window" in settings else 1)
        if not 1 <= rate_hz <= 1000:
            raise DataError(f"rate_hz = {rate_hz}: a sensor is read 1 to 1000 times a second")
        self.period_ms = 1000 // rate_hz
        self._rate_hz = rate_hz
        n_axes = 0
        if hasattr(self._module, "setup"):
            n_axes = self._ask("setup", "set up", settings) or 0
        self._n_axes = n_axes or len(self._values())
        self._largest = 32767 if "window" in settings else 127
        self._low = settings.get("low", None if "window" in settings else -128)
        self._high = settings.get("high", None if "window" in settings else 128)
        if (self._low is None) != (self._high is None) or (
            self._low is not None and not self._low < self._high
        ):
            raise DataError("a sensor's `low` must be below its `high`")
        self.n_in = self._n_axes
        used = dict(settings)
        used.update({"module": settings.get("module", "sensor"), "axes": self._n_axes})
        used.update({"low": self._low, "high": self._high})
        if "window" in settings:
            self._window = self._windowed(settings)
            features = self._window.features
            self.n_in = features.n_out
            used["rate_hz"] = rate_hz
            for name in _FEATURES:
                used[name] = getattr(features, name)
        elif "rate_hz" in used:
            del used["rate_hz"]
        self.made = _made(used)

    def _windowed(self, settings: "dict[str, Any]") -> "Window":
        from fedboard.features import Features, Window  # only the boards that need it pay for it

        chosen = {name: settings[name] for name in _FEATURES if name in settings}
        features = Features(settings["window"], self._n_axes, **chosen)
        return Window(features, settings.get("hop", 0))

    def start(self, label: int) -> None:
        """What comes from now on is of this label; -1: it is to be predicted."""
        if self._window is not None:
            self._window.clear()
        if hasattr(self._module, "start"):
            self._ask("start", "started", label, self._rate_hz)

    def poll(self, x: "array[int]") -> bool:
        """Read once. True if that filled x, array('b') of n_in, with a sample."""
        values = self._values()
        n = self._n_axes
        if not len(values) or len(values) % n:
            raise DataError(f"the sensor read {len(values)} values, {n} are expected")
        filled = False
        for at in range(0, len(values), n):
            try:
                reading = [self._scaled(values[at + i]) for i in range(n)]
            except (TypeError, ValueError, OverflowError) as error:
                raise DataError(f"what the sensor read are no numbers: {error}")
            if self._window is not None:
                filled = self._window.push(reading, x) or filled
            else:
                for i in range(n):
                    x[i] = reading[i]
                filled = True
        return filled

    def _values(self) -> "Sequence[float]":
        values: Sequence[float] = self._ask("read", "read")
        try:
            len(values)
        except TypeError:
            raise DataError(f"the sensor's read() gives a {type(values).__name__}, no list")
        return values

    def _ask(self, function: str, done: str, *arguments: "Any") -> "Any":
        """What this function of the module returns. Raises DataError for all that it raises."""
        try:
            return getattr(self._module, function)(*arguments)
        except DataError:
            raise
        except Exception as error:  # of a driver or the user's: an unplugged wire, a typo
            raise DataError(f"the sensor cannot be {done}: {type(error).__name__}: {error}")

    def _scaled(self, value: float) -> int:
        largest = self._largest
        if self._low is not None:
            share = (value - self._low) / (self._high - self._low)
            value = 2 * largest * share + 0.5 - largest
        whole = int(value // 1)
        return -largest if whole < -largest else largest if whole > largest else whole


def _made(used: "dict[str, Any]") -> int:
    """What tells samples of these settings from those of others: see fedboard.samples."""
    told = []
    for name in sorted(used):
        value = used[name]
        if name not in _NO_MATTER:  # floats are not written alike by all firmware
            told.append(f"{name}={value:.5g}" if isinstance(value, float) else f"{name}={value}")
    return crc32("\n".join(told).encode()) & 0x3FFFFFFF or 1  # no object on the heap


def _load(name: str) -> "Any":
    """The user's own module of that name, else the one that is built in."""
    why = ""
    try:
        module = __import__(name)
        if hasattr(module, "read"):
            return module
        why = f"{name}.py needs a function read() that returns numbers"
    except ImportError as error:
        why = f"no sensor {name}.py: {error}; copy it onto the board"
    except Exception as error:  # a typo
        raise DataError(f"{name}.py cannot be imported: {type(error).__name__}: {error}")
    try:
        package = __import__("fedboard_device.sensor_" + name)
    except ImportError:
        raise DataError(why)
    return getattr(package, "sensor_" + name)
