"""docs/dashboard.png: the page of a run, light on a desk and dark on a phone, side by side.

    python tools/page_picture.py [PICTURE]    a minute; takes fedboard[dashboard,plots], a browser

A home of tools/gestures.py in which each of three people has recorded 36 movements; what they do
afterwards is held out. It runs for some rounds and is paused; then tools/look.mjs looks at it.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import urllib.request
from array import array
from pathlib import Path

import numpy as np
from PIL import Image

import gestures
import get_browser
from fedboard.features import Features

ROOT = Path(__file__).resolve().parent.parent
SEED = 2
ROUND, ROUNDS = 46, 80
N_EACH, N_HELD_OUT = 12, 4  # movements of each person and label
WINDOW = 100  # readings of a movement
DESK, PHONE, GAP, HEIGHT = 900, 300, 16, 854  # pixels
FEDBOARD = (sys.executable, "-m", "fedboard_host")


def make_home(folder: Path) -> None:
    """With what boards have recorded, and what is held out."""
    gestures.main([str(folder), "--rate-hz", "1000", "--seed", str(SEED)])
    x: list[array[int]] = []
    y: list[int] = []
    for k, name in enumerate(gestures.NAMES[:3]):
        for label in gestures.LABELS:
            words = ("record", name, "--label", label, "--samples", str(N_EACH))
            subprocess.run(
                [*FEDBOARD, *words], cwd=folder, env=os.environ | {"FEDBOARD_COUNTDOWN": "0"},
                stdout=subprocess.DEVNULL, check=True,
            )  # fmt: skip
        hold_out(gestures.Person(1000 * SEED + k), x, y)
    np.savez(folder / "held-out.npz", x=np.array(x, np.int8), y=y)
    home = folder / "home.toml"
    text = home.read_text("utf-8").replace("rounds = 20", f"rounds = {ROUNDS}")
    home.write_text(text + '\n[evaluate]\ndata = "held-out.npz"\n', "utf-8")


def hold_out(person: gestures.Person, x: list[array[int]], y: list[int]) -> None:
    """Append the features and labels of what a person does after what the board replays."""
    for label in gestures.LABELS:
        person.moves(label)
    for k, label in enumerate(gestures.LABELS):
        readings = person.moves(label, N_HELD_OUT * WINDOW / gestures.SENSOR_HZ)
        features = Features(WINDOW, readings.shape[1])
        for window in np.split(readings, N_HELD_OUT):
            x.append(array("b", bytes(features.n_out)))
            y.append(k)
            features.compute(array("h", window.tobytes()), x[-1])


def look_at_a_run(home: Path, folder: Path) -> None:
    """Screenshots into `folder`, after ROUND rounds."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    command = [*FEDBOARD, "run", "home.toml", "--json", "--dashboard", str(port)]
    with subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, text=True) as run:
        try:
            assert run.stdout is not None
            for line in run.stdout:
                told = json.loads(line)
                if told["event"] == "RoundClosed" and told["round"] == ROUND:
                    break
            pause = urllib.request.Request(
                f"{url}act/pause", b'{"paused": true}', headers={"X-Fedboard": "1"}
            )
            urllib.request.urlopen(pause, timeout=10).close()
            subprocess.run(
                ["node", str(ROOT / "tools" / "look.mjs"), url, get_browser.browser(),
                 str(get_browser.FOLDER), str(folder)],
                check=True,
            )  # fmt: skip
        finally:
            run.terminate()
            run.communicate(timeout=60)


def join(folder: Path, picture: Path) -> None:
    """The tops of both, on white."""
    whole = Image.new("RGB", (DESK + GAP + PHONE, HEIGHT), "white")
    for name, width, at in (("light", DESK, 0), ("phone-dark", PHONE, DESK + GAP)):
        with Image.open(folder / f"{name}.png") as found:
            small = found.convert("RGB").resize((width, found.height * width // found.width))
        whole.paste(small, (at, 0))
    whole.quantize(method=Image.Quantize.MAXCOVERAGE).save(picture, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make docs/dashboard.png anew.")
    parser.add_argument("picture", type=Path, nargs="?", default=ROOT / "docs" / "dashboard.png")
    picture = parser.parse_args().picture
    if why := get_browser.missing():
        sys.exit(why)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        make_home(home)
        look_at_a_run(home, Path(folder))
        join(Path(folder), picture)


if __name__ == "__main__":
    main()
