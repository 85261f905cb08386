"""`fedboard reproduce` and `fedboard simulate`: the papers' experiments, and one's own.

Thin, as cli is: options in, one module called. Both want all cores for their own threads, so BLAS,
which would fight for them over products too small for it, is told to use one: before NumPy loads.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fedboard import DataError

if TYPE_CHECKING:
    from fedboard_host.simulate import Look, Settings

_PATH = click.Path(path_type=Path)
_BLAS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="Every experiment, one after another.")
@click.option("--quick", is_flag=True, help="Seconds instead of minutes: does it work?")
@click.option(
    "--seeds", type=click.IntRange(1, 100),
    help="How many, from 1 on.  [default: 5; gestures 30, as in docs/results.md]",
)  # fmt: skip
@click.option("--data", type=_PATH, help="The data set, or a folder that has it as NAME.npz.")
@click.option("--out", type=_PATH, default=Path("results"), show_default=True)
@click.option(
    "--shared-arrays", is_flag=True, help="tifed-*: the published code's workers, on one array."
)
@click.option(
    "--resume", is_flag=True, help="Keep OUT's rows of the same settings, and make the rest."
)
def reproduce(
    names: tuple[str, ...],
    everything: bool,
    quick: bool,
    seeds: int | None,
    data: Path | None,
    out: Path,
    shared_arrays: bool,
    resume: bool,
    as_json: bool,
) -> None:
    """Repeat the experiment NAME: a table, OUT/NAME.csv, .jsonl and .png. Without one: a list."""
    _one_blas_thread()
    from fedboard_host import experiments, fleet_compiled

    fleet_compiled.use_installed()
    if quick and resume:
        raise DataError("--resume adds to a full run's rows: leave out --quick")
    chosen = list(experiments.NAMES) if everything else list(names)
    for name in chosen:
        experiments.load(name)  # a typo is told before anything runs
    if not chosen:
        for name in experiments.NAMES:
            summary = experiments.summary(name)
            told = {"experiment": name, "summary": summary}
            click.echo(json.dumps(told) if as_json else f"{name:16} {summary}")
    for name in chosen:
        run = experiments.load(name).run
        options: dict[str, object] = {
            "data": data, "shared_arrays": shared_arrays or None, "resume": resume or None
        }  # fmt: skip
        known = inspect.signature(run).parameters
        for option, value in list(options.items()):
            if value is None:
                del options[option]
            elif option not in known:
                if not everything:
                    flag = option.replace("_", "-")
                    raise DataError(f"{name} has no use for --{flag}: leave it out")
                del options[option]
        if not as_json and len(chosen) > 1:
            click.echo(f"\n## {name}\n")
        n = seeds or experiments.seeds(name)
        run(quick=quick, seeds=n, out_dir=out, as_json=as_json, **options)
    if chosen and not as_json:
        click.echo(f"\nFiles in {out}", err=True)


@click.command()
@click.argument("strategy")
@click.option("--data", required=True, type=_PATH, help="npz, csv or IDX: see docs/formats.md.")
@click.option("--rule", type=click.Choice(["fedboard", "tifed"]), help="[default: STRATEGY's]")
@click.option("--hidden", default="64", show_default=True, help="Units, like 200 or 64,32.")
@click.option("--boards", default=8, show_default=True)
@click.option("--select", default=0, help="Boards asked in a round; 0: all.")
@click.option(
    "--split", default="iid", show_default=True,
    type=click.Choice(["iid", "dirichlet", "label", "writer"]), help="Who has which samples.",
)  # fmt: skip
@click.option("--alpha", default=0.3, show_default=True, help="Of the Dirichlet split.")
@click.option("--classes", default=2, show_default=True, help="A board's, in the label split.")
@click.option(
    "--scale", default="centred", show_default=True,
    type=click.Choice(["half", "centred", "signed"]), help="How values become int8 features.",
)  # fmt: skip
@click.option(
    "--set", "assignments", multiple=True, metavar="NAME=VALUE",
    help="A parameter of the strategy, like batch=25; see docs/strategies.md.",
)  # fmt: skip
@click.option(
    "--merge", default="mean", show_default=True,
    type=click.Choice(["mean", "median", "trimmed-mean", "multi-krum"]),
    help="Rules that compare boards; see docs/strategies.md.",
)  # fmt: skip
@click.option("--faulty", default=1, show_default=True, help="Bad boards that --merge expects.")
@click.option("--noise", default=0.0, help="Differential privacy: see docs/privacy.md.")
@click.option("--clip-norm", default=0, help="With --noise: the longest change.")
@click.option("--rounds", default=50, show_default=True)
@click.option("--seeds", default=1, show_default=True, help="Runs, from seed 1 on.")
@click.option("--every", default=0, help="Rounds between looks; 0: about 50 looks.")
@click.option("--validate", is_flag=True, help="Judge on training samples that are kept out.")
@click.option("--out", type=_PATH, default=Path("simulation"), show_default=True)
@click.option("--resume", is_flag=True, help="Go on with the simulation in --out.")
def simulate(
    strategy: str,
    data: Path,
    rule: str | None,
    hidden: str,
    assignments: tuple[str, ...],
    out: Path,
    resume: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Simulate many boards under STRATEGY on a data set, bit for bit as real ones would learn."""
    _one_blas_thread()
    from fedboard_host import fleet_compiled
    from fedboard_host import simulate as module

    fleet_compiled.use_installed()
    settings = module.Settings(
        strategy=strategy, data=str(data), parameters=_parameters(assignments), rule=rule or "",
        hidden=_hidden(hidden), **options,
    )  # fmt: skip
    looks = module.run(settings, out, resume, _tell_json if as_json else _tell)
    if not as_json:
        last = [look for look in looks if look.round == settings.rounds]
        mean = 100 * sum(look.accuracy for look in last) / len(last)
        sent = sum(look.bytes_up for look in last) / len(last) / settings.boards / 1000
        click.echo(
            f"{mean:.2f} % after {settings.rounds} rounds, mean of {len(last)} seeds; a board "
            f"sent {sent:,.1f} kB. See {out}: simulate.csv, .jsonl, .png"
        )


def add_to(cli: click.Group, json_option: Callable[[Any], Any]) -> None:
    """Give the `fedboard` command these two."""
    for command in (reproduce, simulate):
        json_option(command)
        cli.add_command(command)


def _hidden(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise click.BadParameter(f"--hidden {text}: use numbers, like 64 or 64,32") from None


def _parameters(assignments: tuple[str, ...]) -> dict[str, object]:
    """NAME=VALUE as numbers and truth values."""
    found: dict[str, object] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter(f"--set {text}: use NAME=VALUE, like batch=25")
        try:
            found[name.strip()] = json.loads(value)
        except ValueError:
            found[name.strip()] = value
    return found


def _tell(look: Look, settings: Settings) -> None:
    told = "" if look.epsilon is None else f", epsilon {look.epsilon:.3g}"
    click.echo(
        f"seed {look.seed}, round {look.round} of {settings.rounds}: {100 * look.accuracy:.2f} %, "
        f"{look.bytes_up / 1000:,.0f} kB up, {look.bytes_down / 1000:,.0f} kB down, "
        f"{look.seconds:.1f} s{told}",
        err=True,
    )


def _tell_json(look: Look, settings: Settings) -> None:
    from dataclasses import asdict

    from fedboard_host import jsontext

    click.echo(jsontext.dumps(asdict(look)))


def _one_blas_thread() -> None:
    if "numpy" not in sys.modules:
        for name in _BLAS:
            os.environ.setdefault(name, "1")
