"""Masked rounds: who takes part, and the last step: boards tell what opens the sum.

Each board that is here is asked for its own seeds and its share. If one is gone by then, another
one tells its seeds: boards can, as all of them have the mask key. See secret.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import numpy as np

from fedboard import WireError
from fedboard.cohort import Unmask
from fedboard_host.aggregate import Merger
from fedboard_host.checkpoints import Checkpoint
from fedboard_host.member import Member
from fedboard_host.runstate import RunState
from fedboard_host.secret import Secret
from fedboard_host.strategies.base import Work

OPEN_MS = 60_000  # then the round is dropped
_AGAIN_MS = 3000


def secret_of(now: Checkpoint, number: int, works: Mapping[str, Work]) -> Secret:
    """What hides these boards' updates: of those that train the same layers as most."""
    kinds = [(work.sent, work.top_permille) for work in works.values()]
    kind = max(kinds, key=kinds.count)
    names = [name for name, work in works.items() if (work.sent, work.top_permille) == kind]
    return Secret(now.spec, *kind, now.run, number, names)


async def merge_sum(secret: Secret, merger: Merger, state: RunState) -> str:
    """Have the sum opened and give it to the merger. Returns why that failed, or ""."""
    if not await open_sum(secret, state):
        return "too few boards have told what opens the sum"
    try:
        sums = await asyncio.to_thread(secret.sums)
    except WireError as error:
        return str(error)
    n = len(secret.names)
    norms = np.zeros((n, merger.spec.n_layers), np.int64)  # nobody knows them
    merger.add_sums(secret.layers, sums, [1] * n, norms)
    return ""


async def open_sum(secret: Secret, state: RunState) -> bool:
    """False: too few boards have answered in time, or the round is to be dropped."""
    members, clock = state.members, state.clock
    until_ms = clock.now_ms() + OPEN_MS
    turn = 0
    while True:
        here = [name for name in secret.names if members[name].is_here]
        for name in here:
            if name not in secret.heard:
                _send(members[name], secret.ask(name))
        for k, of in enumerate(secret.missing() if here else []):
            if turn or of not in here:
                _send(members[here[(turn + k) % len(here)]], secret.ask(of))
        turn += 1
        again_ms = clock.now_ms() + _AGAIN_MS
        while clock.now_ms() < again_ms:
            if secret.is_open:
                return True
            if state.n_stops > 1 or clock.now_ms() >= until_ms:
                return False
            await state.wait(again_ms - clock.now_ms())


def _send(member: Member, ask: Unmask) -> None:
    assert member.connection is not None
    member.connection.hub.send(ask)
    member.connection.wake()
