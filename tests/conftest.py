"""Fixtures that every test may use, and the loud line about interpreters that are missing.

    micropython    command (list) of MicroPython's unix port         real_data   npz files
    wasm           command (list) of MicroPython in WebAssembly
    board_runtime  each interpreter in turn, for interpreters.run()
    deployed       a flash image of an emulated Pico with :/device on it, as sources
    compiled       the same, as .mpy files: starts faster
    loops          the host's loops over updates in NumPy, then compiled, each in turn

Without such an interpreter the test is skipped; in CI (CI=true) it fails.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator

# One thread for each process: tests run whole fleets on two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("FEDBOARD_NUMBA", "0")  # a second each time that a test runs a home

from pathlib import Path

import hypothesis
import pytest

import interpreters
from fedboard_host import decode
from pico import kit

IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
_MISSING: dict[str, str] = {}

# No deadline: these tests run on slow and busy machines. CI repeats the same examples every time.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if IN_CI else "local")


def _need(name: str) -> interpreters.Runtime:
    found = interpreters.runtime(name)
    if found.command is None:
        _MISSING[name] = found.note
        text = f"no {name} interpreter: {found.note}"
        if IN_CI:
            pytest.fail(text)
        pytest.skip(text)
    return found


@pytest.fixture(scope="module", params=["numpy", "numba"])
def loops(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "numba":
        if importlib.util.find_spec("numba") is None:
            pytest.skip("numba is not installed: pip install 'fedboard[fast]'")
        assert decode.use_compiled()
    yield
    decode.use_compiled(False)


@pytest.fixture(scope="session")
def micropython() -> list[str]:
    """The command that starts MicroPython's unix port."""
    return list(_need("micropython").command or [])


@pytest.fixture(scope="session")
def wasm() -> list[str]:
    """The command that starts MicroPython in WebAssembly (see tools/wasm_micropython.mjs)."""
    return list(_need("wasm").command or [])


@pytest.fixture(params=interpreters.NAMES)
def board_runtime(request: pytest.FixtureRequest) -> interpreters.Runtime:
    """Each interpreter in turn."""
    return _need(request.param)


def _need_pico() -> None:
    found = kit.find()
    if found.kit is None:
        _MISSING["an emulated Pico"] = found.note
        text = f"no emulated Pico: {found.note}"
        if IN_CI:
            pytest.fail(text)
        pytest.skip(text)


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Pico's flash after the maker's `mpremote cp -r device/ :`. Use a copy."""
    _need_pico()
    import pico_lab

    folder = tmp_path_factory.mktemp("sources")
    ignore = shutil.ignore_patterns("__pycache__")  # mpremote copies whatever is there
    shutil.copytree(interpreters.DEVICE, folder / "device", ignore=ignore)
    image = folder / "sources.img"
    pico_lab.deploy(image, folder)
    return image


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Pico's flash with the same, compiled by mpy-cross. Use a copy."""
    _need_pico()
    import pico_lab

    folder = tmp_path_factory.mktemp("compiled")
    pico_lab.compile_device(folder / "device")
    image = folder / "compiled.img"
    pico_lab.deploy(image, folder)
    return image


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets beside the checkout; most people have none, so tests skip."""
    folder = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real data: this test needs a folder shared/data beside the checkout")
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, note in _MISSING.items():
        terminalreporter.write_line(f"!!! NOT TESTED on {name}: {note}", red=True, bold=True)
