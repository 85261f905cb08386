"""Every interpreter and every kernel computes what the independent reference does, bit for bit."""

from __future__ import annotations

import contextlib
import io

import pytest

import golden
import golden_runner
import interpreters
from fedboard import kernels

VECTORS = interpreters.ROOT / "tests" / "vectors"
RUNNER = interpreters.ROOT / "tests" / "golden_runner.py"
# RFC 4231, test cases 1 to 7, but that of case 5 only its first half is published.
RFC_4231 = (
    "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
    "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    "a3b6167473100ee06e0c796c2955552b",
    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
)

pytestmark = pytest.mark.parametrize("area", golden.AREAS)


def vectors(area):
    return (VECTORS / f"{area}.txt").read_bytes().replace(b"\r\n", b"\n")


def test_files_are_what_the_reference_says(area):
    assert vectors(area) == golden.text_of(area).encode(), "run python3 tools/golden.py"


def test_every_interpreter_agrees(area, board_runtime):
    printed = interpreters.run(board_runtime, RUNNER, VECTORS / f"{area}.txt", timeout_s=300)
    assert printed == vectors(area)


def test_viper_kernels_agree(area, micropython):
    kind = "conv_viper" if area == "conv" else "frame_viper" if area == "frames" else "viper"
    printed = interpreters.run(
        interpreters.runtime("micropython"), RUNNER, VECTORS / f"{area}.txt",
        f"fedboard_device.kernels_{kind}", paths=(interpreters.SHARED, interpreters.DEVICE),
    )  # fmt: skip
    assert printed == vectors(area)


def test_numpy_kernels_agree(area):
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            golden_runner.main(VECTORS / f"{area}.txt", "fedboard_host.kernels_numpy")
    finally:
        kernels.use(None)
    assert printed.getvalue().encode() == vectors(area)


def test_files_hold_what_was_promised(area):
    lines = vectors(area).decode().splitlines()
    assert len(lines) == len(set(lines)) >= 10
    assert all(line.count(" = ") == 1 for line in lines)
    if area == "auth":
        results = [line.partition(" = ")[2] for line in lines[:7]]
        assert all(
            result.startswith(known) for result, known in zip(results, RFC_4231, strict=True)
        )


def test_files_are_small(area):
    assert sum(path.stat().st_size for path in VECTORS.iterdir()) < 300_000
