"""Files that people bring: what is no sound npz is refused in words, whatever it is."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedboard import DataError
from fedboard_host import datafile, dataset, export, npz, weights

X = np.random.default_rng(0).integers(-100, 100, (30, 5)).astype(np.int8)
SAMPLES: dict[str, Any] = {"x": X, "y": np.arange(30) % 3}
WEIGHTS: dict[str, Any] = {"W0": np.ones((5, 3)), "b0": np.zeros(3)}
READERS = {
    "samples": (dataset.load_samples, SAMPLES),
    "readings": (dataset.load_readings, SAMPLES),
    "data set": (datafile.load, SAMPLES),
    "weights": (weights.read, WEIGHTS),
    "model": (export.read_npz, WEIGHTS),
}


def packed(arrays: dict[str, Any], compress: bool) -> bytes:
    data = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(data, **arrays)
    return data.getvalue()


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_refused_in_words(name: str, tmp_path: Path) -> None:
    read, arrays = READERS[name]
    rng = random.Random(name)
    said = []
    genuine = [packed(arrays, compress) for compress in (False, True)]
    for _ in range(300):
        data = bytearray(rng.choice(genuine))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data))
            if rng.random() < 0.3:
                del data[at : at + rng.randrange(30)]
            else:
                data[at] ^= 1 << rng.randrange(8)
        (tmp_path / "f.npz").write_bytes(data)
        try:
            read(tmp_path / "f.npz")
        except DataError as error:
            said.append(str(error))
    assert len(said) > 200
    assert all("f.npz: " in text for text in said)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("x", [np.int16(5), np.zeros((0, 5, 3), np.int16), np.array("x")])
def test_arrays_of_odd_shapes_are_refused_in_words(name: str, x: Any, tmp_path: Path) -> None:
    odd = {"x": x, "y": x[:, 0, 0] if np.ndim(x) else x, "user": x, "sizes": np.array([2, np.inf])}
    np.savez(tmp_path / "f.npz", **odd, rule="fedboard", seed=1)
    if name == "readings" and x.dtype != np.int16:
        assert READERS[name][0](tmp_path / "f.npz") is None
        return
    with pytest.raises(DataError, match=r"f\.npz: "):
        READERS[name][0](tmp_path / "f.npz")


@pytest.mark.parametrize("name", READERS)
def test_one_array_is_no_npz(name: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(DataError, match=r"x\.npy: "):
        READERS[name][0](tmp_path / "x.npy")


def test_what_is_missing_is_named_and_nobody_is_told_to_unpickle(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    np.savez(path, **SAMPLES)
    assert list(npz.read(path, "x", "y")) == ["x", "y"]
    with pytest.raises(DataError, match="an array z is missing: it has x, y"):
        npz.read(path, "z")
    np.savez(path, x=np.array([{}], dtype=object))
    with pytest.raises(DataError) as found:
        npz.read(path)
    assert str(found.value) == f"{path}: this is no npz of arrays of numbers alone"
    with pytest.raises(DataError, match="cannot be read"):
        npz.read(tmp_path)
