"""What every machine has in a way of its own: a clock, an id, randomness, memory, a console.

Boards under MicroPython and CircuitPython, and desktops under CPython and MicroPython's unix port.
Where a machine lacks something, its place is taken by what does least harm: 0 bytes free, a name
from the desktop's own. Times are in milliseconds.
"""

import gc
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RUNTIME = sys.implementation.name
DESKTOP = RUNTIME == "cpython" or sys.platform in ("linux", "darwin", "win32")

# Frames of 256 bytes that the console surely holds: a Pico's buffers three, an ESP32's one; a
# desktop's pty many.
CONSOLE_WINDOW = 4 if DESKTOP else 3 if sys.platform == "rp2" else 1
# Does its flow control make the host wait while it is full? USB's does; an ESP32's console may be a
# UART. So may an RP2040's, by os.dupterm(): docs/board.md says what main.py does then.
CONSOLE_WAITS = DESKTOP or sys.platform == "rp2"

_NAME_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789-_."
_HAS_TICKS = hasattr(time, "ticks_ms")
_watchdog: "Any" = None
_ms = 0
_ticks = time.ticks_ms() if _HAS_TICKS else 0


def clock_ms() -> int:
    """Milliseconds since the start. Never wraps, as MicroPython's ticks do after 12 days."""
    global _ms, _ticks
    if _HAS_TICKS:
        ticks = time.ticks_ms()
        _ms += time.ticks_diff(ticks, _ticks)
        _ticks = ticks
        return _ms
    return time.monotonic_ns() // 1000000


def sleep_ms(duration_ms: int) -> None:
    time.sleep(duration_ms / 1000)


def entropy(n: int) -> bytes:
    """n random bytes from the hardware or the system: for nonces."""
    return os.urandom(n)


def _free_memory() -> int:
    gc.collect()
    return gc.mem_free()


# Bytes free on the heap, garbage collected. None where a machine cannot tell.
free_memory = _free_memory if hasattr(gc, "mem_free") else None


def free_flash(folder: str) -> int:
    """Bytes free where `folder` is or will be; 0 where a machine cannot tell."""
    for path in (folder, "/"):
        try:
            found = os.statvfs(path)
        except (OSError, AttributeError):
            continue
        # A full littlefs says -1: it reckons some blocks twice.
        return max(0, min(found[0] * found[3], 0xFFFFFFFF))
    return 0


def rest(seconds: int, deep: bool) -> None:
    """Sleep to save power: lightly, where RAM is kept, or deeply, which ends in a start anew.

    A desktop only waits. Needs a machine that can wake itself by its clock.
    """
    if DESKTOP:
        time.sleep(seconds)
        return
    if RUNTIME == "circuitpython":
        import alarm

        wake = alarm.time.TimeAlarm(monotonic_time=time.monotonic() + seconds)
        if deep:
            alarm.exit_and_deep_sleep_until_alarms(wake)
        alarm.light_sleep_until_alarms(wake)
        return
    import machine

    if deep:
        machine.deepsleep(1000 * seconds)
    machine.lightsleep(1000 * seconds)


def firmware() -> str:
    """Such as "micropython 1.25.0 rp2"."""
    version = ".".join([str(n) for n in sys.implementation.version[:3]])
    return f"{RUNTIME} {version} {sys.platform}"


def unique_id(folder: str) -> bytes:
    """The chip's own id. A desktop has one for each folder of data, so for each virtual board."""
    try:
        if RUNTIME == "circuitpython":
            import microcontroller

            return bytes(microcontroller.cpu.uid)
        if not DESKTOP:
            import machine

            return bytes(machine.unique_id())
    except (ImportError, AttributeError):
        pass  # a port without: as on a desktop
    from fedboard.auth import sha256

    h = sha256()
    h.update((hostname() + "\n" + os.getcwd() + "\n" + folder).encode())
    return h.digest()[:8]


def default_name(uid: bytes) -> str:
    """The name of a board that was given none: from its id, on a desktop from the host's name."""
    if DESKTOP:
        return hostname()
    return "board-" + "".join([f"{b:02x}" for b in uid[-3:]])


def hostname() -> str:
    """The desktop's name, cut down to what a board's name may hold."""
    name = ""
    if hasattr(os, "uname"):
        name = os.uname()[1]
    elif hasattr(os, "getenv"):
        name = os.getenv("COMPUTERNAME") or os.getenv("HOSTNAME") or ""
    if not name:
        try:
            with open("/etc/hostname") as file:
                name = file.read().strip()
        except OSError:
            pass
    kept = "".join([c if c in _NAME_CHARACTERS else "-" for c in name.lower()])
    return kept[:24].lstrip(".") or "desktop"


def say(text: str) -> None:
    """A line on the console. Frames share it on USB: text between two frames does no harm."""
    print("fedboard: " + text)
    if hasattr(sys.stdout, "flush"):
        sys.stdout.flush()


def show(error: Exception) -> None:
    """An unexpected error on the console, with its traceback."""
    say("unexpected error, please report it:")
    if hasattr(sys, "print_exception"):
        sys.print_exception(error)
        return
    try:
        __import__("traceback").print_exception(error)  # CircuitPython, desktops
    except ImportError:
        say(f"{type(error).__name__}: {error}")


def start_watchdog(timeout_ms: int) -> bool:
    """Start the chip's watchdog, to be fed by feed(). False: there is none, or none is wanted."""
    global _watchdog
    if timeout_ms:
        _watchdog = _make_watchdog(timeout_ms)
    return _watchdog is not None


def feed() -> None:
    """Keep the watchdog from resetting the board. Whatever may take seconds does it, too."""
    if _watchdog is not None:
        _watchdog.feed()


def _make_watchdog(timeout_ms: int) -> "Any":
    try:
        if RUNTIME == "circuitpython":
            from microcontroller import watchdog as timer
            from watchdog import WatchDogMode

            timer.timeout = timeout_ms / 1000
            timer.mode = WatchDogMode.RESET
            return timer
        import machine

        return machine.WDT(timeout=timeout_ms)
    except (ImportError, AttributeError, OSError, ValueError) as error:
        say(f"no watchdog here: {error}")
        return None
