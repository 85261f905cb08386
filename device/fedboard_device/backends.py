"""Picks the fastest kernels that this board can run and that are right on it.

Each backend is a file of its own, since its import may already be a syntax error elsewhere. One
that imports is tried against the pure kernels before it is used; pure Python is always there.
"""

from fedboard import kernels, selftest, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

NAMES = ("thumb", "viper", "ulab")  # the fastest first
FRAME_NAMES = ("thumb", "viper")
FLOAT_NAMES = ("rp2", "ulab")
CONV_NAMES = ("viper",)
JITTER_NAMES = ("viper",)


def choose(say: "Callable[[str], None]") -> str:
    """Have the fastest kernels for integers and for frames; of the former kernels.backend tells."""
    _pick("frame_", FRAME_NAMES, selftest.failing_frames, wire.use, say)
    name = _pick("", NAMES, selftest.failing, kernels.use, say)
    if not name:
        kernels.use(None)
    return name or "pure"


def offer_floats(say: "Callable[[str], None]") -> None:
    """The same for `fkernels`: close to the pure ones, not equal. Only once."""
    from fedboard import fkernels, fselftest

    kernels.offer_floats = None
    _pick("float_", FLOAT_NAMES, fselftest.failing, fkernels.use, say)


def offer_conv(say: "Callable[[str], None]") -> None:
    """The same for `ckernels`. Only once."""
    from fedboard import ckernels, cselftest

    kernels.offer_conv = None
    _pick("conv_", CONV_NAMES, cselftest.failing, ckernels.use, say)


def offer_jitter(say: "Callable[[str], None]") -> None:
    """The same for `jitter`. Only once."""
    from fedboard import jitter

    kernels.offer_jitter = None
    _pick("jitter_", JITTER_NAMES, jitter.failing, jitter.use, say)


def _pick(
    kind: str,
    names: "tuple[str, ...]",
    failing: "Callable[[Any], str]",
    use: "Callable[[Any], None]",
    say: "Callable[[str], None]",
) -> str:
    """Use the first that imports and in which nothing fails. Its name; "" if there is none."""
    for name in names:
        module_name = "kernels_" + kind + name
        try:
            found = getattr(__import__("fedboard_device." + module_name), module_name)
        except Exception:  # no emitter, no such decorator, no such module: not for this board
            continue
        wrong = failing(found)
        if not wrong:
            use(found)
            return name
        say(f"kernels '{kind}{name}' fail in {wrong} here and are not used: please report it")
    return ""
