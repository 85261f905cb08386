"""Computes the golden vectors with shared/fedboard, on whatever interpreter runs this file.

    golden_runner.py VECTORS.txt [BACKEND]      prints the file again, each result computed anew

A line is "op argument... = result...". What the ops and arguments mean is said in
tests/vectors/README.md; tools/golden.py writes the files from an independent reference. So the
output equals the file, byte for byte, if and only if this interpreter (with these kernels: BACKEND
is a module for kernels.use or ckernels.use) computes what the reference does. Any board can run it,
too, with the modules beside this one that it imports; of the ops only those are loaded whose cases
are in the file. A case that needs more memory than it has is said to be too large.
"""

import gc
import sys

from fedboard import ckernels, kernels, wire

MODULES = (
    ("ops_kernels",
     "xorshift below shuffle mix isqrt forward forward_relu activate_tanh output_shift "
     "errors_softmax backward gate feedback_divide update_shift update_divide "
     "histogram features log2"),
    ("ops_learning",
     "learn convolved centred order linear step adapt jitter"),
    ("ops_models",
     "spec limits start checkpoint rice changes delta"),
    ("ops_wire",
     "frame hmac session times places about masked opening"),
)  # fmt: skip


def compute(words):
    """The result of an op with its arguments."""
    for name, ops in MODULES:
        if words[0] in ops.split():
            __import__(name)
            return sys.modules[name].OPS[words[0]](*words[1:])
    raise ValueError("no op " + words[0])


def main(path, backend=None, every=1):
    if backend:
        __import__(backend)
        module = sys.modules[backend]
        has_frames = hasattr(module, "unstuff")
        user = wire if has_frames else ckernels if hasattr(module, "squash") else kernels
        user.use(module)
    n = 0
    with open(path) as file:
        for line in file:
            said, is_case, _ = line.rstrip("\n").partition(" = ")
            if is_case:
                n += 1
                if (n - 1) % every:
                    continue
                words = said.split(" ")
                try:
                    result = compute(words)
                except MemoryError:
                    result = "too large for this board"
                gc.collect()
                said += " = " + result
            print(said)


if __name__ == "__main__":
    main(*sys.argv[1:])
