"""Everything at once: bad cables, unplugged and reset boards, a host that is stopped and resumed.

Whatever happens, no round is lost and not a bit of the model differs.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from fedboard_host.events import RoundClosed
from fedboard_host.links.memory import Faults
from federations import EXACT, SPARSE, Fleet

CABLE = Faults(seed=7, loss=0.05, corrupt=0.01, duplicate=0.01)
KEY = bytes(range(32))
N_BOARDS, N_ROUNDS, N_SAMPLES = 4, 16, 100


async def undisturbed(folder, strategy):
    async with Fleet(folder, N_BOARDS, strategy=strategy, n_samples=N_SAMPLES, key=KEY) as fleet:
        return (await fleet.run(N_ROUNDS)).params


async def disturbed(folder, strategy, seed, resets):
    rng = random.Random(seed)
    boards = None
    closed = []
    done = 0
    while done < N_ROUNDS:
        async with Fleet(
            folder, N_BOARDS, strategy=strategy, n_samples=N_SAMPLES, key=KEY, up=CABLE,
            down=CABLE, boards=boards, resume=boards is not None,
        ) as fleet:  # fmt: skip
            boards = fleet.boards
            running = asyncio.create_task(fleet.run(N_ROUNDS, timeout_s=100))
            for _ in range(rng.randrange(2, 12)):
                await asyncio.sleep(rng.random() * 0.2)
                board = rng.choice(boards)
                if resets and rng.random() < 0.4:
                    board.reset()
                else:
                    board.unplug()
                    await asyncio.sleep(rng.random() * 0.05)
                    board.plug()
                if running.done():
                    break
            if not running.done():  # dropped in the middle of a round, as a crash does
                fleet.federation.request_stop()
                fleet.federation.request_stop()
            result = await running
            done = result.round
            closed += [event.round for event in fleet.of(RoundClosed)]
    assert closed == list(range(1, N_ROUNDS + 1))
    return result.params


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "resets"),
    [(EXACT, True), (SPARSE, False)],
    ids=["exact, boards are reset", "sparse, boards keep their residuals"],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_chaos(tmp_path, strategy, resets, seed):
    wanted = asyncio.run(undisturbed(tmp_path / "calm", strategy))
    assert asyncio.run(disturbed(tmp_path / "chaos", strategy, seed, resets)) == wanted
