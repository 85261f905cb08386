"""tools/bench.py host: it measures what the host does, and memory does not follow the boards."""

from __future__ import annotations

import json
from array import array

import numpy as np
import pytest

import bench_host
import bench_stages
from fedboard.model import Spec
from fedboard_host import decode, strategies

SMALL = ((20, 8, 4),)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(bench_host, "NETWORKS", SMALL)
    monkeypatch.setattr(bench_host, "REPEAT_S", 0.0)
    yield
    decode.use_compiled(False)


def test_rows_and_memory_that_is_flat(capsys, monkeypatch):
    monkeypatch.setattr(bench_host, "find_flower", lambda: None)
    assert bench_host.run(True, (3, 600)) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(r["percent"], r["boards"]) for r in rows] == [
        (p, n) for p in (1, 10, 100) for n in (3, 600)
    ]
    assert all(r["updates_per_s"] > 0 and r["bytes_per_s"] > r["updates_per_s"] for r in rows)
    for few, many in zip(rows[::2], rows[1::2], strict=True):
        a_board = (many["peak_bytes"] - few["peak_bytes"]) / 597
        assert a_board < 200, "of a board nothing is kept but the lengths of its changes"


def test_stages_are_all_of_a_round(capsys, monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setattr(bench_stages, "N_ROUNDS", 3)
    assert bench_stages.run() == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if "%" in line]
    assert len(rows) == 2
    took = bench_stages.stages(Spec(SMALL[0], "fedboard", 1), 10)
    assert all(seconds > 0 for seconds in took.values())
    assert max(took, key=lambda stage: took[stage]) == bench_stages.ROUND
    monkeypatch.setattr(decode, "use_compiled", lambda wanted=True: False)
    with pytest.raises(SystemExit, match="numba"):
        bench_stages.run()


def test_a_table_without_flower_says_what_to_install(capsys, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(bench_host.importlib, "import_module", missing)
    assert bench_host.find_flower() is None
    assert "pip install flwr" in capsys.readouterr().err


def test_flower_gets_the_same_updates():
    """The mean of both, within our rounding to 1/256."""
    pytest.importorskip("flwr")
    flower = bench_host.find_flower()
    spec = Spec(SMALL[0], "fedboard", 1)
    for percent in (10, 100):
        pool = [bench_host.encoded(spec, percent, seed) for seed in range(5)]
        whole, bare = flower([bench_host.dense(spec, each) for each in pool])
        merger = strategies.make("fedavg", {}).merger(spec)
        merger.start(array("h", bytes(2 * spec.n_params)))
        for meta, data in pool:
            merger.add(decode.Decoder(spec).parse(3, meta, data), bench_host.N_SAMPLES)
        merger.merge()
        mine = merger.state()["master"] / 256
        for means in (bare(5), [each.numpy() for each in whole(5).values()]):
            theirs = np.concatenate([np.asarray(each).reshape(-1) for each in means])
            assert np.allclose(mine, theirs, atol=0.01)
