"""What a federation's simulated boards hold between rounds: a model's version, and a residual.

    moved()       the parameters that they start a round with: see rebase.Rebase, learner.Learner
    bytes_down()  what it takes to bring them this round's model
    settle()      they have it now

Boards that keep a residual cost int16 (n_params,) each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedboard import DataError
from fedboard.model import Spec
from fedboard_host import history
from fedboard_host.selection import Ints, delta_bytes

Members = NDArray[np.intp]


class Held:
    """Of `n_boards` boards; at first they have nothing."""

    def __init__(self, spec: Spec, n_boards: int) -> None:
        self._spec = spec
        self._limits = np.repeat(
            [spec.limit(l) for l in range(spec.n_layers)],
            [spec.n_layer_params(l) for l in range(spec.n_layers)],
        )
        self._own: NDArray[np.int16] | None = None  # the parameters of boards that keep a residual
        self._version = np.zeros(n_boards, np.int64)  # of the model that a board has; 0: none
        self._models: dict[int, Ints] = {}  # those that some board has

    def carry(self) -> None:
        """From now on there are residuals."""
        if self._own is None:
            self._own = np.zeros((len(self._version), self._spec.n_params), np.int16)

    def keep(self, members: Members, params: Ints) -> None:
        """Parameters (members, n_params) less what was sent, if boards carry it on."""
        if self._own is not None:
            self._own[members] = np.clip(params, -self._limits, self._limits)

    def moved(self, members: Members, model: Ints, anew: int) -> Ints:
        """The boards' parameters on this round's model.

        anew: mask of the layers that are just as in the model.
        """
        spec = self._spec
        moved = np.tile(model, (len(members), 1))
        if self._own is not None:
            for i, b in enumerate(members):
                if self._version[b]:
                    moved[i] += self._own[b] - self._models[int(self._version[b])]
        for l in range(spec.n_layers):
            if anew >> l & 1:
                layer = slice(spec.at(l), spec.at(l + 1))
                moved[:, layer] = model[layer]
        return np.clip(moved, -self._limits, self._limits, out=moved)

    def bytes_down(self, members: Members, number: int, model: Ints) -> int:
        """Of round `number`."""
        total = 0
        for version, n in zip(*np.unique(self._version[members], return_counts=True), strict=True):
            # As history.History: of older versions the host knows nothing any more.
            known = version > 0 and number - version < history.n_usual(self._spec)
            old = self._models[int(version)] if known else None
            total += int(n) * delta_bytes(self._spec, old, model)
        return total

    def settle(self, members: Members, number: int, model: Ints) -> None:
        """These boards have round `number`'s model."""
        self._version[members] = number
        self._models[number] = model
        held = set(self._version.tolist())
        self._models = {version: m for version, m in self._models.items() if version in held}

    def state(self) -> dict[str, NDArray[Any]]:
        """For restore(), between two rounds."""
        state: dict[str, NDArray[Any]] = {"has": self._version}
        state.update({f"model_{version}": model for version, model in self._models.items()})
        if self._own is not None:
            state["own"] = self._own
        return state

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Raises DataError for what is not this federation's state."""
        if state["has"].shape != self._version.shape:
            raise DataError(
                f"the saved run has {len(state['has'])} boards, not {len(self._version)}"
            )
        self._version = state["has"].copy()
        self._own = state["own"].copy() if "own" in state else None
        models = {k: v for k, v in state.items() if k.startswith("model_")}
        self._models = {int(key.removeprefix("model_")): model for key, model in models.items()}
