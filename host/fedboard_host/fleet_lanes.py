"""Parameters in a Fleet's lanes: by layer (n_in + 1, n_out), the biases last, and back again.

model.Spec has (n_out, n_in) and then the biases.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedboard.model import Spec


def pack(spec: Spec, params: NDArray[np.generic]) -> NDArray[np.float32]:
    """Parameters (..., n_params) in the order of the lanes, float32."""
    lanes = np.empty(params.shape, np.float32)
    for lane, weights, biases in _views(spec, lanes, params):
        lane[..., :-1, :] = weights
        lane[..., -1, :] = biases
    return lanes


def unpack(spec: Spec, lanes: NDArray[np.generic]) -> NDArray[np.int64]:
    """Lanes (..., n_params) in model.Spec's order."""
    params = np.empty(lanes.shape, np.int64)
    for lane, weights, biases in _views(spec, lanes, params):
        weights[:] = lane[..., :-1, :]
        biases[:] = lane[..., -1, :]
    return params


def _views(
    spec: Spec, lanes: NDArray[Any], params: NDArray[Any]
) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Of each layer: it in `lanes`; the weights, transposed, and the biases in `params`."""
    for l in range(spec.n_layers):
        n_in, n_out = spec.shape(l)
        at, end = spec.at(l), spec.at(l + 1)
        lane = lanes[..., at:end].reshape(*lanes.shape[:-1], n_in + 1, n_out)
        weights = params[..., at : end - n_out].reshape(*params.shape[:-1], n_out, n_in)
        yield lane, weights.swapaxes(-1, -2), params[..., end - n_out : end]
