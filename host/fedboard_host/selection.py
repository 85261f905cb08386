"""What update.Update would send, for many boards at once: values and exact bytes, no bitstream.

    changes (lanes, n_params), integers    parameters - base (+ residual)
    select()  -> sent (lanes, n_params): what the host decodes, 0 where nothing was sent
                 n_bytes (lanes,): the stream and its head (meta), as update.Update makes them

For simulators, where coding a million updates bit by bit would take days. Tested equal to the real
codec, values and bytes.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from fedboard import sparse, update
from fedboard.model import Spec
from fedboard_host.clip import Update

Ints = NDArray[np.int64]

_META_BYTES = 5  # a layer's share of the head, which has one byte beside


def select(
    spec: Spec, changes: Ints, top_permille: int, bits: int, layers: int = 0
) -> tuple[Ints, Ints]:
    """(sent, n_bytes) of the layers in the mask (0: all); see the module. |changes| <= 65535."""
    mask = layers or (1 << spec.n_layers) - 1
    update.check(spec, mask, top_permille, bits)
    sent = np.zeros_like(changes)
    n_bits = np.zeros(len(changes), np.int64)
    head = 1
    for l in range(spec.n_layers):
        if mask >> l & 1:
            at, end = spec.at(l), spec.at(l + 1)
            n_bits += _select(changes[:, at:end], sent[:, at:end], top_permille, bits)
            head += _META_BYTES
    return sent, (n_bits + 7) // 8 + head


def as_update(spec: Spec, layers: int, changes: Ints) -> Update:
    """Changes (n_params,) of the layers in the mask as the codec gives them."""
    found = []
    for l in range(spec.n_layers):
        if layers >> l & 1:
            layer = changes[spec.at(l) : spec.at(l + 1)]
            where = np.flatnonzero(layer)
            found.append((l, array("i", where.tolist()), array("i", layer[where].tolist())))
    return found


def dense_bytes(spec: Spec, layers: int = 0) -> int:
    """The bytes of an exact update of all parameters, at 16 bits, with its head."""
    mask = layers or (1 << spec.n_layers) - 1
    chosen = [l for l in range(spec.n_layers) if mask >> l & 1]
    return 1 + sum(_META_BYTES + 2 * spec.n_layer_params(l) for l in chosen)


def delta_bytes(spec: Spec, old: Ints | None, new: Ints) -> int:
    """The bytes, head and all, of delta.encode_delta(spec, old, new)."""
    dense = 2 * spec.n_params
    if old is None:
        return dense
    n_bits = head = 0
    for l in range(spec.n_layers):
        n = spec.n_layer_params(l)
        changes = (new - old)[spec.at(l) : spec.at(l + 1)]
        changed = np.flatnonzero(changes)
        k = len(changed)
        if not k:
            continue
        together = int(np.bitwise_or.reduce(changes))
        shift = (together & -together).bit_length() - 1
        lowest, highest = int(changes.min()) >> shift, int(changes.max()) >> shift
        bits = max(1, (max(highest, -lowest) - 1).bit_length() + 1)
        part = sparse.Part(0, 0, n, k, bits)
        whole = n * (bits + (highest == 1 << bits - 1))
        if whole < part.n_bits() + part.n_gap_bits():
            n_bits += whole
        else:
            n_bits += k * bits + int(_gap_bits(n, np.array([k]), changed)[0])
        head += _META_BYTES
    return min(dense, 1 + head + (n_bits + 7) // 8)


def _select(changes: Ints, sent: Ints, top_permille: int, bits: int) -> Ints:
    """One layer: fills `sent`, zeros before, returns the bits of its stream, by lane."""
    lanes, n = changes.shape
    n_top = (n * top_permille + 999) // 1000
    m = np.abs(changes).astype(np.uint16)
    shift = _shifts(m.max(axis=1).astype(np.int64), bits)
    half = 1 << shift >> 1
    # What rounds to zero is not worth an entry.
    worth = np.maximum(1, half) if bits > 1 else np.ones(lanes, np.int64)
    least = np.partition(m, n - n_top, axis=1)[:, n - n_top]
    bound = np.maximum(least, worth).astype(np.uint16)
    chosen = m >= bound[:, None]
    ks = np.count_nonzero(chosen, axis=1).astype(np.int64)
    for lane in np.flatnonzero(ks > n_top).tolist():  # of those equal to the least only the first
        ties = np.flatnonzero(m[lane] == least[lane])
        chosen[lane, ties[n_top - int(ks[lane]) :]] = False
    ks = np.minimum(ks, n_top)
    row, at = np.nonzero(chosen)
    value = changes[row, at]
    coded = np.minimum((np.abs(value) + half[row]) >> shift[row], 1 << bits - 1)
    sent[row, at] = np.sign(value) * (np.maximum(coded, 1) << shift[row])
    n_bits: Ints = ks * bits + _gap_bits(n, ks, at)
    if n_top == n and bits > 1:
        for lane in range(lanes):
            part = sparse.Part(0, 0, n, int(ks[lane]), bits)
            if n * bits <= part.n_bits() + part.n_gap_bits():  # then dense
                s = int(shift[lane])
                coded = np.minimum(
                    (m[lane].astype(np.int64) + half[lane]) >> s, (1 << bits - 1) - 1
                )
                sent[lane] = np.sign(changes[lane]) * (coded << s)
                n_bits[lane] = n * bits
    return n_bits


def _shifts(largest: Ints, bits: int) -> Ints:
    """update.Update's scale of each lane's values; it sees only the high byte of large changes."""
    largest = np.where(largest > 255, largest | 255, largest)
    shift = np.zeros(len(largest), np.int64)
    for s in range(16 - bits):
        shift += largest > 1 << bits - 1 + s
    return np.maximum(shift - 1, 0) if bits == 1 else shift


def _gap_bits(n: int, ks: Ints, at: NDArray[np.intp]) -> Ints:
    """The bits of the gaps alone; at: the places in the lanes, one lane after the other."""
    n_bits = np.zeros(len(ks), np.int64)
    ends = np.cumsum(ks)
    gaps = np.diff(at, prepend=-1) - 1
    first = (ends - ks)[ks > 0]
    gaps[first] = at[first]
    for lane, k in enumerate(ks.tolist()):
        if 0 < k < n:
            r = sparse.rice_parameter(n, k)
            mine = gaps[ends[lane] - k : ends[lane]]
            n_bits[lane] = int((mine >> r).sum()) + k * (1 + r)
    return n_bits
