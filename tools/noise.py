"""Rounds of learning over a serial line that corrupts 1 % of all bytes, both ways.

    python tools/noise.py --rounds 1000 --seed 1

The board is device/main.py's program in a MicroPython process on a pty, with a key. Each round it
receives another model of 2 kB, whole, trains, and uploads; what it uploads must be bit for bit what
a board in memory makes of the same model. A damaged byte becomes any other, but not 0x03 on its way
to the board: on a console that is Ctrl-C, and stops the program, as a person's would. Both clocks
run 50 times as fast. Prints one JSON object; exit status 1 if a model was wrong.
"""

from __future__ import annotations

if __name__ == "__main__":
    import in_venv  # noqa: F401

import argparse
import json
import random
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / folder) for folder in ("shared", "tools", "tests")]

import device_lab as lab  # noqa: E402
import get_micropython  # noqa: E402
from fedboard import messages  # noqa: E402
from fedboard.hub import Joined, Update  # noqa: E402
from fedboard.model import Spec  # noqa: E402

SPEC = Spec((16, 48, 4), seed=5)  # 2,024 bytes
SPEED = 50
N_SAMPLES = 12
ROUND_TIMEOUT_S = 300
CTRL_C = 3
SCRIPT = ROOT / "tools" / "noise_board.py"


class Line:
    """Corrupts `share` of the bytes that go through it."""

    def __init__(self, rng: random.Random, share: float, spared: tuple[int, ...] = ()) -> None:
        self.rng = rng
        self.share = share
        self.spared = spared
        self.n_bytes = self.n_corrupted = 0

    def __call__(self, data: bytes) -> bytes:
        found = bytearray(data)
        self.n_bytes += len(data)
        for i in range(len(found)):
            if self.rng.random() < self.share:
                byte = found[i] ^ self.rng.randrange(1, 256)
                if byte not in self.spared:
                    self.n_corrupted += 1
                    found[i] = byte
        return bytes(found)


class Host(lab.Host):
    """A host whose clock runs faster."""

    def now_ms(self) -> int:
        return SPEED * lab.now_ms()


def rounds(
    command: list[str],
    folder: Path,
    n_rounds: int,
    seed: int,
    share: float = 0.01,
    tell: Callable[[int], None] = lambda number: None,
) -> dict[str, Any]:
    """What came of it. AssertionError if a round takes too long."""
    rng = random.Random(seed)
    made = lab.make_samples(N_SAMPLES)
    lab.write_samples(folder / "data", made)
    reference = lab.InProcess(made)
    params = lab.start_params(SPEC)
    wrong = []
    began_s = time.monotonic()
    main = (str(SCRIPT), str(ROOT / "device"), str(SPEED))
    with lab.Process(command, folder, {"key": lab.KEY.hex()}, main=main) as board:
        host = Host(board.stream, lab.KEY)
        host.mangle_in = up = Line(rng, share)
        host.mangle_out = down = Line(rng, share, (CTRL_C,))
        host.until(Joined, ROUND_TIMEOUT_S)
        for number in range(1, n_rounds + 1):
            params[rng.randrange(len(params))] += 1
            how = {"flags": 0, "batch": 4, "epochs": 1}
            task = lab.make_task(params, number, SPEC, **how)
            expected = reference.round(task, params)
            host.send_task(task, params)
            got = host.until(Update, ROUND_TIMEOUT_S)
            if (got.begin.meta, got.data) != (expected.begin.meta, expected.data):
                wrong.append(number)
            host.hub.send(messages.Accepted(round=number))
            host.idle(ROUND_TIMEOUT_S)
            tell(number)
        channel = host.hub.channel
        return {
            "rounds": n_rounds, "seed": seed, "model_bytes": 2 * SPEC.n_params, "share": share,
            "wrong_models": wrong,
            "bytes_down": down.n_bytes, "corrupted_down": down.n_corrupted,
            "bytes_up": up.n_bytes, "corrupted_up": up.n_corrupted,
            "damaged_frames_up": channel.n_bad, "refused_frames_up": channel.n_refused,
            "seconds": round(time.monotonic() - began_s, 1),
        }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--micropython", help="the interpreter to be the board")
    options = parser.parse_args()
    found = get_micropython.native(fetch=True)
    command = shlex.split(options.micropython) if options.micropython else found.command
    if command is None:
        print(f"noise: {found.note}", file=sys.stderr)
        return 2

    def tell(number: int) -> None:
        if not number % 50:
            print(f"noise: {number} rounds", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as made:
        told = rounds(command, Path(made), options.rounds, options.seed, tell=tell)
    print(json.dumps(told, indent=1))
    return 1 if told["wrong_models"] else 0


if __name__ == "__main__":
    sys.exit(main())
