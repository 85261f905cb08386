"""Jitter: samples that are learned with a random number added to each input, anew every time.

    x'[i] = clamp(x[i] + below(2 J + 1) - J, -127, 127)     J: a task's `jitter`, 1 to 127

So a few samples teach what is near them, too. The numbers are prng.Xorshift's, seeded by the task,
so that they are the same on every board and interpreter; nothing is allocated for a sample.

Only what is learned is jittered, never what is judged. The mean that a "centred" network measures
would be one of jittered inputs: federations ask for the mean alone, and without jitter.
"""

from array import array

from fedboard import DataError, kernels, messages
from fedboard.prng import Xorshift, mix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LARGEST = 127
_LABEL = 512  # of the numbers' random stream; those below are the orders of samples

backend = "pure"


def blur(x: "array[int]", state: "array[int]") -> None:
    """Add to x, array('b'), what comes next. state: array('i') of a Xorshift's hi, lo; 2 J + 1.

    So few variables that MicroPython takes no heap for them.
    """
    hi = state[0]
    lo = state[1]
    i = 0
    while i < len(x):
        hi ^= ((hi << 13) | (lo >> 3)) & 0xFFFF  # prng.Xorshift.next(), without its calls
        lo ^= (lo << 13) & 0xFFFF
        lo ^= hi >> 1
        hi ^= ((hi << 5) | (lo >> 11)) & 0xFFFF
        lo ^= (lo << 5) & 0xFFFF
        value = x[i] + (hi * state[2] >> 16) - (state[2] >> 1)
        x[i] = -127 if value < -127 else 127 if value > 127 else value
        i += 1
    state[0] = hi
    state[1] = lo


_pure = blur


def use(offered: "Any") -> None:
    """Install the faster blur() of `offered`; None: the one in here."""
    names = globals()
    names["blur"] = _pure if offered is None else offered.blur
    names["backend"] = "pure" if offered is None else offered.name


def failing(offered: "Any") -> str:
    """Does it what the pure one does? "" if so, else its name. See selftest."""
    for amount in (1, 28, LARGEST):
        mine = array("b", range(-128, 128))
        its = array("b", mine)
        expected = array("i", (0x1234, 0xFEDC, 2 * amount + 1))
        got = array("i", expected)
        try:
            _pure(mine, expected)
            offered.blur(its, got)
        except Exception:
            return "blur"
        if mine != its or expected != got:
            return "blur"
    return ""


class Samples:
    """Samples as learner.Samples, to learn from: read() jitters them by the task's amount."""

    def __init__(self, samples: "Any", task: messages.Task) -> None:
        if task.jitter > LARGEST:
            raise DataError(f"jitter is 0 to {LARGEST}, not {task.jitter}")
        if backend == "pure" and kernels.offer_jitter:
            kernels.offer_jitter()
        # A round's number is ADAPT's token: asked again, it gives the same.
        round_ = 0 if task.op == messages.ADAPT else task.round
        rng = Xorshift(mix(task.seed, round_, _LABEL))
        self._state = array("i", (rng.hi, rng.lo, 2 * task.jitter + 1))
        self._samples = samples
        self._blur: Callable[[array[int], array[int]], None] = blur

    def __len__(self) -> int:
        return len(self._samples)

    def read(self, i: int, x: "array[int]") -> "Any":
        """As samples.read(), then with jitter in x."""
        target = self._samples.read(i, x)
        self._blur(x, self._state)
        return target
