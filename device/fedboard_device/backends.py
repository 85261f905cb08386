"""Picks the fastest kernels that this board can run and that are right on it.

Each backend is a file of its own, since its import may already be a syntax error elsewhere. One
that imports is tried against the pure kernels before it is used; pure Python is always there.
"""

from fedboard import kernels, selftest, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

NAMES = ("thumb", "viper", "ulab")  # the fastest first
FRAME_NAMES = ("thumb", "viper")
FLOAT_NAMES = ("rp2", "ulab")
CONV_NAMES = ("viper",)


def choose(say: "Callable[[str], None]") -> str:
    """Install the first backend that passes its self-test; its name is kernels.backend."""
    offer_frames(say)
    for name, offered in _importable("", NAMES):
        wrong = selftest.failing(offered)
        if not wrong:
            kernels.use(offered)
            return name
        say(f"kernels '{name}' fail in {wrong} on this board and are not used: please report it")
    kernels.use(None)
    return "pure"


def offer_frames(say: "Callable[[str], None]") -> None:
    """The same for wire.unstuff() and count()."""
    for name, offered in _importable("frame_", FRAME_NAMES):
        if selftest.frames(offered):
            wire.use(offered)
            return
        say(f"frame kernels '{name}' fail on this board and are not used: please report it")


def offer_floats(say: "Callable[[str], None]") -> None:
    """The same for `fkernels`: close to the pure ones, not equal. Only once."""
    from fedboard import fkernels, fselftest

    kernels.offer_floats = None
    for name, offered in _importable("float_", FLOAT_NAMES):
        wrong = fselftest.failing(offered)
        if not wrong:
            fkernels.use(offered)
            return
        say(f"float kernels '{name}' fail in {wrong} on this board and are not used: report it")


def offer_conv(say: "Callable[[str], None]") -> None:
    """The same for `ckernels`. Only once."""
    from fedboard import ckernels, cselftest

    kernels.offer_conv = None
    for name, offered in _importable("conv_", CONV_NAMES):
        wrong = cselftest.failing(offered)
        if not wrong:
            ckernels.use(offered)
            return
        say(f"convolutions' kernels '{name}' fail in {wrong} on this board and are not used")


def _importable(kind: str, names: "tuple[str, ...]") -> "Iterator[tuple[str, Any]]":
    for name in names:
        module_name = "kernels_" + kind + name
        try:
            found = getattr(__import__("fedboard_device." + module_name), module_name)
        except Exception:  # no emitter, no such decorator, no such module: not for this board
            continue
        yield name, found
