"""The harness itself: every interpreter prints the same bytes, and failures are told."""

from __future__ import annotations

import pytest

import interpreters

ECHO = """\
import sys
from fedboard import VERSION, PROTOCOL
print(VERSION, PROTOCOL, sys.argv[1], open(sys.argv[2]).read())
sys.stdout.buffer.write(bytes(range(256)))
"""


def test_same_bytes_everywhere(board_runtime, tmp_path):
    script = tmp_path / "echo.py"
    script.write_text(ECHO)
    (tmp_path / "data.txt").write_text("text")
    printed = interpreters.run(board_runtime, script, "word", tmp_path / "data.txt")
    expected = interpreters.run("cpython", script, "word", tmp_path / "data.txt")
    assert b"word text\n" in expected
    assert printed == expected


def test_is_what_it_says(board_runtime, tmp_path):
    script = tmp_path / "who.py"
    script.write_text("import sys\nprint(sys.implementation.name, sys.platform)\n")
    name, platform = interpreters.run(board_runtime, script).decode().split()
    assert name == ("cpython" if board_runtime.name == "cpython" else "micropython")
    assert (platform == "webassembly") == (board_runtime.name == "wasm")


@pytest.mark.parametrize("code", ["1/0", "import sys\nsys.exit(3)"])
def test_failure_is_told(board_runtime, tmp_path, code):
    script = tmp_path / "fails.py"
    script.write_text(code)
    with pytest.raises(AssertionError, match=r"fails\.py failed on"):
        interpreters.run(board_runtime, script)


def test_exit_zero_is_success(board_runtime, tmp_path):
    script = tmp_path / "ends.py"
    script.write_text("import sys\nprint('done')\nsys.exit(0)\n")
    assert interpreters.run(board_runtime, script) == b"done\n"


def test_missing_interpreter_says_why():
    absent = interpreters.Runtime("wasm", None, "node is missing")
    with pytest.raises(LookupError, match="node is missing"):
        interpreters.run(absent, "script.py")
