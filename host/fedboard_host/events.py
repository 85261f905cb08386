"""What happens in a federation, for whoever shows or logs it: small frozen records.

Federation(on_event=...) is called with each of them, in order, in the event loop's thread: be
quick. `board` is a board's name. Bytes are those on the link, frames, repeats and all, unless said
otherwise.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class BoardJoined:
    """A board's session is open (after a break, again)."""

    board: str
    uid: str  # hexadecimal
    link: str
    firmware: str
    kernels: str
    free_ram: int  # bytes; 0: the board cannot tell
    n_samples: int
    version: int  # of the model that it holds; 0: none


@dataclass(frozen=True, slots=True)
class BoardState:
    """A board goes over to another state: idle, receiving, training, sending, done, failed."""

    board: str
    state: str
    round: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class BoardProgress:
    """About once a second while a board trains."""

    board: str
    round: int
    done: int  # samples
    total: int
    n_correct: int  # of the done ones, each predicted before it was learned
    loss: float  # mean, in the rule's unit


@dataclass(frozen=True, slots=True)
class BoardLeft:
    board: str
    reason: str


@dataclass(frozen=True, slots=True)
class RoundStarted:
    round: int
    version: int  # of the model that the boards start from
    boards: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UpdateReceived:
    """A board's update came in whole. accepted: it counts once the round closes."""

    board: str
    round: int
    n_samples: int
    n_bytes: int  # the update itself, without frames and repeats
    accepted: bool
    reason: str = ""  # why not
    accuracy: float | None = None  # of its own samples, each predicted before it was learned
    loss: float | None = None


@dataclass(frozen=True, slots=True)
class RoundClosed:
    """The merged model is on disk as `version`."""

    round: int
    version: int
    n_updates: int
    n_boards: int  # that were asked
    accuracy: float | None  # of evaluate(); None: not evaluated
    loss: float | None
    bytes_up: int  # during this round, all boards
    bytes_down: int
    update_bytes: int  # the accepted updates themselves
    seconds: float
    digest: str = ""  # of the new model as boards get it, hexadecimal
    epsilon: float | None = None  # of all rounds, at privacy.DELTA; None: there is no noise


@dataclass(frozen=True, slots=True)
class Judged:
    """How the held-out samples of each class were classified after a round."""

    round: int
    counts: tuple[tuple[int, ...], ...]  # [class][prediction]


@dataclass(frozen=True, slots=True)
class Suspected:
    """The boards whose updates look bad over the last rounds, in each round that has some.

    reasons: {board: why}. Once more, empty, when there are none any longer.
    """

    round: int
    reasons: dict[str, str]


@dataclass(frozen=True, slots=True)
class Note:
    """Something to tell a person. level: info, warning or error. The text says the remedy."""

    level: str
    text: str
    board: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """run() ends: all rounds done, or stopped on request."""

    round: int  # the last closed one
    version: int
    stopped: bool


Event = (
    BoardJoined
    | BoardState
    | BoardProgress
    | BoardLeft
    | RoundStarted
    | UpdateReceived
    | RoundClosed
    | Judged
    | Suspected
    | Note
    | Finished
)


def as_dict(event: Event) -> dict[str, object]:
    """For JSON: {"event": "RoundClosed", "round": 3, ...}."""
    return {"event": type(event).__name__, **asdict(event)}
