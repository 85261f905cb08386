"""Meta-learning over the real protocol: a new board learns faster, and all runtimes agree."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fedboard import DataError
from fedboard_host import export, metademo, metasummary, metatasks
from fedboard_host.cli import cli
from fedboard_host.dataset import Set
from fedboard_host.fleet_rounds import FleetFederation
from fedboard_host.progress import View


class Quiet(View):
    def __call__(self, event: object) -> None:
        pass


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def run(folder: Path, task: str, **options: object) -> metasummary.Summary:
    return metademo.run(metademo.for_task(task, **options), folder, Quiet())


def params(folder: Path) -> np.ndarray:
    return np.array(export.read_npz(folder / "model.npz").params)


def test_waves(tmp_path: Path) -> None:
    """From what boards learned together ten shots of a new wave are enough; not from scratch."""
    folder = tmp_path / "d"
    options = ["demo", "--task", "sine", "--rounds", "60", "--out", str(folder), "--json"]
    done = CliRunner().invoke(cli, options)
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["strategy"], said["rule"], said["boards"]) == ("tinyreptile", "float-squared", 16)
    assert said["n_asked"] == said["rounds"] == 60
    learned, untrained = said["learned"]["after"], said["untrained"]["after"]
    assert len(learned) == len(untrained) == 10
    assert mean(learned) < 0.4 * mean(untrained)
    assert mean(learned) < 0.4 * mean(said["learned"]["before"])
    assert export.read_npz(folder / "model.npz").spec.sizes == (1, 40, 40, 1)
    text = metasummary.text(metasummary.Summary(**{
        **{k: v for k, v in said.items() if k != "event"},
        "learned": metasummary.Adapted(**said["learned"]),
        "untrained": metasummary.Adapted(**said["untrained"]),
    }))  # fmt: skip
    assert f"{mean(learned):.2f}" in text


def test_names_of_digits(tmp_path: Path) -> None:
    """Integers, and a local last layer: what a class is called is another matter on each board."""
    found = run(tmp_path / "d", "labels", strategy="tinymetafed", rounds=60)
    assert found.n_asked == 60
    assert mean(found.learned.before) < 0.35
    assert mean(found.learned.after) > mean(found.untrained.after) + 0.1
    assert mean(found.learned.after) > 0.75


@pytest.mark.parametrize(
    ("strategy", "boards", "rounds"),
    [("tinyreptile", 3, 5), ("reptile", 2, 2), ("tinymetafed", 3, 6)],
)
def test_integers_are_the_same_everywhere(
    tmp_path: Path, micropython: list[str], strategy: str, boards: int, rounds: int
) -> None:
    """This process, MicroPython processes and the simulator: one model, one set of answers."""
    options = {"strategy": strategy, "boards": boards, "rounds": rounds, "new_boards": 1}
    here = run(tmp_path / "here", "labels", **options)
    there = run(
        tmp_path / "there", "labels", **options, runtime="micropython", micropython=micropython[0]
    )
    assert there.model_sha256 == here.model_sha256
    assert (there.learned, there.untrained) == (here.learned, here.untrained)
    chosen = metademo.for_task("labels", **options)
    own = metatasks.deal("labels", boards, chosen.seed)
    rows = np.split(np.arange(sum(map(len, own))), np.cumsum([len(s) for s in own])[:-1])
    fleet = FleetFederation(
        metademo.spec_of(chosen), metademo.strategy_of(chosen),
        Set(np.concatenate([s.x for s in own]), np.concatenate([s.y for s in own])), rows,
        run=metademo.run_of(chosen), names=[f"board-{b:02}" for b in range(boards)],
    )  # fmt: skip
    for _ in range(rounds):
        fleet.round()
    assert fleet.result.tolist() == params(tmp_path / "here").tolist()


@pytest.mark.parametrize("strategy", ["tinyreptile", "tinymetafed"])
def test_floats_agree_closely(tmp_path: Path, micropython: list[str], strategy: str) -> None:
    """NumPy's 32-bit sums here, 64-bit ones there: of 4096 a unit, an image differs by few."""
    options = {"strategy": strategy, "boards": 2, "rounds": 4, "new_boards": 2}
    run(tmp_path / "here", "sine", **options)
    run(tmp_path / "there", "sine", **options, runtime="micropython", micropython=micropython[0])
    off = np.abs(params(tmp_path / "here").astype(int) - params(tmp_path / "there"))
    assert off.max() <= 4


def test_wrong_options() -> None:
    with pytest.raises(DataError, match="is for the strategies"):
        metademo.for_task("sine", strategy="fedavg")
    for wrong in (["--bits", "4"], ["--top-percent", "3"]):
        done = CliRunner().invoke(cli, ["demo", "--task", "labels", *wrong])
        assert done.exit_code == 2
        assert "is for --task digits" in done.output


def test_what_boards_are_dealt() -> None:
    for task in metademo.KINDS:
        dealt = metatasks.deal(task, 4, 2)
        assert [s.x.tobytes() for s in dealt] == [s.x.tobytes() for s in metatasks.deal(task, 4, 2)]
        assert len({s.y.tobytes() + s.x.tobytes() for s in dealt}) == 4
    used = {row.tobytes() for s in metatasks.deal("labels", 16, 2) for row in s.x}
    new = [row.tobytes() for s in metatasks.deal("labels", 16, 2, is_new=True) for row in s.x]
    assert sum(row in used for row in new) < 0.02 * len(new)  # a few scans are equal
    assert dataclasses.asdict(metademo.Options())["task"] == "sine"
