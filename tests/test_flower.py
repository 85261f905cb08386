"""Homes as boards of a federation above them: by hand, and through a real Flower on loopback."""

from __future__ import annotations

import asyncio
import json
from importlib.util import find_spec

import pytest
from click.testing import CliRunner

from fedboard import DataError
from fedboard_host import branch, door, strategies
from fedboard_host.cli import cli
from fedboard_host.flower import app
from fedboard_host.flower.homes import Homes
from fedboard_host.robust import Merging
from test_branch import SPEC, home
from test_branch import model as start_model

MODEL = start_model()


def with_flower(test):
    """Flower itself uses what is deprecated elsewhere."""
    reason = "no Flower: pip install 'fedboard[flower]'"
    test = pytest.mark.filterwarnings("ignore::DeprecationWarning")(test)
    return pytest.mark.skipif(find_spec("flwr") is None, reason=reason)(test)


@with_flower
@pytest.mark.slow
def test_the_demo_learns_through_flower(tmp_path):
    """Two homes, two of Flower's rounds: what is judged here is the way, not the accuracy."""
    out = tmp_path / "homes"
    done = CliRunner().invoke(
        cli,
        ["flower-demo", "--homes=2", "--boards=2", "--rounds=2", "--home-rounds=8",
         f"--out={out}", "--json"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout.splitlines()[-1])
    rounds = [json.loads(line) for line in (out / "rounds.jsonl").read_text().splitlines()]
    assert [r["round"] for r in rounds] == [1, 2]
    assert summary["accuracy"] > 0.6 < summary["accuracy_one_home"]
    # The second order is changes to the model that the home holds.
    assert rounds[1]["bytes_down"] - rounds[0]["bytes_down"] < rounds[0]["bytes_down"]
    assert not (out / "home-0" / "door.json").exists()


def test_the_only_home_is_followed_exactly(tmp_path):
    """With exact updates, bit for bit; a home that fails in a round comes back by a dense model."""

    async def main(folder):
        homes = Homes(SPEC, strategies.make("fedavg", {"batch": 8}), home_rounds=1, run=9)
        async with home(folder) as federation:
            answer = branch.Branch(federation, folder).answer
            for number in (1, 2, 3):
                reply = await answer(homes.order(5, number))
                lost = homes.order(6, number)  # of a home that never answers: a dense model
                assert branch.read_order(lost).base == 0
                homes.miss(6)
                homes.take(5, number, reply)
                assert homes.n_updates == 1
                homes.merge()
                assert homes.result() == federation.checkpoint.result
            assert branch.read_order(homes.order(5, 4)).base == 3
            homes.miss(5)
            assert branch.read_order(homes.order(5, 4)).base == 0

    asyncio.run(main(tmp_path))


@pytest.mark.parametrize(
    "reply",
    [
        b"nonsense",
        door.pack({"round": 1}),
        door.pack({
            "round": 7, "version": 7, "digest": "", "meta": "", "layers": 3, "n_samples": 1,
        }),
        door.pack({
            "round": 1, "version": 1, "digest": SPEC.digest(MODEL).hex(), "meta": "", "layers": 3,
            "n_samples": 0,
        }),
        b'{"round":1,"version":1,"digest":"","meta":"","layers":3,"n_samples":Infinity}\n',
        b"[" * 100_000 + b"\n",
        door.pack({
            "round": 1, "version": 1, "digest": "xy", "meta": "", "layers": 3, "n_samples": 1,
        }),
    ],
)  # fmt: skip
def test_a_wrong_reply_is_left_out(reply):
    homes = Homes(SPEC, strategies.make("fedavg"), home_rounds=1, run=9)
    homes.order(5, 1)
    with pytest.raises(DataError):
        homes.take(5, 1, reply)
    assert homes.n_updates == 0


def test_too_few_homes_for_a_rule_keep_what_they_sent(tmp_path):
    async def main():
        homes = Homes(SPEC, strategies.make("fedavg", {"batch": 8}), 1, 9, Merging("median"))
        before = homes.params()
        async with home(tmp_path) as federation:
            answer = branch.Branch(federation, tmp_path).answer
            homes.take(5, 1, await answer(homes.order(5, 1)))
        assert not homes.merge()
        assert homes.params() == before
        assert branch.read_order(homes.order(5, 2)).settled == 0

    asyncio.run(main())


@with_flower
def test_the_app_folder(tmp_path):
    """As `flwr run` reads it."""
    from flwr.cli.config_utils import load_and_validate

    settings = ["--set", "layers=6-4-2", "--set", "rounds=7"]
    done = CliRunner().invoke(cli, ["flower-app", str(tmp_path / "app"), *settings])
    assert done.exit_code == 0, done.output
    config, _ = load_and_validate(tmp_path / "app" / "pyproject.toml")
    found = config["tool"]["flwr"]["app"]["config"]
    assert found == {**app.CONFIG, "layers": "6-4-2", "rounds": 7}


def test_settings_that_there_are_not():
    for wrong in ("rounds=many", "round=3", "layers"):
        with pytest.raises(DataError):
            app.parse([wrong])


@with_flower
def test_homes_are_merged_by_fedavg():
    from fedboard_host.flower.server import _strategy

    assert _strategy({**app.CONFIG, "bits": 4}).bits == 4
    with pytest.raises(DataError, match="for boards"):
        _strategy({**app.CONFIG, "strategy": "tinyreptile"})
