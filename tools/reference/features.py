"""Features of a window of readings, in NumPy: what shared/fedboard/features.py must compute."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def log2_16(v: Ints) -> Ints:
    """16 log2(v) by its exponent and its next four bits; 0 for 0."""
    v = np.maximum(v, 1)
    exponent = np.frexp(v.astype(np.float64))[1].astype(np.int64) - 1
    return 16 * exponent + v * 16 // 2**exponent - 16


def features(window: Ints, blocks: int, bands: int, group: int, floor: int) -> Ints:
    """window: (n_readings, n_axes). Axis by axis: the shape, the level, the spread, the bands."""
    n, n_axes = window.shape
    mean = window.sum(0) // n
    spread = np.abs(window - mean).sum(0) // n
    units = np.maximum(floor, spread.reshape(-1, group).sum(1) // group)
    rows: list[Ints] = []
    for k in range(blocks):
        start, end = k * n // blocks, (k + 1) * n // blocks
        block = window[start:end].sum(0) // (end - start)
        rows.append((block - mean) * 32 // np.repeat(units, group))
    rows += [mean // 256, log2_16(spread) - 128]
    octave = window
    for _ in range(bands):
        pairs = octave[: len(octave) // 2 * 2].reshape(-1, 2, n_axes)
        steps = np.abs(pairs[:, 0] - pairs[:, 1]).sum(0) // len(pairs)
        rows.append(log2_16(steps) - 128)
        octave = pairs.sum(1) // 2
    return np.clip(np.stack(rows), -127, 127).T.ravel()
