"""The federation: boards' links on one side, rounds and checkpoints on the other. I/O only.

    federation = Federation(spec, strategy, store, policy=Policy(n_boards=3), on_event=print)
    federation.add_opener(links.parse("serial:/dev/ttyACM0"))
    result = await federation.run(20)
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass

from fedboard.model import Spec
from fedboard_host.events import Event
from fedboard_host.links import Link, Opener
from fedboard_host.rounds import Policy
from fedboard_host.store import Store
from fedboard_host.strategies.base import Strategy

Evaluate = Callable[["array[int]"], tuple[float, float]]  # result params -> (accuracy, loss)


@dataclass(frozen=True)
class BoardView:
    """A board as of now, for people."""

    name: str
    uid: str  # hexadecimal
    link: str
    state: str  # see events.BoardState; gone: no session at present
    last_seen_s: float  # how long ago it was heard
    firmware: str
    kernels: str
    free_ram: int  # bytes
    n_samples: int
    version: int
    bytes_up: int  # since this session's link came up
    bytes_down: int


@dataclass(frozen=True)
class Result:
    round: int  # the last closed one
    version: int
    params: array[int]  # what boards have
    model: array[int]  # what to use
    accuracy: float | None
    loss: float | None
    bytes_up: int  # all links, during this run()
    bytes_down: int
    seconds: float
    stopped: bool  # on request


class Federation:
    """One run. Make it inside the event loop that run() is awaited in."""

    def __init__(
        self,
        spec: Spec,
        strategy: Strategy,
        store: Store,
        *,
        policy: Policy | None = None,
        key: bytes | None = None,
        name: str = "",
        start: array[int] | None = None,
        evaluate: Evaluate | None = None,
        on_event: Callable[[Event], None] | None = None,
        dead_ms: int = 20_000,
        handshake_ms: int = 10_000,
        run: int | None = None,
    ) -> None:
        """Resumes from store.latest(), if there is one; else starts from `start` or the rule's.

        key: 32 bytes; required once a link is on a network. run: u32 that names the run (None:
        random); with seeds it decides the order in which boards see their samples.
        Raises DataError if the store holds a run of another model or strategy.
        """
        raise NotImplementedError

    def add_link(self, link: Link) -> None:
        """Serve an open link until it closes: a board that dialled in, or a virtual one."""
        raise NotImplementedError

    def add_opener(self, opener: Opener) -> None:
        """Keep a link open: again after each break, later and later."""
        raise NotImplementedError

    async def run(self, n_rounds: int) -> Result:
        """Go on to the round number `n_rounds` (closed ones of an earlier run() count)."""
        raise NotImplementedError

    def request_stop(self) -> None:
        """Finish the open round, then let run() return. From the loop's thread or a signal."""
        raise NotImplementedError

    def boards(self) -> list[BoardView]:
        raise NotImplementedError

    async def close(self) -> None:
        """Say BYE, close all links. The store stays open: its owner closes it."""
        raise NotImplementedError
