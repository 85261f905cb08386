"""Does a kernel backend do what the pure kernels do? Asked at every start, before it is trusted.

Each kernel runs on the same inputs, ordinary and extreme, as its pure reference; every buffer must
come out equal. A few milliseconds where native code runs, and it frees what it took.
"""

from array import array

from fedboard import kernels, wire
from fedboard.prng import Xorshift

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_N_IN = 13  # no multiple of an unrolled loop's step
_N_OUT = 5
_BATCH = 3


def failing(offered: "Any") -> str:
    """The name of the first kernel of `offered` that differs or raises; "" if all are right."""
    for name in kernels.KERNELS:
        kernel = getattr(offered, name, None)
        if kernel is None:
            continue
        for turn in range(4):
            mine = _arguments(name, turn)
            its = _arguments(name, turn)
            try:
                expected = kernels.PURE[name](*mine)
                got = kernel(*its)
                same = expected is None or expected == got  # assembler always returns something
            except Exception:
                return name
            for i in range(len(mine)):
                same = same and mine[i] == its[i]
            if not same:
                return name
    return ""


def failing_frames(offered: "Any") -> str:
    """The same for wire.unstuff() and count(): on all pairs of bytes that matter, and at ends."""
    marks = b"\x7d\x7e\x03\x04\x0a\x0d\x5d\x5e\x23\x24\x2a\x2d\x00\xff\x7c\x22"
    data = bytearray()
    for a in marks:
        for b in marks:
            data.extend(bytes((0x7D, a, b)))
    name = "count"
    try:
        for n in (0, 1, len(data) - 1, len(data)):
            mine = bytearray(data)
            its = bytearray(data)
            name = "count"
            for byte in marks:
                if wire.count(mine, n, byte) != offered.count(its, n, byte):
                    return name
            name = "unstuff"
            if wire.unstuff(mine, n) != offered.unstuff(its, n) or mine != its:
                return name
    except Exception:
        return name
    return ""


def _arguments(name: str, turn: int) -> "list[Any]":
    """Inputs for one kernel; turn 1 is the smallest, 2 the largest values, 0 and 3 are random."""
    rng = Xorshift(turn + 1)

    def fill(code: str, n: int, bound: int) -> "array[int]":
        values = array(code, bytes((1 if code == "b" else 2 if code == "h" else 4) * n))
        for i in range(n):
            value = rng.below(16384) * (2 * bound + 1) // 16384 - bound
            values[i] = -bound if turn == 1 else bound if turn == 2 else value
        return values

    at = 4
    record = array("i", (_N_IN, _N_OUT, at, -1 if turn == 3 else 128, 20000, _BATCH, 5 + turn))
    n_params = at + (_N_IN + 1) * _N_OUT
    if name in ("forward", "forward_relu"):
        x = fill("b", _N_IN, 127)
        w = fill("h", n_params, 20000)
        return [x, w, fill("i" if name == "forward" else "b", _N_OUT, 9), record]
    if name == "put":
        return [fill("h", 6, 32767), fill("h", 18, 100), 12, 6]
    if name == "argmax":
        return [fill("i", 7, 1 << 29)]
    if name == "output_shift":
        return [fill("i", _N_OUT, 1 << 29), record]
    if name == "activate_tanh":
        return [fill("i", _N_OUT, 1 << 20), fill("b", _N_OUT, 1), fill("h", _N_OUT, 1), record]
    if name == "errors_softmax":
        return [fill("i", _N_OUT, 300), fill("h", _N_OUT, 1), turn, record]
    if name == "backward":
        d = fill("h", _N_OUT, 13107)
        d[2] = 0
        return [d, fill("h", n_params, 32767), fill("i", _N_IN, 9), record]
    if name == "gate":
        a = array("b", (0, 1, 126, 127, 60))
        return [fill("i", _N_OUT, 1 << 24), a, fill("h", _N_OUT, 100), record]
    if name == "feedback_divide":
        d = fill("h", _N_OUT, 100)
        for j in range(_N_OUT):
            d[j] = d[j] | 1
        return [fill("h", 3, 32767), fill("h", 3 * _N_OUT, 127), d, record]
    if name.startswith("update"):
        n = 1 if name == "update_one" else _BATCH
        x = fill("b", n * _N_IN, 127)
        d = fill("h", n * _N_OUT, 32767)
        for s in range(n):
            d[s * _N_OUT + 1] = 0
        return [fill("h", n_params, 20000), x, d, record]
    if name == "encode":
        found = fill("i", 20, 1 << 8 + 2 * turn)
        for k in range(20):
            found[k] = (found[k] >> 8 | 1) << 8 | 5 * k + (k & 1) + (90 if k > 15 else 0)
        state = (1, 20, 2 * turn - 1, 9, turn & 1, -7, 2, 32, 1, 3)
        return [found, bytearray(40), array("i", state)]
    a = fill("h", 30, 32767)
    b = fill("h", 20, 16000)
    if name == "pick":
        least = (0, 1, 300, 16001)[turn]
        return [a, b, fill("i", 20, 9), array("i", (5, 20, least, 1, 9, 4 + turn, 1, 700))]
    return [a, b, fill("i", 256, 3), array("i", (5, 20, (-1, 63, 191, 20)[turn]))]
