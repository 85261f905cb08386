"""`fedboard simulate`: any integer strategy on any data, thousands of boards, without a wire.

Boards, host and codec as they are, in NumPy (fleet_rounds): what it shows is what real boards would
do, bit for bit, but for lost connections. To choose settings, `validate`: the last sixth of the
training samples judges then, and the test samples stay unseen.

    OUT/simulate.csv, .jsonl    a line a look: seed, round, accuracy, bytes, ...
    OUT/simulate.png            the same as a picture
    OUT/seed1.npz               the state after the last saved round, for --resume
"""

from __future__ import annotations

import csv
import io
import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedboard import VERSION, DataError
from fedboard.model import Spec
from fedboard_host import datafile, jsontext, partition, robust, strategies
from fedboard_host.dataset import Set
from fedboard_host.export import write_whole
from fedboard_host.fleet_judge import FleetJudge
from fedboard_host.fleet_rounds import FleetFederation
from fedboard_host.privacy import Privacy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SAVE_EVERY_S = 30.0
_VALIDATION_SHARE = 6


@dataclass(frozen=True)
class Settings:
    """What to simulate. rounds and seeds may grow on --resume; all else must stay."""

    strategy: str
    data: str
    parameters: dict[str, object] = field(default_factory=dict)
    rule: str = ""  # "": the strategy's
    hidden: tuple[int, ...] = (64,)
    boards: int = 8
    select: int = 0  # boards a round, 0: all
    split: str = "iid"
    alpha: float = 0.3
    classes: int = 2
    scale: str = "centred"
    validate: bool = False
    rounds: int = 50
    seeds: int = 1
    every: int = 0  # rounds between looks; 0: about 50 looks
    merge: str = "mean"
    faulty: int = 1  # bad boards that the merge reckons with
    noise: float = 0.0  # differential privacy, see privacy
    clip_norm: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("boards", 1, 100_000), ("rounds", 1, 1_000_000), ("seeds", 1, 1000),
            ("select", 0, self.boards), ("every", 0, self.rounds),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                raise DataError(f"{name} = {value}: use a number from {low} to {high}")

    @property
    def merging(self) -> robust.Merging:
        return robust.Merging(
            self.merge, self.faulty, privacy=Privacy(self.noise, self.clip_norm)
        )  # fmt: skip

    @property
    def own_rule(self) -> str:
        return self.rule or ("tifed" if self.strategy.startswith("tifed") else "fedboard")


@dataclass(frozen=True)
class Look:
    """One line of the results. bytes_up and bytes_down: of all boards and rounds so far."""

    strategy: str
    seed: int
    round: int
    accuracy: float
    bytes_up: int
    bytes_down: int
    n_boards: int
    n_samples: int
    seconds: float
    epsilon: float | None = None  # of all rounds so far; None: without noise


Watch = Callable[[Look, Settings], None]


def run(
    settings: Settings, out: Path, resume: bool = False, watch: Watch | None = None
) -> list[Look]:
    """Simulate; see the module. Raises DataError for settings or files that do not fit."""
    settings = _annealed(settings)
    strategy = strategies.make(settings.strategy, settings.parameters)
    train, test, writer = _samples(settings)
    sizes = (train.n_in, *settings.hidden, int(max(train.y.max(), test.y.max())) + 1)
    looks: list[Look] = []
    if resume:
        _check_same(settings, out)
    elif any(out.glob("seed*.npz")):
        raise DataError(f"{out} has a simulation: --resume goes on with it, or name another --out")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "settings.json", json.dumps(asdict(settings), indent=1).encode())
    for seed in range(1, settings.seeds + 1):
        spec = Spec(sizes, settings.own_rule, seed)
        rows = partition.split(
            settings.split, train.y, writer, settings.boards, seed, settings.alpha,
            settings.classes,
        )  # fmt: skip
        federation = FleetFederation(
            spec, strategy, train, rows, run=seed, n_select=settings.select, count=True,
            merging=settings.merging,
        )  # fmt: skip
        looks += _run_one(settings, seed, federation, FleetJudge(spec, test), out, resume, watch)
        _write(looks, out)
    _draw(looks, settings, out)
    return looks


def _annealed(settings: Settings) -> Settings:
    """What a strategy anneals ends with the run, unless it says when."""
    if "rounds" not in strategies.parameters(settings.strategy):
        return settings
    return replace(settings, parameters={"rounds": settings.rounds, **settings.parameters})


def _samples(settings: Settings) -> tuple[Set, Set, partition.Labels]:
    data = datafile.load(Path(settings.data))
    train, test = data.sets(settings.scale)
    if not settings.validate:
        return train, test, data.writer
    n = len(train) - max(1, len(train) // _VALIDATION_SHARE)
    return Set(train.x[:n], train.y[:n]), Set(train.x[n:], train.y[n:]), data.writer[:n]


def _run_one(
    settings: Settings,
    seed: int,
    federation: FleetFederation,
    judge: FleetJudge,
    out: Path,
    resume: bool,
    watch: Watch | None,
) -> list[Look]:
    """All rounds of one seed."""
    every = settings.every or max(1, settings.rounds // 50)
    path = out / f"seed{seed}.npz"
    looks: list[Look] = []
    if resume and path.exists():
        looks = _restore(federation, path)
    before = looks[-1] if looks else Look(settings.strategy, seed, 0, 0, 0, 0, 0, 0, 0)
    up, down, n_samples = before.bytes_up, before.bytes_down, before.n_samples
    if before.round < federation.number:
        raise DataError(f"{path}: is damaged: start over in another --out")
    start = saved = time.monotonic()
    while federation.number < settings.rounds:
        report = federation.round()
        up += report.bytes_up
        down += report.bytes_down
        n_samples += report.n_samples
        last = report.number == settings.rounds
        now = time.monotonic()
        late = now - saved > _SAVE_EVERY_S
        if report.number % every == 0 or last or late:
            look = Look(
                settings.strategy, seed, report.number, judge(federation.result), up, down,
                report.n_boards, n_samples, round(before.seconds + now - start, 3),
                federation.merger.epsilon(),
            )  # fmt: skip
            looks.append(look)
            if watch is not None:
                watch(look, settings)
            if last or late:
                _save(federation, looks, path)
                saved = time.monotonic()
    return looks


def _save(federation: FleetFederation, looks: list[Look], path: Path) -> None:
    data = io.BytesIO()
    told = json.dumps([asdict(look) for look in looks])
    state = federation.state()
    np.savez_compressed(data, looks=np.array(told), result=federation.result, **state)  # type: ignore[arg-type]
    write_whole(path, data.getvalue())


def _restore(federation: FleetFederation, path: Path) -> list[Look]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            state = {key: arrays[key] for key in arrays.files}
        looks = [Look(**each) for each in json.loads(str(state.pop("looks")))]
        state.pop("result")
        federation.restore(state)
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: no saved simulation: {error}: name another --out") from None
    return looks


def _check_same(settings: Settings, out: Path) -> None:
    try:
        old: dict[str, Any] = json.loads((out / "settings.json").read_text())
    except (OSError, ValueError):
        raise DataError(f"{out} has no simulation to resume: leave --resume out") from None
    new = json.loads(json.dumps(asdict(settings)))
    for key, value in new.items():
        if key not in ("rounds", "seeds", "every") and old.get(key, value) != value:
            raise DataError(
                f"{out} was simulated with {key} = {old.get(key)}, not {value}: "
                "resume with the same settings, or name another --out"
            )


def _write(looks: list[Look], out: Path) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(looks[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(look) for look in looks)
    write_whole(out / "simulate.csv", text.getvalue().encode())
    lines = "".join(jsontext.dumps({**asdict(look), "fedboard": VERSION}) + "\n" for look in looks)
    write_whole(out / "simulate.jsonl", lines.encode())


def _draw(looks: list[Look], settings: Settings, out: Path) -> None:
    from fedboard_host.experiments import common

    def paint(figure: Figure) -> None:
        by_round, by_bytes = figure.subplots(1, 2, sharey=True)
        for seed in sorted({look.seed for look in looks}):
            mine = [look for look in looks if look.seed == seed]
            y = [100 * look.accuracy for look in mine]
            colour = common.COLOURS[(seed - 1) % len(common.COLOURS)]
            by_round.plot([look.round for look in mine], y, color=colour, label=f"seed {seed}")
            sent = [look.bytes_up / settings.boards / 1000 for look in mine]
            by_bytes.plot(sent, y, color=colour)
        by_round.set_xlabel("round")
        by_round.set_ylabel("held-out samples classified right (%)")
        by_bytes.set_xlabel("kB sent by a board so far, mean")
        for axes in (by_round, by_bytes):
            axes.grid(True, alpha=0.3)
        if settings.seeds <= 10:
            by_round.legend(loc="lower right")
        figure.suptitle(
            f"{settings.strategy} on {Path(settings.data).stem}, {settings.boards} boards, "
            f"{settings.split}"
        )

    common.draw(out / "simulate.png", paint, 10, 4.5)
