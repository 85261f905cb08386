"""The integer inner loops in pure Python: what every faster backend must equal, bit for bit.

Each takes at most four arguments, buffers or small integers, so that inline assembler can offer
the same functions. `layer` is the record that describes a layer to them, an array('i'):

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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
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


def put(source: "array[int]", batch: "array[int]", slot: int) -> None:
    """batch[slot*n + i] = source[i], n = len(source): one sample into a batch buffer."""
    at = slot * len(source)
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


def activate_relu(acc: "array[int]", a: "array[int]", d: "array[int]", layer: "array[int]") -> None:
    """a[j] = acc[j] >> WEIGHT_BITS clamped to [0, 127]; d[j] = 1 strictly between, else 0."""
    bits = WEIGHT_BITS
    for j in range(layer[1]):
        value = acc[j] >> bits
        if value <= 0:
            a[j] = d[j] = 0
        elif value < 127:
            a[j] = value
            d[j] = 1
        else:
            a[j] = 127
            d[j] = 0


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


def output_shift(out: "array[int]") -> None:
    """out[k] = out[k] >> WEIGHT_BITS: sums to logits."""
    bits = WEIGHT_BITS
    for k in range(len(out)):
        out[k] >>= bits


def errors_softmax(out: "array[int]", e: "array[int]", d: "array[int]", label: int) -> int:
    """e = d = errors of a softmax in base 2, in 7 fractional bits; returns 128 (1 - p[label]).

    p[k] = 128 * 2**((out[k] - max) / 64) / sum, floored. e[k] = p[k] for the wrong classes, but 0
    below DEAD_ZONE; e[label] is minus their sum.
    """
    n = len(out)
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
        e[k] = d[k] = p
        wrong += p
    e[label] = d[label] = -wrong
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


def gate(acc: "array[int]", d: "array[int]", layer: "array[int]") -> None:
    """d[j] = (acc[j] + half) >> BACK_BITS where d[j] is not 0, half = 2**BACK_BITS // 2.

    Clamped to LARGEST_BACK // (N_OUT + 1): an int16, and all of them together can go further back.
    """
    n_out = layer[1]
    bits = BACK_BITS
    half = 1 << bits >> 1
    most = LARGEST_BACK // (n_out + 1)
    low = -most
    for j in range(n_out):
        if d[j]:
            value = acc[j] + half >> bits
            d[j] = low if value < low else most if value > most else value


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


def update_shift(w: "array[int]", x: "array[int]", d: "array[int]", layer: "array[int]") -> None:
    """W[j, i] -= (sum_s x[s, i] d[s, j] + half) >> RATE, half = 2**RATE // 2; changes are clamped.

    x[s, i] = x[s*N_IN + i] and d[s, j] = d[s*N_OUT + j], s < BATCH; a bias has the x BIAS_INPUT.
    """
    n_in = layer[0]
    n_out = layer[1]
    at = layer[2]
    limit = layer[4]
    rate = layer[6]
    bias_at = at + n_in * n_out
    half = (1 << rate) >> 1
    low = -limit
    for j in range(n_out):
        if not _sum_row(x, d, j, layer):
            at += n_in
            continue
        row = _row
        for i in range(n_in):
            step = row[i] + half >> rate
            if step:
                value = w[at] - step
                w[at] = low if value < low else limit if value > limit else value
            at += 1
        step = row[n_in] + half >> rate
        if step:
            value = w[bias_at + j] - step
            w[bias_at + j] = low if value < low else limit if value > limit else value


def update_divide(w: "array[int]", x: "array[int]", d: "array[int]", layer: "array[int]") -> None:
    """W[j, i] -= sum_s x[s, i] d[s, j] // RATE (the floor); all else as update_shift."""
    n_in = layer[0]
    n_out = layer[1]
    at = layer[2]
    limit = layer[4]
    rate = layer[6]
    bias_at = at + n_in * n_out
    low = -limit
    for j in range(n_out):
        if not _sum_row(x, d, j, layer):
            at += n_in
            continue
        row = _row
        for i in range(n_in):
            step = row[i] // rate
            if step:
                value = w[at] - step
                w[at] = low if value < low else limit if value > limit else value
            at += 1
        step = row[n_in] // rate
        if step:
            value = w[bias_at + j] - step
            w[bias_at + j] = low if value < low else limit if value > limit else value


_row = array("i")  # of _sum_row, as long as the widest layer so far


def _sum_row(x: "array[int]", d: "array[int]", j: int, layer: "array[int]") -> bool:
    """_row[i] = sum_s x[s, i] d[s, j], the bias's sum behind; False, undone, if all d are 0.

    Sample by sample: most deltas of a trained network are 0, and cost nothing.
    """
    global _row
    n_in = layer[0]
    n_out = layer[1]
    bias_input = layer[3]
    if len(_row) <= n_in:
        _row = array("i", range(n_in + 1))  # bytes(...) would take the memory twice
    row = _row
    found = False
    for s in range(layer[5]):
        factor = d[j]
        j += n_out
        if factor:
            k = s * n_in
            if found:
                for i in range(n_in):
                    row[i] += x[k] * factor
                    k += 1
                row[n_in] += bias_input * factor
            else:
                found = True
                for i in range(n_in):
                    row[i] = x[k] * factor
                    k += 1
                row[n_in] = bias_input * factor
    return found


def histogram(a: "array[int]", b: "array[int]", counts: "array[int]", block: "array[int]") -> None:
    """Count magnitudes m = |a[at + i] - b[i]| <= 65535, i < n; block = array('i', [at, n, high]).

    counts is an array('i') of 256, added to: with high < 0 the high bytes m >> 8 are counted; else
    the low bytes of those m whose high byte is `high`. So two passes find any threshold exactly.
    """
    at = block[0]
    high = block[2]
    for i in range(block[1]):
        m = a[at] - b[i]
        at += 1
        if m < 0:
            m = -m
        if high < 0:
            counts[m >> 8] += 1
        elif m >> 8 == high:
            counts[m & 255] += 1


def pick(a: "array[int]", b: "array[int]", found: bytearray, block: "array[int]") -> int:
    """The i < n <= 256, in order, with |a[at + i] - b[i]| >= least, into found; how many they are.

    block = array('i', [at, n, least]).
    """
    at = block[0]
    least = block[2]
    n = 0
    for i in range(block[1]):
        m = a[at] - b[i]
        at += 1
        if m >= least or -m >= least:
            found[n] = i
            n += 1
    return n


KERNELS = (
    "forward",
    "put",
    "argmax",
    "activate_relu",
    "activate_tanh",
    "output_shift",
    "errors_softmax",
    "backward",
    "gate",
    "feedback_divide",
    "update_shift",
    "update_divide",
    "histogram",
    "pick",
)
PURE = {name: globals()[name] for name in KERNELS}
backend = "pure"
# What a device sets: installs faster `ckernels`, asked when the first network needs them.
offer_conv: "Callable[[], None] | None" = None


def use(offered: "Any") -> None:
    """Install the kernels that `offered` (a module or object) has; those it lacks stay pure.

    offered.name is remembered as `kernels.backend`. use(None) returns to pure Python.
    """
    names = globals()
    for name in KERNELS:
        names[name] = getattr(offered, name, PURE[name])
    names["backend"] = "pure" if offered is None else offered.name
