"""The crowd's time and energy add up; the experiment runs without any data set."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from fedboard import DataError
from fedboard_host import crowd
from fedboard_host.crowd import SERIAL, WIFI, Crowd
from fedboard_host.experiments import crowd as experiment
from fedboard_host.experiments import images

EVEN = {"SLOW_SIGMA": 0.0, "JITTER_SIGMA": 0.0, "MEAN_ON_S": 1e12, "MEAN_OFF_S": 1e3}


@pytest.fixture
def even(monkeypatch):
    """All boards alike, and always here."""
    for name, value in EVEN.items():
        monkeypatch.setattr(crowd, name, value)


def test_alike_boards_take_what_one_takes(even):
    turn = Crowd(100, WIFI, 1).round(wanted=10, bytes_down=5000, bytes_up=2000, train_s=0.5)
    talk_s = WIFI.setup_s + 7000 * crowd.WIRE / WIFI.bytes_per_s
    joules = talk_s * WIFI.watts + (talk_s + 0.5) * crowd.CPU_WATTS
    assert (len(turn.chosen), turn.n_asked) == (10, 13)
    assert turn.seconds == pytest.approx(talk_s + 0.5)
    assert turn.joules == pytest.approx(13 * joules)
    assert turn.wasted == pytest.approx(3 * joules)


def test_the_slow_are_left_out():
    turns = {}
    for over in (1.0, 2.0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(crowd, "OVER", over)
            turns[over] = Crowd(1000, SERIAL, 3).round(100, 5000, 2000, 0.5)
    assert turns[2.0].seconds < turns[1.0].seconds
    assert turns[1.0].wasted < turns[2.0].wasted < turns[2.0].joules
    assert len(np.unique(turns[2.0].chosen)) == 100


def test_boards_come_and_go_and_the_host_waits(monkeypatch):
    monkeypatch.setattr(crowd, "MEAN_ON_S", 600.0)
    monkeypatch.setattr(crowd, "MEAN_OFF_S", 5400.0)
    mine, again = Crowd(200, SERIAL, 5), Crowd(200, SERIAL, 5)
    seen: set[int] = set()
    waited = 0.0
    for _ in range(20):
        turn = mine.round(25, 500, 100, 200.0)
        other = again.round(25, 500, 100, 200.0)
        assert turn.seconds == other.seconds
        assert (turn.chosen == other.chosen).all()
        seen |= set(turn.chosen.tolist())
        waited += turn.seconds
    assert len(seen) > 60  # of those that are here now and then
    with pytest.raises(DataError, match="ask for fewer"):
        mine.round(201, 1, 1, 1.0)


def test_more_bytes_more_time_and_energy():
    few, many = (Crowd(500, SERIAL, 1).round(50, n, n, 0.1) for n in (100, 10_000))
    assert few.seconds < many.seconds
    assert few.joules < many.joules
    radio = Crowd(500, replace(WIFI, setup_s=0.0), 1).round(50, 100, 100, 0.1)
    assert radio.joules > few.joules


def test_the_first_look_at_the_goal():
    assert experiment.to_goal([1.0, 2.0, 3.0], [0.5, 0.91, 0.89]) == 2.0
    assert experiment.to_goal([1.0], [0.5]) == math.inf


@pytest.mark.slow
def test_the_experiment_in_small(tmp_path, capsys, monkeypatch):
    """With scikit-learn's digits."""
    monkeypatch.setattr(images, "_BESIDE", tmp_path)
    rows = experiment.run(quick=True, out_dir=tmp_path, as_json=True)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row.variant.split("; ")[1] for row in rows} == {"USB serial", "WiFi"}
    assert len(told) == len(rows) == 4 * 2 * len(experiment.WAYS)
    assert (tmp_path / "crowd.png").exists()
    sent = {row.variant: row.bytes_up for row in rows}
    assert sent["Top-1 %, 4 bits; WiFi"] < sent["dense int16; WiFi"] / 20
