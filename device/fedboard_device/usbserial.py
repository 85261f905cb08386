"""USB serial on CircuitPython: the port for data, where boot.py has enabled it, else the console.

    import usb_cdc
    usb_cdc.enable(console=True, data=True)         # in /boot.py, then a hard reset

The console serves as well, shared with what programs print, and its Ctrl-C. No other firmware has
usb_cdc: there, and where a board has no USB of its own, the import fails and the console it is.
"""

import usb_cdc

from fedboard_device import link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class UsbSerial(link.Link):
    window = 1  # its buffer has 256 bytes

    def __init__(self) -> None:
        port = usb_cdc.data or usb_cdc.console
        if port is None:
            raise OSError("boot.py has switched off both USB serial ports: use a tcp link")
        self._port: Any = port
        self._buffer = bytearray(link.READ_BYTES)

    def open(self) -> None:
        self._port.timeout = 0
        self._port.write_timeout = 0

    def close(self) -> None:
        """It is open as long as the board runs."""

    def read(self) -> "Any":
        n = min(self._port.in_waiting, link.READ_BYTES)
        if not n:
            return b""
        n = self._port.readinto(memoryview(self._buffer)[:n])
        return memoryview(self._buffer)[:n] if n else b""

    def write(self, data: bytes) -> None:
        if self._port.connected:  # else nobody has it open: it is lost, as on any wire
            link.write_all(self._port.write, data)
