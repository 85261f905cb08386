# mypy: ignore-errors
"""Kernels in ulab: CircuitPython's full builds, MicroPython firmware that has it. No native code.

Bit-identical to fedboard.kernels, whose functions and layer records these are; what is not here
stays pure. ulab computes in single-precision floats, exact up to 2**24, and hands a float to Python
exactly up to 2**22 (CircuitPython keeps two bits for itself), so:

    forward    int16 weights as two bytes; 128 inputs at a time: |sum| <= 128 * 128 * 255 < 2**22
    backward   two bytes; all rows: sum |d| <= LARGEST_BACK, so |sum| <= 255 * 65535 < 2**24; its
               low byte and the rest are parted in ulab, before Python reads them
    update     x d of as many samples as keep |sum| <= 2**23; several such sums are added as
               256 high + low

Views are of whole buffers (an offset's would dangle once memory is collected), and sliced then.
Integers wrap, so that products and sums are made of floats only; `//` and `sum` are not used. And
an int16 less a float takes the former's bits as unsigned (ulab 6.12): floats less int16 are right.
"""

from ulab import numpy as np

from fedboard import kernels_update

name = "ulab"

_CHUNK = 128  # inputs of a forward sum
_LARGEST = 65536  # sum of |d| in a group: times 128 it is 2**23
_MOST_RATE = 24  # half of a rounding shift: 2**23 and a group's sum are 2**24 at most


def _rows(w, n_in, n_out, at):
    """(low bytes, high bytes) of W, each of shape (n_out, n_in): views."""
    low = np.frombuffer(w, dtype=np.uint8)[2 * at : 2 * (at + n_in * n_out)]
    high = np.frombuffer(w, dtype=np.int8)[2 * at : 2 * (at + n_in * n_out)]
    shape = (n_out, 2 * n_in)
    return low.reshape(shape)[:, 0::2], high.reshape(shape)[:, 1::2]


def forward(x, w, acc, layer):
    n_in = layer[0]
    n_out = layer[1]
    at = layer[2]
    bias_input = layer[3]
    bias_at = at + n_in * n_out
    low, high = _rows(w, n_in, n_out, at)
    column = np.frombuffer(x, dtype=np.int8).reshape((n_in, 1))
    for j in range(n_out):
        acc[j] = bias_input * w[bias_at + j]
    for i in range(0, n_in, _CHUNK):
        end = min(i + _CHUNK, n_in)
        part = column[i:end]
        lows = np.dot(low[:, i:end], part).flatten().tolist()
        highs = np.dot(high[:, i:end], part).flatten().tolist()
        for j in range(n_out):
            acc[j] += int(highs[j]) * 256 + int(lows[j])


def put(source, batch, at, n):
    batch[at : at + n] = source  # a copy in C, whatever the type


def backward(d, w, acc, layer):
    n_in = layer[0]
    n_out = layer[1]
    low, high = _rows(w, n_in, n_out, layer[2])
    deltas = np.frombuffer(d, dtype=np.int16)[:n_out].reshape((1, n_out))
    lows = np.dot(deltas, low).flatten()
    over = np.floor(lows * (1 / 256))
    lows = (lows - over * 256.0).tolist()
    highs = np.dot(deltas, high).flatten() + over  # at most 2**23 + 2**16
    over = np.floor(highs * (1 / 256))
    middles = (highs - over * 256.0).tolist()
    over = over.tolist()
    for i in range(n_in):
        acc[i] = int(over[i]) * 65536 + int(middles[i]) * 256 + int(lows[i])


def update_shift(w, x, d, layer):
    rate = layer[6]
    if rate > _MOST_RATE:
        kernels_update.update_shift(w, x, d, layer)
    else:
        _update(w, x, d, layer, rate, (1 << rate) >> 1)


def update_divide(w, x, d, layer):
    rate = 0
    while 1 << rate < layer[6]:
        rate += 1
    if 1 << rate != layer[6]:  # no power of two: no exact quotient in floats
        kernels_update.update_divide(w, x, d, layer)
    else:
        _update(w, x, d, layer, rate, 0)


def _update(w, x, d, layer, rate, half):
    n_in = layer[0]
    n_out = layer[1]
    at = layer[2]
    bias_input = layer[3]
    limit = layer[4]
    batch = layer[5]
    bias_at = at + n_in * n_out
    params = np.frombuffer(w, dtype=np.int16)
    inputs = np.frombuffer(x, dtype=np.int8)
    for j in range(n_out):
        groups = []
        row = None
        size = 0
        total = half
        for s in range(batch):
            factor = d[s * n_out + j]
            if factor:
                total += bias_input * factor
                size += factor if factor > 0 else -factor
                product = inputs[s * n_in : (s + 1) * n_in] * float(factor)
                if row is None:
                    row = product
                elif size <= _LARGEST:
                    row = row + product
                else:
                    groups.append(row)
                    row = product
                    size = factor if factor > 0 else -factor
        if row is None:
            continue
        if groups:
            groups.append(row)
            step = _shifted(groups, rate, half)
        else:
            step = np.floor((row + float(half)) * (1 / (1 << rate)))
        mine = params[at + j * n_in : at + (j + 1) * n_in]
        mine[:] = np.clip(step - mine, float(-limit), float(limit)) * -1.0
        step = total >> rate
        if step:
            value = w[bias_at + j] - step
            w[bias_at + j] = -limit if value < -limit else limit if value > limit else value


def _shifted(groups, rate, half):
    """(sum of the groups + half) >> rate; what is beyond 2**24 is not exact, but clamped anyway."""
    high = 0.0
    low = 0.0
    for row in groups:
        over = np.floor(row * (1 / 256))
        high = over + high
        low = row - over * 256.0 + low
    if rate <= 8:
        return high * float(1 << 8 - rate) + np.floor((low + float(half)) * (1 / (1 << rate)))
    high = high + np.floor(low * (1 / 256)) + float(half >> 8)
    return np.floor(high * (1 / (1 << rate - 8)))
