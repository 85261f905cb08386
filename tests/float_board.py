"""Run by an emulated Pico: picks its float kernels, trains with pure ones and with those.

Then whole steps of networks as boards have them, with the heap locked: any allocation is an error.
"""

from array import array

import micropython

from fedboard import fkernels, fselftest, kernels, mlp, model
from fedboard_device import backends

STEPS = (
    ((64, 32, 10), "float"), ((64, 32, 10), "float-relu"), ((1, 64, 64, 1), "float-squared"),
)  # fmt: skip


def made(sizes, rule, batch):
    spec = model.Spec(sizes, rule)
    params = mlp.new_params(spec)
    for i in range(len(params)):
        params[i] = (i * 37 % 101 - 50) / 100
    net = mlp.make(spec, params)
    net.configure(batch, 0, 655)
    return net


def sample(net, k, x, target):
    """Fill the buffers with the k-th sample. Returns its target."""
    for i in range(len(x)):
        x[i] = (k * 53 + i * 29) % 251 - 125
    for i in range(len(target)):
        target[i] = 3000 - 700 * k
    return target if net.spec.rule == "float-squared" else k % len(target)


def train(sizes, rule, batch):
    net = made(sizes, rule, batch)
    x = array("b", bytes(sizes[0]))
    target = array("h", bytes(2 * sizes[-1]))
    for k in range(5):
        net.learn(x, sample(net, k, x, target))
    net.flush()
    return list(net.params), net.loss_sum, net.n_correct


def lock(sizes, rule, batch):
    """Two batches with the heap locked, after one that makes the buffers."""
    net = made(sizes, rule, batch)
    x = array("b", bytes(sizes[0]))
    target = array("h", bytes(2 * sizes[-1]))
    wanted = sample(net, 1, x, target)
    for _ in range(batch):
        net.learn(x, wanted)
    micropython.heap_lock()
    try:
        for _ in range(2 * batch):
            net.learn(x, wanted)
    finally:
        micropython.heap_unlock()
    print(f"{sizes} {rule} {batch}: no allocation")


def extremes(name, *arguments):
    """How far a kernel is from the pure one; its result from the pure one's."""
    mine = [array("f", each) if isinstance(each, tuple) else each for each in arguments]
    its = [array("f", each) if isinstance(each, tuple) else each for each in arguments]
    layer = array("i", (0, len(mine[0]), 0, 1))
    wanted = fkernels.PURE[name](*mine, layer)
    found = getattr(fkernels, name)(*its, layer)
    worst = 0.0
    for k in range(len(mine)):
        if not isinstance(mine[k], int):
            worst = max([worst] + [abs(a - b) for a, b in zip(mine[k], its[k])])  # noqa: B905
    same = not wanted or -1 <= found - wanted <= 1
    print(name, "close" if worst < 5e-7 and same else (worst, wanted, found))


small = [((9, 5, 3), rule, batch) for _, rule in STEPS for batch in (1, 3)]
pure = [train(*each) for each in small]
backends.offer_floats(print)
print(fkernels.backend, repr(fselftest.failing(fkernels)))
fast = [train(*each) for each in small]
for k in range(len(small)):
    params, loss, right = fast[k]
    worst = max([abs(params[i] - pure[k][0][i]) for i in range(len(params))])
    close = worst < 1e-5 and abs(loss - pure[k][1]) <= 5 and right == pure[k][2]
    print(small[k][1], small[k][2], "close" if close else (worst, pure[k][1:], fast[k][1:]))
wide = (-1e30, -88.0, -12.0, -0.7, -0.01, -1e-5, 0.0, 1e-30, 3e-4, 0.2, 1.5, 9.0, 40.0, 1e20)
extremes("activate_tanh", wide)
extremes("activate_relu", wide)
extremes("cross_entropy", (-300.0, 80.0, 79.5, -20.0), (9.0,) * 4, 0)
extremes("cross_entropy", (1e-3, 0.0, -1e-3, 30.0), (9.0,) * 4, 3)
extremes("cross_entropy", (1e30, 0.0), (9.0,) * 2, 1)
extremes("squared", (1e-20, 0.25, 300.0), (0.0, -0.5, 299.0))
extremes("squared", (1e20, 0.0), (0.0, 0.0))
extremes("largest", (-3.0, -1e-30, -1e-30, -7.0))
print("the integers'", kernels.backend)
for sizes, rule in STEPS:
    for batch in (1, 4):
        lock(sizes, rule, batch)
