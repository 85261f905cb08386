"""Differential privacy: the sampler's law, the clip, the account, and where it is refused."""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import math
from array import array
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fedboard import DataError
from fedboard.model import Spec
from fedboard_host import clip, config, privacy, progress, simulate, strategies
from fedboard_host.cli import cli
from fedboard_host.events import RoundClosed
from fedboard_host.flower.homes import Homes
from fedboard_host.means import MASTER_BITS, MeanMerger
from fedboard_host.privacy import Privacy, discrete_gaussian, discrete_laplace, seeded_bits
from fedboard_host.robust import Merging
from federations import Fleet

SPEC = Spec((3, 4, 2), "fedboard", 1)
N = SPEC.n_params


def chi_square(counts, expected, n):
    """Against a law {value: probability}; rare values together. (statistic, degrees)."""
    total = freedom = 0.0
    rare_seen, rare = n, 1.0
    for value, p in expected.items():
        if n * p >= 10:
            total += (counts[value] - n * p) ** 2 / (n * p)
            freedom += 1
            rare_seen -= counts[value]
            rare -= p
    if n * rare > 1:
        total += (rare_seen - n * rare) ** 2 / (n * rare)
        freedom += 1
    return total, freedom - 1


def law(weight):
    """{y: probability} for P(y) ~ weight(y)."""
    found = {y: weight(y) for y in range(-400, 401)}
    scale = sum(found.values())
    return {y: w / scale for y, w in found.items()}


@pytest.mark.parametrize("variance", [1, 2, 30, 900])
def test_the_discrete_gaussian(variance):
    n = 20_000
    bits = seeded_bits(7)
    counts = Counter(discrete_gaussian(variance, bits) for _ in range(n))
    found, freedom = chi_square(counts, law(lambda y: math.exp(-y * y / (2 * variance))), n)
    assert found < freedom + 4 * math.sqrt(2 * freedom)  # four standard deviations


def test_the_discrete_laplace():
    n = 20_000
    bits = seeded_bits(9)
    counts = Counter(discrete_laplace(5, bits) for _ in range(n))
    found, freedom = chi_square(counts, law(lambda y: math.exp(-abs(y) / 5)), n)
    assert found < freedom + 4 * math.sqrt(2 * freedom)
    worse, freedom = chi_square(counts, law(lambda y: math.exp(-abs(y) / 5.3)), n)
    assert worse > freedom + 4 * math.sqrt(2 * freedom)  # the test can tell


@pytest.mark.parametrize(("a", "b"), [(0, 1), (1, 3), (1, 1), (5, 2)])
def test_bernoulli_exp(a, b):
    bits = seeded_bits(3)
    n = 20_000
    hits = sum(privacy._bernoulli_exp(a, b, bits) for _ in range(n))
    p = math.exp(-a / b)
    assert abs(hits - n * p) <= 4 * math.sqrt(n * p * (1 - p))


def test_the_noise_is_as_wide_as_it_says():
    noise = Privacy(2.0, 500)
    assert noise.variance == 1_000_000
    drawn = noise.draw(4000, seeded_bits(1))
    assert abs(drawn.std() / 1000 - 1) < 0.05
    assert abs(drawn.mean()) < 4 * 1000 / math.sqrt(4000)
    assert Privacy(0.1, 7).variance == 1  # rounded up, never down
    assert drawn.tolist() == noise.draw(4000, seeded_bits(1)).tolist()
    assert privacy.system_bits()(40) < 1 << 40


def update(scale, n=N):
    """The same change for every parameter."""
    found = []
    for l in range(SPEC.n_layers):
        k = SPEC.n_layer_params(l)
        found.append((l, array("i", range(k)), array("i", [scale] * k)))
    return found


def test_no_update_is_longer_than_the_clip():
    rng = np.random.default_rng(0)
    for turn in range(300):
        values = rng.integers(-3000, 3000, N)
        squares = int(values @ values)
        most = math.isqrt(squares) if turn % 2 else int(rng.integers(1, 9000))
        parts = [
            (l, array("i", range(SPEC.n_layer_params(l))), values[SPEC.at(l) : SPEC.at(l + 1)])
            for l in range(2)
        ]
        short, was_cut = clip.cut_update(parts, most)
        assert sum(int(v) ** 2 for _, _, own in short for v in own) <= most**2
        assert was_cut == (squares > most**2)


def merger(noise, bits):
    made = MeanMerger(SPEC)
    made.start(array("h", bytes(2 * N)))
    made.set_up(Merging(privacy=noise), bits)
    return made


def test_the_mean_of_clipped_updates_and_noise():
    noise = Privacy(1.5, 40)
    made = merger(noise, lambda: seeded_bits(5))
    for scale, n_samples in ((3, 10), (900, 99999)):
        made.add(update(scale), made.counted(n_samples), f"b{scale}")
    cut = clip.cut_update(update(900), 40)[0]
    small = np.concatenate([np.asarray(values) for _, _, values in cut])
    drawn = noise.draw(N, seeded_bits(5))
    made.merge()
    wanted = np.floor((3 + small + drawn) / 2 * (1 << MASTER_BITS) + 0.5)
    assert made.state()["master"].tolist() == wanted.tolist()
    assert [(one.board, one.clipped) for one in made.opinions] == [("b3", False), ("b900", True)]
    assert made.spent == noise.spent


def test_the_account():
    """RDP's epsilon is below the classic bound of zero-concentrated privacy, and not far below."""
    for noise, rounds in ((1.0, 1), (1.0, 50), (5.0, 10)):
        rho = rounds / (2 * noise**2)
        classic = rho + 2 * math.sqrt(rho * math.log(1 / privacy.DELTA))
        found = privacy.epsilon(rounds * Privacy(noise, 1).spent)
        assert 0.75 * classic < found < classic
    assert privacy.epsilon(0) == 0.0


def test_the_account_outlives_the_host_and_knows_of_rounds_in_the_clear():
    noise = Privacy(1.0, 40)
    made = merger(noise, lambda: seeded_bits(5))
    for _ in range(2):
        made.add(update(3), 1, "b")
        made.merge()
    other = merger(noise, lambda: seeded_bits(5))
    other.restore(made.state())
    assert other.epsilon() == made.epsilon() == privacy.epsilon(2 * noise.spent)
    plain = merger(Privacy(), lambda: seeded_bits(5))
    assert plain.epsilon() is None
    plain.add(update(3), 1, "b")
    plain.merge()
    other.restore(plain.state())
    assert other.epsilon() == math.inf


def test_a_checkpoint_that_does_not_tell_what_was_spent_promises_nothing():
    noise = Privacy(1.0, 40)
    made, other = (merger(noise, lambda: seeded_bits(5)) for _ in range(2))
    state = made.state()
    del state["spent"]
    other.restore(state)
    other.add(update(3), 1, "b")
    other.merge()
    assert other.epsilon() == math.inf


def test_an_infinite_epsilon_is_json():
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    file = io.StringIO()
    event = RoundClosed(4, 5, 2, 2, None, math.nan, 10, 10, 5, 1.0, epsilon=math.inf)
    progress.Json(file)(event)
    told = json.loads(file.getvalue(), parse_constant=refuse)
    assert (told["epsilon"], told["loss"], told["round"]) == ("inf", "nan", 4)


def test_without_the_accountant_it_says_so(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(DataError, match=r"pip install 'fedboard\[dp\]'"):
        merger(Privacy(1.0, 40), lambda: seeded_bits(5))


@pytest.mark.parametrize(
    ("noise", "length", "why"),
    [(-1, 5, "noise = -1"), (1.0, 0, "noise needs clip_norm"), (0.0, 5, "clip_norm is for noise")],
)
def test_wrong_settings(noise, length, why):
    with pytest.raises(DataError, match=why):
        Privacy(noise, length)


def test_what_it_does_not_go_with():
    noise = Privacy(1.0, 100)
    for other in ({"kind": "median"}, {"secure": True}):
        with pytest.raises(DataError, match="choose one of the two"):
            Merging(**other, privacy=noise)
    text = (
        '[federation]\nname = "a"\nnoise = 1.0\nclip_norm = 100\n{}\n[model]\nlayers = [4, 3]\n'
        + "".join(f'[[board]]\nname = "b{i}"\nlink = "serial:{i}"\n' for i in range(3))
    )
    assert config.parse(text.format(""), Path("h")).merging.privacy == noise
    for more, why in (
        ("secure = true", "choose one of the two"),
        ('merge = "median"', "choose one of the two"),
    ):
        with pytest.raises(DataError, match=why):
            config.parse(text.format(more), Path("h"))
    with pytest.raises(DataError, match="noise needs clip_norm"):
        config.parse(text.format("").replace("clip_norm = 100\n", ""), Path("h"))
    with pytest.raises(DataError, match="noise is not for rule centred"):
        config.parse(text.format("").replace("4, 3]", '4, 3]\nrule = "centred"'), Path("h"))


def test_simulate_tells_epsilon_and_resumes_to_the_same_bits(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 200)
    data = tmp_path / "d.npz"
    np.savez(data, x=(rng.integers(0, 40, (200, 6)) + 70 * y[:, None]), y=y)
    command = [
        "simulate", "fedavg", "--data", str(data), "--boards", "4", "--hidden", "4", "--noise", "2",
        "--clip-norm", "50", "--every", "1",
    ]  # fmt: skip
    told = CliRunner().invoke(cli, [*command, "--rounds", "3", "--out", str(tmp_path / "a")])
    assert told.exit_code == 0, told.output
    assert f"epsilon {privacy.epsilon(3 * Privacy(2, 50).spent):.3g}" in told.output
    for rounds in ("2", "3"):
        more = ["--resume"] if rounds == "3" else []
        out = ["--rounds", rounds, "--out", str(tmp_path / "b"), *more]
        assert CliRunner().invoke(cli, [*command, *out]).exit_code == 0
    results = [np.load(tmp_path / name / "seed1.npz")["result"].tolist() for name in "ab"]
    assert results[0] == results[1]
    lines = [
        json.loads(line) for line in (tmp_path / "a" / "simulate.jsonl").read_text().splitlines()
    ]
    assert [round(line["epsilon"], 3) for line in lines] == sorted(
        round(line["epsilon"], 3) for line in lines
    )
    with pytest.raises(DataError, match="noise needs clip_norm"):
        simulate.run(simulate.Settings("fedavg", str(data), noise=1.0), tmp_path / "c")


def test_homes_are_hidden_as_boards_are():
    """By Flower's ServerApp, which hands its settings on."""
    noise = Privacy(1.0, 40)
    homes = Homes(SPEC, strategies.make("fedavg"), 1, 9, Merging(privacy=noise))
    assert homes.epsilon() == 0.0
    homes._merger.add(update(900), homes._merger.counted(5), "1")
    homes.merge()
    assert homes.epsilon() == privacy.epsilon(noise.spent)
    assert Homes(SPEC, strategies.make("fedavg"), 1, 9).epsilon() is None


def test_a_run_tells_it_each_round(tmp_path):
    strategy = strategies.make("fedavg", {"batch": 4, "rate": 6})

    async def main():
        async with Fleet(
            tmp_path, 3, strategy=strategy, merging=Merging(privacy=Privacy(1.0, 200))
        ) as fleet:
            await fleet.run(2)
            return fleet.of(RoundClosed)

    closed = asyncio.run(main())
    spent = Privacy(1.0, 200).spent
    assert [e.epsilon for e in closed] == [privacy.epsilon(spent), privacy.epsilon(2 * spent)]
