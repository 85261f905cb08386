"""Labelled samples on flash."""

from __future__ import annotations

import random
from array import array
from pathlib import Path

import pytest

import device_lab as lab
from fedboard import DataError, StateError, samples
from fedboard_device import samplefile, store


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "some" / "data"
    store.make_folder(str(folder))
    return str(folder)



def test_samples(folder):
    made = lab.make_samples(25, n_in=6, n_labels=3)
    path = folder + "/samples.bin"
    file = samplefile.SampleFile(path)
    assert len(file) == 0
    for n, (x, label) in enumerate(made):
        file.append(x, label)
        assert len(file) == n + 1
    again = samplefile.SampleFile(path)
    assert (len(again), again.n_in) == (25, 6)
    x = array("b", bytes(6))
    for i in random.Random(1).sample(range(25), 25):
        assert again.read(i, x) == made[i][1]
        assert x == made[i][0]
    for i in (-1, 25):
        with pytest.raises(StateError):
            again.read(i, x)
    with pytest.raises(StateError):
        again.read(0, array("b", bytes(5)))
    with pytest.raises(StateError):
        again.append(array("b", bytes(5)), 0)
    with pytest.raises(DataError):
        again.append(x, 256)
    file.close()
    again.close()


def test_torn_sample_is_ignored_and_written_over(folder):
    made = lab.make_samples(5, n_in=6, n_labels=3)
    path = folder + "/samples.bin"
    for n_torn in range(1, 7):
        lab.write_samples(Path(folder), made)
        with open(path, "ab") as file:
            file.write(b"\x55" * n_torn)
        torn = samplefile.SampleFile(path)
        assert len(torn) == 5
        x, label = made[0]
        torn.append(x, label)
        out = array("b", bytes(6))
        assert torn.read(5, out) == label
        assert out == x
        torn.close()


NO_SAMPLES = [b"", b"fbsm", b"fbsm\x03\x00" + bytes(6), b"fbsm\x04\x00\x06" + bytes(5), b"x" * 90]
NO_SAMPLES.append(b"fbsm\x01\x00\x06\x00" + bytes(70))  # of before


@pytest.mark.parametrize("data", NO_SAMPLES)
def test_file_that_holds_no_samples(folder, data):
    with open(folder + "/samples.bin", "wb") as file:
        file.write(data)
    with pytest.raises(DataError, match="remove it"):
        samplefile.SampleFile(folder + "/samples.bin")
    said: list[str] = []
    assert len(samplefile.stored(folder, said.append)) == 0
    assert "samples.bin" in said[0]


def test_samples_format():
    assert samples.unpack_header(samples.pack_header(4096)) == 4096
    assert samples.n_targets_of(samples.pack_header(3, 255)) == 0
    header = samples.pack_targets_header(3, 255)
    assert (samples.unpack_header(header), samples.n_targets_of(header)) == (3, 255)
    assert (samples.age_of(header), samples.age_of(samples.pack_header(3, 255))) == (0, 255)
    assert samples.made_of(samples.pack_header(3, 255, 0x3FFFFFFF)) == 0x3FFFFFFF
    for n_targets in (0, 256):
        with pytest.raises(DataError):
            samples.pack_targets_header(3, n_targets)
    for n_in in (0, 4097):
        with pytest.raises(DataError):
            samples.pack_header(n_in)
    assert [samples.n_records(n, 3) for n in (0, 12, 15, 16, 19, 20)] == [0, 0, 0, 1, 1, 2]
    assert [samples.n_records(n, 3, 2) for n in (0, 12, 18, 19, 25, 26)] == [0, 0, 0, 1, 1, 2]


def test_targets(folder):
    """Numbers to predict: the host's files; a board reads them and leaves them alone."""
    path = folder + "/samples.bin"
    with open(path, "wb") as file:
        file.write(samples.pack_targets_header(2, 2))
        for i in range(5):
            file.write(samples.pack_record(array("b", (i, -i)), array("h", (i * 4096, -7 * i))))
        file.write(b"cut")
    found = samplefile.SampleFile(path)
    try:
        assert (len(found), found.n_in, found.n_targets) == (5, 2, 2)
        x = array("b", bytes(2))
        assert list(found.read(4, x)) == [16384, -28]
        assert list(x) == [4, -4]
        for action in (lambda: found.append(x, 1), lambda: found.remove(1)):
            with pytest.raises(DataError, match="has targets"):
                action()
        assert len(found) == 5
    finally:
        found.close()
