# mypy: ignore-errors
"""Float kernels in ulab: CircuitPython's full builds, MicroPython firmware that has it.

Close to fedboard.fkernels, whose functions and layer records these are; what is not here stays
pure. Views are of whole buffers, and sliced then: see kernels_ulab. W changes by rows, since a view
of all of it times a number would be a second network. Where ulab's floats have 64 bits, as in
MicroPython's unix port, it cannot read the network's: an ImportError.
"""

from ulab import numpy as np

try:
    np.frombuffer(bytearray(4), dtype=np.float)
except ValueError:  # four bytes are no whole number of elements
    raise ImportError("ulab's floats have 64 bits")

name = "ulab"


def _rows(w, n_in, n_out, at):
    """(W, of shape (n_out, n_in); b, of n_out): views."""
    flat = np.frombuffer(w, dtype=np.float)
    bias_at = at + n_in * n_out
    return flat[at:bias_at].reshape((n_out, n_in)), flat[bias_at : bias_at + n_out]


def forward(x, w, out, layer):
    n_in = layer[0]
    n_out = layer[1]
    rows, biases = _rows(w, n_in, n_out, layer[2])
    column = np.frombuffer(x, dtype=np.float).reshape((n_in, 1))
    np.frombuffer(out, dtype=np.float)[:] = np.dot(rows, column).flatten() + biases


def backward(w, d, back, layer):
    n_in = layer[0]
    n_out = layer[1]
    rows, _ = _rows(w, n_in, n_out, layer[2])
    deltas = np.frombuffer(d, dtype=np.float).reshape((1, n_out))
    np.frombuffer(back, dtype=np.float)[:] = np.dot(deltas, rows).flatten()


def update(w, x, d, layer):
    n_in = layer[0]
    n_out = layer[1]
    rows, biases = _rows(w, n_in, n_out, layer[2])
    inputs = np.frombuffer(x, dtype=np.float)
    deltas = np.frombuffer(d, dtype=np.float)
    for s in range(layer[3]):
        x_row = inputs[s * n_in : (s + 1) * n_in].reshape((1, n_in))
        first = s * n_out
        for j in range(n_out):
            if d[first + j]:
                rows[j : j + 1] = x_row * deltas[first + j : first + j + 1] + rows[j : j + 1]
        biases[:] = biases + deltas[first : first + n_out]
