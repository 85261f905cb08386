"""A board as the federation knows it: who it is, its connection if it has one, what it is at."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from fedboard import messages
from fedboard.hub import Joined
from fedboard.model import Spec
from fedboard_host.clock import Clock
from fedboard_host.connection import Connection
from fedboard_host.rounds import Round
from fedboard_host.strategies.base import BoardInfo, weight_bytes

OVERSLEPT_MS = 60_000  # after it should have been back: then it is no sleeper any more


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
    n_in: int  # features of a sample
    free_flash: int  # bytes
    bytes_up: int  # since this session's link came up
    bytes_down: int
    n_saves: int = 0  # models written to its flash since its start


class Member:
    """One name. It outlives its connections."""

    def __init__(self, info: BoardInfo) -> None:
        self.info = info
        self.connection: Connection | None = None
        self.state = "gone"
        self.asked: Round | None = None  # the last one it got a TASK for in this session
        self.sent_version = 0  # of the model that goes or went to it in this session
        self.sent_digest = b""
        self.n_broken = 0  # transfers of this round's model that failed
        self.last_accepted = ("", 0)  # uid, round: told again when it returns
        self.last_error = ""
        self.wakes_ms = 0  # when it will, if its state is asleep
        self.took_ms: deque[int] = deque(maxlen=5)  # for its last parts, from being asked
        self.progress: messages.Progress | None = None  # the last one
        self.aside = 0  # the token of what a person asked it for and it is at; 0: nothing
        self.ram_limit = 0  # bytes of a task that it turned out to lack the memory for; 0: none
        self._n_known = -1  # samples when it was last heard; -1: not yet
        self._n_new = 0  # of them since its last update
        self._seen_ms = 0

    @property
    def is_here(self) -> bool:
        return self.connection is not None and self.connection.joined

    @property
    def is_bare(self) -> bool:
        """It is here and has nothing to learn from."""
        return self.is_here and not self.info.n_samples

    def n_new(self, learned: int) -> int:
        """Samples since its last update, at which it had `learned`. Some may have gone, too."""
        n = self.info.n_samples
        if self._n_known < 0:
            self._n_known = min(learned, n)
        self._n_new = min(n, self._n_new + max(0, n - self._n_known))
        self._n_known = n
        return self._n_new

    def has_learned(self) -> None:
        """Its update is in."""
        self._n_known = self.info.n_samples
        self._n_new = 0

    def planned_info(self, spec: Spec) -> BoardInfo:
        """What a strategy should plan with: less RAM than it says, if that was not enough."""
        if not self.ram_limit:
            return self.info
        held = weight_bytes(spec) if self.info.version else 0
        limit = max(1, self.ram_limit - held)
        return replace(self.info, free_ram=min(self.info.free_ram or limit, limit))

    def rest(self, seconds: int) -> bool:
        """Tell it that it may sleep. False: there is nobody to tell, or it has still to work."""
        connection = self.connection
        if connection is None or not connection.joined or self.state not in ("idle", "failed"):
            return False
        connection.hub.send(messages.Sleep(seconds=seconds))
        connection.wake()
        return True

    def join(self, connection: Connection, info: BoardInfo) -> None:
        """A session of this board has opened."""
        self.connection = connection
        self.info = info
        self.state = "idle"
        self.aside = 0
        self.asked = None
        self.sent_version = 0
        self.n_broken = 0

    def holds(self) -> tuple[int, bytes]:
        """(version, digest) of its base, as far as can be told.

        What was sent whole is there: it arrives before whatever is sent next.
        """
        if self.sent_version and self.connection and not self.connection.hub.transferring:
            return self.sent_version, self.sent_digest
        return self.info.version, self.info.digest

    def settle_model(self) -> None:
        """Before the next transfer: an unfinished one is dropped, a finished one has arrived."""
        version, digest = self.holds()
        self.info = replace(self.info, version=version, digest=digest)
        self.sent_version = 0
        if self.connection is not None:
            self.connection.hub.cancel()

    def lose_model(self) -> None:
        """Its model is not what we thought: the next one goes dense."""
        self.settle_model()
        self.info = replace(self.info, version=0, digest=b"")

    def last_seen_ms(self, now_ms: int) -> int:
        if self.connection is not None:
            self._seen_ms = max(self._seen_ms, self.connection.hub.heard_ms)
        return max(0, now_ms - self._seen_ms)

    def view(self, clock: Clock) -> BoardView:
        info, connection = self.info, self.connection
        if self.state == "asleep" and clock.now_ms() > self.wakes_ms + OVERSLEPT_MS:
            self.state = "gone"
        return BoardView(
            name=info.name, uid=info.uid, link=connection.link.name if connection else "",
            state=self.state, last_seen_s=self.last_seen_ms(clock.now_ms()) / 1000,
            firmware=info.firmware, kernels=info.kernels, free_ram=info.free_ram,
            n_samples=info.n_samples, version=self.holds()[0], n_in=info.n_in,
            free_flash=info.free_flash,
            bytes_up=connection.bytes_in if connection else 0,
            bytes_down=connection.bytes_out if connection else 0, n_saves=info.n_saves,
        )  # fmt: skip


def info_of(joined: Joined) -> BoardInfo:
    hello: messages.Hello = joined.hello
    status: messages.Status = joined.status
    return BoardInfo(
        name=hello.name, uid=hello.uid.hex(), firmware=status.firmware, kernels=status.kernels,
        free_ram=status.free_ram, n_samples=status.n_samples, n_in=status.n_in,
        version=status.version, digest=status.digest, free_flash=status.free_flash,
        n_saves=status.n_saves,
    )  # fmt: skip
