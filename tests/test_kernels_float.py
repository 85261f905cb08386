"""The float backends: close to pure, or refused."""

from __future__ import annotations

import shutil
import types
from array import array
from pathlib import Path

import numpy
import pytest

import ulab_fake
from fedboard import conv, fkernels, fselftest, kernels, mlp, model
from fedboard_device import backends
from fedboard_host import fkernels_numpy

STEPS = (
    ((64, 32, 10), "float"), ((64, 32, 10), "float-relu"), ((1, 64, 64, 1), "float-squared"),
)  # fmt: skip
EXTREMES = (
    "activate_tanh", "activate_relu", *["cross_entropy"] * 3, *["squared"] * 2, "largest",
)  # fmt: skip
SCRIPT = Path(__file__).with_name("float_board.py")


def test_numpy_passes_the_self_test():
    assert fselftest.failing(fkernels_numpy) == ""


@pytest.mark.parametrize("name", fkernels.KERNELS)
def test_a_wrong_kernel_is_refused(name):
    def nearly(*arguments):
        """Right, but for one number."""
        found = fkernels.PURE[name](*arguments)
        for each in arguments:
            if getattr(each, "typecode", "") == "f":
                each[0] += 0.001
        return found

    wrong = types.SimpleNamespace(**{name: nearly})
    assert fselftest.failing(wrong) == name
    assert fselftest.failing(types.SimpleNamespace(**{name: lambda: None})) == name
    assert fselftest.failing(types.SimpleNamespace(**{name: fkernels.PURE[name]})) == ""


@pytest.mark.parametrize("name", ["largest", "cross_entropy", "squared"])
def test_a_wrong_number_is_refused(name):
    def more(*arguments):
        return fkernels.PURE[name](*arguments) + 2

    assert fselftest.failing(types.SimpleNamespace(**{name: more})) == name


@pytest.fixture
def pure():
    yield
    fkernels.use(None)


def test_ulab_passes_the_self_test():
    with ulab_fake.installed("kernels_float_ulab") as ulab:
        assert fselftest.failing(ulab) == ""


def test_ulab_is_chosen_and_trains_as_pure_does(pure):
    spec = model.Spec((9, 5, 3), "float")

    def trained(batch):
        params = mlp.new_params(spec)
        for i in range(len(params)):
            params[i] = (i * 37 % 101 - 50) / 100
        net = mlp.make(spec, params)
        net.configure(batch, 0, 6553)
        for k in range(8):
            net.learn(array("b", [100 - 25 * k, *range(8)]), k % 3)
        net.flush()
        return numpy.array(params)

    expected = [trained(1), trained(3)]
    said = []
    with ulab_fake.installed("kernels_float_ulab"):
        backends.offer_floats(said.append)
        assert (fkernels.backend, said) == ("ulab", [])
        for batch, mean in zip((1, 3), expected, strict=True):
            assert numpy.abs(trained(batch) - mean).max() < 1e-5


def test_ulab_with_64_bits_is_not_for_these_floats():
    with (
        ulab_fake.installed("kernels_ulab"),
        pytest.MonkeyPatch.context() as patch,
    ):
        import ulab  # type: ignore[import-not-found]

        patch.setattr(ulab.numpy, "float", numpy.float64)
        with pytest.raises(ImportError, match="64 bits"):
            __import__("fedboard_device.kernels_float_ulab")


def test_a_wrong_float_backend_is_told_of(pure):
    said = []
    with ulab_fake.installed("kernels_float_ulab") as ulab:
        right = ulab.forward
        ulab.forward = lambda x, w, out, layer: right(x, w, out, array("i", [*layer[:2], 0, 1]))
        backends.offer_floats(said.append)
    assert fkernels.backend == "pure"
    assert len(said) == 1
    assert "'float_ulab' fail in forward" in said[0]


@pytest.mark.parametrize(
    ("kind", "make", "spec"),
    [
        ("floats", mlp.make, model.Spec((4, 3), "float")),
        ("conv", conv.Network, model.Spec((64, 5, 5), "conv1", 4)),
    ],
)
def test_a_board_without_such_kernels_looks_for_them_once(pure, monkeypatch, kind, make, spec):
    looks = []

    def offer():
        looks.append(kind)
        getattr(backends, "offer_" + kind)(looks.append)

    monkeypatch.setattr(kernels, "offer_" + kind, offer)
    for _ in range(3):
        make(spec, (mlp if kind == "floats" else model).new_params(spec))
    assert looks == [kind]


@pytest.mark.pico
@pytest.mark.slow
def test_emulated_pico_computes_by_its_rom(compiled, tmp_path):
    import pico_lab
    from pico.lab import Pico

    image = shutil.copy(compiled, tmp_path / "flash.img")
    with Pico(flash=image, pace=0) as board:
        pico_lab.mpremote(board, "cp", str(SCRIPT), ":")
        said = pico_lab.run_code(board, "import float_board")
    assert said.splitlines() == [
        "rp2040 ''", *(f"{rule} {batch} close" for _, rule in STEPS for batch in (1, 3)),
        *(f"{name} close" for name in EXTREMES), "the integers' pure",
        *(f"{sizes} {rule} {batch}: no allocation" for sizes, rule in STEPS for batch in (1, 4)),
    ]  # fmt: skip
