"""The experiment on characters: its data, its tasks, its quick run without any data set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedboard import DataError
from fedboard_host import characters
from fedboard_host.characters import SHIFT, WAYS, Characters, Homes, NewTasks
from fedboard_host.experiments import conv_learner, omniglot


def archive(path: Path, n: int = 6) -> Path:
    """Three characters of two alphabets, n drawings each, one more of the last."""
    classes = [*np.repeat(np.arange(3), n).tolist(), 2]
    rng = np.random.default_rng(1)
    np.savez(
        path, grey=rng.integers(0, 256, (3 * n + 1, 16, 16)).astype(np.uint8), class_id=classes,
        alphabet_id=np.array([0, 0, 1])[classes], alphabets=np.array(["one", "two"]),
    )  # fmt: skip
    return path


def test_an_archive(tmp_path: Path) -> None:
    path = archive(tmp_path / "own.npz")
    found = characters.load(path)
    assert found.drawings.shape == (3, 6, 16, 16)
    assert found.alphabet.tolist() == ["one", "one", "two"]
    grey = np.load(path)["grey"]
    assert (found.drawings[1, 2] == grey[8] >> 1).all()
    two = found.only(["two"]).turned()
    assert two.drawings.shape == (4, 6, 16, 16)
    assert (two.drawings[1, 0] == np.rot90(found.drawings[2, 0])).all()
    with pytest.raises(DataError, match="no characters of three"):
        found.only(["three"])
    np.savez(tmp_path / "other.npz", x=grey)
    (tmp_path / "bad.npz").write_bytes(b"PK")
    for name in ("other.npz", "bad.npz", "none.npz"):
        with pytest.raises(DataError, match=name):
            characters.load(tmp_path / name)


def some(n: int = 12, n_drawings: int = 9) -> Characters:
    """Every drawing has a dot of its own value in the middle."""
    drawings = np.zeros((n, n_drawings, 15, 15), np.int8)
    drawings[:, :, 7, 7] = 1 + np.arange(n * n_drawings).reshape(n, n_drawings)
    return Characters(drawings, np.array(["x"] * n))


def test_homes_have_their_own_characters() -> None:
    homes = Homes(some(), 5, 1)
    assert len(homes) == 2
    owners: dict[int, set[int]] = {}
    moved = set()
    for _ in range(20):
        boards, x, y = homes.visit(2, 10)
        assert sorted(boards) == [0, 1]
        assert (np.sort(y.reshape(2, 2, 5), axis=2) == np.arange(5)).all(), "in turns"
        for board, images, labels in zip(boards, x, y, strict=True):
            for image, label in zip(images.reshape(-1, 15, 15), labels, strict=True):
                character = (int(image.max()) - 1) // 9
                owners.setdefault(character, set()).add((int(board), int(label)))
                moved.add(tuple(np.argwhere(image)[0] - 7))
    assert all(len(places) == 1 for places in owners.values())
    assert len(owners) == 10
    assert {place for down_right in moved for place in down_right} == set(range(-SHIFT, SHIFT + 1))
    _, x, _ = homes.visit(4, 5, anew=True)
    assert x.shape == (4, 5, 225)
    everything = Homes(some(), 99, 1)
    assert (len(everything), everything.ways) == (1, 12)
    assert everything.visit(1, 3)[0].tolist() == [0]


def test_new_tasks_are_the_same_for_all_shots() -> None:
    one, five = (NewTasks(some(), 8, shots, 3, 4, 20) for shots in (1, 4))
    assert one.x.shape == (8, WAYS, 225)
    assert five.x.shape == (8, 4 * WAYS, 225)
    assert five.query_x.shape == (8, 5 * WAYS, 225), "what the shots leave of nine drawings"
    assert (one.query_x == five.query_x).all()
    assert (one.x == five.x[:, ::4]).all()
    for x, queries in zip(five.x, five.query_x, strict=True):
        assert not {int(image.max()) for image in x} & {int(image.max()) for image in queries}
        character = [(int(image.max()) - 1) // 9 for image in x]
        assert len(set(character)) == WAYS
        assert [(int(image.max()) - 1) // 9 for image in queries] == [
            character[label * 4] for label in five.query_y
        ]
    other = NewTasks(some(), 8, 1, 4)
    assert (other.x != one.x).any(), "another seed, other tasks"
    assert five.nearest() > 0.6, "a character's dots have like values"


def test_quick_run_without_data(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(omniglot, "_BESIDE", tmp_path / "none.npz")
    rows = omniglot.run(quick=True, out_dir=tmp_path, as_json=True)
    said = capsys.readouterr()
    assert "they show that the experiment runs" in said.err
    printed = [json.loads(line) for line in said.out.splitlines()]
    assert len(printed) == len(rows)
    assert {row.seed for row in rows} == {1, 2, None}
    five = {
        row.variant: row.ours for row in rows if row.metric == "accuracy, 5-way 5-shot"
    }  # of seed 2
    assert set(five) == {
        "integers, local last layer", "floats, local last layer", "floats, random start",
        "1-nearest neighbour on pixels",
    }  # fmt: skip
    assert all(0.4 < value <= 1 for value in five.values()), "chance is 0.2"
    for end in ("csv", "jsonl", "png"):
        assert (tmp_path / f"omniglot.{end}").stat().st_size


def test_integers_keep_up_with_floats() -> None:
    """On digits that no home had; see the experiment for how much training helps."""
    data = characters.load_digits()
    training, tasks = data.only(["low"]).turned(), NewTasks(data.only(["high"]), 10, 5, 1)
    found = []
    for base in (omniglot.INTEGERS, omniglot.FLOATS):
        learner = replace(base, ways=10, boards=2)
        spec, start = conv_learner.train(learner, training, 1, 10)
        found.append(conv_learner.adapt(learner, spec, start, tasks)[-1])
    assert min(found) > 0.7
    assert abs(found[0] - found[1]) < 0.1
