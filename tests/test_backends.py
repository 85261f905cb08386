"""Kernel backends: chosen by capability, refused when wrong, equal to pure bit for bit."""

from pathlib import Path

from fedboard import kernels, selftest, wire
from fedboard_host import kernels_numpy
from interpreters import ROOT, SHARED, run

SCRIPT = Path(__file__).with_name("backends_board.py")


def test_each_interpreter_gets_the_fastest_kernels_it_can_run(board_runtime):
    out = run(board_runtime, SCRIPT, paths=(SHARED, ROOT / "device")).decode().split("\n")
    best = "viper" if board_runtime.name == "micropython" else "pure"
    assert out[:2] == [f"{best} {best} []", "ok"]


def test_numpy_kernels_pass_the_self_test():
    assert selftest.failing(kernels_numpy) == ""


def test_pure_kernels_are_what_the_self_test_compares_with():
    assert set(kernels.PURE) == set(kernels.KERNELS)


def test_frame_kernels(micropython):
    script = Path(__file__).with_name("frames_board.py")
    assert run("micropython", script, paths=(SHARED, ROOT / "device")).split() == [b"viper"]


def test_wrong_frame_kernels_fail():
    class Wrong:
        count = wire.count

        @staticmethod
        def unstuff(buffer, n):
            return wire.unstuff(buffer, n) - (buffer[n - 1 : n] == b"\x7d")

    class Short:
        unstuff = wire.unstuff

        @staticmethod
        def count(buffer, n, byte):
            return wire.count(buffer, n - (n > 1), byte)

    assert selftest.failing_frames(wire) == ""
    assert selftest.failing_frames(Wrong) == "unstuff"
    assert selftest.failing_frames(Short) == "count"
    assert selftest.failing_frames(None) == "count"
