"""The maker's steps, literally, with the real mpremote on an emulated Pico with stock firmware."""

from __future__ import annotations

import re
import select
import shutil
import signal
import subprocess

import pytest

import golden
import pico_lab
from fedboard.hub import Joined
from pico.lab import Pico
from pico_lab import MAIN, MPREMOTE, ROOT, mpremote, opened, plugged

pytestmark = [pytest.mark.slow, pytest.mark.pico]


@pytest.fixture
def image(deployed, tmp_path):
    return shutil.copy(deployed, tmp_path / "flash.img")


def tree(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}


def test_copy_run_and_stop(image):
    with Pico(flash=image) as board:
        # mpremote cp -r device/ :     (done by the fixture: all of it is there)
        listed = mpremote(board, "fs", "tree", ":")
        assert set(re.findall(r"(\S+\.py)", listed)) == {
            name.rsplit("/", 1)[-1] for name in tree(ROOT / "device")
        }
        # mpremote run device/main.py
        command = [*MPREMOTE, "connect", board.port, "run", MAIN]
        running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        said = b""
        while b"link the console" not in said:
            said += running.stdout.read1()
            assert b"Error" not in said
        # Ctrl-C ends mpremote; the next one finds the REPL.
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)
        assert mpremote(board, "eval", "6 * 7").strip() == "42"


def test_autostart_redeploy_and_the_repl(image):
    with Pico(flash=image) as board:
        # mpremote cp device/main.py : + reset
        mpremote(board, "cp", MAIN, ":", "+", "reset")
        with plugged(board) as host:
            joined = host.until(Joined)
            assert joined.hello.name == "board-000001"
            assert joined.hello.uid == bytes.fromhex("e660000000000001")
            assert joined.status.firmware == "micropython 1.25.0 rp2"
            assert joined.status.kernels == "thumb"
            assert joined.status.n_samples == 0
            assert joined.status.free_ram > 120_000
        # Again, while it runs: what is there already is not sent again.
        mpremote(board, "cp", "-r", "device/", ":", "+", "reset")
        with plugged(board) as host:
            host.until(Joined)
            # Ctrl-C leads to the REPL.
            host.stream.write(b"\x03")
            host.said("fedboard: stopped\r\n")
        with opened(board) as stream:
            stream.write(b"\x03\r\n40 + 2\r\n")  # \x03: drop what the host has said meanwhile
            said = b""
            while b"42\r\n>>> " not in said:
                assert select.select([stream], [], [], 60)[0], said
                said += stream.read()
        # A power cut, and it starts again by itself.
        board.kill()
    with Pico(flash=image) as board, plugged(board) as host:
        host.until(Joined)


def test_contents_at_the_root_work_too(compiled, tmp_path):
    """`cp -r device/. :` copies what is in device/ to the root, main.py among it."""
    image = shutil.copy(compiled, tmp_path / "flash.img")
    pico_lab.compile_device(tmp_path / "device")
    move = """\
import os
os.remove('/device/main.py')
for name in os.listdir('/device'):
    os.rename('/device/' + name, '/' + name)
os.rmdir('/device')
"""
    with Pico(flash=image) as board:
        mpremote(board, "exec", move)  # what is there already is not sent again
        mpremote(board, "cp", "-r", "device/.", ":", "+", "reset", cwd=tmp_path)
        with plugged(board) as host:
            host.until(Joined)


def test_another_chip_is_another_board(compiled, tmp_path):
    image = shutil.copy(compiled, tmp_path / "flash.img")
    with Pico(flash=image, uid="e66000000000abcd", seed=5) as board:
        pico_lab.start(board)
        with plugged(board) as host:
            assert host.until(Joined).hello.name == "board-00abcd"


# Learning takes minutes in pure Python; viper has its 10,000 cases in test_kernel_cases.
SLOW = ("frames", "kernels", "learning", "sparse")
GOLDEN = [(area, "pure") for area in golden.AREAS if area not in SLOW]
GOLDEN += [("kernels", "pure"), ("kernels", "thumb"), ("learning", "thumb")]
GOLDEN += [("frames", "frame_thumb"), ("sparse", "thumb")]
# Of these each third case: other machines compute them all (test_golden).
EVERY = {"learning": 3, "reptile": 3}


@pytest.fixture(scope="module")
def board_with_vectors(compiled, tmp_path_factory):
    """One for all areas, with the vectors and, compiled, what reads them."""
    folder = tmp_path_factory.mktemp("vectors")
    tests = ROOT / "tests"
    for path in (*tests.glob("golden_*.py"), *tests.glob("ops_*.py")):
        pico_lab.compile_file(path, folder / (path.stem + ".mpy"), path.name)
    files = [*folder.glob("*.mpy"), *(tests / "vectors").glob("*.txt")]
    image = shutil.copy(compiled, folder / "flash.img")
    with Pico(flash=image, pace=0) as board:
        mpremote(board, "cp", *map(str, files), ":")
        yield board


@pytest.mark.parametrize(("area", "kernels"), GOLDEN)
def test_golden_vectors(board_with_vectors, area, kernels):
    backend = None if kernels == "pure" else f"fedboard_device.kernels_{kernels}"
    every = EVERY.get(area, 1)
    code = f"import golden_runner; golden_runner.main('{area}.txt', {backend!r}, {every})"
    said = pico_lab.run_code(board_with_vectors, code).splitlines()
    vectors = ROOT / "tests" / "vectors" / f"{area}.txt"
    expected = vectors.read_text("utf-8").splitlines()[::every]
    same = [a for a, b in zip(said, expected, strict=True) if a == b]
    others = [a for a, b in zip(said, expected, strict=True) if a != b]
    assert [a for a in others if not a.endswith(" = too large for this board")] == []
    assert len(same) > 2 * len(others)


def test_frame_kernels(board_with_vectors):
    script = (ROOT / "tests" / "frames_board.py").read_text("utf-8")
    assert pico_lab.run_code(board_with_vectors, script).split() == ["thumb", "viper"]
