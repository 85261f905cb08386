"""A LIS3DH (LIS2DH12) on I2C: acceleration, 3 axes.

    "sensor": {"module": "lis3dh", "sda": 4, "scl": 5, "window": 100, "rate_hz": 50}

Range +-4 g (8192 is 1 g), 12 bits, left-justified. Registers: ST's data sheet of the LIS3DH.
"""

import struct

from fedboard_device import pins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WHO_AM_I, _CTRL_REG1, _CTRL_REG4 = 0x0F, 0x20, 0x23
_OUT_X = 0x28 | 0x80  # and the following registers

_bus: "Any" = None
_address = 0x18
_buffer = bytearray(6)


def setup(settings: "dict[str, Any]") -> int:
    """Wake the chip and set its range. Returns the number of axes."""
    global _bus, _address
    _address = settings.get("address", 0x18)
    bus = pins.I2c(settings)
    bus.check(_address, _WHO_AM_I, (0x33,), "LIS3DH")
    bus.write(_address, _CTRL_REG1, 0x67)  # 200 readings a second, all axes
    bus.write(_address, _CTRL_REG4, 0x98)  # whole readings only, +-4 g, high resolution
    _bus = bus
    return 3


def read() -> "tuple[int, ...]":
    """ax, ay, az of this moment. Raises OSError."""
    _bus.read(_address, _OUT_X, _buffer)
    axes: tuple[int, ...] = struct.unpack("<3h", _buffer)
    return axes
