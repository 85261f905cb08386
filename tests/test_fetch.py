"""tools/apt_micropython.py and tools/get_micropython.py, without any fetching."""

from __future__ import annotations

import os
import sys

import pytest

import apt_micropython
import get_micropython

DEB822 = """\
Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN KEY-----
 abc

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb-src
URIs: http://mirror.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://other.example
Suites: bookworm
Components: stable

Types: deb
Enabled: no
URIs: http://mirror2.example/debian
Suites: bookworm
Components: main
"""
ONE_LINE = """\
# deb http://off.example/debian bookworm main
deb [arch=amd64,arm64 signed-by=/etc/k.gpg] http://mirror.example/debian bookworm main contrib # x
deb http://mirror.example/debian bookworm-backports main
deb-src http://mirror.example/debian bookworm main
deb https://tools.example/apt tools-bookworm main
"""


def _stanzas(tmp_path, name, text):
    (tmp_path / "sources.list.d").mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    found = apt_micropython.sources(tmp_path, "bookworm", "trixie")
    return [apt_micropython.fields(stanza) for stanza in found]


def test_sources_from_deb822(tmp_path):
    (found,) = _stanzas(tmp_path, "sources.list.d/debian.sources", DEB822)
    assert found == {
        "types": "deb",
        "uris": "http://mirror.example/debian",
        "suites": "trixie",
        "components": "main",
        "signed-by": "\n -----BEGIN KEY-----\n abc",
        "targets": "Packages",
    }


@pytest.mark.parametrize("name", ["sources.list", "sources.list.d/debian.list"])
def test_sources_from_lines(tmp_path, name):
    (found,) = _stanzas(tmp_path, name, ONE_LINE)
    assert found == {
        "types": "deb",
        "uris": "http://mirror.example/debian",
        "suites": "trixie",
        "components": "main contrib",
        "signed-by": "/etc/k.gpg",
        "architectures": "amd64 arm64",
        "targets": "Packages",
    }


def test_no_sources_of_this_release(tmp_path):
    assert apt_micropython.sources(tmp_path, "bookworm", "trixie") == []


@pytest.mark.skipif(os.name == "nt", reason="writes a shell script")
@pytest.mark.parametrize(
    ("triple", "loader"),
    [
        ("x86_64-linux-gnu", "/lib64/ld-linux-x86-64.so.2"),
        ("aarch64-linux-gnu", "/lib/ld-linux-aarch64.so.1"),
        ("arm-linux-gnueabihf", "/lib/ld-linux-armhf.so.3"),
    ],
)
def test_wrapper_on_every_architecture(tmp_path, triple, loader):
    root = tmp_path / "a folder" / "root"
    libraries = root / "usr" / "lib" / triple
    libraries.mkdir(parents=True)
    (root / "usr" / "bin").mkdir()
    (root / "usr" / "bin" / "micropython").write_bytes(b"\x7fELF..." + loader.encode() + b"\0")
    (libraries / "libffi.so.8").touch()
    # The stand-in for the loader prints what it was asked to do.
    stand_in = libraries / loader.rsplit("/", 1)[1]
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stand_in.chmod(0o755)
    wrapper = root.parent / "micropython"
    wrapper.write_text(apt_micropython.wrapper_text(root))
    wrapper.chmod(0o755)
    output = tmp_path / "output"
    assert os.spawnl(os.P_WAIT, "/bin/sh", "sh", "-c", f"'{wrapper}' -c 'a b' > '{output}'") == 0
    assert output.read_text().splitlines() == [
        "--inhibit-cache",
        "--library-path",
        str(libraries),
        str(root / "usr" / "bin" / "micropython"),
        "-c",
        "a b",
    ]


def test_a_package_without_a_binary_is_refused(tmp_path):
    with pytest.raises(OSError, match="holds no usr/bin/micropython"):
        apt_micropython.wrapper_text(tmp_path)


def test_chosen_interpreter_must_be_a_micropython(monkeypatch):
    monkeypatch.setenv("FEDBOARD_MICROPYTHON", sys.executable)
    found = get_micropython.native()
    assert found.command is None
    assert "is no MicroPython" in found.note
    monkeypatch.setenv("FEDBOARD_MICROPYTHON", "no-such-file")
    assert get_micropython.native().command is None


@pytest.mark.parametrize(
    ("numbers", "accepted"), [((1, 19, 1), False), ((1, 22, 0), True), ((2, 0, 0), True)]
)
def test_old_interpreters_are_refused(monkeypatch, numbers, accepted):
    monkeypatch.setattr(get_micropython, "version", lambda command: numbers)
    found = get_micropython.check("micropython")
    assert (found.command is not None) == accepted
    assert ("older than 1.22" in found.note) != accepted


def test_nothing_at_hand_gives_reasons(monkeypatch, tmp_path):
    monkeypatch.delenv("FEDBOARD_MICROPYTHON", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(get_micropython, "TOOLS", tmp_path)
    assert get_micropython.native() == (
        None,
        "none on PATH or in .tools: run python3 tools/dev.py micropython",
    )
    assert "no apt-get" in get_micropython.native(fetch=True).note
    assert "node is missing" in get_micropython.wasm(fetch=True).note
    assert list(tmp_path.iterdir()) == []


def test_a_client_that_fails_is_quoted():
    with pytest.raises(OSError, match=r"failed: .*the reason"):
        get_micropython.run_client([sys.executable, "-c", "raise SystemExit('the reason')"])


def test_a_client_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(get_micropython, "FETCH_TIMEOUT_S", 0.2)
    with pytest.raises(OSError, match="did not finish"):
        get_micropython.run_client([sys.executable, "-c", "import time; time.sleep(60)"])


def test_settle_replaces_whole_folders(tmp_path):
    for name in ("made", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    get_micropython.settle(tmp_path / "made", tmp_path / "target")
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["made"]
