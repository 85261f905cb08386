"""Does a backend do what the pure kernels of convolutions do? Asked before it is trusted.

As selftest: every kernel on ordinary and extreme inputs; every buffer must come out equal.
"""

from array import array

from fedboard import ckernels
from fedboard.model import ERROR_LIMIT
from fedboard.prng import Xorshift

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Windows of 3x3 over an image of 5x5 with 2 channels, 3 outputs; and a dense layer of 50 inputs.
_LAYERS = ((3, 6, 10, 2, 4, 20), (1, 50, 0, 1, 0, 0))
_N_X = 50
_N_OUT = 3
_AT = 5
_LIMIT = 20000


def failing(offered: "Any") -> str:
    """The name of the first kernel of `offered` that differs or raises; "" if all are right."""
    for name in ckernels.KERNELS:
        kernel = getattr(offered, name, None)
        if kernel is None:
            continue
        for turn in range(8):
            mine = _arguments(name, turn)
            its = _arguments(name, turn)
            try:
                ckernels.PURE[name](*mine)
                kernel(*its)
            except Exception:
                return name
            if mine != its:
                return name
    return ""


def _arguments(name: str, turn: int) -> "list[Any]":
    """Inputs for one kernel; even turns: windows, odd ones: dense.

    2 and 3: the smallest values, 4 and 5: the largest, the others by chance.
    """
    rng = Xorshift(turn + 1)
    shape = _LAYERS[turn & 1]
    side = shape[3]

    def fill(code: str, n: int, low: int, high: int) -> "array[int]":
        values = array(code, range(n) if code != "b" else bytes(n))
        for i in range(n):
            value = rng.below(16384) * (high - low + 1) // 16384 + low
            values[i] = low if turn & 6 == 2 else high if turn & 6 == 4 else value
        return values

    record = array("i", shape + (_N_OUT, _AT, _LIMIT, 3 + turn))
    n_out = side * side * _N_OUT
    w = fill("h", _AT + (shape[0] * shape[1] + 1) * _N_OUT, -_LIMIT, _LIMIT)
    if name == "forward":
        return [fill("b", _N_X, -128, 127), w, fill("i", n_out, 0, 9), record]
    if name == "squash":
        return [fill("i", n_out, -(1 << 19), 1 << 22), fill("b", n_out, 0, 9), n_out]
    if name == "gate":
        a = fill("b", _N_X, 0, 127)
        a[1] = 0
        a[2] = a[3] = 127
        acc = fill("i", _N_X, -(1 << 22), 1 << 22)
        acc[4] = 300
        return [acc, a, fill("h", _N_X, 0, 9), _N_X]
    d = fill("h", n_out, -ERROR_LIMIT, ERROR_LIMIT)
    if turn > 5:
        for k in range(0, n_out, 2 if turn == 7 else _N_OUT):
            d[k] = 0
    if name == "backward":
        return [w, d, fill("i", _N_X, -9, 9), record]
    return [w, fill("b", _N_X, -128, 127), d, record]
