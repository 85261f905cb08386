"""`fedboard flower-demo`: homes of virtual boards learn together through a real Flower, offline.

A SuperLink and a SuperNode for each home run on loopback, with the telemetry off and all of
Flower's files in OUT/flower. The homes' companions run here, each with its boards on in-memory
links, and wait at their doors. Afterwards one home with all the boards does as many rounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fedboard import DataError, prng
from fedboard.model import Spec
from fedboard_host import demo, digits, export, judge, strategies
from fedboard_host.branch import Branch
from fedboard_host.demo_boards import Boards
from fedboard_host.door import Door
from fedboard_host.flower import app
from fedboard_host.rounds import Policy
from fedboard_host.runtime import fast_kernels, quick_collections
from fedboard_host.server import Federation
from fedboard_host.store import Store

_MODEL = 6  # as in server
_START_S = 120
_QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
# Chosen on samples that were neither trained on nor held out, as demo.SCHEDULES.
SCHEDULE: dict[str, app.Value] = {
    "top-percent": 50.0, "bits": 4, "down-percent": 50.0, "down-bits": 4, "gain": 1,
    "average-shift": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """boards: of each home. home_rounds: that a home does for each of Flower's."""

    homes: int = 3
    boards: int = 4
    rounds: int = 8
    home_rounds: int = 10
    seed: int = 2


@dataclass(frozen=True)
class Summary:
    accuracy: float
    accuracy_one_home: float  # all boards in one home, as many rounds
    homes: int
    boards_per_home: int
    rounds: int
    home_rounds: int
    bytes_up_per_home_round: float  # orders and replies, without Flower's own
    bytes_down_per_home_round: float
    bytes_dense_int16: int
    seconds_flower: float
    folder: str


def run(options: Options, folder: Path, note: Callable[[str], None]) -> Summary:
    """Raises DataError if Flower is not installed or does not come to an end."""
    if find_spec("flwr") is None:
        raise DataError("Flower is not installed: pip install 'fedboard[flower]'")
    deal = digits.deal(digits.load(), options.homes * options.boards, options.seed)
    spec = Spec(demo.SIZES, "fedboard", prng.mix(options.seed, _MODEL))
    held_out = judge.Judge(spec, deal.test)
    with fast_kernels(), quick_collections():
        started_s = time.monotonic()
        asyncio.run(_learn(options, spec, deal, folder, note))
        seconds = time.monotonic() - started_s
        model = export.read_npz(folder / "model.npz")
        last = json.loads((folder / "rounds.jsonl").read_text().splitlines()[-1])
        if last["round"] != options.rounds:
            raise DataError(f"Flower ended after round {last['round']}: see {folder / 'flower'}")
        note("all boards in one home, to compare ...")
        one = asyncio.run(_one_home(options, spec, deal, folder))
    shares = options.homes * options.rounds
    summary = Summary(
        accuracy=held_out(model.params)[0] or 0.0,
        accuracy_one_home=held_out(one)[0] or 0.0,
        homes=options.homes,
        boards_per_home=options.boards,
        rounds=options.rounds,
        home_rounds=options.home_rounds,
        bytes_up_per_home_round=round(last["bytes_up"] / shares, 1),
        bytes_down_per_home_round=round(last["bytes_down"] / shares, 1),
        bytes_dense_int16=2 * spec.n_params,
        seconds_flower=round(seconds, 1),
        folder=str(folder),
    )
    export.write_whole(folder / "summary.json", json.dumps(asdict(summary), indent=1).encode())
    return summary


def _strategy(average_shift: int) -> strategies.Strategy:
    params = {k: v for k, v in demo.SCHEDULES["fedavg"].items() if k != "rounds"}
    return strategies.make("fedavg", {**params, "average_shift": average_shift})


async def _learn(
    options: Options, spec: Spec, deal: digits.Deal, folder: Path, note: Callable[[str], None]
) -> None:
    """The homes, and a Flower that asks them."""
    async with contextlib.AsyncExitStack() as stack:
        boards = await stack.enter_async_context(Boards("memory"))
        folders = []
        for h in range(options.homes):
            home = folder / f"home-{h}"
            store = stack.enter_context(contextlib.closing(Store(home)))
            federation = Federation(
                spec, _strategy(0), store, policy=Policy(options.boards, quorum=options.boards),
                name=f"home-{h}", run=prng.mix(options.seed, h),
            )  # fmt: skip
            for b in range(h, len(deal.boards), options.homes):
                federation.add_opener(boards.add(f"board-{b}", deal.boards[b]))
            door = Door(home, Branch(federation, home).answer)
            door.open()
            stack.push_async_callback(federation.close)
            stack.push_async_callback(door.close)
            folders.append(home)
        flower = _Flower(folder / "flower")
        stack.push_async_callback(flower.stop)
        await flower.start(folders)
        note(f"{options.homes} homes of {options.boards} boards wait; Flower runs")
        await flower.run({
            **SCHEDULE, "layers": "-".join(map(str, spec.sizes)), "seed": options.seed,
            "homes": options.homes, "rounds": options.rounds,
            "home-rounds": options.home_rounds, "out": str(folder.resolve()),
        })  # fmt: skip


async def _one_home(options: Options, spec: Spec, deal: digits.Deal, folder: Path) -> Any:
    n = len(deal.boards)
    with contextlib.closing(Store(folder / "one-home")) as store:
        async with Boards("memory") as boards:
            federation = Federation(
                spec, _strategy(3), store, policy=Policy(n, quorum=n), name="one-home",
                run=options.seed,
            )  # fmt: skip
            for b, own in enumerate(deal.boards):
                federation.add_opener(boards.add(f"board-{b}", own))
            try:
                return (await federation.run(options.rounds * options.home_rounds)).model
            finally:
                await federation.close()


class _Flower:
    """SuperLink, SuperNodes and `flwr run` as child processes; their output is in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._env = {**os.environ, **_QUIET, "FLWR_HOME": str(folder.resolve())}
        self._env["PATH"] = os.pathsep.join(
            [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
        )  # where Flower's commands look for one another
        self._port = 0

    async def start(self, homes: list[Path]) -> None:
        self._folder.mkdir(parents=True)
        self._port, *ports = _free_ports(1 + len(homes))
        address = f"127.0.0.1:{self._port}"
        self._spawn(
            "flower-superlink", "--insecure", "--disable-runtime-dependency-installation",
            "--host", "127.0.0.1", "--port", str(self._port),
        )  # fmt: skip
        await self._wait_for_port()
        for home, port in zip(homes, ports, strict=True):
            self._spawn(
                "flower-supernode", "--insecure", "--superlink", address, "--port", str(port),
                "--node-config", f'home="{home.resolve()}"', name=home.name,
            )  # fmt: skip

    async def run(self, settings: dict[str, app.Value]) -> None:
        """`flwr run`, until the ServerApp has ended."""
        app.write(self._folder / "app", settings)
        (self._folder / "config.toml").write_text(
            f'[superlink]\ndefault = "here"\n\n[superlink.here]\n'
            f'address = "127.0.0.1:{self._port}"\ninsecure = true\n'
        )
        run = self._spawn("flwr", "run", "app", "here", "--stream")
        while run.poll() is None:
            self._check()
            await asyncio.sleep(0.2)
        if run.returncode:
            raise DataError(f"`flwr run` failed: {self._tail('flwr')}")

    def _spawn(self, *command: str, name: str = "") -> subprocess.Popen[bytes]:
        name = name or command[0]
        with (self._folder / f"{name}.log").open("wb") as log:
            child = subprocess.Popen(
                command, cwd=self._folder, env=self._env, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip
        self._children.append((name, child))
        return child

    def _check(self) -> None:
        for name, child in self._children:
            if name != "flwr" and child.poll() is not None:
                raise DataError(f"{name} ended: {self._tail(name)}")

    def _tail(self, name: str) -> str:
        path = self._folder / f"{name}.log"
        lines = path.read_text(errors="replace").strip().splitlines() or ["it says nothing"]
        return f"{lines[-1]} (all of it: {path})"

    async def _wait_for_port(self) -> None:
        for _ in range(_START_S * 5):
            self._check()
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.close()
                return
            await asyncio.sleep(0.2)
        raise DataError(f"the SuperLink does not come up: {self._tail('flower-superlink')}")

    async def stop(self) -> None:
        """End all of them, and the processes that they have started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for _, child in reversed(self._children):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, number)
            for _ in range(25):
                if all(child.poll() is not None for _, child in self._children):
                    break
                await asyncio.sleep(0.2)
        for _, child in self._children:
            await asyncio.to_thread(child.wait)


def _free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
