"""A board's RAM: it learns and uploads with little more than its weights, or says why it cannot."""

from __future__ import annotations

import subprocess

import pytest

pytest.importorskip("pty", reason="these processes talk over ptys")

import bench
import device_lab as lab
import get_micropython
from fedboard import collect
from fedboard.model import Spec
from interpreters import DEVICE


@pytest.mark.parametrize("sizes", bench.NETWORKS)
def test_weights_and_12_kb(micropython, tmp_path, sizes):
    """With 32-bit words, as boards have them; 64-bit ones make objects about twice as large."""
    narrow = get_micropython.narrow()
    command, beyond = narrow.command or micropython, bench.TARGET_BYTES
    if not narrow.command:
        beyond *= 2
    spec = Spec(sizes)
    made = lab.make_samples(bench.N_SAMPLES, sizes[0], sizes[-1])
    free = 2 * spec.n_params + beyond
    assert bench.attempt(command, tmp_path, made, spec, free, 3)


def test_too_little_memory_is_said(micropython, tmp_path):
    """Short of memory at any point, a board answers or starts over; it never just stops."""
    spec = Spec((64, 32, 10))
    made = lab.make_samples(bench.N_SAMPLES, 64, 10)
    lab.write_samples(tmp_path / "data", made)
    for free in (11000, 13000, 15000, 26000):
        with bench.start(list(micropython), tmp_path, free) as board:
            host = bench.Host(board.stream, bench.KEY)
            host.until(lab.Joined)
            params = lab.start_params(spec)
            host.send_task(lab.make_task(params, 1, spec, batch=8), params)
            said = ""
            try:
                host.until(lab.Update, 60)
            except AssertionError as error:
                said = str(error) + repr(host.output)
            if said or free < 13000:
                assert "are free" in said or "memory" in said
                assert free < 20000
            assert board.process.poll() is None


def test_no_room_for_the_code_to_record_is_said(micropython, tmp_path):
    with bench.start(list(micropython), tmp_path, 15000) as board:
        host = lab.Host(board.stream, bench.KEY)
        host.until(lab.Joined)
        host.hub.send(collect.Labels(token=9))
        with pytest.raises(AssertionError, match="out of memory: restart the board"):
            host.until(collect.Runs)


FREED = """
import gc, sys
sys.path.insert(0, sys.argv[1])
from fedboard_device import node

def weigh_down(name):
    __import__(name)
    sys.modules[name].weight = bytearray(1 << 20)  # is there as long as anything of the module is

def make_runner(path):
    weigh_down("fedboard_device.config")
    return make(path)

def choose_kernels():
    for name in node._CHOICE + node._PURE:
        weigh_down(name)
    choose()

def loop(self):
    gc.collect()
    print(gc.mem_alloc() >> 20, "MB")

make, node._make_runner = node._make_runner, make_runner
choose, node._choose_kernels = node._choose_kernels, choose_kernels
__import__("fedboard_device.runner")
sys.modules["fedboard_device.runner"].Runner.loop = loop
node.run(sys.argv[2])
"""


def test_what_only_the_start_needs_is_freed(micropython, tmp_path):
    script, settings = tmp_path / "start.py", tmp_path / "fedboard.json"
    script.write_text(FREED)
    settings.write_text(f'{{"data_dir": "{tmp_path}/data"}}')
    command = [*micropython, "-X", "heapsize=16M", str(script), str(DEVICE), str(settings)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "0 MB"


STEPS = """
import micropython, sys
sys.path.insert(0, sys.argv[1])
from array import array
from fedboard import kernels, messages, model
from fedboard.base import MemoryBase
from fedboard.learner import Learner
from fedboard_device import kernels_viper, samplefile

kernels.use(kernels_viper)
spec = model.Spec((16, 12, 8, 4))
params = model.new_params(spec)
model.init_params(spec, params)
base = MemoryBase()
base.begin(spec.pack())
base.write(params)
base.commit(1, spec.digest(params))
learner = Learner(base, samplefile.SampleFile(sys.argv[2]))
task = messages.Task(op=messages.TRAIN, version=1, digest=base.digest, layers=7, epochs=3, batch=1,
                     rate=4, top_permille=1000, bits=16, spec=spec.pack())
learner.prepare(task)
work = learner.train(task)
next(work)

def steps(n):
    began = micropython.mem_total()
    for _ in range(n):
        next(work)
    return micropython.mem_total() - began

idle = micropython.mem_total
began = idle()
nothing = idle() - began
print(steps(60) - nothing, learner.done, bytes(learner.params) != bytes(params))
"""


def test_a_step_of_training_takes_nothing_from_the_heap(micropython, tmp_path):
    """Not even for its variables: MicroPython looks for their room through all that is in use."""
    lab.write_samples(tmp_path / "data", lab.make_samples(70))
    (tmp_path / "steps.py").write_text(STEPS)
    command = [*micropython, str(tmp_path / "steps.py"), str(DEVICE)]
    done = subprocess.run(
        [*command, str(tmp_path / "data" / "samples.bin")],
        stdout=subprocess.PIPE, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.split() == ["0", "61", "True"]
