"""A virtual board: the shared Board class on an in-memory link, as an asyncio task.

The same protocol bytes and the same arithmetic as on a real one; samples are arrays.
"""

from __future__ import annotations

from collections.abc import Sequence

from fedboard_host.links import Link


class ArraySamples:
    """Samples in memory. x: int8 rows (n, n_in), values -128 to 127; y: labels."""

    def __init__(self, x: Sequence[Sequence[int]], y: Sequence[int]) -> None:
        raise NotImplementedError


class VirtualBoard:
    """`link` is the host's end: give it to Federation.add_link()."""

    def __init__(
        self,
        name: str,
        samples: ArraySamples,
        *,
        key: bytes | None = None,
        uid: bytes | None = None,
        window: int = 4,
    ) -> None:
        self.link: Link
        raise NotImplementedError

    async def run(self) -> None:
        """Be the board until cancelled, or until the host closes the link."""
        raise NotImplementedError
