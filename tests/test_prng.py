"""The random stream: against the reference and the C library, and its statistics."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedboard.prng import Xorshift, isqrt, mix
from reference import prng as reference

WORDS = st.integers(0, 2**32 - 1)


def words(rng: Xorshift, n: int) -> list[int]:
    found = []
    for _ in range(n):
        rng.next()
        found.append(rng.hi << 16 | rng.lo)
    return found


@given(WORDS)
def test_the_stream_is_xorshift32(seed):
    expected = reference.stream(seed)
    assert words(Xorshift(seed), 50) == [next(expected) for _ in range(50)]


def test_published_start_of_the_stream():
    """xorshift32 (13, 17, 5) from 1, as Marsaglia's C computes it."""
    assert words(Xorshift(1), 3) == [270369, 67634689, 2647435461]


def test_seeds_that_are_alike_modulo_a_word_give_the_same_stream():
    assert words(Xorshift(-1), 5) == words(Xorshift(2**32 - 1), 5)
    assert words(Xorshift(2**32 + 7), 5) == words(Xorshift(7), 5)
    assert any(words(Xorshift(0), 5)), "a seed of 0 must not stay at 0"


@given(WORDS, st.integers(1, 16384))
def test_below_is_below(seed, n):
    rng = Xorshift(seed)
    assert all(0 <= rng.below(n) < n for _ in range(20))


def test_below_is_uniform():
    rng = Xorshift(5)
    counts = [0] * 10
    for _ in range(50_000):
        counts[rng.below(10)] += 1
    chi2 = sum((n - 5000) ** 2 / 5000 for n in counts)
    assert chi2 < 27.9, counts  # 9 degrees of freedom: one in a thousand


@given(WORDS, st.integers(0, 300))
def test_shuffle_permutes_as_the_reference_does(seed, n):
    items = list(range(n))
    Xorshift(seed).shuffle(items)
    assert sorted(items) == list(range(n))
    assert items == reference.shuffled(reference.stream(seed), list(range(n)))


@given(WORDS, st.lists(WORDS, max_size=4))
def test_mix_is_the_reference_and_a_seed(seed, parts):
    mixed = mix(seed, *parts)
    assert 0 < mixed < 2**32
    assert mixed == reference.mix(seed, *parts)


def test_mix_tells_purposes_apart():
    seeds = {
        mix(seed, label, layer) for seed in range(50) for label in range(5) for layer in range(8)
    }
    assert len(seeds) == 50 * 5 * 8
    assert mix(1, 2) != mix(2, 1)
    assert mix(1) != mix(1, 0) != mix(1, 0, 0)


def test_a_changed_bit_changes_half_of_the_seed():
    flips = [
        bin(mix(seed, 1, part) ^ mix(seed, 1, part ^ 1 << bit)).count("1")
        for seed in range(8)
        for part in (0, 1, 77, 0xDEADBEEF)
        for bit in range(32)
    ]
    assert 15.5 < sum(flips) / len(flips) < 16.5
    assert min(flips) >= 3


@given(st.integers(0, 2**48))
def test_isqrt(n):
    assert isqrt(n) == math.isqrt(n)


@pytest.mark.parametrize("root", [1, 2, 3, 255, 4096, 46341, 65536])
def test_isqrt_beside_squares(root):
    assert [isqrt(root * root + near) for near in (-1, 0, 1)] == [
        root - 1, root, math.isqrt(root * root + 1),
    ]  # fmt: skip
