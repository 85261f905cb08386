"""Run by MicroPython: the viper jitter is what the pure one is, and takes nothing from the heap."""

from array import array

import micropython

from fedboard import jitter, kernels, messages
from fedboard_device import backends, kernels_jitter_viper


class Samples:
    def __len__(self):
        return 1

    def read(self, i, x):
        for k in range(len(x)):
            x[k] = k
        return 3


class Wrong:
    name = "wrong"

    def blur(self, x, state):
        jitter._pure(x, state)
        x[len(x) - 1] += 1


print(jitter.failing(kernels_jitter_viper) or "right", jitter.failing(Wrong()))
kernels.offer_jitter = lambda: backends.offer_jitter(print)
x = array("b", bytes(60))
for offered in (True, False):
    if not offered:
        jitter.use(None)
    task = messages.Task(op=messages.TRAIN, seed=5, round=2, jitter=28)
    samples = jitter.Samples(Samples(), task)
    samples.read(0, x)
    began = micropython.mem_total()
    nothing = micropython.mem_total() - began
    began = micropython.mem_total()
    samples.read(0, x)
    print(jitter.backend, micropython.mem_total() - began - nothing, sum(x))
