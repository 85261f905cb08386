"""Weights come in from elsewhere, and models are used without the host."""

from __future__ import annotations

import json
import re
from array import array
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import interpreters
from fedboard import DataError
from fedboard.dfa import Network
from fedboard.model import Spec
from fedboard_host import cli, digits, export, home_run, weights

DOC = Path(__file__).resolve().parent.parent / "docs" / "home.md"


def trained() -> tuple[list[weights.Layer], np.ndarray, np.ndarray]:
    """A float network that has learned handwriting by plain gradient descent; held-out samples."""
    deal = digits.deal(digits.load(), 2, 1)
    x = np.concatenate([own.x for own in deal.boards]) / 128.0
    y = np.concatenate([own.y for own in deal.boards])
    rng = np.random.default_rng(3)
    w = [rng.normal(0, 0.3, (40, 64)), rng.normal(0, 0.3, (10, 40))]
    b = [np.zeros(40), np.zeros(10)]
    for _ in range(150):
        hidden = np.maximum(x @ w[0].T + b[0], 0)
        logits = hidden @ w[1].T + b[1]
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(y)), y] -= 1
        p /= len(y)
        back = (p @ w[1]) * (hidden > 0)
        w[1] -= 1.0 * p.T @ hidden
        b[1] -= 1.0 * p.sum(axis=0)
        w[0] -= 1.0 * back.T @ x
        b[0] -= 1.0 * back.sum(axis=0)
    return list(zip(w, b, strict=True)), deal.test.x, deal.test.y


@pytest.fixture(scope="module")
def network() -> tuple[list[weights.Layer], np.ndarray, np.ndarray]:
    return trained()


def test_a_trained_network_predicts_the_same_on_a_board(network) -> None:  # type: ignore[no-untyped-def]
    layers, x, y = network
    before, after, same = weights.agreement(layers, weights.convert(layers, x), x, y)
    assert before > 0.9
    assert after > before - 0.02
    assert same > 0.97
    # Its hidden values exceed 1.0, which is why they have to be scaled.
    assert weights.forward(layers, x / 128.0)[0].max() > 1.5
    assert weights.agreement(layers, weights.convert(layers), x, y)[2] < same


def test_integers_are_those_of_the_formula() -> None:
    w0, b0 = np.array([[0.5, -1.0], [0.25, 0.125]]), np.array([0.1, -0.2])
    model = weights.convert([(w0, b0), (np.eye(2), np.zeros(2))])
    assert list(model.params[:6]) == [2048, -4096, 1024, 512, 410, -819]
    assert model.spec.sizes == (2, 2, 2)


def test_what_is_too_large_is_scaled_and_classes_stay() -> None:
    rng = np.random.default_rng(1)
    layers = [(rng.normal(0, 30, (8, 5)), rng.normal(0, 30, 8)), (rng.normal(0, 30, (3, 8)), np.zeros(3))]  # noqa: E501 # fmt: skip
    x = rng.integers(-128, 128, (400, 5), np.int8)
    model = weights.convert(layers, x)
    spec = model.spec
    for l in range(2):
        part = model.params[spec.at(l) : spec.at(l + 1)]
        assert max(map(abs, part)) <= spec.limit(l)
    y = weights.forward(layers, x / 128.0)[-1].argmax(axis=1)
    assert weights.agreement(layers, model, x, y)[2] > 0.97


NAMES = {
    "numpy": ["W0", "b0", "W1", "b1"],
    "sequential": ["0.weight", "0.bias", "2.weight", "2.bias"],
    "named": ["fc2.weight", "fc2.bias", "fc10.weight", "fc10.bias"],
    "scikit-learn": ["coefs_0", "intercepts_0", "coefs_1", "intercepts_1"],
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("turned", [False, True])
def test_names_and_shapes(names: list[str], turned: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    values = [rng.normal(size=s).astype(np.float32) for s in ((6, 4), (6,), (3, 6), (3,))]
    arrays = {n: v.T if turned else v for n, v in zip(names, values, strict=True)}
    np.savez(tmp_path / "w.npz", **dict(reversed(arrays.items())))
    layers = weights.read(tmp_path / "w.npz")
    assert [w.shape for w, _ in layers] == [(6, 4), (3, 6)]
    assert np.allclose(layers[1][0], values[2])
    assert np.allclose(layers[0][1], values[1])


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"conv.weight": np.zeros((3, 3, 3, 3))}, "only dense layers"),
        ({"x": np.zeros((3, 3))}, "'x' .* is no weight"),
        ({"W0": np.zeros((3, 4)), "W1": np.zeros((2, 5))}, "do not follow each other"),
        ({"W0": np.zeros((3, 4)), "b0": np.zeros(5)}, "do not follow each other"),
        ({"b0": np.zeros(4)}, "no weights for 0"),
        ({"W0": np.full((3, 4), np.nan)}, "not finite"),
        ({"W0": np.array(["a"])}, "is no weight"),
        ({"W0": np.zeros((3, 5000))}, "1 to 4096"),
    ],
)
def test_what_cannot_be(arrays: dict[str, np.ndarray], says: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=says):
        weights.convert(weights.read(tmp_path / "w.npz"))


def test_pickles_and_nonsense_are_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", W0=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="no npz of arrays"):
        weights.read(tmp_path / "w.npz")
    (tmp_path / "w.npz").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="no npz of arrays"):
        weights.read(tmp_path / "w.npz")
    with pytest.raises(DataError, match="no such file"):
        weights.read(tmp_path / "none.npz")


def test_import_and_start(network, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    layers, x, y = network
    (w0, b0), (w1, b1) = layers
    np.savez(tmp_path / "w.npz", W0=w0, b0=b0, W1=w1, b1=b1)
    np.savez(tmp_path / "s.npz", x=x, y=y)
    out = [str(tmp_path / name) for name in ("m.npz", "m.bin", "m.h")]
    done = CliRunner().invoke(cli.cli, [
        "import", str(tmp_path / "w.npz"), "--npz", out[0], "--bin", out[1], "--c-header", out[2],
        "--samples", str(tmp_path / "s.npz"), "--json",
    ])  # fmt: skip
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["same_class"] > 0.97
    model = export.read_npz(tmp_path / "m.npz")
    assert model.digest.hex() == told["digest"]
    # The federation's seed is another: only shape and rule must agree.
    assert home_run._start(tmp_path / "m.npz", Spec((64, 40, 10), "fedboard", 9)) == model.params
    with pytest.raises(DataError, match="change one"):
        home_run._start(tmp_path / "m.npz", Spec((64, 41, 10), "fedboard", 9))


def test_a_board_uses_model_bin_without_the_host(board_runtime, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The lines of docs/home.md, on every interpreter."""
    rng = np.random.default_rng(5)
    layers = [(rng.normal(0, 0.4, (7, 9)), rng.normal(0, 0.2, 7)), (rng.normal(0, 1, (4, 7)), np.zeros(4))]  # noqa: E501 # fmt: skip
    model = weights.convert(layers)
    export.write_bin(tmp_path / "model.bin", model)
    rows = rng.integers(-128, 128, (20, 9), np.int8)
    net = Network(model.spec, array("h", model.params))
    wanted = []
    for row in rows:
        label = net.predict(array("b", row.tobytes()))
        wanted.append([label, *net.out])
    text = DOC.read_text("utf-8")
    (code,) = re.findall(r"^```python\n(import sys\n.*?)^```", text, re.DOTALL | re.M)
    load, predict = code.split("label = ")
    load = load.replace('"model.bin"', "sys.argv[1]")
    line = "label = " + predict.split("#")[0].strip()
    script = (
        f"{load}\nfrom array import array\nimport json\nfound = []\n"
        f"for row in {rows.tolist()}:\n    x = array('b', row)\n    {line}\n"
        "    found.append([label] + list(network.out))\nprint(json.dumps(found))\n"
    )
    (tmp_path / "use.py").write_text(script)
    said = interpreters.run(board_runtime, tmp_path / "use.py", str(tmp_path / "model.bin"))
    assert json.loads(said) == wanted
