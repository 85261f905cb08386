"""Rounds without end on bad cables, with boards and the host killed again and again.

    python tools/soak.py --boards 8 --rounds 500 --seed 1

The boards dial over TCP; of their chunks 5 % are lost and 1 % are corrupted on the way, both ways.
Boards are reset (their RAM is lost) and cut off at random; the host is a process of its own that is
killed with SIGKILL at random, and resumed. Protocol time runs 20 times as fast. In the end:

    no lost round    the log has each round once, in order
    no wrong model   each round is replayed from the log, without any wire: the same digest
    memory           how much the host's resident memory grew in the last third, where it lives on,
                     from a third of that to the end: caches are full by then

Prints one JSON object; exit status 1 if a round is lost or a model wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import tcp_boards
from fedboard import delta, model
from fedboard.base import MemoryBase
from fedboard.learner import Learner
from fedboard_host import strategies
from fedboard_host.checkpoints import Checkpoint
from fedboard_host.clock import Clock
from fedboard_host.dispatch import Dispatch
from fedboard_host.events import RoundClosed
from fedboard_host.rounds import Policy, Round
from fedboard_host.server import Federation
from fedboard_host.store import Store
from fedboard_host.strategies.base import BoardInfo
from tcp_boards import KEY, N_IN, SPEC

SPEED = 20.0
RUN = 11
N_SAMPLES = 24
STRATEGY = strategies.make("fedavg", {"batch": 4, "rate": 6, "carry": False})


async def host(folder: Path, port: int, n_boards: int, n_rounds: int) -> None:
    """The process that gets killed. Prints each closed round."""

    def tell(event: object) -> None:
        if isinstance(event, RoundClosed):
            print(event.round, flush=True)

    # Enough to go on without one that is away; who is there decides, and the log knows it.
    quorum = max(1, n_boards * 3 // 4)
    policy = Policy(quorum, quorum=quorum, deadline_ms=60_000, patience=4)
    with Store(folder, resume=(folder / "log.sqlite").exists()) as store:
        federation = Federation(
            SPEC, STRATEGY, store, policy=policy, key=KEY, run=RUN, on_event=tell,
            clock=Clock(SPEED),
        )  # fmt: skip
        await federation.listen("127.0.0.1", port)
        await federation.run(n_rounds)
        await federation.close()


class Soak:
    def __init__(self, folder: Path, n_boards: int, n_rounds: int, seed: int) -> None:
        self.folder = folder
        self.n_boards = n_boards
        self.n_rounds = n_rounds
        self.random = random.Random(seed)
        self.n_host_kills = self.n_resets = self.n_cuts = 0
        self.round = 0  # the last that was told of
        self.memory_kb: list[int] = []  # of the last host, after each round
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])

    async def run(self) -> None:
        boards = [
            tcp_boards.TcpBoard(k, self.port, SPEED, True, N_SAMPLES) for k in range(self.n_boards)
        ]
        tasks = [asyncio.create_task(board.run()) for board in boards]
        tasks.append(asyncio.create_task(self._trouble(boards)))
        try:
            while self.round < self.n_rounds:
                await self._host_life()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _trouble(self, boards: list[tcp_boards.TcpBoard]) -> None:
        while True:
            await asyncio.sleep(self.random.uniform(0.1, 0.5))
            board = self.random.choice(boards)
            if self.random.random() < 0.5:
                self.n_resets += 1
                board.reset()
            else:
                self.n_cuts += 1
                board.cut()

    async def _host_life(self) -> None:
        """Until it is done, or killed some rounds later, at any instant of one."""
        left = self.n_rounds - self.round
        lives = self.random.randrange(5, max(6, min(80, self.n_rounds // 4)))
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--host", str(self.folder), str(self.port),
            "--boards", str(self.n_boards), "--rounds", str(self.n_rounds),
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        n_told = 0
        self.memory_kb = []
        try:
            while line := await process.stdout.readline():
                self.round = int(line)
                n_told += 1
                self.memory_kb.append(_resident_kb(process.pid))
                if n_told == lives and left > self.n_rounds // 3:
                    await asyncio.sleep(self.random.uniform(0, 0.3))
                    self.n_host_kills += 1
                    _kill(process.pid)
        except BaseException:
            _kill(process.pid)
            raise
        finally:
            await process.wait()
        if process.returncode not in (0, -signal.SIGKILL):
            raise SystemExit(f"the host ended with status {process.returncode}")


def _kill(pid: int) -> None:
    """Not by asyncio's Process: that reaps a child that has just ended before asyncio can."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _resident_kb(pid: int) -> int:
    """0 where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(row.split()[1]) for row in text.splitlines() if row.startswith("VmRSS")), 0)


def replay(folder: Path) -> tuple[list[int], list[int]]:
    """(rounds in the log, those whose model is another than their updates make)."""
    with closing(sqlite3.connect(folder / "log.sqlite")) as db:
        rounds = db.execute("SELECT round, digest FROM rounds ORDER BY round").fetchall()
        took_part: dict[int, list[str]] = {}
        for number, board in db.execute("SELECT round, board FROM updates WHERE accepted"):
            took_part.setdefault(number, []).append(board)
    params = model.new_params(SPEC)
    model.init_params(SPEC, params)
    merger = STRATEGY.merger(SPEC)
    merger.start(params)
    dispatch = Dispatch(SPEC, RUN, lambda member, state: None)
    wrong = []
    for number, digest in rounds:
        params = merger.params()
        dispatch.history.add(number, params)
        for name in took_part.get(number, []):
            parsed, n_samples = _learn(dispatch, number, name, params)
            merger.add(parsed, merger.weight(n_samples))
        if SPEC.digest(merger.merge()).hex() != digest:
            wrong.append(number)
    return [number for number, _ in rounds], wrong


def _learn(dispatch: Dispatch, number: int, name: str, params: Any) -> tuple[Any, int]:
    """What a board makes of this round's model, and of how many samples."""
    samples = tcp_boards.blobs(int(name[1:]), N_SAMPLES)
    board = BoardInfo(name, "", n_samples=len(samples), n_in=N_IN)
    work = STRATEGY.plan(SPEC, [board], number)[name]
    task = dispatch._task(Round(number, number, Policy(), 0), name, work)
    base = MemoryBase()
    base.begin(SPEC.pack())
    base.write(params)
    base.commit(number, SPEC.digest(params))
    learner = Learner(base, samples)
    learner.prepare(task)
    for _ in learner.train(task):
        pass
    assert learner.update is not None
    data = b"".join(learner.update.chunks())
    parsed = delta.parse_update(SPEC, work.layers, learner.update.meta(), data)
    return parsed, learner.done


def soak(folder: Path, n_boards: int, n_rounds: int, seed: int) -> dict[str, Any]:
    """Do it. The folder must be empty, or hold a soak to go on with."""
    began_s = time.monotonic()
    run = Soak(folder, n_boards, n_rounds, seed)
    asyncio.run(run.run())
    numbers, wrong = replay(folder)
    with Store(folder, resume=True) as store:
        last: Checkpoint | None = store.latest()
    with closing(sqlite3.connect(folder / "log.sqlite")) as db:
        n_updates = db.execute("SELECT sum(n_updates) FROM rounds").fetchone()[0]
    # The last one is of a process that has ended.
    memory_kb = [kb for kb in run.memory_kb if kb]
    settled_kb = memory_kb[len(memory_kb) // 3 :]
    return {
        "boards": n_boards, "rounds": n_rounds, "seed": seed,
        "lost_rounds": sorted(set(range(1, n_rounds + 1)) - set(numbers)),
        "wrong_models": wrong,
        "last_round": last.round if last else 0,
        "updates": n_updates,
        "host_kills": run.n_host_kills, "board_resets": run.n_resets, "board_cuts": run.n_cuts,
        "host_kb": settled_kb[-1] if settled_kb else None,
        "host_growth_kb": settled_kb[-1] - settled_kb[0] if settled_kb else None,
        "host_growth_rounds": len(settled_kb),
        "seconds": round(time.monotonic() - began_s, 1),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--boards", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--host", nargs=2, metavar=("FOLDER", "PORT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.host:
        folder, port = Path(options.host[0]), int(options.host[1])
        asyncio.run(host(folder, port, options.boards, options.rounds))
        return 0
    with tempfile.TemporaryDirectory() as made:
        told = soak(Path(made) / "run", options.boards, options.rounds, options.seed)
    print(json.dumps(told, indent=1))
    return 1 if told["lost_rounds"] or told["wrong_models"] else 0


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main())
