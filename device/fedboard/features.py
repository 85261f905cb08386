"""From a window of a sensor's readings to the few int8 features that a network learns from.

    features = Features(n_readings=100, n_axes=6)       100 readings of 6 axes -> 60 features
    features.compute(window, x)                         array('h') -> array('b')

Integers only, bit for bit the same on every interpreter. Nothing here is learned from data: a
window is standardised by its own spread (the features' mean over all samples is the model's: see
centre). The same movement gives about the same shape if it is made harder, or by a sensor of
another range; how hard it was is in the logarithms. Boards that share a model need the same sizes
here, and no more.

    for each axis:   blocks  block mean - mean, in 1/32 of the group's spread     the shape
                     1       mean / 256                                           e.g. gravity
                     1       16 log2(spread) - 128                                how much
                     bands   16 log2(mean step) - 128 of octave b = 0, 1, ...     how fast

The spread is the mean absolute deviation; a group's is the mean over its axes (those in one unit:
the three of an accelerometer), at least `floor`: below it all is noise. Octave b halves the window
b times by averaging pairs; its steps are the differences between the two of a pair.
"""

from array import array

from fedboard import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_READINGS = 1024  # sums of 16-bit deviations stay below 2**26
MAX_AXES = 16
LARGEST = 127  # a feature is -127 to 127
FLOOR = 64  # of the group's spread, of 32768

_BANDS = 5  # unless told otherwise
_BLOCKS_AND_BANDS = 8  # of an axis, likewise
_SHAPE = 32
_ZERO = 128  # of the logarithms: a spread of 256 gives 0


class Features:
    """The sizes, checked, and the work buffer. n_out: how many features there are.

    n_readings: 2 to 1024 of n_axes numbers each. blocks: at most n_readings. bands: octaves, the
    last of which must have a pair. None: 5 bands, or as many as the window has, and the blocks that
    make 8 with these, or as many as it has readings. group: how many axes in a row share a unit; 0:
    three if that divides n_axes, else one. Raises DataError.
    """

    def __init__(
        self,
        n_readings: int,
        n_axes: int,
        blocks: int | None = None,
        bands: int | None = None,
        group: int = 0,
        floor: int = FLOOR,
    ) -> None:
        group = group or (3 if n_axes % 3 == 0 else 1)
        if not 2 <= n_readings <= MAX_READINGS:
            raise DataError(f"a window has 2 to {MAX_READINGS} readings, not {n_readings}")
        usual = _BANDS
        while n_readings >> usual < 1:
            usual -= 1
        if blocks is None:
            blocks = min(_BLOCKS_AND_BANDS - usual, n_readings)
        if bands is None:
            bands = usual
        if not 1 <= n_axes <= MAX_AXES or n_axes % group or group < 1:
            raise DataError(
                f"1 to {MAX_AXES} axes in groups of equal size, not {n_axes} in groups of {group}"
            )
        if not 0 <= blocks <= n_readings:
            raise DataError(f"{blocks} blocks in a window of {n_readings} readings: choose fewer")
        if not 0 <= bands <= 9 or n_readings >> bands < 1:
            raise DataError(f"{bands} bands in a window of {n_readings} readings: choose fewer")
        if not 1 <= floor <= 32767:
            raise DataError(f"a floor of the spread is 1 to 32767, not {floor}")
        self.n_readings = n_readings
        self.n_axes = n_axes
        self.blocks = blocks
        self.bands = bands
        self.group = group
        self.floor = floor
        self.n_out = n_axes * (blocks + 2 + bands)
        self._axis = array("h", bytes(2 * n_readings))  # one axis, halved again and again
        self._means = [0] * n_axes
        self._spreads = [0] * n_axes

    def compute(self, window: "array[int]", x: "array[int]") -> None:
        """Fill x, array('b') of n_out, from the window, array('h') of readings one after another.

        The window stays as it is. Raises DataError for buffers of other sizes.
        """
        n = self.n_readings
        n_axes = self.n_axes
        if len(window) != n * n_axes or len(x) != self.n_out:
            raise DataError(
                f"{len(window)} numbers and {len(x)} features: a window has {n * n_axes} numbers,"
                f" {self.n_out} features come of it"
            )
        for axis in range(n_axes):
            self._measure(window, axis)
        at = 0
        for axis in range(n_axes):
            first = axis - axis % self.group
            spread = sum(self._spreads[first : first + self.group]) // self.group
            at = self._describe(window, axis, max(self.floor, spread), x, at)

    def _measure(self, window: "array[int]", axis: int) -> None:
        """The axis's mean and spread."""
        n = self.n_readings
        total = 0
        for i in range(axis, len(window), self.n_axes):
            total += window[i]
        mean = total // n
        total = 0
        for i in range(axis, len(window), self.n_axes):
            d = window[i] - mean
            total += d if d > 0 else -d
        self._means[axis] = mean
        self._spreads[axis] = total // n

    def _describe(
        self, window: "array[int]", axis: int, unit: int, x: "array[int]", at: int
    ) -> int:
        """Write the axis's features from x[at] on. Returns where the next axis's begin."""
        n = self.n_readings
        mean = self._means[axis]
        start = 0
        for k in range(self.blocks):
            end = (k + 1) * n // self.blocks
            total = 0
            for i in range(start, end):
                total += window[i * self.n_axes + axis]
            x[at] = _clamped((total // (end - start) - mean) * _SHAPE // unit)
            at += 1
            start = end
        x[at] = _clamped(mean >> 8)
        x[at + 1] = _clamped(log2_16(self._spreads[axis]) - _ZERO)
        at += 2
        y = self._axis
        if self.bands:
            for i in range(n):
                y[i] = window[i * self.n_axes + axis]
        for _ in range(self.bands):
            n //= 2
            total = 0
            for i in range(n):
                a = y[2 * i]
                b = y[2 * i + 1]
                total += a - b if a > b else b - a
                y[i] = (a + b) >> 1
            x[at] = _clamped(log2_16(total // n) - _ZERO)
            at += 1
        return at


def log2_16(v: int) -> int:
    """16 log2(v), straight between powers of two, rounded down; 0 for v < 1. v below 2**20."""
    if v < 1:
        return 0
    e = 0
    while v >> (e + 1):
        e += 1
    return 16 * e + (v << 4 >> e) - 16


def _clamped(v: int) -> int:
    return -LARGEST if v < -LARGEST else LARGEST if v > LARGEST else v


class Window:
    """Readings as they come, in a window that slides on by `hop` readings (0: by all of them)."""

    def __init__(self, features: Features, hop: int = 0) -> None:
        hop = hop or features.n_readings
        if not 1 <= hop <= features.n_readings:
            raise DataError(f"a window of {features.n_readings} readings cannot hop by {hop}")
        self.features = features
        self.hop = hop
        self._readings = array("h", bytes(2 * features.n_readings * features.n_axes))
        self._n = 0  # numbers in it

    def clear(self) -> None:
        """Forget what has come: the next window begins now."""
        self._n = 0

    def push(self, reading: "Sequence[int]", x: "array[int]") -> bool:
        """Take one reading, a number for each axis; True if it filled the window and so x.

        Numbers outside of 16 bits are clamped. Raises DataError for another number of axes.
        """
        features = self.features
        readings = self._readings
        if len(reading) != features.n_axes:
            raise DataError(
                f"the sensor read {len(reading)} numbers, its window has {features.n_axes} axes"
            )
        at = self._n
        for value in reading:
            readings[at] = -32768 if value < -32768 else 32767 if value > 32767 else value
            at += 1
        self._n = at
        if at < len(readings):
            return False
        features.compute(readings, x)
        shift = self.hop * features.n_axes
        self._n = len(readings) - shift
        for i in range(self._n):
            readings[i] = readings[i + shift]
        return True
