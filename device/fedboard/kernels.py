"""The integer inner loops in pure Python: what every faster backend must equal, bit for bit.

Here are those of a network's way up and down; what changes parameters is in kernels_update, what
tells the host of it in kernels_change. Each takes at most four arguments, buffers or small
integers, so that inline assembler can offer the same functions. `layer` is the record that
describes a layer to them, an array('i'):

    0 N_IN  1 N_OUT  2 AT    W[j, i] = w[AT + j*N_IN + i]; b[j] = w[AT + N_OUT*N_IN + j]
    3 BIAS_INPUT             a bias is the weight of this constant input
    4 LIMIT                  parameters stay in [-LIMIT, LIMIT]
    5 BATCH  6 RATE          samples in a batch buffer; the shift or divisor of an update

Inputs and activations x, a: array('b'). Parameters w, deltas d, errors e: array('h'). Sums acc:
array('i'). Feedback matrices b: array('h').
Spec.limit and dfa's largest batch keep every sum within int32; callers see to that, kernels check
nothing. Stores are clamped first. Nothing is allocated: not even a tuple, as MicroPython would for
`a, b, c, d = ...`.

Callers write `from fedboard import kernels` and `kernels.forward(...)`, so that use() takes effect.
"""

from array import array

from fedboard.kernels_change import encode as encode
from fedboard.kernels_change import histogram as histogram
from fedboard.kernels_change import pick as pick
from fedboard.kernels_update import update_divide as update_divide
from fedboard.kernels_update import update_one as update_one
from fedboard.kernels_update import update_shift as update_shift

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

LAYER_FIELDS = 7  # of a layer record
WEIGHT_BITS = 12  # fractional bits of a weight under rule "fedboard"
DEAD_ZONE = 8  # an error below 1/16 counts as none
BACK_BITS = 9  # that deltas lose on their way back through a layer's weights
LARGEST_BACK = 65535  # sum of a layer's |deltas|: times a weight it fits int32, with half to spare
# 4096 * 2**(-i / 16): an octave of the softmax's powers; the further ones are shifts of it.
EXP2 = array(
    "h",
    (
        4096, 3922, 3756, 3597, 3444, 3298, 3158, 3025,
        2896, 2774, 2656, 2543, 2435, 2332, 2233, 2139,
    ),
)  # fmt: skip


def forward(x: "array[int]", w: "array[int]", acc: "array[int]", layer: "array[int]") -> None:
    """acc[j] = sum_i x[i] W[j, i] + BIAS_INPUT b[j]; x has exactly N_IN elements."""
    n_out = layer[1]
    at = layer[2]
    bias_input = layer[3]
    bias_at = at + n_out * layer[0]
    for j in range(n_out):
        total = bias_input * w[bias_at + j]
        for value in x:
            total += value * w[at]
            at += 1
        acc[j] = total


def forward_relu(x: "array[int]", w: "array[int]", a: "array[int]", layer: "array[int]") -> None:
    """a[j] = forward's sum >> WEIGHT_BITS, clamped to [0, 127]."""
    n_out = layer[1]
    at = layer[2]
    bias_input = layer[3]
    bias_at = at + n_out * layer[0]
    bits = WEIGHT_BITS
    for j in range(n_out):
        total = bias_input * w[bias_at + j]
        for value in x:
            total += value * w[at]
            at += 1
        total >>= bits
        a[j] = 0 if total < 0 else 127 if total > 127 else total


def put(source: "array[int]", batch: "array[int]", at: int, n: int) -> None:
    """batch[at + i] = source[i], i < n = len(source): one sample into a batch buffer."""
    for value in source:
        batch[at] = value
        at += 1


def argmax(out: "array[int]") -> int:
    """The index of the first largest."""
    found = 0
    for k in range(1, len(out)):
        if out[k] > out[found]:
            found = k
    return found


def activate_tanh(acc: "array[int]", a: "array[int]", d: "array[int]", layer: "array[int]") -> None:
    """TIFeD's tanh in pieces of v = acc[j] BIAS_INPUT // (256 N_IN); d[j] = its inverse slope.

    a[j] is the *negated* value: in [-128, 127], where the value itself may be 128.
    """
    divisor = 256 * layer[0]
    sign = layer[3]
    for j in range(layer[1]):
        v = acc[j] * sign // divisor
        if v >= 128:
            a[j] = -128
            d[j] = 128
        elif v >= 75:
            a[j] = -88 - v // 4
            d[j] = 8
        elif v >= 32:
            a[j] = -32 - v
            d[j] = 2
        elif v >= -31:
            a[j] = -2 * v
            d[j] = 1
        elif v >= -74:
            a[j] = 32 - v
            d[j] = 2
        elif v >= -127:
            a[j] = 88 - v // 4
            d[j] = 8
        else:
            a[j] = 127
            d[j] = 128


def output_shift(out: "array[int]", layer: "array[int]") -> int:
    """out[k] = out[k] >> WEIGHT_BITS, k < N_OUT: sums to logits. Returns the first largest's k."""
    bits = WEIGHT_BITS
    found = 0
    for k in range(layer[1]):
        out[k] >>= bits
        if out[k] > out[found]:
            found = k
    return found


def errors_softmax(out: "array[int]", e: "array[int]", label: int, layer: "array[int]") -> int:
    """e = errors of a softmax in base 2, in 7 fractional bits; returns 128 (1 - p[label]).

    p[k] = 128 * 2**((out[k] - max) / 64) / sum, floored, k < N_OUT. e[k] = p[k] for the wrong
    classes, but 0 below DEAD_ZONE; e[label] is minus their sum.
    """
    n = layer[1]
    least = DEAD_ZONE
    powers = EXP2
    top = max(out)
    total = 0
    for k in range(n):
        i = (top - out[k]) >> 2
        power = powers[i & 15] >> (i >> 4) if i < 208 else 0
        e[k] = power
        total += power
    loss = 128 - 128 * e[label] // total
    e[label] = 0
    wrong = 0
    for k in range(n):
        p = 128 * e[k] // total
        if p < least:
            p = 0
        e[k] = p
        wrong += p
    e[label] = -wrong
    return loss


def backward(d: "array[int]", w: "array[int]", acc: "array[int]", layer: "array[int]") -> None:
    """acc[i] = sum_j W[j, i] d[j], i < N_IN: a layer's deltas back to its inputs.

    Row by row: a delta that is 0, as most are of what is known well, costs nothing.
    """
    n_in = layer[0]
    at = layer[2]
    for i in range(n_in):
        acc[i] = 0
    for j in range(layer[1]):
        factor = d[j]
        if factor:
            for i in range(n_in):
                acc[i] += w[at] * factor
                at += 1
        else:
            at += n_in


def gate(acc: "array[int]", a: "array[int]", d: "array[int]", layer: "array[int]") -> None:
    """d[j] = (acc[j] + half) >> BACK_BITS where 0 < a[j] < 127, else 0; half = 2**BACK_BITS // 2.

    Clamped to LARGEST_BACK // (N_OUT + 1): an int16, and all of them together can go further back.
    """
    n_out = layer[1]
    bits = BACK_BITS
    half = 1 << bits >> 1
    most = LARGEST_BACK // (n_out + 1)
    low = -most
    for j in range(n_out):
        if 0 < a[j] < 127:
            value = acc[j] + half >> bits
            d[j] = low if value < low else most if value > most else value
        else:
            d[j] = 0


def feedback_divide(e: "array[int]", b: "array[int]", d: "array[int]", layer: "array[int]") -> None:
    """d[j] = BIAS_INPUT (sum_k B[j, k] e[k] // d[j]), clamped to int16.

    B[j, k] = b[j*len(e) + k].
    """
    n = len(e)
    sign = layer[3]
    at = 0
    for j in range(layer[1]):
        total = 0
        for k in range(n):
            total += b[at] * e[k]
            at += 1
        total = total // d[j] * sign
        d[j] = -32767 if total < -32767 else 32767 if total > 32767 else total


KERNELS = (
    "forward",
    "forward_relu",
    "put",
    "argmax",
    "activate_tanh",
    "output_shift",
    "errors_softmax",
    "backward",
    "gate",
    "feedback_divide",
    "update_shift",
    "update_one",
    "update_divide",
    "histogram",
    "pick",
    "encode",
)
PURE = {name: globals()[name] for name in KERNELS}
backend = "pure"
# What a device sets: installs faster `ckernels`, `fkernels`, `jitter`, when they are first needed.
offer_conv: "Callable[[], None] | None" = None
offer_floats: "Callable[[], None] | None" = None
offer_jitter: "Callable[[], None] | None" = None


def run(calls: "Sequence[tuple[Any, Any, Any, Any, Any]]") -> None:
    """Kernel after kernel, each with its four arguments.

    Native code runs them without a word from the heap, which Python takes for variables like these.
    """
    for kernel, o, p, q, r in calls:
        kernel(o, p, q, r)


_pure_run = run


def use(offered: "Any") -> None:
    """Install the kernels that `offered` (a module or object) has; those it lacks stay pure.

    offered.name is remembered as `kernels.backend`. use(None) returns to pure Python.
    """
    names = globals()
    for name in KERNELS:
        names[name] = getattr(offered, name, PURE[name])
    names["run"] = getattr(offered, "run", _pure_run)
    names["backend"] = "pure" if offered is None else offered.name
