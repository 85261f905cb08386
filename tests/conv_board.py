"""Learns images of five characters few-shot, as a board does; prints what became of the network.

    conv_board.py small [viper]   all layers, then some, of tiny networks
    conv_board.py memory [viper]  what the experiment's network takes, in bytes
    conv_board.py real [viper]    5-way 5-shot with it, one pass

Without "memory" it prints samples, right ones, the loss, the weights' CRC and the last logits.
"""

import binascii
import gc
import sys
from array import array

from fedboard import ckernels, conv
from fedboard.model import Spec, init_params, new_params
from fedboard.prng import Xorshift


def drawing(rng, side, label, x):
    """A thick line of a direction that is the label's, moved by chance."""
    for i in range(len(x)):
        x[i] = 0
    at = side // 2 - 1 + rng.below(3)
    for k in range(side):
        row = (k, at, k, side - 1 - k, (k + at) // 2)[label]
        column = (k, k, at, k, k // 2)[label]
        for c in range(max(0, column - 1), min(side, column + 2)):
            x[row * side + c] = 127 - rng.below(40)


def learn(spec, rng, n):
    params = new_params(spec)
    init_params(spec, params)
    for i in range(spec.at(spec.n_layers - 1), spec.n_params):
        params[i] = rng.below(801) - 400  # so that deltas go back from the first sample on
    gc.collect()
    net = conv.Network(spec, params)
    x = array("b", bytes(spec.sizes[0]))
    side = spec.sides[0]
    for i in range(n):
        label = i % 5
        drawing(rng, side, label, x)
        if spec.n_params < 2000:
            net.configure(1, (0, 0, 12, 2, 9)[i % 5] & (1 << spec.n_layers) - 1, 4 + i % 3)
        net.learn(x, label)
    return net


def report(net):
    print(
        net.n_seen,
        net.n_correct,
        net.loss_sum,
        binascii.crc32(net.params) & 0xFFFFFFFF,
        list(net.out),
    )


def memory():
    """Weights, the network's own buffers, what a sample leaves behind: as MicroPython counts."""
    spec = Spec((784, 16, 32, 64, 32, 5), "conv3", 1)
    gc.collect()
    counts = [gc.mem_alloc()]
    params = new_params(spec)
    init_params(spec, params)
    gc.collect()
    counts.append(gc.mem_alloc())
    net = conv.Network(spec, params)
    x = array("b", bytes(784))
    drawing(Xorshift(1), 28, 3, x)
    net.learn(x, 1)
    gc.collect()
    counts.append(gc.mem_alloc())
    gc.disable()
    net.learn(x, 2)
    counts.append(gc.mem_alloc())
    print(counts[1] - counts[0], counts[2] - counts[1], counts[3] - counts[2])


def main():
    if "viper" in sys.argv:
        from fedboard_device import backends

        backends.offer_conv(print)
        assert ckernels.backend == "viper"
    rng = Xorshift(5)
    if sys.argv[1] == "small":
        report(learn(Spec((225, 3, 4, 6, 5), "conv2", 3), rng, 60))
        report(learn(Spec((64, 5, 5), "conv1", 4), rng, 20))
    elif sys.argv[1] == "memory":
        memory()
    else:
        report(learn(Spec((784, 16, 32, 64, 32, 5), "conv3", 1), rng, 25))


main()
