"""Models leave and come back whole, and the C header computes what the board computes."""

from __future__ import annotations

import shutil
import subprocess
from array import array
from pathlib import Path

import numpy as np
import pytest

from fedboard import DataError, centre, checkpoint, conv, mlp
from fedboard.dfa import Network
from fedboard.model import Spec, new_params
from fedboard.prng import Xorshift
from fedboard_host import cheader, export
from fedboard_host.export import Model

SPECS = [
    Spec((64, 32, 10), "fedboard", 7),
    Spec((64, 32, 10), "tifed", 7),
    Spec((9, 13, 5, 3), "fedboard", 1),
    Spec((9, 13, 5, 3), "tifed", 1),
    Spec((20, 4), "tifed", 1),
    Spec((9, 9, 13, 3), "centred", 1),
    Spec((225, 3, 4, 5, 6, 5), "conv3", 1),
    Spec((81, 4, 5), "conv1", 1),
]
FLOATS = [Spec((9, 13, 6, 3), rule, 1) for rule in ("float", "float-relu", "float-squared")]


def some_model(spec: Spec) -> Model:
    """Random parameters, large enough to reach every piece of the activations."""
    params = new_params(spec)
    rng = Xorshift(5)
    for l in range(spec.n_layers):
        bound = min(spec.limit(l), 8191)
        for i in range(spec.at(l), spec.at(l + 1)):
            params[i] = rng.below(2 * bound + 1) - bound
    return Model(spec, 12, params)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_npz_round_trip(spec: Spec, tmp_path: Path) -> None:
    model = some_model(spec)
    export.write_npz(tmp_path / "m.npz", model)
    assert export.read_npz(tmp_path / "m.npz") == model
    with np.load(tmp_path / "m.npz", allow_pickle=False) as data:
        first = int(spec.is_centred)
        n_in, n_out = spec.shape(first)
        assert data[f"W{first}"].shape == (n_out, n_in)
        assert data[f"W{first}"][1, 2] == model.params[spec.at(first) + n_in + 2]
        assert data[f"b{first}"][0] == model.params[spec.at(first) + n_in * n_out]


def test_bin_is_a_checkpoint(tmp_path: Path) -> None:
    model = some_model(SPECS[0])
    export.write_bin(tmp_path / "model.bin", model)
    with open(tmp_path / "model.bin", "rb") as file:
        assert checkpoint.read_checkpoint(file.read) == (model.spec, 12, model.params)


def test_damaged_npz(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    with pytest.raises(DataError, match="no such file"):
        export.read_npz(path)
    path.write_bytes(b"PK\x03\x04nonsense")
    with pytest.raises(DataError, match="no npz"):
        export.read_npz(path)
    np.savez(path, W0=np.zeros(3))
    with pytest.raises(DataError, match="no model"):
        export.read_npz(path)
    model = some_model(SPECS[0])
    export.write_npz(path, model)
    with np.load(path) as data:
        arrays = dict(data)
    arrays["W0"][0, 0] ^= 1
    np.savez(path, **arrays)
    with pytest.raises(DataError, match="digest"):
        export.read_npz(path)
    arrays["W0"] = arrays["W0"].T
    np.savez(path, **arrays)
    with pytest.raises(DataError, match="W0 is int16"):
        export.read_npz(path)


def test_unwritable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        export.write_bin(tmp_path / "file" / "model.bin", some_model(SPECS[0]))


def test_name_in_c() -> None:
    with pytest.raises(DataError, match="no name in C"):
        cheader.text_of(SPECS[0], some_model(SPECS[0]).params, 1, "9 lives")


def printed(model: Model, xs: list[array[int]], folder: Path) -> str:
    """What a program that uses the header says of the samples: the class, and all logits."""
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler: the header is not compiled")
    export.write_c_header(folder / "model.h", model, "net")
    rows = ",\n".join("{" + ", ".join(map(str, x)) + "}" for x in xs)
    kind = "float" if model.spec.is_float else "int32_t"
    is_void = model.spec.rule == "float-squared"
    call = "0; net_predict(xs[k], out)" if is_void else "net_predict(xs[k], out)"
    end = "0" if is_void else "net_predict(xs[0], NULL) < 0"
    (folder / "main.c").write_text(
        '#include <stdio.h>\n#include "model.h"\n'
        f"static const int8_t xs[][NET_N_IN] = {{\n{rows}\n}};\n"
        f"int main(void) {{\n  {kind} out[NET_N_OUT];\n"
        f"  for (int k = 0; k < {len(xs)}; k++) {{\n"
        f"    int class = {call};\n"
        '    printf("%d:", class);\n'
        '    for (int j = 0; j < NET_N_OUT; j++) printf(" %.9g", (double)out[j]);\n'
        f'    printf("\\n");\n  }}\n  return {end};\n}}\n'
    )
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O2", "-fsanitize=undefined"]
    built = subprocess.run(
        [compiler, *flags, "-o", str(folder / "a.out"), str(folder / "main.c"), "-lm"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return subprocess.run(
        [str(folder / "a.out")], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def some_samples(n_in: int) -> list[array[int]]:
    rng = Xorshift(9)
    xs = [array("b", [rng.below(256) - 128 for _ in range(n_in)]) for _ in range(60)]
    return [*xs, array("b", [-128] * n_in), array("b", [127] * n_in)]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_c_header_predicts_as_the_board(spec: Spec, tmp_path: Path) -> None:
    model = some_model(spec)
    xs = some_samples(spec.sizes[0])
    kind = centre.Network if spec.is_centred else conv.Network if spec.n_conv else Network
    net = kind(spec, model.params)
    wanted = ""
    for x in xs:
        wanted += f"{net.predict(x)}: " + " ".join(str(v) for v in net.out) + "\n"
    assert printed(model, xs, tmp_path) == wanted


@pytest.mark.parametrize("spec", FLOATS, ids=str)
def test_c_header_of_floats(spec: Spec, tmp_path: Path) -> None:
    model = some_model(spec)
    params = mlp.new_params(spec)
    net = mlp.make(spec, params)
    net.load(model.params)
    xs = some_samples(spec.sizes[0])
    lines = printed(model, xs, tmp_path).splitlines()
    for x, line in zip(xs, lines, strict=True):
        found, _, logits = line.partition(": ")
        best = net.predict(x)
        assert [float(v) for v in logits.split()] == pytest.approx(list(net.out), abs=1e-4)
        assert int(found) == (0 if spec.rule == "float-squared" else best)
