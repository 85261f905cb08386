"""Picks the fastest kernels that this board can run and that are right on it.

Each backend is a file of its own, since its import may already be a syntax error elsewhere. One
that imports is tried against the pure kernels before it is used; pure Python is always there.
"""

from fedboard import kernels, selftest, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("thumb", "viper", "ulab")  # the fastest first
FRAME_NAMES = ("thumb", "viper")
FLOAT_NAMES = ("rp2", "ulab")


def choose(say: "Callable[[str], None]") -> str:
    """Install the first backend that passes its self-test; its name is kernels.backend.

    Those for convolutions wait until a network has some: most boards never need them.
    """
    kernels.offer_conv = lambda: offer_conv(say)
    kernels.offer_floats = lambda: offer_floats(say)
    offer_frames(say)
    for name in NAMES:
        try:
            module = __import__("fedboard_device.kernels_" + name)
            offered = getattr(module, "kernels_" + name)
        except Exception:  # no emitter, no such decorator, no such module: not for this board
            continue
        wrong = selftest.failing(offered)
        if not wrong:
            kernels.use(offered)
            return name
        say(f"kernels '{name}' fail in {wrong} on this board and are not used: please report it")
    kernels.use(None)
    return "pure"


def offer_frames(say: "Callable[[str], None]") -> None:
    """The same for wire.unstuff()."""
    for name in FRAME_NAMES:
        try:
            module = __import__("fedboard_device.kernels_frame_" + name)
            offered = getattr(module, "kernels_frame_" + name)
        except Exception:
            continue
        if selftest.unstuffs(offered):
            wire.use(offered)
            return
        say(f"frame kernels '{name}' fail on this board and are not used: please report it")


def offer_floats(say: "Callable[[str], None]") -> None:
    """The same for `fkernels`: close to the pure ones, not equal."""
    from fedboard import fkernels, fselftest

    for name in FLOAT_NAMES:
        try:
            module = __import__("fedboard_device.kernels_float_" + name)
            offered = getattr(module, "kernels_float_" + name)
        except Exception:
            continue
        wrong = fselftest.failing(offered)
        if not wrong:
            fkernels.use(offered)
            return
        say(f"float kernels '{name}' fail in {wrong} on this board and are not used: report it")


def offer_conv(say: "Callable[[str], None]") -> None:
    """The same for `ckernels`, which have one backend."""
    from fedboard import ckernels, cselftest

    try:
        from fedboard_device import kernels_conv_viper
    except Exception:
        return
    wrong = cselftest.failing(kernels_conv_viper)
    if wrong:
        say(f"convolutions' kernels fail in {wrong} on this board and are not used: report it")
    else:
        ckernels.use(kernels_conv_viper)
