"""The companion on the laptop (CPython): finds boards, hands out work, merges what they learned."""

import time

from fedboard import VERSION as __version__

BEGAN_S = time.monotonic()  # about when this process did

__all__ = ["BEGAN_S", "__version__"]
