"""A few rounds over a line that corrupts 1 % of all bytes; tools/noise.py does a thousand."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("pty", reason="the board talks over a pty")

import noise


def test_no_model_is_ever_wrong(micropython, tmp_path):
    told = noise.rounds(list(micropython), tmp_path, 4, seed=2)
    assert told["wrong_models"] == []
    assert told["corrupted_down"] > 100
    assert told["damaged_frames_up"] > 0
    assert told["refused_frames_up"] == 0  # what was damaged fell at the CRC, before the tag


def test_the_line_corrupts_as_much_as_it_says():
    line = noise.Line(random.Random(1), 0.01, (3,))
    said = bytes(range(256)) * 400
    heard = line(said)
    differ = [b for a, b in zip(said, heard, strict=True) if a != b]
    assert len(differ) == line.n_corrupted
    assert 900 < len(differ) < 1150
    assert 3 not in differ
