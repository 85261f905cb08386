"""An MPU6050 (MPU6500, MPU9250) on I2C: acceleration and rotation, 6 axes of 16 bits.

    "sensor": {"module": "mpu6050", "sda": 4, "scl": 5, "window": 100, "rate_hz": 50}

Ranges: +-4 g (8192 is 1 g) and +-500 degrees a second (65.5 is one). Registers: InvenSense's
register map RM-MPU-6000A.
"""

import struct

from fedboard_device import pins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SMPLRT_DIV, _CONFIG, _GYRO_CONFIG, _ACCEL_CONFIG = 0x19, 0x1A, 0x1B, 0x1C
_ACCEL_XOUT, _PWR_MGMT_1, _WHO_AM_I = 0x3B, 0x6B, 0x75
_KNOWN = (0x68, 0x70, 0x71, 0x72, 0x98)  # MPU6050, 6500, 9250, a copy of each of the two

_bus: "Any" = None
_address = 0x68
_buffer = bytearray(14)


def setup(settings: "dict[str, Any]") -> int:
    """Wake the chip and set its ranges. Returns the number of axes."""
    global _bus, _address
    _address = settings.get("address", 0x68)
    bus = pins.I2c(settings)
    bus.check(_address, _WHO_AM_I, _KNOWN, "MPU6050")
    for register, value in (
        (_PWR_MGMT_1, 1),  # awake, clock of a gyroscope
        (_CONFIG, 3),  # low pass at 44 Hz
        (_SMPLRT_DIV, 4),  # 200 readings a second
        (_GYRO_CONFIG, 1 << 3),
        (_ACCEL_CONFIG, 1 << 3),
    ):
        bus.write(_address, register, value)
    _bus = bus
    return 6


def read() -> "tuple[int, ...]":
    """ax, ay, az, gx, gy, gz of this moment. Raises OSError."""
    _bus.read(_address, _ACCEL_XOUT, _buffer)
    ax, ay, az, _, gx, gy, gz = struct.unpack(">7h", _buffer)
    return ax, ay, az, gx, gy, gz
