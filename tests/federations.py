"""Small federations for tests: blobs to tell apart, virtual boards, a fast clock.

    async with Fleet(tmp_path, n_boards=4) as fleet:
        result = await fleet.run(5)

A protocol's second takes a twentieth of one here, so that lost frames do not make tests slow.
"""

from __future__ import annotations

import asyncio
import random
from array import array
from pathlib import Path
from typing import Any

from fedboard.model import Spec
from fedboard_host import strategies
from fedboard_host.clock import Clock
from fedboard_host.events import Event
from fedboard_host.links.memory import Faults
from fedboard_host.rounds import Policy
from fedboard_host.server import Federation, Result
from fedboard_host.store import Store
from fedboard_host.virtual import ArraySamples, VirtualBoard

SPEED = 20.0
N_IN, N_CLASSES = 12, 4
SPEC = Spec((N_IN, 10, N_CLASSES), "fedboard", 7)
TIFED = Spec((N_IN, 10, N_CLASSES), "tifed", 7)
EXACT = strategies.make("fedavg", {"batch": 4, "rate": 6, "carry": False})
SPARSE = strategies.make("fedavg", {"batch": 4, "rate": 6, "top_percent": 20, "bits": 4})


def blobs(seed: int, n: int, classes: tuple[int, ...] = (0, 1, 2, 3)) -> ArraySamples:
    """n samples around one centre a class."""
    middle = random.Random(99)
    centres = [[middle.randrange(-90, 90) for _ in range(N_IN)] for _ in range(N_CLASSES)]
    rng = random.Random(seed)
    x, y = [], []
    for _ in range(n):
        label = rng.choice(classes)
        x.append([max(-128, min(127, v + rng.randrange(-35, 36))) for v in centres[label]])
        y.append(label)
    return ArraySamples(x, y)


def accuracy(spec: Spec, params: array[int], samples: ArraySamples) -> float:
    from fedboard.dfa import Network

    net = Network(spec, params)
    x = array("b", bytes(spec.sizes[0]))
    hits = 0
    for i in range(len(samples)):
        label = samples.read(i, x)
        hits += net.predict(x) == label
    return hits / len(samples)


class Fleet:
    """A federation and its virtual boards; `events` is all that was told."""

    def __init__(
        self,
        folder: Path,
        n_boards: int = 4,
        *,
        spec: Spec = SPEC,
        strategy: strategies.Strategy = EXACT,
        n_samples: int = 24,
        resume: bool = False,
        key: bytes | None = None,
        up: Faults | None = None,
        down: Faults | None = None,
        policy: Policy | None = None,
        boards: list[VirtualBoard] | None = None,
        speed: float = SPEED,
        **options: Any,
    ) -> None:
        self.events: list[Event] = []
        self.clock = Clock(speed)
        self._folder = folder
        self._resume = resume
        self._spec, self._strategy = spec, strategy
        self._policy = policy or Policy(n_boards, quorum=n_boards)
        self._key = key
        self._options: dict[str, Any] = {"run": 11, "clock": self.clock, **options}
        self._tasks: list[asyncio.Task[None]] = []
        self.boards = boards if boards is not None else [
            VirtualBoard(
                f"b{i}", blobs(i, n_samples), key=key, clock=self.clock,
                up=_seeded(up, 2 * i), down=_seeded(down, 2 * i + 1),
            )
            for i in range(n_boards)
        ]  # fmt: skip

    async def __aenter__(self) -> Fleet:
        self.store = Store(self._folder, resume=self._resume)
        try:
            self.federation = Federation(
                self._spec, self._strategy, self.store, policy=self._policy, key=self._key,
                on_event=self.events.append, **self._options,
            )  # fmt: skip
        except BaseException:
            self.store.close()
            raise
        for board in self.boards:
            self.add(board)
        return self

    def add(self, board: VirtualBoard) -> None:
        self._tasks.append(asyncio.create_task(board.run()))
        self.federation.add_opener(board)

    def add_sleeper(self, name: str, samples: ArraySamples) -> None:
        """A board that dials, and sleeps when it may."""
        board = VirtualBoard(name, samples, clock=self.clock, dial=self.federation.add_link)
        self.boards.append(board)
        self._tasks.append(asyncio.create_task(board.run()))
        self.federation.add_link(board.link)

    async def until_ready(self, n: int) -> None:
        """n boards are here."""
        async with asyncio.timeout(30):
            while sum(m.is_here for m in self.federation._roster.members.values()) < n:
                await asyncio.sleep(0.002)

    async def run(self, n_rounds: int, timeout_s: float = 60) -> Result:
        async with asyncio.timeout(timeout_s):
            return await self.federation.run(n_rounds)

    async def until(self, kind: type, n: int = 1, timeout_s: float = 30, **fields: Any) -> Any:
        """The n-th event of this kind, and with these fields, once it has come."""
        async with asyncio.timeout(timeout_s):
            while True:
                found = self.of(kind, **fields)
                if len(found) >= n:
                    return found[n - 1]
                await asyncio.sleep(0.002)

    async def until_training(self, board: VirtualBoard, round_no: int = 1) -> None:
        """Right in the middle of it: the host hears of that only now and then."""
        async with asyncio.timeout(30):
            while True:
                task, learner = board.board.task, board.board.learner
                if task and task.round == round_no and 0 < learner.done < learner.total:
                    return
                await asyncio.sleep(0)

    def of(self, kind: type, **fields: Any) -> list[Any]:
        return [
            each
            for each in self.events
            if isinstance(each, kind) and all(getattr(each, k) == v for k, v in fields.items())
        ]

    async def __aexit__(self, *_: object) -> None:
        await self.federation.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.store.close()


def _seeded(faults: Faults | None, n: int) -> Faults | None:
    if faults is None:
        return None
    return Faults(**{**vars(faults), "seed": faults.seed * 1000 + n})


def play(folder, n_rounds=4, **options):
    async def body():
        async with Fleet(folder, **options) as fleet:
            return await fleet.run(n_rounds), fleet

    return asyncio.run(body())
