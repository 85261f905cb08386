"""Arrays that begin where a line of the cache does: no vector of them lies in two lines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_LINE = 64  # bytes of a processor's cache


def zeros(n: int, kind: DTypeLike) -> NDArray[Any]:
    """n numbers."""
    size = n * np.dtype(kind).itemsize
    raw = np.zeros(size + _LINE, np.uint8)
    at = -raw.ctypes.data % _LINE
    return raw[at : at + size].view(kind)
