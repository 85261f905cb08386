"""Where the board's files are: main.py, fedboard_device/ and fedboard/.

    checkout, editable install   ROOT/device
    installed wheel              fedboard_host/_device     (copied by the build, see pyproject.toml)
"""

from __future__ import annotations

from pathlib import Path

from fedboard import DataError

_HERE = Path(__file__).resolve().parent


def device_dir() -> Path:
    """The folder whose contents go onto a board; DataError if this installation lacks it."""
    candidates = (_HERE / "_device", _HERE.parent.parent / "device")
    for folder in candidates:
        if (folder / "fedboard_device").is_dir():
            return folder
    looked = " and ".join(str(folder) for folder in candidates)
    raise DataError(
        f"the board's files are missing (looked in {looked}): "
        "reinstall fedboard, or run from a complete checkout"
    )
