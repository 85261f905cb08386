"""Run by an emulated Pico: picks its float kernels, and trains with pure ones and with those."""

from array import array

from fedboard import fkernels, fselftest, kernels, mlp, model
from fedboard_device import backends

SPEC = model.Spec((9, 5, 3), "float")


def train(batch):
    params = mlp.new_params(SPEC)
    for i in range(len(params)):
        params[i] = (i * 37 % 101 - 50) / 100
    net = mlp.make(SPEC, params)
    net.configure(batch, 0, 6553)
    x = array("b", range(9))
    for k in range(8):
        x[k] = 100 - 25 * k
        net.learn(x, k % 3)
    net.flush()
    return params


pure = [train(1), train(3)]
backends.offer_floats(print)
print(fkernels.backend, repr(fselftest.failing(fkernels)))
fast = [train(1), train(3)]
worst = 0.0
for k in range(2):
    for i in range(len(pure[k])):
        worst = max(worst, abs(pure[k][i] - fast[k][i]))
print("close" if worst < 1e-5 else worst)
print(kernels.backend)
