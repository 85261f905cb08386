"""What `pip install fedboard` gives: both packages, the board's files, the command."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import sync

ROOT = Path(__file__).resolve().parent.parent
ASK = """\
import fedboard, fedboard_host
from fedboard_host.paths import device_dir
print(fedboard.__file__, fedboard_host.__file__, device_dir(), sep="\\n")
"""


def _run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=os.sep,  # not the checkout: nothing may be found by accident
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    _run(*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    (found,) = folder.glob("fedboard-*.whl")
    return found


@pytest.mark.slow
def test_wheel_holds_everything(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    shared = sync.files(ROOT / "shared" / "fedboard")
    assert {f"fedboard/{name}" for name in shared} <= names
    assert {f"fedboard_host/_device/fedboard/{name}" for name in shared} <= names
    device = sync.files(ROOT / "device")
    assert {f"fedboard_host/_device/{name}" for name in device} <= names
    assert "fedboard_host/_device/main.py" in names
    assert "fedboard_host/py.typed" in names
    assert {name.split("/")[0] for name in names} == {"fedboard", "fedboard_host"}
    assert not any("__pycache__" in name for name in names)


@pytest.mark.slow
def test_installed_wheel_runs(wheel, tmp_path):
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / ("python.exe" if os.name == "nt" else "python")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    _run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel)
    # The dependencies are this environment's; its own fedboard is not found by this path.
    libraries = {"PYTHONPATH": sysconfig.get_path("purelib")}
    for found in _run(python, "-c", ASK, **libraries).split():
        assert Path(found).is_relative_to(home), found
    assert "demo" in _run(scripts / "fedboard", "--help", **libraries)
    assert "demo" in _run(python, "-m", "fedboard_host", "--help", **libraries)


def test_checkout_finds_the_boards_files():
    from fedboard_host.paths import device_dir

    assert device_dir() == ROOT / "device"
