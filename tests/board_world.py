"""A whole board and a hub in memory, and the line between them, for tests."""

import random
from array import array

from fedboard import messages
from fedboard.base import MemoryBase
from fedboard.board import Board
from fedboard.delta import encode_delta
from fedboard.hub import Hub
from fedboard.model import Spec, init_params, new_params
from fedboard.node import Identity

SPEC = Spec((12, 9, 4), "fedboard", seed=5)


class Samples:
    def __init__(self, n=40, n_in=12, seed=3):
        rng = random.Random(seed)
        self.n_in = n_in
        self.rows = [
            (array("b", [rng.randrange(-20, 100) for _ in range(n_in)]), rng.randrange(4))
            for _ in range(n)
        ]

    def __len__(self):
        return len(self.rows)

    def read(self, i, x):
        row, label = self.rows[i]
        for k in range(self.n_in):
            x[k] = row[k]
        return label


class World:
    """A board, a hub and the line between them; cut() is a link that breaks and comes back."""

    def __init__(self, samples=None, **options):
        self.lines = []
        self.base = MemoryBase()
        self.board = Board(
            Identity("b", b"u", 2), None, self.base,
            Samples() if samples is None else samples,
            random.Random(1).randbytes, log=self.lines.append, **options,
        )  # fmt: skip
        self.now_ms = 0
        self.hub_events = []
        self.cut(None)

    def cut(self, _reason):
        self.hub = Hub(None, random.Random(2).randbytes, knock=False)
        self.hub.open(self.now_ms)
        self.board.open(self.now_ms)
        self.run_until(lambda: self.hub.joined)

    def run_until(self, done, ticks=20_000):
        for _ in range(ticks):
            self.board.receive(self.hub.outgoing(self.now_ms), self.now_ms)
            self.board.step(self.now_ms)
            self.hub_events += self.hub.receive(self.board.outgoing(self.now_ms), self.now_ms)
            if done():
                return
            self.now_ms += 5
        raise AssertionError("nothing came of it in time")

    def last(self, kind):
        found = [e for e in self.hub_events if isinstance(e, kind)]
        return found[-1] if found else None

    def wait_for(self, kind):
        n = len(self.hub_events)
        self.run_until(lambda: any(isinstance(e, kind) for e in self.hub_events[n:]))
        return self.last(kind)


def make_task(params, version=1, round=1, **changes):
    values = {
        "run": 9, "round": round, "version": version, "digest": SPEC.digest(params),
        "op": messages.TRAIN, "flags": messages.CARRY, "layers": 3, "epochs": 2, "batch": 8,
        "rate": 0, "top_permille": 100, "bits": 4, "seed": 77, "spec": SPEC.pack(),
    }  # fmt: skip
    return messages.Task(**{**values, **changes})


def send_model(world, params, version, old=None, base=0, spoil=False):
    encoding, meta, data = encode_delta(SPEC, old, params)
    if spoil:
        data = bytes([data[0] ^ 1]) + data[1:]
    begin = messages.Begin(
        what=messages.MODEL, version=version, base=base, encoding=encoding, n_bytes=len(data),
        digest=SPEC.digest(params), meta=meta,
    )  # fmt: skip
    world.hub.transfer(begin, [data])
    return encoding


def initial():
    params = new_params(SPEC)
    init_params(SPEC, params)
    return params
