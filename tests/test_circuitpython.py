"""CircuitPython's seams: USB serial, WiFi, settings.toml, a read-only drive, a watchdog.

No registry has a CircuitPython to test with. So its modules are stubs, on every interpreter; on
MicroPython in WebAssembly, which has no native emitters either, files must import as they do there.
"""

from __future__ import annotations

from pathlib import Path

from interpreters import DEVICE, SHARED, run

SCRIPT = Path(__file__).with_name("circuitpython_board.py")
STUBS = Path(__file__).with_name("circuitpython")


def said(runtime, folder):
    folder.mkdir()
    return run(runtime, SCRIPT, folder, paths=(STUBS, SHARED, DEVICE)).decode().splitlines()


def test_a_board_on_circuitpython(board_runtime, tmp_path):
    lines = said(board_runtime, tmp_path / "board")
    update = lines[0].split(" ", 3)[3]
    assert lines[:8] == [
        f"console: board-6185b2 40 {update}",
        "watchdog: 8.0 reset True",
        "kept: 1",
        f"data: 40 {update} 1",
        "1 warning",
        f"wifi: 192.168.1.10 home {update}",
        "toml: hall tcp [('192.168.1.10', 4850)] home []",
        "json: mine usb other",
    ]
    assert said("cpython", tmp_path / "other")[0] == lines[0]  # the same on every interpreter
