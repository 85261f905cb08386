"""Lets `python3 tools/NAME.py` do with any Python: it goes on in .venv, which dev.py makes.

    if __name__ == "__main__":
        import in_venv  # noqa: F401

Who is in a virtual environment already stays there. So does who has no .venv, if numpy is there.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_PYTHON = _ROOT / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _go_on() -> None:
    if sys.prefix != sys.base_prefix or Path(sys.executable) == _PYTHON:
        return
    if not _PYTHON.exists():
        if importlib.util.find_spec("numpy") is None:
            sys.exit("tools: NumPy is not installed: run `python3 tools/dev.py setup` first")
        return
    command = [str(_PYTHON), *sys.orig_argv[1:]]
    if os.name == "nt":  # execv there returns at once to the prompt
        sys.exit(subprocess.call(command))
    os.execv(command[0], command)


_go_on()
