"""Weights that were trained elsewhere, as a model that boards run and train on.

    read(path) -> [(W, b), ...]        an npz of NumPy or PyTorch, W (n_out, n_in)
    convert(layers, x) -> Model        rule "fedboard": int16 with 12 fractional bits

What is imported is a dense network with ReLU between its layers, over features of 1.0 = int8 128.
On a board hidden values end at 1.0. ReLU knows no scale, so that each hidden layer is scaled to
fit, as samples show, and the next one back. Weights that then exceed the rule's limit are scaled,
too: the logits change with them, classes do not.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedboard import DataError
from fedboard.model import Spec
from fedboard_host import npz
from fedboard_host.export import Model

Floats = NDArray[np.float64]
Layer = tuple[Floats, Floats]  # W (n_out, n_in), b (n_out,)

_ONE = 4096  # a weight of 1.0
_INPUT_ONE = 128.0
_HIGHEST = 127 / 128  # of a hidden value
_PERCENTILE = 99.9  # of hidden values that shall fit
_PAIR = re.compile(r"(?:W|b)(\d+)\Z|(.+)\.(?:weight|bias)\Z|(?:coefs|intercepts)_(\d+)\Z")


def read(path: Path) -> list[Layer]:
    """The layers in their order: W0, b0, W1, ...; or NAME.weight, NAME.bias as PyTorch has them.

    With PyTorch: np.savez(path, **{k: v.numpy() for k, v in model.state_dict().items()}). Biases
    may be missing; W may be (n_in, n_out) all through. Nothing is unpickled. Raises DataError.
    """
    arrays = npz.read(path)
    weights: dict[str, Floats] = {}
    biases: dict[str, Floats] = {}
    for name, value in arrays.items():
        found = _PAIR.match(name)
        if found is None or value.dtype.kind not in "fiu":
            raise DataError(
                f"{path}: '{name}' ({value.dtype}) is no weight: use W0, b0, W1, b1, ... or "
                "PyTorch's NAME.weight and NAME.bias, of dense layers only"
            )
        layer = next(part for part in found.groups() if part is not None)
        (weights if value.ndim == 2 else biases)[layer] = value.astype(np.float64)
        if value.ndim not in (1, 2):
            raise DataError(f"{path}: '{name}' has {value.ndim} dimensions: only dense layers")
        if not np.isfinite(value).all():
            raise DataError(f"{path}: '{name}' is not finite")
    order = sorted(weights, key=_number)
    if not order or set(biases) - set(order):
        raise DataError(f"{path}: no weights for {', '.join(sorted(biases)) or 'any layer'}")
    return _chain(path, [(weights[k], biases.get(k)) for k in order])


def _number(name: str) -> tuple[object, ...]:
    """fc2 before fc10."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name))


def _chain(path: Path, found: Sequence[tuple[Floats, Floats | None]]) -> list[Layer]:
    """Each layer's outputs are the next one's inputs; if need be, with all W transposed."""
    for turned in (False, True):
        layers = [(w.T if turned else w, b) for w, b in found]
        sizes = [layers[0][0].shape[1], *(w.shape[0] for w, _ in layers)]
        fit = all(w.shape[1] == sizes[k] for k, (w, _) in enumerate(layers))
        if fit and all(b is None or len(b) == len(w) for w, b in layers):
            return [(w, np.zeros(len(w)) if b is None else b) for w, b in layers]
    shapes = ", ".join(str(w.shape) for w, _ in found)
    raise DataError(f"{path}: layers of shapes {shapes} do not follow each other")


def forward(layers: Sequence[Layer], x: Floats) -> list[Floats]:
    """The layers' outputs, hidden ones after ReLU, for x (n, n_in) where 1.0 is int8 128."""
    out = []
    for k, (w, b) in enumerate(layers):
        x = x @ w.T + b
        if k < len(layers) - 1:
            x = np.maximum(x, 0.0)
        out.append(x)
    return out


def convert(layers: Sequence[Layer], x: NDArray[np.int8] | None = None, seed: int = 1) -> Model:
    """The model of rule "fedboard", as version 1. x: int8 samples (n, n_in) to scale by.

    Without them only weights that are too large are scaled. Raises DataError.
    """
    spec = Spec([layers[0][0].shape[1], *(len(b) for _, b in layers)], "fedboard", seed)
    outputs = forward(layers, x / _INPUT_ONE) if x is not None else None
    params = array("h")
    scale = 1.0  # of this layer's inputs, against the original's
    for l, (w, b) in enumerate(layers):
        target = 1.0
        if outputs is not None and l < spec.n_layers - 1:
            highest = float(np.percentile(outputs[l], _PERCENTILE))
            target = min(1.0, _HIGHEST / highest) if highest > 0 else 1.0
        # (W / scale) target over scaled inputs, b target; and within the limit, whatever it costs.
        largest = max(np.abs(w).max() / scale, np.abs(b).max(), 1e-30)
        target = min(target, spec.limit(l) / _ONE / largest)
        for part in (w * (target / scale), b * target):
            whole = np.clip(np.rint(part * _ONE), -spec.limit(l), spec.limit(l))
            params.frombytes(np.ascontiguousarray(whole, np.int16).tobytes())
        scale = target
    return Model(spec, 1, params)


def agreement(
    layers: Sequence[Layer], model: Model, x: NDArray[np.int8], y: NDArray[np.int64]
) -> tuple[float, float, float]:
    """Shares of the samples: right before, right on a board, of the same class in both."""
    from fedboard.dfa import Network

    before = forward(layers, x / _INPUT_ONE)[-1].argmax(axis=1)
    net = Network(model.spec, array("h", model.params))
    after = np.array([net.predict(array("b", row.tobytes())) for row in x])
    return float((before == y).mean()), float((after == y).mean()), float((before == after).mean())
