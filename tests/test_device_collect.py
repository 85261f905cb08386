"""Recording and predicting with the board's whole program: CPython, real MicroPython, TCP."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("pty", reason="these processes talk over ptys")

import device_lab as lab
from device_lab import Host, Process
from fedboard import collect
from fedboard.hub import Joined
from test_device_sensors import recording

SENSOR = {
    "module": "replay", "files": ["idle.bin", "wave.bin"], "window": 20, "rate_hz": 500,
    "blocks": 2, "bands": 1,
}  # fmt: skip
SPEC = lab.model.Spec((15, 8, 2), seed=7)


@pytest.fixture(params=["cpython", "micropython"])
def command(request):
    """The interpreter that runs the board."""
    if request.param == "cpython":
        return [sys.executable]
    return [*request.getfixturevalue("micropython"), "-X", "heapsize=256k"]


def ask(host, message, kind=None):
    """Send it; the first answer of this kind that is the last one."""
    first = len(host.seen)
    host.hub.send(message)
    while True:
        host.until(kind)
        for found in host.seen[first:]:  # several may have come at once
            if isinstance(found, kind):
                assert found.token == message.token
                if getattr(found, "done", 1) and not getattr(found, "more", 0):
                    return found


def labels(host, message=None):
    runs = ask(host, message or collect.Labels(token=1), collect.Runs)
    found = []
    for at in range(0, len(runs.runs), 3):
        found.append((runs.runs[at], runs.runs[at + 1] + 256 * runs.runs[at + 2]))
    return found


def test_record_learn_predict_remove(command, tmp_path):
    (tmp_path / "idle.bin").write_bytes(recording(100, 3, 20, 1))
    (tmp_path / "wave.bin").write_bytes(recording(100, 3, 9000, 2))
    with Process(command, tmp_path, {"sensor": SENSOR, "max_samples": 100}) as board:
        host = Host(board.stream)
        assert host.until(Joined).status.n_samples == 0
        for label in (0, 1, 0):
            done = ask(host, collect.Record(token=3, label=label, n=12), collect.Recorded)
            assert done.n == 12
        assert done.n_all == 36
        assert labels(host) == [(0, 12), (1, 12), (0, 12)]
        assert labels(host, collect.Remove(token=5, label=collect.ANY, n_last=12)) == [
            (0, 12), (1, 12),
        ]  # fmt: skip
        params = lab.start_params(SPEC)
        task = lab.make_task(params, spec=SPEC, epochs=20, top_permille=1000, bits=16)
        host.round(task, params)
        host.hub.send(collect.Predict(token=6))
        guesses = [host.until(collect.Prediction).shares[0] for _ in range(12)]  # all of them idle
        assert guesses.count(0) >= 11
        host.hub.send(collect.Stop(token=6))
        host.idle()
    with Process(command, tmp_path, {"sensor": SENSOR}) as board:
        host = Host(board.stream)
        assert host.until(Joined).status.n_samples == 24  # on flash
        assert labels(host) == [(0, 12), (1, 12)]
        assert labels(host, collect.Remove(token=5, label=0)) == [(1, 12)]
        assert ask(host, collect.Predict(token=8, n=1), collect.Prediction).version == 1


def test_samples_of_other_features_do_not_mix(command, tmp_path):
    """As many features, that mean something else; a restart, and removing some, change nothing."""
    for name in ("idle.bin", "wave.bin"):
        (tmp_path / name).write_bytes(recording(100, 3, 20, 1))
    record = collect.Record(token=3, label=1, n=4)
    with Process(command, tmp_path, {"sensor": SENSOR, "max_samples": 4}) as board:
        host = Host(board.stream)
        host.until(Joined)
        assert ask(host, record, collect.Recorded).n_all == 4  # in two files
        assert labels(host, collect.Remove(token=5, label=collect.ANY, n_last=1)) == [(1, 3)]
    other = {**SENSOR, "blocks": 1, "bands": 2}
    with Process(command, tmp_path, {"sensor": other}) as board:
        host = Host(board.stream)
        host.until(Joined)
        for message in (record, collect.Predict(token=4)):
            host.hub.send(message)
            with pytest.raises(AssertionError, match="samples here are of other sensor settings"):
                host.until(collect.Recorded)
        assert labels(host) == [(1, 3)]
    same = {**SENSOR, "hop": 10, "floor": 64}  # what is usual, said
    with Process(command, tmp_path, {"sensor": same}) as board:
        host = Host(board.stream)
        host.until(Joined)
        assert ask(host, record, collect.Recorded).n_all == 7
    with Process(command, tmp_path, {"sensor": other}) as board:
        host = Host(board.stream)
        host.until(Joined)
        assert labels(host, collect.Remove(token=5, label=collect.ANY, n_last=7)) == []
        assert ask(host, record, collect.Recorded).n_all == 4


def test_sensor_that_is_not_there(command, tmp_path):
    with Process(command, tmp_path, {"sensor": {"module": "no_such"}}) as board:
        host = Host(board.stream)
        host.until(Joined)
        host.hub.send(collect.Record(token=3, label=0, n=1))
        with pytest.raises(AssertionError, match=r"no sensor no_such\.py"):
            host.until(collect.Recorded)
        host.hub.send(collect.Labels(token=4))
        assert host.until(collect.Runs).runs == b""


def test_own_sensor_beside_the_settings(command, tmp_path):
    (tmp_path / "sensor.py").write_text("def read():\n    return [1, 2, 3]\n")
    with Process(command, tmp_path, {"sensor": {"rate_hz": 100}}) as board:
        host = Host(board.stream)
        host.until(Joined)
        assert ask(host, collect.Record(token=3, label=2, n=7), collect.Recorded).n_all == 7
        assert labels(host) == [(2, 7)]
        host.hub.send(collect.Predict(token=9))
        with pytest.raises(AssertionError, match="no model yet"):
            host.until(collect.Prediction)


def test_recording_over_tcp_ends_with_the_link(command, tmp_path):
    (tmp_path / "sensor.py").write_text("def read():\n    return [1, 2, 3]\n")
    with lab.listener() as server:
        settings = {
            "host": f"127.0.0.1:{server.getsockname()[1]}", "key": lab.KEY.hex(),
            "sensor": {"rate_hz": 100},
        }  # fmt: skip
        with Process(command, tmp_path, settings):
            host = Host(lab.accept(server), lab.KEY)
            host.until(Joined)
            host.hub.send(collect.Record(token=3, label=0))
            host.until(collect.Recorded)
            host.until(collect.Recorded)
            host.stream.close()
            host = Host(lab.accept(server), lab.KEY)
            n = host.until(Joined).status.n_samples
            assert n > 0
            host.hub.send(collect.Labels(token=1))
            runs = host.until(collect.Runs).runs
            assert runs[1] + 256 * runs[2] == n  # none came since
            host.stream.close()


def test_learning_goes_before(command, tmp_path):
    """While a task runs, the board says so."""
    lab.write_samples(tmp_path / "data", lab.make_samples())
    (tmp_path / "sensor.py").write_text("def read():\n    return [1] * 16\n")
    params = lab.start_params()
    with Process(command, tmp_path, {"sensor": {"rate_hz": 100}}) as board:
        host = Host(board.stream)
        host.until(Joined)
        host.send_task(lab.make_task(params, epochs=255), params)
        host.hub.send(collect.Record(token=3, label=0))  # while the model comes in
        with pytest.raises(AssertionError, match="learning just now"):
            host.until(collect.Recorded)
