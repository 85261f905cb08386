"""A host to be killed: python kill_host.py FOLDER PORT STRATEGY N_BOARDS N_ROUNDS KEY

Serves TCP boards until the rounds are done, resuming if the folder holds a run; then prints the
model's digest.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import federations
from fedboard_host import links, strategies
from fedboard_host.events import RoundClosed
from fedboard_host.rounds import Policy
from fedboard_host.server import Federation
from fedboard_host.store import Store


def tell(event: object) -> None:
    if isinstance(event, RoundClosed):
        print("closed", event.round, flush=True)


async def serve(folder: Path, port: int, strategy: strategies.Strategy, n: int, rounds: int,
                key: str) -> None:  # fmt: skip
    with Store(folder, resume=(folder / "log.sqlite").exists()) as store:
        federation = Federation(
            federations.SPEC, strategy, store, policy=Policy(n, quorum=n), run=11,
            key=bytes.fromhex(key) if key else None, on_event=tell,
        )  # fmt: skip
        if port:
            await federation.listen("127.0.0.1", port)
        for url in sys.argv[7:]:
            federation.add_opener(links.parse(url))
        print("up", flush=True)
        result = await federation.run(rounds)
        print("digest", federations.SPEC.digest(result.params).hex(), flush=True)
        await federation.close()


if __name__ == "__main__":
    asyncio.run(serve(
        Path(sys.argv[1]), int(sys.argv[2]), getattr(federations, sys.argv[3]), int(sys.argv[4]),
        int(sys.argv[5]), sys.argv[6],
    ))  # fmt: skip
