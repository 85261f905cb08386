"""What a serial port is called: as its board says, who made it, and its USB ids."""

from __future__ import annotations

import os
from typing import Any

# What makers of boards and of bridge chips call themselves: (vendor, product or None).
_MAKERS = {
    (0x2E8A, 0x0003): "Raspberry Pi in BOOTSEL mode",
    (0x2E8A, None): "Raspberry Pi Pico",
    (0x239A, None): "Adafruit (CircuitPython)",
    (0x303A, None): "Espressif ESP32",
    (0xF055, None): "MicroPython board",
    (0x0D28, None): "micro:bit",
    (0x2341, None): "Arduino",
    (0x2886, None): "Seeed",
    (0x16C0, None): "Teensy",
    (0x10C4, None): "CP210x bridge",
    (0x1A86, None): "CH340 bridge",
    (0x0403, None): "FTDI bridge",
    (0x067B, None): "PL2303 bridge",
}


def title(port: Any) -> str:
    """Of a port as serial.tools.list_ports tells of it, like "Board in FS mode 2e8a:0005"."""
    if port.vid is None:
        maker, ids = "", ""
    else:
        maker = _MAKERS.get((port.vid, port.pid)) or _MAKERS.get((port.vid, None)) or ""
        ids = f" {port.vid:04x}:{port.pid:04x}"
    told = port.product or (port.description if port.description != "n/a" else "") or ""
    if told in (port.device, os.path.basename(port.device)):
        told = ""
    if maker and told and maker.lower() not in told.lower():
        told = f"{told} ({maker})"
    return ((told or maker or "serial port") + ids).strip()
