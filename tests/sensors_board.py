"""Runs on any interpreter: the built-in sensors on a make-believe `machine`, and what they read.

Prints a line for each sensor. argument: a folder with idle.bin and wave.bin (fedboard.replay).
"""

import sys
from array import array


class Pin:
    IN = 0
    PULL_UP = 1
    PULL_DOWN = 2

    def __init__(self, name):
        if name == 99:
            raise ValueError("invalid pin")
        self.name = name
        self.pull = 0

    def init(self, mode, pull=0):
        self.pull = pull

    def value(self):
        return 1 if self.pull == Pin.PULL_UP else 0


class ADC:
    n = 0

    def __init__(self, pin):
        self.pin = pin

    def read_u16(self):
        ADC.n += 1
        return (20000 * ADC.n + self.pin.name) % 65536


class I2C:
    """An MPU6050 at 0x68 and a LIS3DH at 0x18, that count."""

    written = []

    def __init__(self, number, sda=None, scl=None):
        self.n = 0

    def readfrom_mem_into(self, address, register, buffer):
        if address == 0x68:
            known = {0x75: b"\x68"}
        elif address == 0x18:
            known = {0x0F: b"\x33"}
        elif address == 0x19:
            known = {0x0F: b"\x44"}
        else:
            raise OSError(5)
        self.n += 1
        step = (self.n * 257) & 0x7FFF
        data = known.get(register) or bytes((step >> 8, step & 0xFF)) * 7
        buffer[:] = data[: len(buffer)]

    def writeto_mem(self, address, register, data):
        I2C.written.append((address, register, data[0]))


class Machine:
    Pin = Pin
    ADC = ADC
    I2C = I2C


sys.modules["machine"] = Machine

from fedboard import DataError  # noqa: E402
from fedboard_device import sensors  # noqa: E402


def show(settings, n=2, label=0):
    """What the first n samples are, or why there are none."""
    try:
        sensor = sensors.Sensor(settings)
        sensor.start(label)
        x = array("b", bytes(sensor.n_in))
        found = []
        polls = 0
        while len(found) < n:
            polls += 1
            if sensor.poll(x):
                found.append(list(x))
        print(settings["module"], sensor.n_in, sensor.period_ms, polls, found)
    except DataError as error:
        print(settings["module"], "DataError:", error)


class Number:
    """A user's module whose read() gives no list."""

    @staticmethod
    def read():
        return 5


def main(folder):
    i2c = {"sda": 4, "scl": 5}
    show(dict(i2c, module="mpu6050", window=20))
    print(I2C.written)
    show(dict(i2c, module="lis3dh", window=20, hop=5, rate_hz=100))
    show(dict(i2c, module="mpu6050", address=0x69))
    show(dict(i2c, module="lis3dh", address=0x19))
    show({"module": "lis3dh", "sda": 4})
    show({"module": "lis3dh", "sda": 4, "scl": 99})
    show({"module": "adc", "pins": [26, 27], "low": -32768, "high": 32767})
    show({"module": "adc", "pins": [26], "window": 64, "burst": 64, "bands": 5, "rate_hz": 4})
    show({"module": "adc"})
    show({"module": "digital", "pins": [15, 16], "window": 10})
    show({"module": "digital", "pins": [15], "pull": "none", "low": 0, "high": 16384})
    for label in (0, 1, -1, 2):
        files = {"files": ["idle.bin", "wave.bin"], "folder": folder}
        show(dict(files, module="replay", window=30), label=label)
    show({"module": "replay", "files": ["none.bin"]})
    show({"module": "nothing"})
    sys.modules["number"] = Number
    show({"module": "number"})


if __name__ == "__main__":
    main(sys.argv[1])
