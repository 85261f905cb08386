"""What boards are asked for to make a model their own; jitter in rounds, too."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from fedboard import DataError, messages
from fedboard.model import Spec
from fedboard_host import adaptation, cli, personal_cli, strategies
from fedboard_host.dataset import Set
from fedboard_host.experiments import owners
from fedboard_host.fleet_rounds import FleetFederation


def test_the_task_that_boards_are_given_unless_told_otherwise() -> None:
    task = adaptation.task("centred", 3, token=7)
    assert (task.op, task.round, task.flags) == (messages.ADAPT, 7, messages.KEEP | messages.BLEND)
    assert (task.shots, task.n_max, task.jitter, task.batch, task.rate) == (5, 40 * 5 * 3, 28, 1, 0)
    assert adaptation.task("", 0).n_max == 40 * 5 * 10  # nobody knows how many classes
    numbers = adaptation.task("float-squared", 1)
    assert (numbers.flags, numbers.jitter) == (messages.KEEP, 0)


def test_experiments_make_models_personal_as_the_command_does() -> None:
    defaults = {option.name: option.default for option in personal_cli.personalize.params}
    assert defaults["rate"] == owners.OWN_RATE
    assert (defaults["passes"], defaults["jitter"]) == (owners.OWN_PASSES, owners.OWN_JITTER)
    assert defaults["is_blended"]


def test_the_command_asks_for_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[messages.Task] = []

    async def personalize(who, board, task, model):
        asked.append(task)
        return board, messages.Metrics(version=3, n=4, n_correct=3, n_correct_before=2)

    monkeypatch.setattr(personal_cli, "_personalize", personalize)
    more = ["--shots", "2", "--passes", "3", "--rate", "6", "--jitter", "9", "--no-blend"]
    for options in ([], more):
        done = CliRunner().invoke(cli.cli, ["personalize", "window", *options])
        assert done.exit_code == 0, done.output
        assert ("--no-blend may do better" in done.output) == (not options)  # 2 of 4 were right
    assert (asked[0].flags, asked[0].jitter) == (messages.KEEP | messages.BLEND, 28)
    told = asked[1]
    assert (told.flags, told.shots, told.n_max) == (messages.KEEP, 2, 3 * 2 * 10)
    assert (told.rate, told.jitter) == (6, 9)


def test_fedavg_asks_for_jitter_but_not_of_the_mean() -> None:
    spec = Spec((4, 4, 5, 2), "centred", 1)
    way = strategies.centring.for_model(strategies.make("fedavg", {"jitter": 9}), spec)
    board = strategies.BoardInfo("a", "", n_samples=9, n_in=4)
    assert [way.plan(spec, [board], n)["a"].jitter for n in (1, 2, 3)] == [0, 9, 9]
    with pytest.raises(DataError, match="jitter"):
        strategies.make("fedavg", {"jitter": 128})


def test_what_is_simulated_in_bulk_has_no_jitter() -> None:
    spec = Spec((4, 5, 2), "fedboard", 1)
    samples = Set(np.zeros((6, 4), np.int8), np.arange(6) % 2)
    fleet = FleetFederation(
        spec, strategies.make("fedavg", {"jitter": 9}), samples, [np.arange(6)], threads=1
    )
    with pytest.raises(DataError, match="jitter is not simulated"):
        fleet.round()
