"""The wire image of float parameters, made as it is read: int16 of WIRE_BITS fractional bits.

What an Update or a Rebase takes as parameters, which then need no second model in RAM. Weights are
within ±8, what is finer is lost.
"""

from math import floor

from fedboard import DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array


class Image:
    """The wire image of float parameters, made as it is read: image[i] is an int16.

    Something to pass as `params` to an Update or a Rebase, which then need no second model in RAM.
    """

    def __init__(self, params: "array[float]") -> None:
        self._params = params

    def __len__(self) -> int:
        return len(self._params)

    def __getitem__(self, i: int) -> int:
        value = self._params[i]
        if value >= 8:
            return 32767
        if value <= -8:
            return -32767
        if value != value:
            raise DataError("the weights diverged: lower the learning rate")
        value = floor(value * 4096 + 0.5)
        return min(value, 32767) if value > 0 else max(value, -32767)

    def __setitem__(self, i: int, value: int) -> None:
        self._params[i] = value / 4096

    def store(self, block: "array[int]", at: int) -> None:
        """Fill `block` with the image of the parameters from number `at` on."""
        for i in range(len(block)):
            block[i] = self[at + i]
