"""The companion on the laptop (CPython): finds boards, hands out work, merges what they learned."""

from fedboard import VERSION as __version__

__all__ = ["__version__"]
