"""Rule "centred" in bulk: samples less the mean among the parameters, as fedboard.centre."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedboard.model import CENTRE_BITS
from fedboard_host.fleet_rules import Floats
from fedboard_host.fleet_squeeze import Features

_HALF = 1 << CENTRE_BITS - 1


def centred(x: Features, lanes: Floats) -> Features:
    """x (boards, samples, n_in) less the means in the boards' lanes (boards, n_params)."""
    mean = (lanes[:, None, : x.shape[2]].astype(np.int64) + _HALF) >> CENTRE_BITS
    seen: Features = np.clip(x - mean, -127, 127).astype(np.int8)
    return seen


def measured(x: Features, lengths: NDArray[np.int64] | None, limit: int) -> NDArray[np.int64]:
    """The mean over each board's samples, (boards, n_in), as centre.Network measures it."""
    n = np.full(len(x), x.shape[1]) if lengths is None else lengths
    live = np.arange(x.shape[1]) < n[:, None]
    sums = (x * live[:, :, None].astype(np.int64)).sum(axis=1)
    n = n[:, None]
    means: NDArray[np.int64] = ((sums << CENTRE_BITS) + (n >> 1)) // n
    return np.clip(means, -limit, limit)
