"""A desktop's terminal, made to hand over bytes as they come. Boards do not load this."""

from fedboard_device import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CANONICAL = 0x102  # ICANON, of Linux and of macOS


def make_raw(fd: int) -> "Any":
    """Have a terminal hand over bytes as they come. Returns what it was, None: nothing to undo."""
    try:
        import termios

        saved = termios.tcgetattr(fd)
        if not saved[3] & _CANONICAL:
            return None  # it is raw already; and the list takes more than a kilobyte
        if system.RUNTIME != "cpython":
            termios.setraw(fd)
            return saved
        mode = termios.tcgetattr(fd)
        mode[0] &= ~(
            termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON | termios.IXOFF
            | termios.ISTRIP | termios.BRKINT
        )  # fmt: skip
        mode[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
        mode[6][termios.VMIN] = 1
        mode[6][termios.VTIME] = 0
        termios.tcsetattr(fd, termios.TCSANOW, mode)
        return saved
    except (ImportError, OSError, ValueError):
        return None
    except Exception as error:  # CPython's termios.error is no OSError
        if type(error).__name__ != "error":
            raise
        return None


def restore(fd: int, saved: "Any") -> None:
    """Make it again what it was."""
    import termios

    termios.tcsetattr(fd, termios.TCSANOW, saved)
