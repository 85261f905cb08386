"""10,000 random and extreme cases: every kernel, backend and machine computes the same bits."""

from __future__ import annotations

import shutil

import pytest

import interpreters
from interpreters import DEVICE, ROOT, SHARED

N = "10000"
SCRIPT = ROOT / "tests" / "kernel_cases.py"
VIPER = "fedboard_device.kernels_viper"


@pytest.fixture(scope="module")
def expected():
    """What pure Python computes on CPython."""
    return interpreters.run("cpython", SCRIPT, N)


def test_pure(expected, board_runtime):
    assert len(expected.splitlines()) == 100
    assert interpreters.run(board_runtime, SCRIPT, N, timeout_s=300) == expected


def test_viper(expected, micropython):
    paths = (SHARED, DEVICE)
    assert interpreters.run("micropython", SCRIPT, N, VIPER, paths=paths) == expected


def test_viper_on_32_bits(expected):
    """Where a 32-bit MicroPython can be had (FEDBOARD_MICROPYTHON32, or Debian's)."""
    import os
    import subprocess

    import get_micropython

    found = get_micropython.narrow()
    if found.command is None:
        pytest.skip(f"no 32-bit MicroPython: {found.note}")
    environment = os.environ | {"MICROPYPATH": f"{SHARED}:{DEVICE}"}
    command = [*found.command, str(SCRIPT), N, VIPER]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True, timeout=300)
    assert done.stdout == expected


def test_numpy(expected):
    paths = (SHARED, ROOT / "host")
    backend = "fedboard_host.kernels_numpy"
    assert interpreters.run("cpython", SCRIPT, N, backend, paths=paths) == expected


@pytest.mark.pico
@pytest.mark.slow
@pytest.mark.parametrize("name", ["thumb", "viper"])
def test_emulated_pico(expected, compiled, tmp_path, name):
    import pico_lab
    from pico.lab import Pico

    image = shutil.copy(compiled, tmp_path / "flash.img")
    code = f"import kernel_cases; kernel_cases.main({N}, 'fedboard_device.kernels_{name}')"
    with Pico(flash=image, pace=0) as board:
        pico_lab.mpremote(board, "cp", str(SCRIPT), ":")
        said = pico_lab.run_code(board, code)
    assert said.split() == expected.decode().split()


def test_a_wrong_kernel_is_seen(expected, tmp_path):
    (tmp_path / "wrong.py").write_text(
        "from fedboard.kernels import *\nfrom fedboard import kernels\nname = 'wrong'\n"
        "def argmax(out):\n    return kernels.PURE['argmax'](out) if out[0] != -1 else 0\n"
    )
    got = interpreters.run("cpython", SCRIPT, N, "wrong", paths=(SHARED, tmp_path))
    assert got != expected
