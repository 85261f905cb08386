"""Data files, splits and `fedboard simulate`."""

from __future__ import annotations

import csv
import gzip
import json
import struct

import numpy as np
import pytest
from click.testing import CliRunner

from fedboard import DataError
from fedboard_host import datafile, partition, simulate
from fedboard_host.cli import cli

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (60, 6)).astype(np.uint8)
Y = np.arange(60) % 3
PEOPLE = np.arange(60) % 5


def blobs(path, n=300, n_in=6):
    """A file of classes that can be told apart."""
    y = RNG.integers(0, 3, n)
    x = np.clip(
        RNG.normal(0, 25, (n, n_in)) + 60 * (y[:, None] + np.arange(n_in) % 3) % 180, 0, 255
    )
    np.savez(path, x=x.astype(np.uint8), y=y, person=np.arange(n) % 7)
    return path


def idx(values):
    kind = {"uint8": 8, "int32": 12}[values.dtype.name]
    head = struct.pack(">BBBB", 0, 0, kind, values.ndim)
    return (
        head + struct.pack(f">{values.ndim}I", *values.shape)
        + values.astype(values.dtype.newbyteorder(">")).tobytes()
    )  # fmt: skip


def test_npz_with_and_without_a_test_part(tmp_path):
    np.savez(tmp_path / "a.npz", x=X.reshape(60, 2, 3), y=Y, speaker=PEOPLE)
    data = datafile.load(tmp_path / "a.npz")
    assert (len(data.y), len(data.y_test), data.n_in, data.n_classes) == (48, 12, 6, 3)
    assert len(data.writer) == 48
    both = np.concatenate([data.x, data.x_test])
    assert sorted(both.tolist()) == sorted(X.tolist())
    np.savez(tmp_path / "b.npz", x_train=X[:50], y_train=Y[:50], x_test=X[50:], y_test=Y[50:])
    data = datafile.load(tmp_path / "b.npz")
    assert np.array_equal(data.x, X[:50])
    assert np.array_equal(data.y_test, Y[50:])
    assert not len(data.writer)


@pytest.mark.parametrize("heading", ["", "label,a,b,c,d,e,f,person\n", "a,b,c,d,e,f,y,person\n"])
def test_csv(tmp_path, heading):
    columns = [Y[:, None], X, PEOPLE[:, None]] if "y," not in heading else [X, Y[:, None]]
    table = np.concatenate([*columns, PEOPLE[:, None]], axis=1)[:, : 8 if heading else 7]
    text = heading + "".join(",".join(map(str, line)) + "\n" for line in table.tolist())
    (tmp_path / "a.csv").write_text(text)
    data = datafile.load(tmp_path / "a.csv")
    assert data.x.dtype == np.uint8
    assert sorted(np.concatenate([data.x, data.x_test]).tolist()) == sorted(X.tolist())
    assert np.bincount(data.y).tolist() == [16, 16, 16]
    assert len(data.writer) == (48 if heading else 0)


@pytest.mark.parametrize("heading", ["", "label,0,1\n", "0,1,Label\n"])
def test_csv_with_words_for_labels(tmp_path, heading):
    lines = [f"{word},{i},{i % 7}" for i, word in enumerate(["emu", "cat", " dog"] * 5)]
    if heading.endswith("Label\n"):
        lines = [",".join([*line.split(",")[1:], line.split(",")[0]]) for line in lines]
    (tmp_path / "a.csv").write_text(heading + "\n".join(lines))
    data = datafile.load(tmp_path / "a.csv")
    assert data.y.tolist() == [2, 0, 1] * 4
    assert data.y_test.tolist() == [2, 0, 1]
    assert data.x_test.tolist() == [[12, 5], [13, 6], [14, 0]]


@pytest.mark.parametrize("words", [("y", "n"), ("User", "guest"), ("person", "car")])
@pytest.mark.parametrize("heading", ["", "label,0,1\n", "kind,a,b\n"])
def test_a_label_that_is_a_word_of_headings_is_none(tmp_path, words, heading):
    text = "".join(f"{word},{i},{i + 1}\n" for word in words for i in range(10))
    (tmp_path / "a.csv").write_text(heading + text)
    data = datafile.load(tmp_path / "a.csv")
    assert (len(data.y) + len(data.y_test), data.n_in, data.n_classes) == (20, 2, 2)
    assert not len(data.writer)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0,1,2\n0,1\n", "line 2 has 2 columns"),
        ("label,a\n0,1\n2\n", "line 3 has 1 columns"),
        ("\nlabel,a\n\n\n0,1\n2\n", "line 6 has 1 columns"),
        ("inf,1\n0,1\n", "labels are whole numbers from 0 to 255"),
        ("1e300,1\n0,1\n", "labels are whole numbers from 0 to 255"),
        ("256,1\n0,1\n", "labels are whole numbers from 0 to 255"),
        ("1.5,2,0\n2,3,1\n", "column 1 is taken for the labels"),
        ("0,1,cat\n", "'cat': labels, which may be words"),
    ],
)
def test_what_is_wrong_with_a_csv(tmp_path, text, said):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        datafile.load(tmp_path / "a.csv")


@pytest.mark.parametrize("packed", [False, True])
def test_idx(tmp_path, packed):
    for name, values in {
        "train-images-idx3-ubyte": X[:40].reshape(40, 2, 3), "t10k-labels-idx1-ubyte": Y[40:],
        "train-labels-idx1-ubyte": Y[:40], "t10k-images-idx3-ubyte": X[40:].reshape(20, 2, 3),
    }.items():  # fmt: skip
        content = idx(values.astype(np.uint8 if values.ndim > 1 else np.int32))
        if packed:
            (tmp_path / (name + ".gz")).write_bytes(gzip.compress(content))
        else:
            (tmp_path / name).write_bytes(content)
    data = datafile.load(tmp_path / ("train-images-idx3-ubyte" + (".gz" if packed else "")))
    assert np.array_equal(data.x, X[:40])
    assert np.array_equal(data.x_test, X[40:])
    assert np.array_equal(data.y_test, Y[40:])


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"1,2\n3\n", b"PK\3\4 and no zip", b"\0\0\x08\x01\0\0\0\x09abc", b"\x1f\x8bzip",
     b"1.5,2,3\n2,3,4\n", b"-1,2,3\n" * 9, b"0,nan,3\n" * 9, b"\0\0\x0b\x02\0\0\0\1\0\0\0\1a",
     b"\0\0\x08\x02\xff\xff\xff\xff\0\0\0\0"],
)  # fmt: skip
def test_what_is_no_data_set_is_refused(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError):
        datafile.load(tmp_path / "a")


def test_damaged_labels_beside_are_refused(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(X[:40].reshape(40, 2, 3).astype("u1")))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"labels")[:-6])
    with pytest.raises(DataError, match=r"labels-idx1-ubyte\.gz: cannot be read"):
        datafile.load(tmp_path / "train-images-idx3-ubyte")


def test_a_missing_file_and_arrays_of_other_names_are_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        datafile.load(tmp_path / "none")
    np.savez(tmp_path / "a.npz", images=X)
    with pytest.raises(DataError, match="images"):
        datafile.load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", x=np.array([{}]), y=Y)
    with pytest.raises(DataError):
        datafile.load(tmp_path / "b.npz")


def test_features():
    half = datafile.features(X, "half", X)
    assert np.array_equal(half, X >> 1)
    assert abs(datafile.features(X, "centred", X).mean()) <= 0.5
    assert np.array_equal(datafile.features(X, "signed", X), X.astype(int) - 128)
    scaled = datafile.features(X / 7 - 3, "signed", X / 7 - 3)
    assert (scaled.min(), scaled.max()) == (-128, 127)
    already = X.astype(np.int8)
    assert datafile.features(already, "half", X) is already
    with pytest.raises(DataError, match="signed"):
        datafile.features(X, "large", X)


@pytest.mark.parametrize("how", partition.SPLITS)
@pytest.mark.parametrize("n_boards", [1, 4, 5])
def test_splits_deal_each_row_once(how, n_boards):
    rows = partition.split(how, Y, PEOPLE, n_boards, 3, alpha=0.1, n_classes=2)
    assert len(rows) == n_boards
    dealt = np.concatenate(rows)
    assert len(np.unique(dealt)) == len(dealt)
    if how != "label":
        assert len(dealt) == len(Y)
    again = partition.split(how, Y, PEOPLE, n_boards, 3, alpha=0.1, n_classes=2)
    assert all(np.array_equal(a, b) for a, b in zip(rows, again, strict=True))
    other = partition.split(how, Y, PEOPLE, n_boards, 4, alpha=0.1, n_classes=2)
    assert any(not np.array_equal(a, b) for a, b in zip(rows, other, strict=True))


def test_splits_are_as_uneven_as_they_say():
    y = np.repeat(np.arange(10), 100)
    people = np.arange(1000) % 20
    for rows in partition.split("label", y, people, 10, 1, n_classes=2):
        assert len(np.unique(y[rows])) == 2
    for rows in partition.split("writer", y, people, 10, 1):
        assert len(np.unique(people[rows])) == 2
    uneven, even = (
        max(np.bincount(y[rows], minlength=10).max() / len(rows) for rows in dealt)
        for dealt in (
            partition.split("dirichlet", y, people, 10, 1, alpha=0.1),
            partition.split("dirichlet", y, people, 10, 1, alpha=1000),
        )
    )
    assert uneven > 0.5
    assert even < 0.2


def test_no_board_is_left_with_nothing():
    rows = partition.split("dirichlet", Y, PEOPLE, 30, 1, alpha=0.01)
    assert min(len(each) for each in rows) >= 1
    assert sum(len(each) for each in rows) == 60


@pytest.mark.parametrize(
    ("how", "boards", "options"),
    [("iid", 61, {}), ("dirichlet", 2, {"alpha": 0}), ("label", 2, {"n_classes": 4}),
     ("writer", 6, {}), ("odd", 2, {})],
)  # fmt: skip
def test_what_cannot_be_dealt_is_refused(how, boards, options):
    with pytest.raises(DataError):
        partition.split(how, Y, PEOPLE, boards, 1, **options)


def settings(path, **options):
    return simulate.Settings(
        **{"strategy": "fedavg", "data": str(path), "parameters": {"batch": 5}, "hidden": (8,),
           "boards": 4, "rounds": 6, "seeds": 2, "every": 1, **options}
    )  # fmt: skip


def test_a_resumed_simulation_equals_an_undisturbed_one(tmp_path):
    data = blobs(tmp_path / "a.npz")
    parameters = {"batch": 5, "top_percent": 5, "bits": 4}
    whole = simulate.run(settings(data, parameters=parameters), tmp_path / "whole")
    simulate.run(settings(data, parameters=parameters, rounds=3, seeds=1), tmp_path / "parts")
    rest = simulate.run(settings(data, parameters=parameters), tmp_path / "parts", resume=True)

    def figures(looks):
        return [(k.seed, k.round, k.accuracy, k.bytes_up, k.bytes_down, k.n_samples) for k in looks]

    assert figures(whole) == figures(rest)
    assert len(whole) == 12
    assert whole[5].accuracy > 0.8
    for name in ("simulate.csv", "simulate.jsonl", "simulate.png", "seed1.npz", "seed2.npz"):
        assert (tmp_path / "parts" / name).exists()
    with (tmp_path / "whole" / "simulate.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 12
    with pytest.raises(DataError, match="top_percent"):
        simulate.run(settings(data), tmp_path / "parts", resume=True)
    with pytest.raises(DataError, match="--resume"):
        simulate.run(settings(data), tmp_path / "parts")
    with pytest.raises(DataError, match="leave --resume out"):
        simulate.run(settings(data), tmp_path / "new", resume=True)


def test_validation_samples_come_from_the_training_part(tmp_path):
    data = blobs(tmp_path / "a.npz")
    looks = simulate.run(settings(data, validate=True, seeds=1, rounds=1), tmp_path / "out")
    n_train = len(datafile.load(data).y)
    assert looks[0].n_samples == n_train - n_train // 6


def test_simulate_as_people_call_it(tmp_path):
    data = blobs(tmp_path / "a.npz")
    arguments = [
        "simulate", "tifed-single-layer", "--data", str(data), "--hidden", "8", "--boards", "5",
        "--split", "writer", "--set", "batch=5", "--rounds", "2", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert "% after 2 rounds" in result.output
    result = CliRunner().invoke(cli, [*arguments[:-1], str(tmp_path / "json"), "--json"])
    assert [json.loads(line)["round"] for line in result.stdout.splitlines()] == [1, 2]
    for wrong in (["--set", "batch"], ["--hidden", "x"], ["--boards", "0"], ["--set", "bach=5"]):
        result = CliRunner().invoke(cli, [*arguments[:-1], str(tmp_path / "no"), *wrong])
        assert result.exit_code != 0
        assert "Traceback" not in result.output


@pytest.mark.parametrize("strategy", ["tinyreptile", "reptile", "tinymetafed"])
def test_meta_learning(tmp_path, strategy):
    data = blobs(tmp_path / "blobs.npz")
    options = ["--data", str(data), "--rounds", "12", "--boards", "6", "--hidden", "8",
               "--out", str(tmp_path / "out"), "--set", "rate=6", "--json"]  # fmt: skip
    done = CliRunner().invoke(cli, ["simulate", strategy, *options])
    assert done.exit_code == 0, done.output
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["round"] == 12
    assert last["n_boards"] == (6 if strategy == "reptile" else 1)
    saved = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert saved["parameters"] == {"rounds": 12, "rate": 6}
