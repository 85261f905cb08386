"""The float backends: close to pure, or refused."""

from __future__ import annotations

import shutil
import types
from pathlib import Path

import pytest

from fedboard import fkernels, fselftest
from fedboard_host import fkernels_numpy

SCRIPT = Path(__file__).with_name("float_board.py")


def test_numpy_passes_the_self_test():
    assert fselftest.failing(fkernels_numpy) == ""


@pytest.mark.parametrize("name", fkernels.KERNELS)
def test_a_wrong_kernel_is_refused(name):
    def nearly(*arguments):
        """Right, but for one number."""
        fkernels.PURE[name](*arguments)
        for each in arguments:
            if each.typecode == "f":
                each[0] += 0.001

    wrong = types.SimpleNamespace(**{name: nearly})
    assert fselftest.failing(wrong) == name
    assert fselftest.failing(types.SimpleNamespace(**{name: lambda: None})) == name
    assert fselftest.failing(types.SimpleNamespace(**{name: fkernels.PURE[name]})) == ""


@pytest.mark.pico
@pytest.mark.slow
def test_emulated_pico_computes_by_its_rom(compiled, tmp_path):
    import pico_lab
    from pico.lab import Pico

    image = shutil.copy(compiled, tmp_path / "flash.img")
    with Pico(flash=image, pace=0) as board:
        pico_lab.mpremote(board, "cp", str(SCRIPT), ":")
        said = pico_lab.run_code(board, "import float_board")
    assert said.split() == ["rp2040", "''", "close", "pure"]
