"""The float inner loops in pure Python, and the seam for faster ones: as `kernels`, for `mlp`.

Each takes at most four arguments: buffers, and where it says so a small integer. `layer` is the
record that describes one layer to them, an array('i') of LAYER_FIELDS:

    0 N_IN  1 N_OUT  2 AT    W[j, i] = w[AT + j*N_IN + i]; b[j] = w[AT + N_OUT*N_IN + j]
    3 BATCH                  samples in the buffers of update()

All other buffers are array('f'); a loss comes as an integer, in 1 / LOSS_SCALE. Sums have the
machine's own float width (64 bits on desktops, 32 or 30 on boards) and a backend's own order,
stores are rounded to 32 bits: machines and backends agree up to rounding only.

No buffer is allocated, and no number lives anywhere but in buffers, so a compiled backend allocates
nothing at all. In plain Python MicroPython makes an object of each float that it computes, or reads
from a buffer: see mlp.
"""

from math import exp, log

try:
    from math import tanh
except ImportError:  # firmware without the special functions

    def tanh(x: float) -> float:  # type: ignore[misc]
        if x > 9 or x < -9:
            return 1.0 if x > 0 else -1.0
        power = exp(2.0 * x)
        return (power - 1.0) / (power + 1.0)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence
    from typing import Any

    A = array[float]

LAYER_FIELDS = 4
LOSS_SCALE = 1000
LARGEST_LOSS = 1000000000  # a loss counts as no more than this, in 1 / LOSS_SCALE


def scaled(x: "Sequence[float]", scale: "A", out: "A") -> None:
    """out[i] = x[i] * scale[0]: features as they come; or in place, with x the same buffer."""
    factor = scale[0]
    for i in range(len(out)):
        out[i] = x[i] * factor


def forward(x: "A", w: "A", out: "A", layer: "array[int]") -> None:
    """out[j] = sum_i x[i] W[j, i] + b[j]."""
    n_in, n_out, at, _ = layer
    bias_at = at + n_in * n_out
    for j in range(n_out):
        total = w[bias_at + j]
        for i in range(n_in):
            total += x[i] * w[at]
            at += 1
        out[j] = total


def activate_tanh(a: "A", layer: "array[int]") -> None:
    """a[j] = tanh(a[j])."""
    for j in range(layer[1]):
        a[j] = tanh(a[j])


def activate_relu(a: "A", layer: "array[int]") -> None:
    """a[j] = max(a[j], 0)."""
    for j in range(layer[1]):
        if a[j] < 0:
            a[j] = 0.0


def backward(w: "A", d: "A", back: "A", layer: "array[int]") -> None:
    """back[i] = sum_j W[j, i] d[j]: a layer's deltas seen from its inputs."""
    n_in, n_out, at, _ = layer
    for i in range(n_in):
        k = at + i
        total = 0.0
        for j in range(n_out):
            total += w[k] * d[j]
            k += n_in
        back[i] = total


def slope_tanh(a: "A", d: "A", layer: "array[int]") -> None:
    """d[j] *= 1 - a[j]**2: the derivative, from the activation."""
    for j in range(layer[1]):
        value = a[j]
        d[j] *= 1.0 - value * value


def slope_relu(a: "A", d: "A", layer: "array[int]") -> None:
    """d[j] = 0 where a[j] is."""
    for j in range(layer[1]):
        if a[j] <= 0:
            d[j] = 0.0


def largest(out: "A", layer: "array[int]") -> int:
    """The number of the largest output, of equal ones the first."""
    best = 0
    top = out[0]
    for k in range(1, layer[1]):
        value = out[k]
        if value > top:
            top = value
            best = k
    return best


def cross_entropy(out: "A", d: "A", label: int, layer: "array[int]") -> int:
    """d[k] = p[k] - (k == label), p = softmax(out). Returns the loss, -log p[label] nats."""
    top = out[largest(out, layer)]
    total = 0.0
    n_out = layer[1]
    for k in range(n_out):
        d[k] = power = exp(out[k] - top)
        total += power
    for k in range(n_out):
        d[k] /= total
    d[label] -= 1.0
    return _counted(log(total) - (out[label] - top))


def squared(out: "A", d: "A", layer: "array[int]") -> int:
    """d holds the targets and becomes 2 (out - target). Returns the loss, sum (out - target)^2."""
    loss = 0.0
    for k in range(layer[1]):
        error = out[k] - d[k]
        loss += error * error
        d[k] = 2.0 * error
    return _counted(loss)


def put(source: "A", batch: "A", slot: int) -> None:
    """batch[slot*n + i] = source[i], n = len(source)."""
    at = slot * len(source)
    for value in source:
        batch[at] = value
        at += 1


def update(w: "A", x: "A", d: "A", layer: "array[int]") -> None:
    """W[j, i] += sum_s x[s, i] d[s, j], b[j] += sum_s d[s, j]: d comes times minus the rate.

    x[s, i] = x[s*N_IN + i] and d[s, j] = d[s*N_OUT + j], s < BATCH.
    """
    n_in, n_out, first, batch = layer
    bias_at = first + n_in * n_out
    for s in range(batch):
        at = first
        x_at = s * n_in
        for j in range(n_out):
            delta = d[s * n_out + j]
            if delta:
                for i in range(x_at, x_at + n_in):
                    w[at] += x[i] * delta
                    at += 1
                w[bias_at + j] += delta
            else:
                at += n_in


def _counted(loss: float) -> int:
    return int(loss * LOSS_SCALE) if loss * LOSS_SCALE < LARGEST_LOSS else LARGEST_LOSS


KERNELS = (
    "scaled",
    "forward",
    "activate_tanh",
    "activate_relu",
    "backward",
    "slope_tanh",
    "slope_relu",
    "largest",
    "cross_entropy",
    "squared",
    "put",
    "update",
)
PURE = {name: globals()[name] for name in KERNELS}
backend = "pure"


def use(offered: "Any") -> None:
    """Install the kernels that `offered` (a module or object) has; those it lacks stay pure.

    offered.name is remembered as `fkernels.backend`. use(None) returns to pure Python.
    """
    names = globals()
    for name in KERNELS:
        names[name] = getattr(offered, name, PURE[name])
    names["backend"] = "pure" if offered is None else offered.name
