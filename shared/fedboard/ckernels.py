"""The integer inner loops of a network with convolutions, in pure Python: as `kernels`, for `conv`.

A dense layer is a convolution whose only window is the whole input, so one set serves both. A
window is ROWS runs of ROW inputs; `layer` is the record of a layer, an array('i'):

    0 ROWS  1 ROW  2 PITCH   inputs from one run to the next
    3 SIDE  4 STEP  5 JUMP   outputs: SIDE x SIDE; inputs to the next window, right and down
    6 N_OUT  7 AT            W[j, i] = w[AT + j*n_in + i], n_in = ROWS*ROW; the biases behind
    8 LIMIT  9 RATE          parameters stay in [-LIMIT, LIMIT]; the shift of an update

Inputs x and activations a: array('b'), position after position, N_OUT channels each. Deltas d:
array('h') in the same order, within ERROR_LIMIT. Sums acc: array('i'). Parameters w: array('h').
Spec.limit keeps every sum within int32; callers see to that, kernels check nothing. Stores are
clamped first. Nothing is allocated.
"""

from fedboard.model import ERROR_LIMIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from typing import Any

    A = array[int]

LAYER_FIELDS = 10
WEIGHT_BITS = 14  # fractional bits of a weight
ONE = 128  # the input of a bias: 1.0
BACK_SHIFT = 4  # of a window's sums on the way back, so that four windows' fit


def forward(x: "A", w: "A", acc: "A", layer: "A") -> None:
    """acc[p, j] = sum_i x[window p, i] W[j, i] + ONE b[j]."""
    rows = layer[0]
    row = layer[1]
    pitch = layer[2]
    side = layer[3]
    n_out = layer[6]
    bias_at = layer[7] + rows * row * n_out
    to = 0
    for v in range(side):
        for u in range(side):
            start = v * layer[5] + u * layer[4]
            at = layer[7]
            for j in range(n_out):
                total = ONE * w[bias_at + j]
                first = start
                for _ in range(rows):
                    for i in range(first, first + row):
                        total += x[i] * w[at]
                        at += 1
                    first += pitch
                acc[to] = total
                to += 1


def squash(acc: "A", a: "A", n: int) -> None:
    """a[i] = acc[i] >> WEIGHT_BITS, clamped to [0, 127], i < n."""
    bits = WEIGHT_BITS
    for i in range(n):
        value = acc[i] >> bits
        a[i] = 0 if value < 0 else 127 if value > 127 else value


def backward(w: "A", d: "A", acc: "A", layer: "A") -> None:
    """acc[input i of window p] += sum_j W[j, i] d[p, j] >> BACK_SHIFT, over all p.

    acc has the inputs' order, as many elements at least, and starts as zeros.
    """
    rows = layer[0]
    row = layer[1]
    pitch = layer[2]
    side = layer[3]
    n_out = layer[6]
    n_in = rows * row
    shift = BACK_SHIFT
    d_at = 0
    for v in range(side):
        for u in range(side):
            d_end = d_at + n_out
            used = False
            for k in range(d_at, d_end):
                if d[k]:
                    used = True
                    break
            if used:
                to = v * layer[5] + u * layer[4]
                at = layer[7]
                for _ in range(rows):
                    for i in range(to, to + row):
                        total = 0
                        k = at
                        for j in range(d_at, d_end):
                            total += w[k] * d[j]
                            k += n_in
                        acc[i] += total >> shift
                        at += 1
                    to += pitch
            d_at = d_end


def gate(acc: "A", a: "A", d: "A", n: int) -> None:
    """d[i] = acc[i], rounded to a delta, where a[i] can follow; else 0; i < n.

    Activations of 0 follow nothing. Those of 127 follow downwards only (d > 0): a unit that is
    saturated can come back.
    """
    shift = WEIGHT_BITS - BACK_SHIFT
    half = 1 << (shift - 1)
    limit = ERROR_LIMIT
    for i in range(n):
        value = (acc[i] + half) >> shift
        if a[i] == 0 or (a[i] == 127 and value < 0):
            value = 0
        d[i] = -limit if value < -limit else limit if value > limit else value


def update(w: "A", x: "A", d: "A", layer: "A") -> None:
    """W[j, i] -= sum_p x[window p, i] d[p, j] + half >> RATE, half = 2**RATE // 2; clamped."""
    rows = layer[0]
    row = layer[1]
    side = layer[3]
    n_out = layer[6]
    at = layer[7]
    limit = layer[8]
    low = -limit
    rate = layer[9]
    half = (1 << rate) >> 1
    n_d = side * side * n_out
    bias_at = at + rows * row * n_out
    for j in range(n_out):
        total = 0
        used = False
        for k in range(j, n_d, n_out):
            if d[k]:
                used = True
                total += d[k]
        if not used:
            at += rows * row
            continue
        value = w[bias_at + j] - (ONE * total + half >> rate)
        w[bias_at + j] = low if value < low else limit if value > limit else value
        for r in range(rows):
            first = r * layer[2]
            for i in range(first, first + row):
                total = 0
                k = j
                for v in range(side):
                    from_ = i + v * layer[5]
                    for _ in range(side):
                        if d[k]:
                            total += x[from_] * d[k]
                        from_ += layer[4]
                        k += n_out
                value = w[at] - (total + half >> rate)
                w[at] = low if value < low else limit if value > limit else value
                at += 1


KERNELS = ("forward", "squash", "backward", "gate", "update")
PURE = {name: globals()[name] for name in KERNELS}
backend = "pure"


def use(offered: "Any") -> None:
    """Install the kernels that `offered` (a module or object) has; those it lacks stay pure.

    offered.name is remembered as `ckernels.backend`. use(None) returns to pure Python.
    """
    names = globals()
    for name in KERNELS:
        names[name] = getattr(offered, name, PURE[name])
    names["backend"] = "pure" if offered is None else offered.name
