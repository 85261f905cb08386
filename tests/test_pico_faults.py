"""What goes wrong on a board: the power, the flash, the memory. Its model is never a wrong one."""

from __future__ import annotations

import random
import shutil
import time

import pytest

import device_lab as lab
import pico_lab
from fedboard import messages
from fedboard.hub import Joined, Update
from fedboard.model import Spec
from pico.lab import Pico
from pico_lab import mpremote, plugged, put_samples, run_code, start

pytestmark = [pytest.mark.slow, pytest.mark.pico]


@pytest.fixture
def image(compiled, tmp_path):
    return shutil.copy(compiled, tmp_path / "flash.img")


OPEN = """\
from array import array
from machine import mem32
from fedboard import model
from fedboard_device.samplefile import SampleFile
from fedboard_device.store import FileBase
spec = model.Spec((64, 32, 4))
base = FileBase('/data', print)
def params(version):
    p = model.new_params(spec)
    for i in range(len(p)):
        p[i] = version * 7 + i % 100
    return p
"""
SAVE = """\
def save(version):
    p = params(version)
    base.begin(spec.pack())
    base.write(p)
    base.commit(version, spec.digest(p))
"""
LOOK = """\
p = params(base.version)
block = array('h', bytes(2 * len(p)))
if base.version:
    base.read(0, block)
    assert base.digest == spec.digest(p) and list(block) == list(p)
print('version', base.version)
"""


def test_power_cut_in_every_write_to_the_flash(image):
    """Half-way through each erase and program of a commit: the old model or the new one."""
    with Pico(flash=image) as board:
        run_code(board, OPEN + SAVE + "save(1); save(2)\n" + LOOK)
        before = board.flash.read_bytes()
    seen = []
    for n in range(1, 100):
        image.write_bytes(before)
        with Pico(flash=image) as board:
            cut = f"mem32[0x40070018] = {n}\nsave(3)\nmem32[0x40070018] = 0\nprint('saved')\n"
            said = run_code(board, OPEN + SAVE + cut, check=False)
            if "saved" in said:
                break
            board.wait_dead()
            assert board.log[-1] == "power cut"
        with Pico(flash=image) as board:
            said = run_code(board, OPEN + SAVE + LOOK + "save(4)\n" + LOOK).split("\n")
            version = int(said[0].split()[1])
            assert version in (2, 3)
            assert said[1] == "version 4"  # and it can be written as before
            seen.append(version)
    assert len(seen) > 5
    assert seen == sorted(seen)  # once it is the new one it stays so


USB_BUFFER = 256 + 64  # MicroPython rp2: the bytes of its own, and a packet under way


def test_power_cut_while_recording(image):
    record = """\
samples = SampleFile('/data/samples.bin')
x = array('b', bytes(20))
print('samples', len(samples))
for i in range(len(samples)):
    assert samples.read(i, x) == i % 3 and x[5] == i
def more():
    x[5] = i = len(samples)
    samples.append(x, i % 3)
"""
    with Pico(flash=image) as board:
        run_code(board, OPEN + record + "for _ in range(9): more()\n")
    rng = random.Random(3)
    n_before = 9
    for _ in range(4):
        with Pico(flash=image) as board:
            cut = f"mem32[0x40070018] = {rng.randrange(1, 30)}\nwhile True: more(); print('ok')\n"
            said = run_code(board, OPEN + record + cut, check=False)
            board.wait_dead()
        # What it said last may still have been in its USB buffer: this many are there at least.
        n_told = n_before + said.count("ok\n")
        with Pico(flash=image) as board:
            said = run_code(board, OPEN + record + "more()\nprint('samples', len(samples))\n")
        first, second = (int(line.split()[1]) for line in said.splitlines())
        assert n_told <= first <= n_told + USB_BUFFER // len("ok\r\n") + 1
        assert second == first + 1
        n_before = second


def test_power_cuts_while_it_works(image, tmp_path):
    """At any time: it comes back with a model that it was sent, or none."""
    rng = random.Random(11)
    models = {0: b""}
    params = lab.start_params()
    round_ = 1
    with Pico(flash=image) as board:
        put_samples(board, tmp_path / "data", lab.make_samples(12))
    for _ in range(4):
        with Pico(flash=image) as board:
            start(board)
            with plugged(board) as host:
                status = host.until(Joined).status
                assert models[status.version] == status.digest
                end = time.monotonic() + 6 * rng.random()
                while True:
                    models[round_] = lab.SPEC.digest(params)
                    task = lab.make_task(params, round_, epochs=1)
                    host.send_task(task, None if status.version == round_ else params)
                    while time.monotonic() < end:
                        if any(isinstance(event, Update) for event in host.turn()):
                            break
                    else:
                        break
                    host.hub.send(messages.Accepted(round=round_))
                    params[rng.randrange(len(params))] += 1
                    round_ += 1
                board.kill()
    assert round_ > 2


def test_flash_full(image, tmp_path):
    spec = Spec((64, 32, 4))  # its file does not fit a littlefs directory's metadata
    made = lab.make_samples(12, 64)
    params = lab.start_params(spec)
    # statvfs() is no guide: littlefs reckons some blocks twice.
    fill = """\
import os
with open('/filler0', 'wb') as file:
    for _ in range(os.statvfs('/')[3] - 4):
        file.write(bytes(4096))
try:
    for n in range(1, 99):
        with open(f'/filler{n}', 'wb') as file:
            file.write(bytes(4096))
except OSError as error:
    print(error)
"""
    with Pico(flash=image) as board:
        put_samples(board, tmp_path / "data", made)
        assert "28" in run_code(board, fill)  # ENOSPC
        start(board)
        with plugged(board) as host:
            host.until(Joined)
            host.send_task(lab.make_task(params, 1, spec), params)
            with pytest.raises(AssertionError, match="the flash is full"):
                host.until(Update)
            host.stream.write(b"\x03")
            host.said("fedboard: stopped")
        mpremote(board, "rm", ":filler0")
        start(board)
        with plugged(board) as host:
            host.until(Joined)
            host.round(lab.make_task(params, 1, spec, epochs=1), params)


def test_model_too_large_for_the_memory(image, tmp_path):
    spec = Spec((16, 4000, 4))
    with Pico(flash=image) as board:
        put_samples(board, tmp_path / "data", lab.make_samples())
        start(board)
        with plugged(board) as host:
            host.until(Joined)
            host.hub.send(lab.make_task(lab.start_params(spec), spec=spec))
            with pytest.raises(AssertionError, match=r"needs 17\d{4} bytes, 1\d{5} are free"):
                host.until(Update)
            # It goes on, and a smaller one is fine.
            host.round(lab.make_task(lab.start_params()), lab.start_params())


def test_unplugged_in_a_frame(image, tmp_path):
    """The host vanishes in the middle of a frame: the next one gets through."""
    params = lab.start_params()
    with Pico(flash=image) as board:
        put_samples(board, tmp_path / "data", lab.make_samples())
        start(board)
        with plugged(board) as host:
            host.until(Joined)
            host.send_task(lab.make_task(params), params)
            host.stream.write(host.hub.outgoing(lab.now_ms())[:-70])
        with plugged(board) as host:
            host.until(Joined)
            host.round(lab.make_task(params), params)
        assert pico_lab.mpremote(board, "eval", "1 + 1").strip() == "2"
