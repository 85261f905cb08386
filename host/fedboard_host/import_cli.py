"""`fedboard import`: weights trained elsewhere, for boards and as a federation's start."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fedboard_host.units import percent

_PATH = click.Path(path_type=Path)


@click.command("import")
@click.argument("weights", type=_PATH)
@click.option("--npz", type=_PATH, help='For home.toml: [model] start = "FILE".')
@click.option("--bin", "binary", type=_PATH, help="A checkpoint that a board loads by itself.")
@click.option("--c-header", type=_PATH, help="For C and Arduino.")
@click.option("--samples", type=_PATH, help="An npz of samples, x int8 and y, to scale by.")
def import_(
    weights: Path,
    npz: Path | None,
    binary: Path | None,
    c_header: Path | None,
    samples: Path | None,
    as_json: bool,
) -> None:
    """Take WEIGHTS, an npz of NumPy or PyTorch, over into a model that boards run and train on.

    A dense network with ReLU, trained on the boards' int8 features divided by 128. --samples makes
    its hidden values fit, and tells what becomes of its accuracy.
    """
    from fedboard_host import dataset, export
    from fedboard_host import weights as module

    if not (npz or binary or c_header):
        raise click.UsageError("say what to write: --npz FILE, --bin FILE or --c-header FILE")
    layers = module.read(weights)
    own = dataset.load_samples(samples) if samples else None
    if own is not None and own.n_in != layers[0][0].shape[1]:
        raise click.UsageError(
            f"--samples has {own.n_in} features, the weights {layers[0][0].shape[1]} inputs"
        )
    model = module.convert(layers, own.x if own is not None else None)
    for path, write in (
        (npz, export.write_npz),
        (binary, export.write_bin),
        (c_header, export.write_c_header),
    ):
        if path:
            write(path, model)
    told: dict[str, Any] = {
        "written": [str(p) for p in (npz, binary, c_header) if p], "model": str(model.spec),
        "digest": model.digest.hex(),
    }  # fmt: skip
    text = f"{model.spec}, written to {', '.join(told['written'])}"
    if own is not None:
        before, after, same = module.agreement(layers, model, own.x, own.y)
        told |= {"accuracy_before": before, "accuracy": after, "same_class": same}
        text += (
            f"\n{len(own)} samples: {percent(before)} right before, {percent(after)} on a board, "
            f"{percent(same)} of the same class"
        )
    click.echo(json.dumps(told) if as_json else text)


def add_to(cli: click.Group, json_option: Callable[[Any], Any]) -> None:
    """Give the `fedboard` command this one."""
    json_option(import_)
    cli.add_command(import_)
