"""A board's pins, for sensor drivers: of MicroPython, of CircuitPython, of a Raspberry Pi (Blinka).

    bus = pins.I2c(settings)    bus.read(address, register, buffer)    bus.write(...)
    read = pins.analog(26)      read() -> 0 to 65535                   read = pins.digital(15)

A pin is a number (GPIO 4) or, where a board has names for its pins, a name ("A0", "GP4", "SDA").
What is not there is a DataError.
"""

from fedboard import DataError
from fedboard_device import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _has_machine() -> bool:
    try:
        import machine  # noqa: F401
    except ImportError:
        return False
    return True


# Blinka gives desktops CircuitPython's modules.
_CIRCUITPYTHON = system.RUNTIME == "circuitpython" or not _has_machine()


def pin(name: "int | str") -> "Any":
    """The pin. CircuitPython has names only: GPIO 4 is GP4, IO4 or D4 there."""
    try:
        if not _CIRCUITPYTHON:
            from machine import Pin

            return Pin(name)
        import board

        for prefix in ("", "GP", "IO", "D"):
            if hasattr(board, prefix + str(name)):
                return getattr(board, prefix + str(name))
    except (ImportError, ValueError, TypeError, NotImplementedError, RuntimeError) as error:
        if _CIRCUITPYTHON and system.RUNTIME == "cpython":
            raise DataError(f"pins of a computer need Blinka: pip install 'fedboard[pi]' ({error})")
        raise DataError(f"no pin {name} on this board: {error}")
    raise DataError(f"no pin {name} on this board: use a name as printed on it")


def analog(name: "int | str") -> "Callable[[], int]":
    """A function that reads the voltage on a pin, 0 to 65535."""
    found = pin(name)
    try:
        if _CIRCUITPYTHON:
            import analogio

            channel = analogio.AnalogIn(found)
            return lambda: int(channel.value)
        from machine import ADC

        read: Callable[[], int] = ADC(found).read_u16
        return read
    except (ImportError, ValueError, OSError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"pin {name} cannot read a voltage ({error}): choose an ADC pin")


def digital(name: "int | str", pull: str = "up") -> "Callable[[], int]":
    """A function that reads 0 or 1 on a pin; pull: "up", "down" or "none"."""
    found = pin(name)
    if _CIRCUITPYTHON:
        import digitalio

        way = {"up": digitalio.Pull.UP, "down": digitalio.Pull.DOWN}.get(pull)
        channel = digitalio.DigitalInOut(found)
        channel.switch_to_input(way)
        return lambda: int(channel.value)
    from machine import Pin

    kinds = {"up": Pin.PULL_UP, "down": Pin.PULL_DOWN}
    if pull in kinds:
        found.init(Pin.IN, kinds[pull])
    else:
        found.init(Pin.IN)
    read: Callable[[], int] = found.value
    return read


class I2c:
    """The bus on the pins `sda` and `scl` of a sensor's settings; without them, the board's own."""

    def __init__(self, settings: "dict[str, Any]") -> None:
        pins = [pin(settings[name]) for name in ("sda", "scl") if name in settings]
        if len(pins) == 1:
            raise DataError("an I2C sensor needs both `sda` and `scl`")
        try:
            if _CIRCUITPYTHON:
                import board
                import busio

                self._bus = busio.I2C(pins[1], pins[0]) if pins else board.I2C()
                while not self._bus.try_lock():
                    pass
            else:
                from machine import I2C

                number = settings.get("i2c", 0)
                self._bus = I2C(number, sda=pins[0], scl=pins[1]) if pins else I2C(number)
        except (ImportError, ValueError, TypeError, RuntimeError, AttributeError) as error:
            raise DataError(f"no I2C bus on these pins ({error}): check `i2c`, `sda` and `scl`")

    def read(self, address: int, register: int, buffer: bytearray) -> None:
        """Fill the buffer from the register on. Raises OSError if nobody answers."""
        if _CIRCUITPYTHON:
            self._bus.writeto_then_readfrom(address, bytes((register,)), buffer)
        else:
            self._bus.readfrom_mem_into(address, register, buffer)

    def write(self, address: int, register: int, value: int) -> None:
        if _CIRCUITPYTHON:
            self._bus.writeto(address, bytes((register, value)))
        else:
            self._bus.writeto_mem(address, register, bytes((value,)))

    def check(self, address: int, register: int, known: "tuple[int, ...]", what: str) -> None:
        """Raise DataError unless a chip that is `what` answers."""
        found = bytearray(1)
        try:
            self.read(address, register, found)
        except OSError as error:
            raise DataError(
                f"no {what} answers at {hex(address)} ({error}): check its wires and `address`"
            )
        if found[0] not in known:
            raise DataError(f"the chip at {hex(address)} is no {what}: it says {hex(found[0])}")
