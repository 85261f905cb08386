"""Features of windows of readings. That they are right to the bit: tests/test_golden.py."""

from __future__ import annotations

import math
import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedboard import DataError
from fedboard.features import Features, Window, log2_16


def computed(features: Features, rows: list[list[int]]) -> list[int]:
    x = array("b", bytes(features.n_out))
    window = array("h", [v for row in rows for v in row])
    before = array("h", window)
    features.compute(window, x)
    assert window == before
    return list(x)


def swing(n: int, strength: float, bias: int = 0, period: float = 30.0) -> list[list[int]]:
    """Three axes of one movement."""
    return [
        [int(bias + strength * math.sin(2 * math.pi * i / period + k)) for k in range(3)]
        for i in range(n)
    ]


def test_a_gesture_of_six_axes_fits_64_inputs():
    assert Features(100, 6).n_out == 60


@pytest.mark.parametrize(("n", "blocks", "bands"), [(100, 3, 5), (31, 4, 4), (7, 6, 2), (2, 2, 1)])
def test_an_axis_is_told_by_blocks_and_octaves_that_a_window_has(n, blocks, bands):
    """Eight of them together, unless told otherwise."""
    usual = Features(n, 3)
    assert (usual.blocks, usual.bands) == (blocks, bands)
    assert (Features(n, 3, blocks=1).bands, Features(n, 3, bands=0).blocks) == (bands, blocks)


def test_shape_is_the_same_for_a_stronger_movement():
    features = Features(100, 3, blocks=6)
    weak = computed(features, swing(100, 1000))
    strong = computed(features, swing(100, 4000))
    for axis in range(3):
        at = 13 * axis
        assert weak[at : at + 6] == pytest.approx(strong[at : at + 6], abs=2)
        assert max(abs(v) for v in weak[at : at + 6]) > 20
        for k in range(at + 7, at + 13):  # two octaves more
            assert strong[k] - weak[k] == pytest.approx(32, abs=2)


def test_level_moves_alone():
    features = Features(100, 3)
    level = computed(features, swing(100, 1000))
    tilted = computed(features, swing(100, 1000, bias=8192))
    for i in range(30):
        assert tilted[i] - level[i] == pytest.approx(32 if i % 10 == 3 else 0, abs=2)


def test_bands_tell_slow_from_fast():
    features = Features(128, 3, blocks=1, bands=5)
    slow = computed(features, swing(128, 2000, period=40))
    fast = computed(features, swing(128, 2000, period=3))
    assert slow[3] < fast[3] - 30  # the first octave
    assert slow[7] > fast[7] + 15  # the last


def test_noise_below_the_floor_has_no_shape():
    rng = random.Random(3)
    rows = [[rng.randrange(-8, 9) for _ in range(3)] for _ in range(100)]
    found = computed(Features(100, 3), rows)
    assert all(abs(v) <= 2 for axis in range(3) for v in found[10 * axis : 10 * axis + 3])


@given(st.integers(1, 1 << 17))
def test_log2(v):
    assert abs(log2_16(v) - 16 * math.log2(v)) < 2.4


@given(st.data())
def test_any_window_gives_small_features(data):
    n = data.draw(st.integers(2, 40))
    axes = data.draw(st.integers(1, 4))
    features = Features(n, axes, blocks=data.draw(st.integers(0, n)), bands=1, floor=1)
    rows = data.draw(
        st.lists(
            st.lists(st.integers(-32768, 32767), min_size=axes, max_size=axes),
            min_size=n, max_size=n,
        )
    )  # fmt: skip
    assert all(-127 <= v <= 127 for v in computed(features, rows))


def test_window_slides():
    features = Features(4, 2, blocks=4, bands=0)
    window = Window(features, hop=2)
    readings = [[10 * i, -7 * i] for i in range(10)]
    x = array("b", bytes(features.n_out))
    found = []
    for reading in readings:
        if window.push(reading, x):
            found.append(list(x))
    assert found == [computed(features, readings[i : i + 4]) for i in (0, 2, 4, 6)]


def test_window_begins_anew():
    features = Features(4, 1, blocks=2)
    window = Window(features)
    x = array("b", bytes(features.n_out))
    assert not window.push([1], x)
    window.clear()
    assert [window.push([40000 * i], x) for i in (-1, 0, 1, 0)] == [False, False, False, True]


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ((1, 3), "2 to 1024 readings, not 1"),
        ((1025, 3), "not 1025"),
        ((100, 0), "not 0 in groups"),
        ((100, 17), "not 17"),
        ((100, 4, 6, 2, 3), "4 in groups of 3"),
        ((5, 1, 6), "6 blocks"),
        ((4, 1, 2, 3), "3 bands"),
        ((100, 1, -1), "-1 blocks"),
        ((100, 1, 6, 2, 0, 0), "1 to 32767"),
    ],
)
def test_sizes_that_cannot_be(sizes, says):
    with pytest.raises(DataError, match=says):
        Features(*sizes)


def test_buffers_of_other_sizes():
    features = Features(4, 2, blocks=4)
    with pytest.raises(DataError, match="8 numbers"):
        features.compute(array("h", bytes(14)), array("b", bytes(features.n_out)))
    with pytest.raises(DataError, match="2 axes"):
        Window(features).push([1, 2, 3], array("b", bytes(features.n_out)))
    with pytest.raises(DataError, match="hop"):
        Window(features, hop=5)
