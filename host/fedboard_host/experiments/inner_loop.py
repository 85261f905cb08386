"""What the inner loop costs on a board: RAM and time, measured on real MicroPython.

The float network of mlp learns one wave's samples, streamed (TinyReptile) or in stored batches
(Reptile); RAM is what the heap holds more of after a garbage collection, once the weights are
there. MicroPython's unix port has 64-bit objects and 64-bit floats: buffers are as large as on a
board, the objects around them larger.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import fedboard
from fedboard import DataError

_SCRIPT = """
import gc
import sys
import time
from array import array
from fedboard import mlp, model

def measure(sizes, batch, n):
    spec = model.Spec(sizes)
    image = model.new_params(spec)
    model.init_params(spec, image)
    params = mlp.new_params(spec)
    gc.collect()
    start = gc.mem_alloc()
    net = mlp.Network(spec, params, batch, 0, 655, "squared")
    x = array("f", (0.0,))
    y = array("f", (0.0,))
    stored = (array("f", bytes(4 * n)), array("f", bytes(4 * n))) if batch > 1 else ()
    net.learn(x, y)  # makes the batch's buffers
    net.flush()
    gc.collect()
    n_bytes = gc.mem_alloc() - start
    net.load(image)
    us = []
    for _ in range(3):
        start = time.ticks_us()
        for i in range(n):
            x[0] = i / n - 0.5
            y[0] = -x[0]
            net.learn(x, y)
        net.flush()
        us.append(time.ticks_diff(time.ticks_us(), start) // n)
    print(batch, 4 * len(params), n_bytes, min(us))

sizes = [int(size) for size in sys.argv[1].split("-")]
for batch in sys.argv[3:]:
    measure(sizes, int(batch), int(sys.argv[2]))
"""


@dataclass(frozen=True)
class Cost:
    """batch 1: streamed. n_bytes: the inner loop's RAM beside the weights'."""

    batch: int
    weight_bytes: int
    n_bytes: int
    us_a_sample: int


def measure(sizes: Sequence[int], n_samples: int, batches: Sequence[int]) -> list[Cost]:
    """The cost with each of these batch sizes. Raises DataError where MicroPython is missing."""
    from fedboard_host.runtime import find_micropython  # which loads the whole companion

    program = find_micropython()
    environment = dict(os.environ, MICROPYPATH=str(Path(fedboard.__file__).resolve().parents[1]))
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "measure.py"
        script.write_text(_SCRIPT)
        command = [program, str(script), "-".join(map(str, sizes)), str(n_samples)]
        done = subprocess.run(
            [*command, *map(str, batches)], env=environment, capture_output=True, text=True
        )
    if done.returncode:
        raise DataError(f"{program} failed: {done.stderr.strip()[-300:]}")
    return [Cost(*map(int, line.split())) for line in done.stdout.splitlines()]
