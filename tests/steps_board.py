"""Run by MicroPython: does a step of training, as a whole board takes it, need the heap?

Prints how many it took, and how many bytes were taken from the heap, even if they were given back
at once: MicroPython's unix port counts them.
"""

import micropython

from fedboard import messages
from fedboard.base import MemoryBase
from fedboard.board import Board
from fedboard.model import Spec, init_params, new_params
from fedboard.node import Identity

N_SAMPLES = 40


class Samples:
    n_in = 8

    def __len__(self):
        return N_SAMPLES

    def read(self, i, x):
        for k in range(8):
            x[k] = i * k & 63
        return i & 3


spec = Spec((8, 6, 4), "fedboard", seed=5)
params = new_params(spec)
init_params(spec, params)
base = MemoryBase()
base.begin(spec.pack())
base.write(params)
base.commit(1, spec.digest(params))
board = Board(Identity("b", b"u", 2), None, base, Samples(), lambda n: bytes(n))
board._on_task(messages.Task(
    run=9, round=1, version=1, digest=spec.digest(params), op=messages.TRAIN, layers=3, epochs=1,
    batch=1, rate=8, top_permille=100, bits=4, seed=77, spec=spec.pack(),
))  # fmt: skip
for _ in range(3):
    board.step(0)
board.learner.net.learn = lambda x, label: None  # pure kernels have many variables
n = 0
before = micropython.mem_total()
while board.learner.done < N_SAMPLES - 1 and board.step(0):
    n += 1
taken = micropython.mem_total() - before
while board.step(0):
    pass
print(n, taken, board.learner.update is not None)
