"""The demo shows what the README claims, and the runtimes agree bit for bit."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from fedboard import DataError
from fedboard_host import demo, digits, export, progress
from fedboard_host.cli import cli
from fedboard_host.judge import Judge
from fedboard_host.secret import Secret
from fedboard_host.store import find_checkpoint, read_checkpoint

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
FILES = ("demo.png", "model.npz", "model.h", "model.bin", "summary.json", "log.sqlite")


def run_demo(folder: Path, *options: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    """The last line of `fedboard demo --json`."""
    done = subprocess.run(
        [sys.executable, "-m", "fedboard_host", "demo", "--json", "--out", str(folder), *options],
        capture_output=True, text=True, check=False, timeout=600,
        env={**os.environ, **(env or {})},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    last: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return last


@functools.cache
def real_demo(*options: str) -> dict[str, Any]:
    """The demo as it is, once for all tests."""
    with tempfile.TemporaryDirectory() as folder:
        return run_demo(Path(folder) / "demo", *options)


def test_smoke_leaves_everything(tmp_path: Path) -> None:
    said = run_demo(tmp_path / "d", "--rounds", "2", "--boards", "3", "--seed", "5", "--key")
    folder = tmp_path / "d"
    assert all((folder / name).stat().st_size > 100 for name in FILES)
    picture = (folder / "demo.png").read_bytes()
    assert picture[:4] == b"\x89PNG"
    for way in ("up", "down"):
        each = f"{way}, on the wire: mean {said[f'bytes_{way}_per_board_round']:.0f} B"
        assert each.encode() in picture  # its legend, in words
    assert (said["rounds"], said["boards"], said["seed"]) == (2, 3, 5)
    assert said["bytes_dense_int16"] == 2 * said["n_params"] == 4820
    assert said["bytes_dense_float32"] == 9640
    assert 0 < said["update_bytes_per_board_round"] < said["bytes_up_per_board_round"]
    checkpoint = read_checkpoint(find_checkpoint(folder))
    model = export.read_npz(folder / "model.npz")
    assert checkpoint.result == model.params
    held_out = digits.deal(digits.load(), 3, 5).test
    assert Judge(model.spec, held_out)(model.params)[0] == said["accuracy"]


def test_same_seed_same_model_other_seed_other_model(tmp_path: Path) -> None:
    options = ("--rounds", "2", "--boards", "2", "--no-compare")
    first = run_demo(tmp_path / "a", *options)
    assert run_demo(tmp_path / "b", *options)["model_sha256"] == first["model_sha256"]
    other = run_demo(tmp_path / "c", *options, "--seed", "3")
    assert other["model_sha256"] != first["model_sha256"]


@posix_only
@pytest.mark.parametrize("strategy", ["fedavg", "tifed-single-layer"])
def test_processes_make_the_same_model(
    strategy: str, tmp_path: Path, micropython: list[str]
) -> None:
    """Boards in this process, CPython processes and MicroPython processes: bit for bit."""
    options = ("--rounds", "3", "--strategy", strategy)
    here = run_demo(tmp_path / "memory", *options, "--no-compare")
    there = run_demo(
        tmp_path / "mpy", *options, "--no-compare", "--runtime", "micropython",
        "--micropython", micropython[0],
    )  # fmt: skip
    assert here["accuracy_central"] is None
    assert there["runtime"] == "micropython"
    assert there["model_sha256"] == here["model_sha256"]
    assert there["update_bytes_per_board_round"] == here["update_bytes_per_board_round"]


@posix_only
def test_cpython_processes_with_a_key(tmp_path: Path) -> None:
    options = ("--rounds", "2", "--boards", "2", "--no-compare")
    here = run_demo(tmp_path / "memory", *options)
    there = run_demo(tmp_path / "cpy", *options, "--runtime", "cpython", "--key")
    assert there["model_sha256"] == here["model_sha256"]


@posix_only
def test_masked_updates_make_the_model_of_clear_ones(
    tmp_path: Path, micropython: list[str]
) -> None:
    """Whatever the mask key, which is a fresh one each time, and on whichever board."""
    options = ("--rounds", "3", "--boards", "3", "--no-compare", "--secure")
    here = run_demo(tmp_path / "memory", *options)
    assert (here["masked"], here["rounds_equal"], here["bits"]) == (True, 3, 16)
    there = run_demo(
        tmp_path / "mpy", *options, "--runtime", "micropython", "--micropython", micropython[0],
    )  # fmt: skip
    assert there["rounds_equal"] is None  # nobody looks into them
    assert there["model_sha256"] == here["model_sha256"]


def test_a_sum_that_differs_would_be_noticed(tmp_path: Path, monkeypatch: Any) -> None:
    sums = Secret.sums

    def wrong(secret: Secret) -> Any:
        found = sums(secret)
        found[secret._places[0]] += 1000
        return found

    monkeypatch.setattr(Secret, "sums", wrong)
    options = demo.Options(boards=3, rounds=1, mask_key=bytes(32), compare=False)
    with progress.make(1, as_json=True) as view:
        assert demo.run(options, tmp_path / "d", view).rounds_equal == 0


@pytest.mark.slow
def test_real_demo_learns_together() -> None:
    said = real_demo()
    assert said["boards"] == 8
    assert said["accuracy"] >= said["accuracy_alone_mean"] + 0.15
    assert said["accuracy"] >= said["accuracy_central"] - 0.03
    assert said["accuracy"] >= 0.9


@pytest.mark.slow
def test_sparse_updates_cost_a_tenth_and_no_accuracy() -> None:
    sparse = real_demo()
    dense = real_demo("--top-percent", "100", "--bits", "16", "--no-compare")
    assert sparse["bytes_up_per_board_round"] <= sparse["bytes_dense_int16"] / 10
    # What a board knows well changes few parameters, and those that stay cost nothing.
    assert dense["update_bytes_per_board_round"] >= 0.7 * sparse["bytes_dense_int16"]
    assert sparse["accuracy"] >= dense["accuracy"] - 0.01


def test_deal_is_uneven_complete_and_repeatable() -> None:
    everything = digits.load()
    assert len(everything) == 1797
    for n in (1, 2, 8, 20):
        deal = digits.deal(everything, n, 3)
        again = digits.deal(everything, n, 3)
        assert sum(len(b) for b in deal.boards) + len(deal.test) == 1797
        assert len(deal.everything) == 1797 - len(deal.test)
        assert sorted(np.unique(deal.test.y)) == list(range(10))
        for b, own in enumerate(deal.boards):
            assert (own.x == again.boards[b].x).all()
            at_home = np.isin(own.y, deal.homes[b]).mean()
            assert n < 4 or at_home > 0.75
    rows = {row.tobytes() for b in deal.boards for row in b.x}
    assert sum(row.tobytes() in rows for row in deal.test.x) < 5  # a few scans are equal
    with pytest.raises(DataError, match="1 to 64"):
        digits.deal(everything, 65, 1)


def test_options_that_do_not_fit() -> None:
    with pytest.raises(DataError, match="leave out --top-percent"):
        demo.n_rounds(demo.Options(strategy="tifed-full", top_percent=5))
    with pytest.raises(DataError, match="no strategy"):
        demo.n_rounds(demo.Options(strategy="fedavgg"))
    assert demo.n_rounds(demo.Options(rounds=7)) == 7
    for wrong in ("--boards=2", "--boards=33", "--bits=4", "--strategy=tifed-full", "--task=sine"):
        done = CliRunner().invoke(cli, ["demo", "--secure", wrong])
        assert done.exit_code == 2
        assert "--secure" in done.output
