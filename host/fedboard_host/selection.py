"""What update.Update would send, for many boards at once: values and exact bytes, no bitstream.

    changes (lanes, n_params), integers    parameters - base (+ residual)
    select()  -> sent (lanes, n_params): what the host decodes, 0 where nothing was sent
                 n_bytes (lanes,): the stream and its head (meta), as update.Update makes them

For simulators, where coding a million updates bit by bit would take days. Tested equal to the real
codec, values and bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedboard import sparse, update
from fedboard.model import Spec

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


def dense_bytes(spec: Spec, layers: int = 0) -> int:
    """The bytes of an exact update of all parameters, at 16 bits, with its head."""
    mask = layers or (1 << spec.n_layers) - 1
    chosen = [l for l in range(spec.n_layers) if mask >> l & 1]
    return 1 + sum(_META_BYTES + 2 * spec.n_layer_params(l) for l in chosen)


def _select(changes: Ints, sent: Ints, top_permille: int, bits: int) -> Ints:
    """One layer: fills `sent`, returns the bits of its stream, by lane."""
    n = changes.shape[1]
    n_top = (n * top_permille + 999) // 1000
    m = np.abs(changes).astype(np.int32)
    shift = _shifts(m.max(axis=1), bits)[:, None]
    half = 1 << shift >> 1
    # What rounds to zero is not worth an entry.
    m[m < (np.maximum(1, half) if bits > 1 else 1)] = 0
    least = np.partition(m.astype(np.uint16), n - n_top, axis=1)[:, n - n_top, None]
    # Exactly n_top: of those equal to the least the first; of zeros none.
    chosen = m > least
    ties = (m == least) & (least > 0)
    room = n_top - chosen.sum(axis=1)
    crowded = ties.sum(axis=1) > room
    if crowded.any():
        ties[crowded] &= ties[crowded].cumsum(axis=1) <= room[crowded, None]
    chosen |= ties
    ks = chosen.sum(axis=1)
    coded = np.clip((m + half) >> shift, 1, 1 << bits - 1)
    coded *= chosen
    n_bits: Ints = ks * bits + _gap_bits(chosen, ks)
    if n_top == n and bits > 1:
        dense = np.array([n * bits <= _most_bits(n, int(k), bits) for k in ks])
        all_coded = np.clip((np.abs(changes) + half) >> shift, 0, (1 << bits - 1) - 1)
        coded = np.where(dense[:, None], all_coded, coded)
        n_bits[dense] = n * bits
    sent[:] = np.where(changes < 0, -coded, coded) << shift
    return n_bits


def _shifts(largest: NDArray[np.int32], bits: int) -> NDArray[np.int32]:
    """update.Update's scale of each lane's values; it sees only the high byte of large changes."""
    largest = np.where(largest > 255, largest | 255, largest)
    shift = np.zeros(len(largest), np.int32)
    for s in range(16 - bits):
        shift += largest > 1 << bits - 1 + s
    return np.maximum(shift - 1, 0) if bits == 1 else shift


def _most_bits(n: int, k: int, bits: int) -> int:
    part = sparse.Part(0, 0, n, k, bits)
    return part.n_bits() + part.n_gap_bits()


def _gap_bits(chosen: NDArray[np.bool_], ks: Ints) -> Ints:
    """The bits of the gaps alone."""
    n = chosen.shape[1]
    n_bits = np.zeros(len(chosen), np.int64)
    for k in np.unique(ks):
        if not 0 < k < n:
            continue
        mine = np.flatnonzero(ks == k)
        at = np.nonzero(chosen[mine])[1].reshape(len(mine), k)
        gaps = np.diff(at, axis=1, prepend=-1) - 1
        r = sparse.rice_parameter(n, int(k))
        n_bits[mine] = (gaps >> r).sum(axis=1) + k * (1 + r)
    return n_bits
