# mypy: ignore-errors
"""What `bench.py board` runs, on a board or MicroPython's unix port: "what value unit" lines.

    board_script.main("thumb", "/data")      a backend of fedboard_device, or "pure"; a folder

What learning costs; what the wire costs is in board_codecs, how it is timed in board_stopwatch.
"""

import gc
import sys
import time
from array import array

from board_codecs import codec_costs, frame_costs
from board_stopwatch import CLOCK, CYCLES_PER_US, ROWS, clock, cycles, numbers, say

FLOATS = {"thumb": "rp2", "ulab": "ulab"}  # each backend's float kernels


def imports():
    """Must be first: what the board's whole program costs to import."""
    gc.collect()
    before = gc.mem_alloc()
    began = clock()
    from fedboard_device import node, runner

    took = (clock() - began) & 0xFFFFFFFF
    gc.collect()
    say("import", took / CYCLES_PER_US / 1000, "ms")
    say("imported code", gc.mem_alloc() - before, "bytes")
    return node, runner


def kernel_costs(kernels):
    n_in, n_out = 64, 32
    w = numbers("h", (n_in + 1) * n_out, -4000, 4000, 1)
    x = numbers("b", 8 * n_in, -128, 127, 2)
    d = numbers("h", 8 * n_out, -120, 120, 3)
    acc = array("i", bytes(4 * n_in))
    layer = array("i", (n_in, n_out, 0, 128, 32767, 1, 8))
    one = x[:n_in]
    say("forward", cycles(kernels.forward, one, w, acc, layer) / (n_in * n_out), "cycles/MAC")
    say("backward", cycles(kernels.backward, d, w, acc, layer) / (n_in * n_out), "cycles/MAC")
    say("update", cycles(kernels.update_one, w, one, d, layer) / len(w), "cycles/weight")
    layer[5] = 8
    each = 8 * len(w)
    say("update batch of 8", cycles(kernels.update_shift, w, x, d, layer) / each, "cycles/weight")


def samples(n_in, n_labels, n):
    """(x, label): a comb for each label, and noise; half of the features 0, as in handwriting."""
    made = []
    for i in range(n):
        x = numbers("b", n_in, 1, 30, i + 1)
        for k in range(i & 1, n_in, 2):
            x[k] = 0
        for k in range(i % n_labels, n_in, n_labels):
            x[k] += 90
        made.append((x, i % n_labels))
    return made


def step_costs(sizes, batch, n):
    from fedboard import dfa, model

    spec = model.Spec(sizes)
    params = model.new_params(spec)
    model.init_params(spec, params)
    made = samples(sizes[0], sizes[-1], 20)
    x = made[0][0]
    gc.collect()
    before = gc.mem_alloc()
    net = dfa.Network(spec, params, batch)
    net.learn(*made[0])
    net.flush()
    gc.collect()
    name = "-".join([str(size) for size in sizes])
    if batch == 1:
        say(name + " beyond weights", gc.mem_alloc() - before, "bytes")
        say(name + " step, at first", learning(net, made, n), "us")
        for _ in range(4 if n > 4 else 0):
            learning(net, made, n)
        us = learning(net, made, n)
        say(name + " step, later", us, "us")
        say(name + " rate, later", 1e6 / us, "samples/s")
        began = clock()
        for _ in range(4):
            net.predict(x)
        say(name + " predict", ((clock() - began) & 0xFFFFFFFF) / 4 / CYCLES_PER_US, "us")
    else:
        say(name + " beyond weights, batch of 8", gc.mem_alloc() - before, "bytes")
        say(name + " step, batch of 8", learning(net, made, n), "us")


def float_costs():
    """A float network's forward product and step: softmax over tanh."""
    from fedboard import fkernels, mlp, model

    spec = model.Spec((64, 32, 10), "float")
    params = mlp.new_params(spec)
    for i in range(len(params)):
        params[i] = (i * 37 % 101 - 50) / 300
    net = mlp.make(spec, params)
    layer = array("i", (64, 32, 0, 1))
    x = array("f", [i / 64 for i in range(64)])
    out = array("f", x[:32])
    took = cycles(fkernels.forward, x, params, out, layer)
    say("float forward", took / 2048, "cycles/MAC")
    say("float 64-32-10 step", learning(net, samples(64, 10, 2), 2), "us")


def learning(net, made, n):
    """The mean time of a sample's step, in us, from one buffer, as a board reads its samples.

    The first one finds the heap just collected.
    """
    gc.collect()
    x = array("b", made[0][0])
    net.learn(x, made[0][1])
    took = 0
    for i in range(n):
        source, label = made[i % len(made)]
        x[:] = source
        began = clock()
        net.learn(x, label)
        took += (clock() - began - CLOCK) & 0xFFFFFFFF
    return took / n / CYCLES_PER_US


class Support:
    """5 classes, 5 samples of each."""

    def __init__(self, made):
        self.made = made
        self.n_in = len(made[0][0])

    def __len__(self):
        return len(self.made)

    def read(self, i, x):
        source, label = self.made[i]
        x[:] = source
        return label


def few_shot(n_passes):
    """Adapts a 64-32-5 network to 25 samples, one by one, as a task from the host would."""
    from fedboard import dfa, model, reptile

    spec = model.Spec((64, 32, 5))
    params = model.new_params(spec)
    model.init_params(spec, params)
    net = dfa.Network(spec, params, 1)
    support = Support(samples(64, 5, 25))
    x = array("b", bytes(64))
    gc.collect()
    began = clock()
    for _ in reptile.stream(net, support, x, n_passes * 25, 1):
        pass
    seconds = ((clock() - began) & 0xFFFFFFFF) / CYCLES_PER_US / 1e6
    right = 0
    for source, label in support.made:
        right += net.predict(source) == label
    say("few-shot", seconds * 1e3, "ms")
    say("few-shot right", right, "of_25")


def main(backend, folder):
    time.sleep_ms(100)  # the console that brought us here is at rest
    imports()
    if hasattr(gc, "threshold"):
        gc.threshold(-1)  # collect when there is need, and not while we measure
    from fedboard import kernels

    if backend != "pure":
        module = __import__("fedboard_device.kernels_" + backend)
        kernels.use(getattr(module, "kernels_" + backend))
    if backend in FLOATS:
        from fedboard import fkernels

        module = __import__("fedboard_device.kernels_float_" + FLOATS[backend])
        fkernels.use(getattr(module, "kernels_float_" + FLOATS[backend]))
    n = 4 if backend == "pure" else 20
    kernel_costs(kernels)
    for sizes in ((64, 32, 10), (200, 50, 10)):
        step_costs(sizes, 1, n)
        step_costs(sizes, 8, max(8, n // 8 * 8))
        gc.collect()
    few_shot(5)
    float_costs()
    frame_costs(backend)
    codec_costs(folder)
    for what, value, unit in ROWS:
        print(what.replace(" ", "_"), f"{value:.1f}", unit)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
