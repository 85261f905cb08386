"""The `fedboard` command. Thin: a command reads its options, calls one module, shows the result.

Nothing slow is imported before a command needs it: `fedboard --help` answers at once. Errors are
one line each with the remedy, on stderr; --debug shows where they come from.

    exit status   0 done   1 an error that the text explains   2 wrong usage   130 interrupted
"""

from __future__ import annotations

import json
import select
import sys
from pathlib import Path
from typing import Any

import click

from fedboard import VERSION, FedboardError
from fedboard_host import (
    BEGAN_S,
    boards_cli,
    dashboard_cli,
    demo_cli,
    deploy_cli,
    flower_cli,
    import_cli,
    init_cli,
    node_cli,
    personal_cli,
    reproduce_cli,
    samples_cli,
)

_FILE = click.Path(path_type=Path)


class _Failure(click.ClickException):
    """A FedboardError on its way to the person."""

    exit_code = 1

    def __init__(self, text: str, as_json: bool) -> None:
        super().__init__(text)
        self._as_json = as_json

    def show(self, file: Any = None) -> None:
        for line in self.message.splitlines():
            click.echo(f"fedboard: {line}", err=True)
        if self._as_json:
            click.echo(json.dumps({"error": self.message}))


class _Group(click.Group):
    """Turns errors into lines: tracebacks are for --debug."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            click.echo("fedboard: interrupted", err=True)
            ctx.exit(130)
        except FedboardError as error:
            if ctx.params.get("debug"):
                raise
            raise _Failure(str(error), _wants_json(ctx)) from None
        except Exception as error:
            if ctx.params.get("debug") or _reader_left(error):
                raise
            text = (
                f"unexpected error, please report it: {type(error).__name__}: {error} "
                "(fedboard --debug ... shows where)"
            )
            raise _Failure(text, _wants_json(ctx)) from None


def _reader_left(error: Exception) -> bool:
    """Whoever read what is printed has gone, as `| head` does: click ends without a word."""
    if not isinstance(error, BrokenPipeError) or not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(1, 0)  # a broken pipe is told in any case
    return bool(poll.poll(0))


def _wants_json(ctx: click.Context) -> bool:
    return bool(ctx.find_root().meta.get("fedboard.json"))


def _set_json(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
    root = ctx.find_root()
    root.meta["fedboard.json"] = value or root.meta.get("fedboard.json", False)
    return bool(root.meta["fedboard.json"])


_json_option = click.option(
    "--json", "as_json", is_flag=True, callback=_set_json, help="One JSON object a line."
)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@_json_option
@click.version_option(VERSION, prog_name="fedboard")
def cli(debug: bool, as_json: bool) -> None:
    """Boards learn together: federated learning on MicroPython and CircuitPython boards.

    No board at hand? Try: fedboard demo
    """


@cli.command()
@click.argument("home", type=_FILE, default=Path("home.toml"))
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@click.option("--dashboard", metavar="[ADDRESS:]PORT", help="Serve a page to watch and to ask.")
@click.option("--flower", is_flag=True, help="Learn as many homes do: docs/homes.md.")
@_json_option
def run(home: Path, resume: bool, dashboard: str | None, flower: bool, as_json: bool) -> None:
    """Federate the boards of HOME, a home.toml; Ctrl-C finishes the round. See docs/home.md."""
    from fedboard_host import config, home_run, progress

    settings = config.load(home)
    where = boards_cli.address(dashboard, "127.0.0.1") if dashboard else None
    with progress.make(settings.rounds, title=home_run.title(settings), as_json=as_json) as view:
        result = home_run.run(settings, resume, view, where, flower)
    if as_json:
        progress.final_json(home_run.as_json(settings, result))
    else:
        click.echo(home_run.text(settings, result))


@cli.command()
@click.argument("run_folder", metavar="RUN", type=_FILE)
@click.option("--npz", type=_FILE, help="Arrays for NumPy.")
@click.option("--c-header", type=_FILE, help="For C and Arduino, with a predict function.")
@click.option("--bin", "binary", type=_FILE, help="A checkpoint as boards keep it.")
@click.option("--name", default="fedboard", show_default=True, help="Prefix of names in C.")
@_json_option
def export(
    run_folder: Path,
    npz: Path | None,
    c_header: Path | None,
    binary: Path | None,
    name: str,
    as_json: bool,
) -> None:
    """Write the newest model of RUN, a run's folder or one of its checkpoints, as other formats."""
    from fedboard_host import export as module
    from fedboard_host import store

    if not (npz or c_header or binary):
        raise click.UsageError("say what to write: --npz FILE, --c-header FILE or --bin FILE")
    path = run_folder if run_folder.is_file() else store.find_checkpoint(run_folder)
    found = store.read_checkpoint(path)
    model = module.Model(found.spec, found.version, found.result)
    if npz:
        module.write_npz(npz, model)
    if c_header:
        module.write_c_header(c_header, model, name)
    if binary:
        module.write_bin(binary, model)
    written = [str(p) for p in (npz, c_header, binary) if p]
    if as_json:
        told = {"written": written, "round": found.round, "version": found.version}
        click.echo(json.dumps({**told, "model": str(found.spec), "digest": model.digest.hex()}))
    else:
        click.echo(f"{found.spec}, round {found.round}, written to {', '.join(written)}")


@cli.command()
@click.argument("data", type=_FILE)
@click.argument("samples", type=_FILE, default=Path("samples.bin"))
@click.option("--label", type=int, help="Of readings, only those with this y.")
@_json_option
def pack(data: Path, samples: Path, label: int | None, as_json: bool) -> None:
    """Turn DATA, an npz, into a file for a board.

    x int8 (n, features) and y become SAMPLES, which a board learns from. x int16 (n, axes), or
    (n, readings, axes) with y, become readings, which its replay sensor plays.
    """
    from fedboard_host import dataset
    from fedboard_host import export as module

    found = dataset.load_readings(data, label)
    if found is not None:
        module.write_whole(samples, dataset.replay_file(found))
        told = {"n": len(found), "n_axes": int(found.shape[1])}
        text = f"{len(found)} readings of {found.shape[1]} axes"
    else:
        own = dataset.load_samples(data)
        module.write_whole(samples, dataset.sample_file(own))
        told = {"n": len(own), "n_in": own.n_in}
        text = f"{len(own)} samples of {own.n_in} features"
    if as_json:
        click.echo(json.dumps({"written": str(samples), **told}))
    else:
        click.echo(f"{samples}: {text}")


@cli.command()
@click.argument("file", type=_FILE, default=Path("fedboard.key"))
@_json_option
def key(file: Path, as_json: bool) -> None:
    """Make a federation's key in FILE, readable by you alone; it is never shown."""
    from fedboard_host import keyfile

    keyfile.write(file)
    if as_json:
        click.echo(json.dumps({"written": str(file)}))
    else:
        click.echo(
            f'{file}: a new key. Name it in home.toml (key_file = "{file.name}"); `fedboard deploy '
            "--home home.toml --anew` puts it onto the boards. Keep it out of version control"
        )


demo_cli.add_to(cli, _json_option)
boards_cli.add_to(cli, _json_option)
dashboard_cli.add_to(cli, _json_option)
import_cli.add_to(cli, _json_option)
init_cli.add_to(cli, _json_option)
deploy_cli.add_to(cli, _json_option)
node_cli.add_to(cli, _json_option)
samples_cli.add_to(cli, _json_option)
personal_cli.add_to(cli, _json_option)
reproduce_cli.add_to(cli, _json_option)
flower_cli.add_to(cli, _json_option)


def main() -> None:
    """The entry point of the `fedboard` script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console that lacks a character shows another
    cli(prog_name="fedboard", obj=BEGAN_S)
