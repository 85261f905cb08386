# mypy: ignore-errors
"""What `bench.py board` runs, on a board or MicroPython's unix port: "what value unit" lines.

    board_script.main("thumb")      a backend of fedboard_device, or "pure"

Times come in cycles of 8 ns from an emulated Pico's counter, else from the clock, as if it were one
of 125 MHz. Loops are repeated until the clock can tell; garbage is collected beforehand.
"""

import gc
import sys
import time
from array import array

CYCLES_PER_US = 125
LONG = 2_000_000  # cycles: beside them a clock's own do not count
FLOATS = {"thumb": "rp2", "ulab": "ulab"}  # each backend's float kernels
EMULATED = sys.platform == "rp2"  # the counter exists on the emulated Pico only
if EMULATED:
    from machine import mem32


def clock():
    if EMULATED:
        return mem32[0x40070014]
    return time.ticks_us() * CYCLES_PER_US


def clock_cost():
    """What a clock() takes of the time between two of them."""
    began = clock()
    return (clock() - began) & 0xFFFFFFFF


CLOCK = min(clock_cost(), clock_cost(), clock_cost()) if EMULATED else 0


def cycles(kernel, a, b, c, d):
    """Of one call, its own cost as a call included: the least of three runs, which take a while."""
    gc.collect()
    began = clock()
    kernel(a, b, c, d)
    n = 1 + LONG // max(1, (clock() - began) & 0xFFFFFFFF)
    best = 1 << 40
    for _ in range(3):
        began = clock()
        for _ in range(n):
            pass
        empty = clock() - began
        began = clock()
        for _ in range(n):
            kernel(a, b, c, d)
        best = min(best, ((clock() - began - empty) & 0xFFFFFFFF) / n)
    return best


ROWS = []


def say(what, value, unit):
    """Keep it for the end: a console that still sends takes time from what comes next."""
    ROWS.append((what, value, unit))


def numbers(code, n, low, high, seed):
    """Without zeros: then no kernel can save work."""
    from fedboard.prng import Xorshift

    rng = Xorshift(seed)
    made = array(code, [1] * n)
    for i in range(n):
        made[i] = low + rng.below(high - low + 1) or 1
    return made


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


def codec_costs(folder):
    """Top-5 % of 10,000 weights at 4 bits, against a base on flash; and the same coming down."""
    from fedboard import model, update
    from fedboard_device.store import FileBase

    spec = model.Spec((199, 50))
    base = FileBase(folder, print)
    params = model.new_params(spec)
    base.begin(spec.pack())
    base.write(params)
    base.commit(1, spec.digest(params))
    for i in range(0, len(params), 100):
        params[i : i + 100] = numbers("h", 100, -200, 200, i + 1)
    gc.collect()
    began = clock()
    up = update.Update(spec, params, base, 1, 50, 4)
    up.prepare()
    selected = clock()
    n_bytes = 0
    for chunk in up.chunks():
        n_bytes += len(chunk)
    ended = clock()
    say("select 500 of 10000", ((selected - began) & 0xFFFFFFFF) / CYCLES_PER_US / 1e3, "ms")
    say("encode 500 of 10000", ((ended - selected) & 0xFFFFFFFF) / CYCLES_PER_US / 1e3, "ms")
    say("500 of 10000", n_bytes, "bytes")
    gc.collect()
    began = clock()
    spec.digest(params)
    us = ((clock() - began) & 0xFFFFFFFF) / CYCLES_PER_US
    say("digest", 2 * len(params) / us * 1e3, "kB/s")
    gc.collect()
    mask_costs(spec, params, base)
    base.close()


def mask_costs(spec, params, base):
    """The same 5 % masked among 8 boards, and what one tells to open the sum if one is lost."""
    from fedboard import cohort, mask, messages

    party = mask.Party(bytes(32), "board0")
    for i in range(8):
        party.take(cohort.Peer(round=1, nonce=bytes(16), place=i, of=8, name=f"board{i}"))
    task = messages.Task(
        run=1, round=1, version=1, op=messages.TRAIN, layers=1, epochs=1, top_permille=50, bits=16
    )
    began = clock()
    n_bytes = 0
    for chunk in party.update(spec, params, base, 1, task).chunks():
        n_bytes += len(chunk)
    masked = clock()
    told = party.answer(cohort.Unmask(round=1, nonce=bytes(16), survivors=0x7F, of=0))
    ended = clock()
    say("mask 500 of 10000, 8 boards", ((masked - began) & 0xFFFFFFFF) / CYCLES_PER_US / 1e3, "ms")
    say("500 of 10000 masked", n_bytes, "bytes")
    say("open the sum, 1 of 8 lost", ((ended - masked) & 0xFFFFFFFF) / CYCLES_PER_US / 1e3, "ms")
    say("opening", sum([len(opening.pack()) for opening in told]), "bytes")


def frame_costs(backend):
    """In: from a link's buffer, where a frame is unstuffed in place."""
    from fedboard import wire

    if backend in ("viper", "thumb"):
        module = __import__("fedboard_device.kernels_frame_" + backend)
        wire.use(getattr(module, "kernels_frame_" + backend))
    payload = bytes([(i * 73) & 255 for i in range(184)])
    n = 20
    began = clock()
    for i in range(n):
        frame = wire.pack(5, i, 0, wire.FROM_HUB, i, payload)
    took = (clock() - began) & 0xFFFFFFFF
    say("frames out", n * len(payload) / (took / CYCLES_PER_US) * 1e3, "kB/s")
    decoder = wire.Decoder()
    view = memoryview(bytearray(len(frame)))
    took = 0
    for _ in range(n):
        view[:] = frame
        began = clock()
        for stuffed in decoder.feed(view):
            wire.unpack(stuffed)
        took += (clock() - began - CLOCK) & 0xFFFFFFFF
    say("frames in", n * len(payload) / (took / CYCLES_PER_US) * 1e3, "kB/s")


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
