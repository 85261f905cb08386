"""The board's program: kernels are chosen, settings are read, and then the loop runs (see runner).

The code for the start is freed again. Whatever a variable of run() names would stay for as long as
the board runs: hence functions of their own. Kernels are chosen first of all, so that what comes
later fills the holes: looking for memory takes the longer, the more of them lie before it.
"""

import gc
import sys

from fedboard import kernels
from fedboard_device import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fedboard_device.config import Settings
    from fedboard_device.runner import Runner

_CHOICE = ("fedboard_device.backends", "fedboard.selftest")
_PURE = ("fedboard.kernels_change", "fedboard.kernels_update")


def run(path: str = "") -> None:
    """Be a board until Ctrl-C, which comes out of here. path: of fedboard.json; "": the usual."""
    if system.RUNTIME != "cpython":
        _choose_kernels()
    runner = _make_runner(path)
    _unload(("fedboard_device.config",))
    from fedboard_device.runner import LinkDown

    try:
        runner.loop()
    except LinkDown as error:
        system.say(str(error))
        raise SystemExit(1)
    finally:
        runner.close()


def _make_runner(path: str) -> "Runner":
    from fedboard_device import runner

    return runner.Runner(_settings(path))


def _choose_kernels() -> None:
    """The fastest that are right here. Those for convolutions, floats and jitter wait until they
    are needed, as on most boards they never are; the pure ones that were replaced are freed.
    """
    from fedboard_device import backends

    kernels.offer_conv = lambda: _offer("offer_conv", "fedboard.cselftest")
    kernels.offer_floats = lambda: _offer("offer_floats", "fedboard.fselftest")
    kernels.offer_jitter = lambda: _offer("offer_jitter")
    if kernels.backend == "pure" and backends.choose(system.say) != "pure":
        kernels.PURE.clear()
        _unload(_PURE)
    del backends
    _unload(_CHOICE)


def _offer(name: str, *modules: str) -> None:
    """Have `backends` choose; then free it, and these modules."""
    from fedboard_device import backends

    getattr(backends, name)(system.say)
    del backends
    _unload(_CHOICE + modules)


def _settings(path: str) -> "Settings":
    """Read the settings, and say what is wrong with them."""
    from fedboard_device import config

    path = path or _argument() or ("" if system.DESKTOP else "/") + "fedboard.json"
    settings = config.load(path)
    for problem in settings.problems:
        system.say("settings: " + problem)
    if system.DESKTOP:
        sys.path.append(settings.folder or ".")  # of the user's own sensor.py
    return settings


def _argument() -> str:
    """A desktop's `--config PATH`."""
    arguments = getattr(sys, "argv", [])[1:]
    if not system.DESKTOP or not arguments:
        return ""
    if len(arguments) != 2 or arguments[0] != "--config":
        system.say("usage: main.py [--config fedboard.json]")
        raise SystemExit(2)
    return str(arguments[1])


def _unload(names: "tuple[str, ...]") -> None:
    """Free the memory of modules that have done their work. A desktop has no need to."""
    if system.RUNTIME == "cpython":
        return
    for name in names:
        package, _, module = name.rpartition(".")
        if sys.modules.pop(name, None) and hasattr(sys.modules[package], module):
            delattr(sys.modules[package], module)
    gc.collect()
