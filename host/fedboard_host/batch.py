"""What comes in the same turn of an event loop is done together.

    Batch(work, size).put(item) -> what work([item, ...]) has at its place

Nobody waits for others to come: a batch is what has come when the loop gets to it. So it is one
item while little happens, and more the busier it gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batch(Generic[Item, Answer]):
    """work(items): an answer for each; it does not await anything. size: of the largest batch."""

    def __init__(self, work: Callable[[list[Item]], Sequence[Answer]], size: int) -> None:
        self._work = work
        self._size = size
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []

    async def put(self, item: Item) -> Answer:
        """Raises what work() raises, for all of a batch. It is done even if this is cancelled."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, answer))
        if len(self._waiting) == 1:
            loop.call_soon(self._do)
        elif len(self._waiting) >= self._size:
            self._do()
        return await answer

    def _do(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:  # it was full before the loop got here
            return
        try:
            answers = self._work([item for item, _ in waiting])
        except Exception as error:  # of each caller, not of the loop
            for _, told in waiting:
                if not told.done():
                    told.set_exception(error)
            return
        for (_, told), answer in zip(waiting, answers, strict=True):
            if not told.done():
                told.set_result(answer)
