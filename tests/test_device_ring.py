"""The ring of samples on flash: bounded, few erases, and whole after a power cut at any instant."""

from __future__ import annotations

import os
import subprocess
import time
from array import array

import pytest

import device_lab as lab
import interpreters
from fedboard import DataError, samples
from fedboard_device import samplefile
from fedboard_device.samplefile import SampleFile
from power_cut import Power, PowerCut

N_IN = 6


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "samples.bin")


def sample(number: int) -> array[int]:
    return array("b", [number % 100, number // 100, 3, 4, 5, 6])


def numbers(file: SampleFile) -> list[int]:
    """Which samples these are. Each has the label that it should have."""
    x = array("b", bytes(N_IN))
    found = []
    for i in range(len(file)):
        label = file.read(i, x)
        found.append(x[0] + 100 * x[1])
        assert (label, x[2:]) == (found[-1] % 3, array("b", [3, 4, 5, 6]))
    return found


def add(file: SampleFile, number: int, flush: bool = True) -> None:
    file.append(sample(number), number % 3, flush)


@pytest.mark.parametrize("most", [1, 2, 7, 10])
def test_keeps_the_newest(path, most):
    half = (most + 1) // 2
    file = SampleFile(path, most)
    n_renames = 0
    for number in range(600):  # the ages go around
        before = len(file)
        add(file, number)
        n_renames += len(file) <= before
        assert min(number + 1, half) <= len(file) <= 2 * half
        if number % 50 == 0:
            assert numbers(file) == list(range(number + 1 - len(file), number + 1))
    file.close()
    again = SampleFile(path, most)
    assert numbers(again) == list(range(600 - len(again), 600))
    again.close()
    size = sum(os.path.getsize(path[:-3] + kind) for kind in ("bin", "old"))
    assert size <= 2 * (samples.HEADER_BYTES + half * (N_IN + 1))
    assert not os.path.exists(path[:-3] + "new")


def test_no_bound(path):
    file = SampleFile(path)
    for number in range(40):
        add(file, number, flush=False)
    assert numbers(file) == list(range(40))
    file.close()
    assert not os.path.exists(path[:-3] + "old")


def test_what_the_host_copied_begins_anew(path, tmp_path):
    """Samples that the host puts there replace all that were, and are kept whole at first."""
    file = SampleFile(path, 4)
    for number in range(4):
        add(file, number)
    assert len(file) == 4
    file.close()
    lab.write_samples(tmp_path, [(sample(n), n % 3) for n in range(50, 60)])
    file = SampleFile(path, 4)
    assert numbers(file) == list(range(50, 60))
    add(file, 60)
    assert numbers(file) == list(range(50, 61))
    for number in (61, 62):
        add(file, number)
    assert numbers(file) == [60, 61, 62]
    file.close()


def test_a_file_of_another_width_starts_over(path, tmp_path):
    file = SampleFile(path, 2)
    add(file, 1)
    add(file, 2)
    file.close()
    os.remove(path)  # as a person would, to begin with other features
    file = SampleFile(path, 2)
    assert (len(file), file.n_in) == (0, 0)
    file.append(array("b", [1, 2]), 5)
    assert (len(file), file.n_in) == (1, 2)
    file.close()
    assert os.listdir(tmp_path) == ["samples.bin"]


def test_remove(path, tmp_path):
    file = SampleFile(path, 8)
    for number in range(7):
        add(file, number)
    assert file.remove(9) == 0
    assert file.remove(1) == 2
    assert numbers(file) == [0, 2, 3, 5, 6]
    assert sorted(os.listdir(tmp_path)) == ["samples.bin"]
    add(file, 7)
    assert numbers(file) == [0, 2, 3, 5, 6, 7]
    assert file.remove(256, 2) == 2
    assert numbers(file) == [0, 2, 3, 5]
    add(file, 6)
    add(file, 7)
    assert (file.remove(0), file.remove(2), file.remove(1)) == (3, 2, 1)
    assert (len(file), file.n_in, os.listdir(tmp_path)) == (0, 0, [])
    add(file, 4)
    file.close()
    add(file, 5)  # closed, but nothing is lost
    assert numbers(file) == [4, 5]
    file.close()


def test_a_file_that_holds_something_else_is_left_alone(path):
    with open(path, "wb") as file:
        file.write(b"photographs")
    with pytest.raises(DataError, match="remove it"):
        SampleFile(path, 4)
    with pytest.raises(DataError, match="holds something else"):
        add(SampleFile(""), 1)
    with open(path, "rb") as file:
        assert file.read() == b"photographs"


def test_flash_full(path, monkeypatch):
    file = SampleFile(path, 4)
    add(file, 0)

    def full(file):
        raise OSError(28, "ENOSPC")

    for number in range(1, 9):
        with monkeypatch.context() as patch:
            patch.setattr(samplefile, "sync", full)
            with pytest.raises(DataError, match="set max_samples lower"):
                add(file, number)
        if numbers(file)[-1] != number:  # the flush failed, but the sample may be there
            add(file, number)
        found = numbers(file)
        assert found == list(range(number + 1 - len(found), number + 1))
    file.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("fat", [False, True])
def test_power_cut_at_each_operation(path, monkeypatch, fat):
    def record(n):
        file = SampleFile(path, 6)
        try:
            for _ in range(n):
                add(file, (numbers(file) or [-1])[-1] + 1)
                said.append(numbers(file)[-1])
        finally:
            for run in file._runs:
                run.file.close()

    cut_at = 0
    said = [-1]
    while True:
        with monkeypatch.context() as patch:
            Power(cut_at, fat).rule(patch, samplefile)
            try:
                record(9)
                done = True
            except PowerCut:
                done = False
        file = SampleFile(path, 6)
        found = numbers(file)
        file.close()
        last = found[-1] if found else -1
        assert said[-1] <= last <= said[-1] + 1, cut_at
        assert found == list(range(last + 1 - len(found), last + 1))
        assert len(found) >= min(last + 1, 3)
        said.append(last)
        if done:
            break
        cut_at += 1
    assert cut_at > 30


FOREVER = """
import sys
sys.path.insert(0, sys.argv[1])
from array import array
from fedboard_device.samplefile import SampleFile
file = SampleFile(sys.argv[2], 10)
x = array("b", bytes(6))
number = -1
if len(file):
    label = file.read(len(file) - 1, x)
    number = x[0] + 100 * x[1]
print("ready")
x[2:] = array("b", [3, 4, 5, 6])
while True:
    number += 1
    x[0] = number % 100
    x[1] = number // 100 % 100
    file.append(x, number % 3)
"""


@pytest.mark.parametrize("name", ["cpython", "micropython"])
def test_killed_while_it_records(path, tmp_path, name, request):
    if name == "micropython":
        request.getfixturevalue("micropython")
    command = interpreters.runtime(name).command
    script = tmp_path / "forever.py"
    script.write_text(FOREVER)
    last = -1
    for turn in range(8):
        arguments = [*command, str(script), str(lab.MAIN.parent), path]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline().strip() == b"ready"
            time.sleep(0.005 * turn)
            process.kill()
        file = SampleFile(path, 10)
        found = numbers(file)
        file.close()
        if found:
            assert found == list(range(found[-1] + 1 - len(found), found[-1] + 1))
            assert found[-1] >= last
            last = found[-1]
    assert last > 0
