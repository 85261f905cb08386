"""Does a float backend compute what the pure float kernels do? As `selftest`, for `fkernels`.

Up to rounding: a backend sums in an order of its own.
"""

from array import array

from fedboard import fkernels
from fedboard.prng import Xorshift

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_N_IN = 5
_N_OUT = 3
_BATCH = 2
_CLOSE = 1e-4  # of numbers up to 30, where 32-bit floats differ by some 1e-6


def failing(offered: "Any") -> str:
    """The name of the first kernel of `offered` that differs or raises; "" if all are right."""
    for name in fkernels.KERNELS:
        kernel = getattr(offered, name, None)
        if kernel is None:
            continue
        mine = _arguments(name)
        its = _arguments(name)
        try:
            wanted = fkernels.PURE[name](*mine)
            found = kernel(*its)
        except Exception:
            return name
        if wanted is not None and not _are_near(name, wanted, found):
            return name
        for i in range(len(mine)):
            if not isinstance(mine[i], int) and not _are_close(mine[i], its[i]):
                return name
    return ""


def _are_near(name: str, wanted: int, found: int) -> bool:
    """Which is largest has no rounding, losses have."""
    return wanted == found if name == "largest" else wanted - 2 < found < wanted + 2


def _are_close(mine: "array[float]", its: "array[float]") -> bool:
    return all(-_CLOSE < mine[k] - its[k] < _CLOSE for k in range(len(mine)))


def _arguments(name: str) -> "list[Any]":
    rng = Xorshift(3)

    def fill(n: int) -> "array[float]":
        return array("f", [(rng.below(2001) - 1000) / 300 for _ in range(n)])

    at = 2
    layer = array("i", (_N_IN, _N_OUT, at, _BATCH))
    w = fill(at + (_N_IN + 1) * _N_OUT)
    if name == "forward":
        return [fill(_N_IN), w, fill(_N_OUT), layer]
    if name == "backward":
        return [w, fill(_N_OUT), fill(_N_IN), layer]
    if name == "update":
        d = fill(_BATCH * _N_OUT)
        d[1] = 0.0
        return [w, fill(_BATCH * _N_IN), d, layer]
    if name == "scaled":
        return [array("b", (-128, 0, 1, 127)), fill(1), fill(4)]
    if name == "put":
        return [fill(_N_IN), fill(_BATCH * _N_IN), _BATCH - 1]
    if name == "cross_entropy":
        return [fill(_N_OUT), fill(_N_OUT), 1, layer]
    if name.startswith("slope") or name == "squared":
        return [fill(_N_OUT), fill(_N_OUT), layer]
    return [fill(_N_OUT), layer]
