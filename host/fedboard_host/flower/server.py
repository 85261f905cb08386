"""The ServerApp: waits for enough homes, lets them learn, keeps the model of each round.

Its configuration (`flwr run --run-config`) is a home.toml's in short: see app.CONFIG. OUT gets

    model.npz      the newest model, as `fedboard export --npz` writes it
    rounds.jsonl   a line a round: round, homes, bytes up and down so far
"""

from __future__ import annotations

import time
from array import array
from logging import INFO
from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.common.logger import log
from flwr.serverapp import Grid, ServerApp

from fedboard import DataError, prng
from fedboard.model import Spec
from fedboard_host import export, jsontext, strategies
from fedboard_host.flower.homes import Homes
from fedboard_host.flower.strategy import HomesStrategy
from fedboard_host.privacy import Privacy
from fedboard_host.robust import Merging
from fedboard_host.runtime import fast_kernels

app = ServerApp()

_MODEL = 6  # as in home_run: a home's model follows from its seed
_LOOK_S = 0.3


@app.main()
def main(grid: Grid, context: Context) -> None:
    settings = context.run_config
    seed = int(settings["seed"])
    layers = [int(n) for n in str(settings["layers"]).split("-")]
    spec = Spec(layers, str(settings["rule"]), prng.mix(seed, _MODEL))
    out = Path(str(settings["out"]))
    out.mkdir(parents=True, exist_ok=True)
    (out / "rounds.jsonl").unlink(missing_ok=True)
    started_s = time.monotonic()

    def keep(round_no: int, model: array[int]) -> None:
        export.write_npz(out / "model.npz", export.Model(spec, round_no, model))
        told = {
            "round": round_no, "bytes_up": homes.bytes_up, "bytes_down": homes.bytes_down,
            "seconds": round(time.monotonic() - started_s, 1), "epsilon": homes.epsilon(),
        }  # fmt: skip
        with (out / "rounds.jsonl").open("a", encoding="ascii") as file:
            file.write(jsontext.dumps(told) + "\n")

    run = context.run_id & 0xFFFFFFFF or 1
    homes = Homes(spec, _strategy(settings), int(settings["home-rounds"]), run, _merging(settings))
    strategy = HomesStrategy(homes, keep)
    _wait(grid, int(settings["homes"]))
    with fast_kernels():
        n_rounds, timeout_s = int(settings["rounds"]), float(settings["timeout-s"])
        strategy.start(grid, strategy.initial_arrays(), n_rounds, timeout_s)


def _strategy(settings: Any) -> strategies.Strategy:
    """The named strategy; its parameters are written with - in Flower's configuration."""
    name = str(settings["strategy"])
    known = strategies.parameters(name)
    if not name.startswith("fedavg"):
        raise DataError(f"strategy {name} is for boards: homes are merged by fedavg")
    params = {k.replace("-", "_"): v for k, v in settings.items()}
    return strategies.make(name, {k: v for k, v in params.items() if k in known and k != "rounds"})


def _merging(settings: Any) -> Merging:
    """Raises DataError, also if the homes to wait for are too few."""
    noise = Privacy(float(settings["noise"]), int(settings["clip-norm"]))
    merging = Merging(str(settings["merge"]), int(settings["faulty"]), privacy=noise)
    merging.check(int(settings["homes"]), "wait for more homes")
    return merging


def _wait(grid: Grid, n_homes: int) -> None:
    told = -1
    while (here := len(list(grid.get_node_ids()))) < n_homes:
        if here != told:
            log(INFO, "%s of %s homes are here: waiting", here, n_homes)
            told = here
        time.sleep(_LOOK_S)
