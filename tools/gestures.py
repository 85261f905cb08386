"""A home without hardware: make-believe people who wave, as boards that replay their movements.

    python3 tools/gestures.py FOLDER [--boards 3] [--seed 1] [--rate-hz 50] [--window 100]

Writes FOLDER/home.toml and, for each board, FOLDER/NAME with its settings and a minute of readings
of an accelerometer and a gyroscope for each label: idle, wave, circle. People hold the board, swing
and hurry in ways of their own. docs/tutorial.md goes on from there.
"""

from __future__ import annotations

if __name__ == "__main__":
    import in_venv  # noqa: F401

import argparse
import json
import shlex
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "shared"), str(ROOT / "host")]

from fedboard import DataError  # noqa: E402
from fedboard_host import dataset, runtime  # noqa: E402

LABELS = ("idle", "wave", "circle")
NAMES = ("kitchen", "window", "door", "desk", "shed", "attic", "hall", "stairs")
SENSOR_HZ = 50
SECONDS = 60
G = 8192  # counts of 1 g, as the MPU6050's driver has them
Readings = npt.NDArray[np.int16]


class Person:
    """Somebody's way to hold a board and to move it."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        # a rotation: how the board is held
        self._turn = np.linalg.qr(np.eye(3) + 0.45 * rng.normal(size=(3, 3)))[0]
        self._hz = rng.uniform(1.2, 2.4)
        self._strength = rng.uniform(0.35, 1.0)
        self._roundness = rng.uniform(0.55, 1.0)  # of circles
        self._slant = rng.uniform(0.0, 0.35)  # of waves: they are no straight lines
        self._rng = rng

    def moves(self, label: str, seconds: float = SECONDS) -> Readings:
        """(n, 6): acceleration and rotation, int16."""
        rng = self._rng
        n = int(seconds * SENSOR_HZ)
        t = np.arange(n) / SENSOR_HZ
        phase = 2 * np.pi * self._hz * t + 0.6 * self._drift(n, 0.4)
        strength = self._strength * (1 + 0.25 * self._drift(n, 0.3))
        across = {"idle": 0.0, "wave": self._slant, "circle": self._roundness}[label]
        moving = 0.02 if label == "idle" else 1.0
        swing = np.stack([np.cos(phase), across * np.sin(phase), 0.15 * np.cos(2 * phase)], 1)
        acceleration = moving * strength[:, None] * swing + [0, 0, 1.0]
        acceleration[:, :2] += 0.12 * np.stack([self._drift(n, 0.2) for _ in range(2)], 1)
        rotation = moving * 0.6 * strength[:, None] * np.roll(swing, 1, axis=1)
        both = np.concatenate([acceleration @ self._turn.T, rotation @ self._turn.T], 1)
        both += rng.normal(0, 0.02, both.shape)
        found: Readings = np.clip(both * G, -32768, 32767).astype(np.int16)
        return found

    def _drift(self, n: int, hz: float) -> npt.NDArray[np.float64]:
        """Something slow, of size 1."""
        knots = self._rng.normal(size=int(n / SENSOR_HZ * hz) + 3)
        return np.interp(np.arange(n) * hz / SENSOR_HZ, np.arange(len(knots)), knots)


def write_board(folder: Path, name: str, person: Person, rate_hz: int, window: int) -> None:
    """The board's files: its settings and what its sensor will replay."""
    folder.mkdir(parents=True, exist_ok=True)
    for label in LABELS:
        (folder / f"{label}.bin").write_bytes(dataset.replay_file(person.moves(label)))
    settings = {
        "name": name,
        "data_dir": str(folder / "data"),
        "sensor": {
            "module": "replay", "files": [f"{label}.bin" for label in LABELS],
            "window": window, "rate_hz": rate_hz,
        },
    }  # fmt: skip
    (folder / "fedboard.json").write_text(json.dumps(settings, indent=1) + "\n", "utf-8")


def write_home(
    folder: Path, n_boards: int, seed: int, rate_hz: int, window: int, command: str
) -> None:
    """All boards, and a home.toml whose links start `command` for each."""
    folder.mkdir(parents=True, exist_ok=True)
    n_in = 6 * (6 + 2 + 2)
    labels = ", ".join(f'"{label}"' for label in LABELS)
    lines = [
        "[federation]", 'name = "gestures"', "rounds = 20", f"quorum = {n_boards}", "",
        "[model]", f"layers = [{n_in}, 24, {len(LABELS)}]", 'rule = "centred"',
        f"labels = [{labels}]",
    ]  # fmt: skip
    for k, name in enumerate(NAMES[:n_boards]):
        write_board(folder / name, name, Person(seed * 1000 + k), rate_hz, window)
        link = f"process:{command} --config {shlex.quote(str(folder / name / 'fedboard.json'))}"
        lines += ["", "[[board]]", f'name = "{name}"', f"link = {json.dumps(link)}"]
    (folder / "home.toml").write_text("\n".join(lines) + "\n", "utf-8")


def _program() -> str:
    """What runs the boards: MicroPython, or this Python where there is none."""
    try:
        return runtime.find_micropython()
    except DataError:
        print(
            "no MicroPython here: the boards run on this Python instead, the same code "
            "(python3 tools/dev.py micropython fetches one)"
        )
        return sys.executable


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="A home of virtual boards that replay gestures.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--boards", type=int, default=3, choices=range(1, len(NAMES) + 1))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate-hz", type=int, default=SENSOR_HZ, help="faster than life: to 1000")
    parser.add_argument("--window", type=int, default=100, help="readings of a sample")
    parser.add_argument("--python", action="store_true", help="boards on CPython, not MicroPython")
    chosen = parser.parse_args(arguments)
    program = sys.executable if chosen.python else _program()
    command = f"{shlex.quote(program)} {shlex.quote(str(ROOT / 'device' / 'main.py'))}"
    folder = chosen.folder.resolve()
    write_home(folder, chosen.boards, chosen.seed, chosen.rate_hz, chosen.window, command)
    names = ", ".join(NAMES[: chosen.boards])
    print(f"{chosen.folder}: home.toml and {chosen.boards} boards: {names}")
    where = shlex.quote(str(chosen.folder))
    print(f"next: cd {where}; fedboard record {NAMES[0]} --label {LABELS[0]} --samples 12")
    return 0


if __name__ == "__main__":
    sys.exit(main())
