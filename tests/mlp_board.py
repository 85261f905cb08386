"""What steps of learning leave on MicroPython's heap: network, rule, batch, garbage, the rest.

    MICROPYPATH=shared micropython -X heapsize=8m tests/mlp_board.py

Garbage: bytes of one sample; the collector frees it. The rest: bytes that stay after 4 samples.
"""

import gc
from array import array

from fedboard import dfa, mlp, model


def left(net, x, target, n=4):
    """(bytes of garbage a sample, bytes that stay after n samples)."""
    net.learn(x, target)
    net.flush()
    gc.collect()
    gc.disable()
    start = gc.mem_alloc()
    for _ in range(n):
        net.learn(x, target)
    garbage = gc.mem_alloc() - start
    gc.enable()
    gc.collect()
    return garbage // n, gc.mem_alloc() - start


for sizes, rule, batch in (
    ((64, 32, 10), "float", 1), ((64, 32, 10), "float", 4), ((1, 64, 64, 1), "float-squared", 1),
    ((64, 32, 10), "fedboard", 1),
):  # fmt: skip
    spec = model.Spec(sizes, rule, 2)
    start = model.new_params(spec)
    model.init_params(spec, start)
    x = array("b", range(sizes[0]))
    if spec.is_float:
        net = mlp.make(spec, mlp.new_params(spec))
        net.load(start)
        net.configure(batch)
    else:
        net = dfa.Network(spec, start)
    garbage, stays = left(net, x, array("h", (300,)) if rule == "float-squared" else 1)
    print("-".join([str(n) for n in sizes]), rule, batch, garbage, stays)
