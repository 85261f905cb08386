# mypy: ignore-errors
"""What `bench.py board` runs on an emulated Pico as its program: a board that takes its own times.

    link_script.main("thumb", n)    a backend of fedboard_device, or "pure"; bytes of this code

It serves the host on USB until Ctrl-C, then prints "what value unit" lines. Times are cycles that
the CPU was awake for: what it waits for the host is the host's. The heap left does not count this
code's own bytes.
"""

import gc
import time

from machine import mem32

CYCLES_PER_US = 125
ROWS = []


def clock():
    """Cycles, but for those that were slept; see tools/pico/emulator/flash.mjs."""
    return (mem32[0x40070014] - mem32[0x40070020]) & 0xFFFFFFFF


def since(began):
    return (clock() - began) & 0xFFFFFFFF


def since_us(began):
    return since(began) / CYCLES_PER_US


class Timer:
    """Adds up the cycles of a function of one argument, in place of which it is called."""

    def __init__(self, function):
        self.function = function
        self.cycles = 0

    def __call__(self, argument):
        began = clock()
        self.function(argument)
        self.cycles += since(began)


class Times:
    """Of a Board's tasks: when a model begins, when it is here, when work begins and is done."""

    def __init__(self, board, own_bytes):
        self.board = board
        self.own_bytes = own_bytes
        self.began = self.model_at = 0
        self.flash = board.learner.base.write = Timer(board.learner.base.write)
        for name in ("_begin_model", "_finish_model", "_start", "_upload", "_tell"):
            setattr(board, name, self.hook(getattr(board, name), getattr(self, "on" + name)))

    def hook(self, function, tell):
        def hooked(*arguments):
            return tell(function, arguments)

        return hooked

    def on_begin_model(self, function, arguments):
        function(*arguments)
        self.flash.cycles = 0
        self.model_ms = time.ticks_ms()
        self.model_at = clock()

    def on_finish_model(self, function, arguments):
        us = since_us(self.model_at)
        flash_us = self.flash.cycles / CYCLES_PER_US
        assert time.ticks_diff(time.ticks_ms(), self.model_ms) < 30000  # clock() wraps after 34 s
        function(*arguments)
        spec = self.board.learner.net.spec
        name = "-".join([str(size) for size in spec.sizes])
        n_bytes = 2 * spec.n_params
        ROWS.append((name + " link in", n_bytes / (us - flash_us) * 1e3, "kB/s"))
        us = since_us(self.model_at)
        ROWS.append((name + " link in, to flash", n_bytes / us * 1e3, "kB/s"))

    def on_start(self, function, arguments):
        function(*arguments)
        self.began = clock()

    def on_upload(self, function, arguments):
        us = since_us(self.began)
        learner = self.board.learner
        name = "-".join([str(size) for size in learner.net.spec.sizes])
        ROWS.append((name + " whole program's rate", learner.done / us * 1e6, "samples/s"))
        gc.collect()
        ROWS.append((name + " whole program's heap left", gc.mem_free() + self.own_bytes, "bytes"))
        function(*arguments)

    def on_tell(self, function, arguments):
        message = arguments[0]
        if type(message).__name__ == "Metrics":
            ROWS.append(("ADAPT", since_us(self.began) / 1e3, "ms"))
            ROWS.append(("ADAPT right", message.n_correct, f"of_{message.n}"))
        function(*arguments)


def use_ulab_for_floats():
    """Not the RP2040's ROM, which a board would prefer."""
    from fedboard import fkernels
    from fedboard_device import kernels_float_ulab

    fkernels.use(kernels_float_ulab)


def main(backend, own_bytes):
    time.sleep_ms(100)
    from fedboard_device import backends, node

    backends.NAMES = (backend,) if backend != "pure" else ()
    backends.FRAME_NAMES = backends.NAMES
    if backend == "ulab":
        node._offer_floats = use_ulab_for_floats
    del backends  # the program frees it
    make = node._make_runner

    def make_timed(path):
        runner = make(path)
        Times(runner._board, own_bytes)
        return runner

    node._make_runner = make_timed
    try:  # noqa: SIM105 - contextlib is not there
        node.run()
    except KeyboardInterrupt:
        pass
    print("\nrows")
    for what, value, unit in ROWS:
        print(what.replace(" ", "_"), f"{value:.1f}", unit)
    print("end")
