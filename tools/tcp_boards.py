"""Virtual boards that dial a host over TCP, through bad cables: for soak.py and lag.py.

    python tools/tcp_boards.py PORT N           N boards with good cables, until they are killed

Each dials again when its connection is gone. Their samples are blobs, a few classes each.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys

from fedboard.model import Spec
from fedboard_host.clock import Clock
from fedboard_host.links import Link
from fedboard_host.links.memory import Faults
from fedboard_host.virtual import ArraySamples, VirtualBoard

KEY = bytes(range(32))
N_IN, N_CLASSES = 12, 4
SPEC = Spec((N_IN, 10, N_CLASSES), "fedboard", 7)
_READ_BYTES = 4096


def blobs(seed: int, n: int) -> ArraySamples:
    """n samples around the centres of three of the classes."""
    middle = random.Random(99)
    centres = [[middle.randrange(-90, 90) for _ in range(N_IN)] for _ in range(N_CLASSES)]
    rng = random.Random(seed)
    labels = [(seed + rng.randrange(3)) % N_CLASSES for _ in range(n)]
    x = [[max(-128, min(127, v + rng.randrange(-35, 36))) for v in centres[y]] for y in labels]
    return ArraySamples(x, labels)


class TcpBoard:
    """One board. cut(): its WiFi is gone for a moment; reset(): its power."""

    def __init__(self, number: int, port: int, speed: float, faults: bool, n_samples: int) -> None:
        up = Faults(seed=2 * number, loss=0.05, corrupt=0.01) if faults else None
        down = Faults(seed=2 * number + 1, loss=0.05, corrupt=0.01) if faults else None
        self.board = VirtualBoard(
            f"b{number}", blobs(number, n_samples), key=KEY, up=up, down=down, clock=Clock(speed)
        )
        self._port = port
        self._random = random.Random(number)
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        """Until cancelled."""
        life = asyncio.create_task(self.board.run())
        try:
            while True:
                with contextlib.suppress(OSError):
                    await self._connect()
                await asyncio.sleep(0.05 + 0.2 * self._random.random())
        finally:
            life.cancel()
            self.cut()

    async def _connect(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer = writer
        cable = self.board.link
        tasks = [
            asyncio.create_task(_up(cable, writer)),
            asyncio.create_task(_down(reader, cable)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await cable.close()
            writer.transport.abort()

    def cut(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()

    def reset(self) -> None:
        self.board.reset()
        self.cut()


async def _up(cable: Link, writer: asyncio.StreamWriter) -> None:
    while data := await cable.read():
        writer.write(data)
        await writer.drain()


async def _down(reader: asyncio.StreamReader, cable: Link) -> None:
    while data := await reader.read(_READ_BYTES):
        await cable.write(data)


async def main(port: int, n: int) -> None:
    await asyncio.gather(*(TcpBoard(k, port, 1.0, False, 40).run() for k in range(n)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
