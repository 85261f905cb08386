"""`bench.py board`: a whole board's work over the emulated Pico's USB, its program timing itself.

    lines(image, folder, "thumb", (200, 50, 10))        "what value unit" lines

The host sends such a network down, to be trained on samples in the board's flash and uploaded. One
of SHOTS also adapts to 5 shots of each of 5 classes by an ADAPT task, as `fedboard personalize`
sends it: chosen from the samples, learned in 5 passes, the other 25 predicted before and after.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import device_lab as lab
import pico_lab
from fedboard import messages
from fedboard.hub import Joined, Update
from fedboard.model import Spec
from pico.lab import Pico

SCRIPT = Path(__file__).with_name("link_script.py")
SHOTS = (64, 32, 5)
N_SAMPLES = 50
N_PASSES = 5
FLOAT_RATE = 655  # 0.01
TIMEOUT_S = 600


class Host(pico_lab.Host):
    """One that repeats nothing: an emulated board is slow, but what it is sent arrives."""

    is_patient = False

    def now_ms(self) -> int:
        if not self.is_patient:
            self.joined_ms = lab.now_ms()
        return self.joined_ms


def lines(
    image: Path,
    folder: Path,
    backend: str,
    sizes: tuple[int, ...],
    rule: str = "fedboard",
    key: bytes | None = None,
) -> str:
    """image: a Pico's flash with :/device."""
    spec = Spec(sizes, rule)
    params = lab.start_params(spec)
    copy = Path(shutil.copy(image, folder / "link.img"))
    with Pico(flash=copy) as board:
        lab.write_samples(folder / "made", lab.make_samples(N_SAMPLES, sizes[0], sizes[-1]))
        settings = {"name": "bench", "data_dir": "/bench", "key": key.hex() if key else None}
        (folder / "made" / "fedboard.json").write_text(
            json.dumps({name: value for name, value in settings.items() if value})
        )
        pico_lab.mpremote(
            board, "cp", str(SCRIPT), ":", "+", "mkdir", ":bench",
            "+", "cp", str(folder / "made" / "samples.bin"), ":bench/samples.bin",
            "+", "cp", str(folder / "made" / "fedboard.json"), ":",
        )  # fmt: skip
        pico_lab.mpremote(
            board, "exec", "--no-follow", "import gc, sys; sys.path.append('/device');"
            " gc.collect(); before = gc.mem_alloc(); import link_script; gc.collect();"
            f" link_script.main({backend!r}, gc.mem_alloc() - before)",
        )  # fmt: skip
        with pico_lab.opened(board) as stream:
            host = Host(stream, key)
            host.until(Joined)
            host.is_patient = True
            rate = {"rate": FLOAT_RATE if spec.is_float else 8}
            task = lab.make_task(params, 1, spec, batch=1, epochs=1, top_permille=10, **rate)
            host.send_task(task, params)
            host.until(Update, TIMEOUT_S)
            host.hub.send(messages.Accepted(round=1))
            host.idle()
            if sizes == SHOTS:
                few = {"op": messages.ADAPT, "shots": 5, "n_max": 25 * N_PASSES, "flags": 0}
                host.hub.send(lab.make_task(params, 1, spec, batch=1, **few, **rate))
                host.until(messages.Metrics, TIMEOUT_S)
            host.stream.write(b"\x03")
            host.said("\r\nend\r\n")
            said = host.output.decode("latin-1").partition("\nrows\r\n")[2].partition("\nend")[0]
    copy.unlink()
    return said.replace("\r", "")
