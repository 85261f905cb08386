"""The run's folder: sound or told, whole or not there, one owner, nothing lost to a SIGKILL."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from array import array
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedboard import DataError
from fedboard.model import Spec
from fedboard_host import checkpoints
from fedboard_host.events import (
    BoardProgress,
    BoardState,
    Note,
    RoundClosed,
    UpdateReceived,
)
from fedboard_host.export import Model, write_npz
from fedboard_host.store import Checkpoint, Store, find_checkpoint, read_checkpoint

SPEC = Spec((5, 4, 3), "fedboard", 9)


def model(round_no, accuracy=None):
    values = [(i * 31 + round_no * 7) % 4001 - 2000 for i in range(SPEC.n_params)]
    return Checkpoint(
        SPEC, 0xFFFFFFFF, round_no, round_no + 1, array("h", values),
        array("h", [v // 2 for v in values]), "fedavg epochs=1", accuracy, 0.25,
        {"master": np.arange(SPEC.n_params, dtype=np.int64) * round_no},
        {"kitchen": ("aabb", round_no)},
    )  # fmt: skip


def closed(round_no, accuracy=None):
    return RoundClosed(round_no, round_no + 1, 3, 4, accuracy, 0.25, 1000, 2000, 300, 1.5)


def same(a, b):
    return (
        replace(a, state={}, record={}) == replace(b, state={}, record={})
        and a.state.keys() == b.state.keys()
        and all(np.array_equal(a.state[k], b.state[k]) for k in a.state)
    )


def filled(folder, n=4, **options):
    with Store(folder, **options) as store:
        store.save(model(0))
        for i in range(1, n + 1):
            store.save(model(i), closed(i))
    return folder


def test_what_is_saved_comes_back(tmp_path):
    filled(tmp_path)
    notes = []
    with Store(tmp_path, resume=True, on_note=lambda *note: notes.append(note)) as store:
        assert same(store.latest(), model(4))
        assert store.latest().record["bytes_up"] == 1000
        assert [row["round"] for row in store.rounds()] == [1, 2, 3, 4]
        assert store.rounds()[0] == {**vars_of(closed(1))}
    assert notes == []


def vars_of(event):
    return {name: getattr(event, name) for name in event.__dataclass_fields__}


def test_anyone_can_read_the_weights_with_numpy_alone(tmp_path):
    filled(tmp_path, 1)
    with np.load(find_checkpoint(tmp_path), allow_pickle=False) as data:
        flat = np.concatenate([data["W0"].ravel(), data["b0"], data["W1"].ravel(), data["b1"]])
        assert data["W0"].shape == (4, 5)
        assert list(flat) == list(model(1).result)
        assert list(data["sizes"]) == [5, 4, 3]
        assert str(data["rule"]) == "fedboard"


def test_the_last_few_and_the_best_are_kept(tmp_path):
    with Store(tmp_path, keep=2) as store:
        for i, accuracy in enumerate([0.1, 0.9, 0.3, 0.8, 0.9]):
            store.save(model(i, accuracy), closed(i, accuracy) if i else None)
        assert list(checkpoints.paths(tmp_path)) == [4, 3, 1]
        assert store.best().round == 1
    with Store(tmp_path, resume=True) as store:
        assert store.best().round == 1
        assert store.latest().round == 4


def test_a_folder_with_a_run_is_not_overwritten_and_one_without_not_resumed(tmp_path):
    filled(tmp_path / "a", 1)
    with pytest.raises(DataError, match="holds a run already: go on with --resume"):
        Store(tmp_path / "a")
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="no sound checkpoint to resume"):
        Store(tmp_path / "b", resume=True)
    # A run that was killed before its first checkpoint has begun nonetheless.
    Store(tmp_path / "c").close()
    with Store(tmp_path / "c", resume=True) as store:
        assert store.latest() is None


def test_no_folder_can_be_made_there(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="choose another folder"):
        Store(tmp_path / "file" / "run")


def test_a_second_host_is_kept_out(tmp_path):
    with Store(tmp_path):
        with pytest.raises(DataError, match=f"in use by process {os.getpid()}"):
            Store(tmp_path, resume=True)
        code = (
            "import sys; from fedboard_host.store import Store\n"
            "from fedboard import DataError\n"
            "try: Store(sys.argv[1], resume=True)\n"
            "except DataError as error: print(error)"
        )
        said = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
        )
        assert f"in use by process {os.getpid()}" in said.stdout
    Store(tmp_path, resume=True).close()


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    code = (
        "import os, sys; from fedboard_host.store import Store\n"
        "store = Store(sys.argv[1]); print(os.getpid(), flush=True); os._exit(9)"
    )
    said = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True)
    notes = []
    Store(tmp_path, resume=True, on_note=lambda *note: notes.append(note)).close()
    pid = said.stdout.decode().strip()
    assert notes == [("info", f"process {pid} had left this run unfinished")]


@pytest.mark.parametrize("cut", ["empty", "half", "last byte", "bit", "text", "pickle"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path, cut):
    filled(tmp_path)
    path = checkpoints.path_of(tmp_path, 4)
    data = path.read_bytes()
    broken = {
        "empty": b"",
        "half": data[: len(data) // 2],
        "last byte": data[:-1],
        "bit": data[:700] + bytes([data[700] ^ 4]) + data[701:],
        "text": b"hello",
        "pickle": b"\x80\x04K\x01.",
    }[cut]
    path.write_bytes(broken)
    notes = []
    with Store(tmp_path, resume=True, on_note=lambda *note: notes.append(note)) as store:
        assert same(store.latest(), model(3))
        assert [row["round"] for row in store.rounds()] == [1, 2, 3]
    assert [level for level, _ in notes] == ["warning"]
    assert "The one before it is used" in notes[0][1]
    assert path.with_name("model-00004.npz.damaged").exists()
    assert find_checkpoint(tmp_path) == checkpoints.path_of(tmp_path, 3)


def test_all_damaged(tmp_path):
    filled(tmp_path, 1)
    for path in checkpoints.paths(tmp_path).values():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no sound checkpoint"):
        find_checkpoint(tmp_path)
    with pytest.raises(DataError, match="no sound checkpoint to resume"):
        Store(tmp_path, resume=True)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "model-00001.npz"
    checkpoints.write(path, model(1, 0.5))
    return path.read_bytes()


def test_a_checkpoint_cut_anywhere_is_refused(tmp_path, sound):
    path = tmp_path / "x.npz"
    for n in range(0, len(sound), 7):
        path.write_bytes(sound[:n])
        with pytest.raises(DataError, match="no sound checkpoint"):
            read_checkpoint(path)


@given(st.data())
def test_a_spoilt_checkpoint_is_refused_or_unchanged(tmp_path_factory, sound, data):
    spoilt = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 4))):
        spoilt[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "spoilt.npz"
    path.write_bytes(spoilt)
    try:
        found = read_checkpoint(path)
    except DataError:
        return
    assert same(found, model(1, 0.5))


@given(st.binary(max_size=300))
def test_garbage_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "garbage.npz"
    path.write_bytes(data)
    with pytest.raises(DataError):
        read_checkpoint(path)


def test_a_model_without_a_run_is_no_checkpoint(tmp_path):
    path = tmp_path / "model.npz"
    spec = Spec((2, 3, 2), "fedboard", 1)
    write_npz(path, Model(spec, 1, array("h", bytes(2 * spec.n_params))))
    with pytest.raises(DataError, match="it is of no run; name the run's folder"):
        read_checkpoint(path)


def test_a_pickle_in_an_npz_is_not_loaded(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, allow_pickle=True, meta=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="no sound checkpoint"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "change",
    [
        {"digest": np.array("00")},
        {"params": np.zeros(3, np.int16)},
        {"params": np.zeros(SPEC.n_params, np.int32)},
        {"W0": np.zeros((5, 4), np.int16)},
        {"rule": np.array("magic")},
        {"sizes": np.array([1])},
        {"sizes": np.array([4096, 4096])},
        {"meta": np.frombuffer(b"{}", np.uint8)},
        {"meta": np.frombuffer(json.dumps({"format": 2}).encode(), np.uint8)},
    ],
)
def test_contents_that_do_not_fit_together_are_refused(tmp_path, sound, change):
    import io

    with np.load(io.BytesIO(sound)) as data:
        arrays = {**{k: data[k] for k in data.files}, **change}
    path = tmp_path / "x.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match="no sound checkpoint"):
        read_checkpoint(path)


def test_a_failed_write_leaves_the_old_ones_alone(tmp_path, monkeypatch):
    filled(tmp_path, 2)
    with Store(tmp_path, resume=True) as store:

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(DataError, match=r"cannot be written \(No space left"):
            store.save(model(3), closed(3))
        assert same(store.latest(), model(2))
    assert list(tmp_path.glob("*.part")) == []
    assert find_checkpoint(tmp_path) == checkpoints.path_of(tmp_path, 2)


def test_the_log_follows_the_checkpoints(tmp_path):
    filled(tmp_path)
    # Killed between the rename and the log's row; and, in another life, the other way round.
    with sqlite3.connect(tmp_path / "log.sqlite") as db:
        db.execute("DELETE FROM rounds WHERE round = 4")
        db.execute("INSERT INTO updates VALUES (5, 'kitchen', 1, 1, 1, '', 0, NULL, NULL)")
    db.close()
    with Store(tmp_path, resume=True) as store:
        assert [row["round"] for row in store.rounds()] == [1, 2, 3, 4]
        assert store.rounds()[3]["bytes_down"] == 2000
    with sqlite3.connect(tmp_path / "log.sqlite") as db:
        assert db.execute("SELECT COUNT(*) FROM updates").fetchone() == (0,)
    db.close()


def test_a_damaged_log_is_put_aside_and_the_run_goes_on(tmp_path):
    filled(tmp_path)
    path = tmp_path / "log.sqlite"
    path.write_bytes(b"not a database, whatever it was" * 100)
    notes = []
    with Store(tmp_path, resume=True, on_note=lambda *note: notes.append(note)) as store:
        assert [row["round"] for row in store.rounds()] == [4]
        store.save(model(5), closed(5))
    assert "the run log was damaged" in notes[0][1]
    assert len(list(tmp_path.glob("log-damaged-*.sqlite"))) == 1


def test_events_are_logged_but_for_the_fleeting_ones(tmp_path):
    with Store(tmp_path) as store:
        store.log(BoardProgress("a", 1, 1, 2, 1, 0.5))
        store.log(BoardState("a", "training", 1))
        store.log(UpdateReceived("a", 1, 20, 300, True))
        store.log(UpdateReceived("b", 1, 20, 300, False, "why"))
        store.log(Note("info", "hello", "a"))
    with sqlite3.connect(tmp_path / "log.sqlite") as db:
        kinds = [row[0] for row in db.execute("SELECT kind FROM events ORDER BY id")]
        assert kinds == ["UpdateReceived", "UpdateReceived", "Note"]
        rows = db.execute("SELECT board, n_bytes, accepted, reason FROM updates").fetchall()
        assert rows == [("a", 300, 1, ""), ("b", 300, 0, "why")]
        data = json.loads(db.execute("SELECT data FROM events WHERE kind = 'Note'").fetchone()[0])
        assert data == {"level": "info", "text": "hello", "board": "a"}
    db.close()


WRITER = """
import sys
sys.path[:0] = sys.argv[2:]
from fedboard_host.store import Store
from test_host_store import model, closed
store = Store(sys.argv[1], resume=sys.argv[1:] and __import__("os").path.exists(sys.argv[1]))
latest = store.latest()
i = latest.round + 1 if latest else 0
print("ready", flush=True)
while True:
    store.save(model(i), closed(i) if i else None)
    print(i, flush=True)
    i += 1
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_writer_killed_at_any_instant_loses_nothing_it_had_said(tmp_path):
    """Told of round n: n is there. At most the one it was about to tell is there as well."""
    rng = random.Random(4)
    folder = tmp_path / "run"
    last = -1
    warnings: list[str] = []

    def hear(level, text):
        if level != "info":
            warnings.append(text)

    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), *filter(None, sys.path)],
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(rng.random() * 0.2)
        writer.send_signal(signal.SIGKILL)
        said = [int(line) for line in writer.stdout.read().splitlines()]
        writer.wait()
        writer.stdout.close()
        last = max([last, *said])
        warnings.clear()
        with Store(folder, resume=True, on_note=hear) as store:
            if last < 0:
                continue
            latest = store.latest()
            assert last <= latest.round <= last + 1
            last = latest.round
            assert same(latest, model(last))
            assert [row["round"] for row in store.rounds()] == list(range(1, last + 1))
        assert not warnings
    assert not list(Path(folder).glob("*.part"))
