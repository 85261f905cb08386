"""Fixtures that every test may use, and the loud line about interpreters that are missing.

    micropython    command (list) of MicroPython's unix port         real_data   npz files
    wasm           command (list) of MicroPython in WebAssembly
    board_runtime  each interpreter in turn, for interpreters.run()
    deployed       a flash image of an emulated Pico with :/device on it, as sources
    compiled       the same, as .mpy files: starts faster
    loops          the host's loops over updates in NumPy, then compiled, each in turn

Without such an interpreter the test is skipped; in CI (CI=true) it fails. tools/dev.py runs the
tests in several processes, each with fixtures of its own; what takes long is made once for all.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator

# One thread for each process: tests run whole fleets on two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("FEDBOARD_NUMBA", "0")  # a second each time that a test runs a home

from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="module", autouse=True)
def _settled() -> None:
    """Boards collect garbage often: spare them what this process has imported by now."""
    gc.collect()
    gc.freeze()


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


def _flash(factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], object]) -> Path:
    """The flash of a Pico with the folder that `fill` makes; the processes of one run share it."""
    _need_pico()
    import fcntl

    import pico_lab

    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    image = folder / "flash.img"
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not image.exists():
            filling = folder / "filling.img"
            filling.unlink(missing_ok=True)  # of a try that failed
            shutil.rmtree(folder / "device", ignore_errors=True)
            fill(folder / "device")
            pico_lab.deploy(filling, folder)
            filling.rename(image)
    return image


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Pico's flash after the maker's `mpremote cp -r device/ :`. Use a copy."""

    def copy(target: Path) -> None:
        ignore = shutil.ignore_patterns("__pycache__")  # mpremote copies whatever is there
        shutil.copytree(interpreters.DEVICE, target, ignore=ignore)

    return _flash(tmp_path_factory, "sources", copy)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Pico's flash with the same, compiled by mpy-cross. Use a copy."""
    import pico_lab

    return _flash(tmp_path_factory, "compiled", pico_lab.compile_device)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets beside the checkout; most people have none, so tests skip."""
    folder = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real data: this test needs a folder shared/data beside the checkout")
    return folder


def pytest_sessionfinish(session: pytest.Session) -> None:
    told = getattr(session.config, "workeroutput", None)
    if told is not None:  # one process of several: the first one writes the summary
        told["missing"] = _MISSING


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _MISSING.update(getattr(node, "workeroutput", {}).get("missing", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, note in _MISSING.items():
        terminalreporter.write_line(f"!!! NOT TESTED on {name}: {note}", red=True, bold=True)
