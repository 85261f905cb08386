"""The learning rules of a Network: what its activation, its errors and its update are.

A rule is a small set of functions and constants, chosen once, when a network is made. `d` carries a
sample's slopes from the activation to where the deltas are computed, which replace them in place:

    hidden layer   activate(acc, a, d)   sums -> activations, slopes
    last layer     output(out, d)        sums -> logits, slopes         errors(out, e, d, label)
    every layer    update(w, x, d)       a batch's deltas -> parameters

is_direct: a hidden layer's deltas come of the errors themselves, by a matrix B = feedback(...) and
kernels.feedback_divide; else of the deltas above, by kernels.backward and gate.

Types as in `kernels`; `layer` is its record of the layer in question. A rule holds the kernels that
were in use when it was made: each call in between costs a board as much as fifty multiplications.
"""

from array import array

from fedboard import kernels
from fedboard.model import zeros
from fedboard.prng import isqrt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fedboard.model import Spec
    from fedboard.prng import Xorshift

    A = array[int]
    Kernel = Callable[[A, A, A, A], None]


class Tifed:
    """TIFeD's published arithmetic, bit for bit, with clamps before the stores of W, b and d.

    Hidden activations lie in [-127, 128]: they are kept negated, which fits int8. A layer fed by
    them has the bias input -1, so that its sums and its deltas are the negated ones too, and the
    products x d, which parameters are updated by, the published ones. Rate: 1/eta, a divisor.
    """

    is_direct = True  # DFA: through fixed random matrices
    default_rate = 2048
    largest_rate = 32767

    def __init__(self, last: int) -> None:
        self._sign = self.bias_input(last)  # of the last layer
        self.activate: Kernel = kernels.activate_tanh
        self.update: Kernel = kernels.update_divide

    def bias_input(self, l: int) -> int:
        return -1 if l else 1

    def output(self, out: "A", d: "A", layer: "A") -> None:
        """The last layer has the hidden layers' tanh: logits in [-127, 128]."""
        kernels.activate_tanh(out, out, d, layer)
        for k in range(len(out)):
            out[k] = -out[k]

    def errors(self, out: "A", e: "A", d: "A", label: int) -> int:
        """e = out - 16 onehot(label), d = e // slope. Returns the loss: half the squared error."""
        sign = self._sign
        loss = 0
        for k in range(len(out)):
            error = out[k] - 16 if k == label else out[k]
            loss += error * error
            e[k] = error
            d[k] = error // d[k] * sign
        return loss >> 1


class Fedboard:
    """Our own rule: clipped ReLU, integer softmax, errors of sum zero, and backpropagation.

    12 fractional bits in a weight, 7 in an input, an activation, a logit and an error. Softmax of
    base 2: p_k ~ 2**((out_k - max) / 64). e_k = 128 p_k, floored, for the wrong classes; 0 below
    1/16: what is known well costs no update; the right one's is minus their sum, so that no
    output drifts. A hidden unit learns while its activation is strictly between 0 and 1; its delta
    comes back through the weights above, of which 3 bits more are kept than an error has: hidden
    layers learn 8 times as fast. Rate: the shift of an update, rounded to the nearest.
    """

    is_direct = False  # through the weights of the layer above
    default_rate = 8
    largest_rate = 28

    def __init__(self) -> None:
        self.activate: Kernel = kernels.activate_relu
        self.errors: Callable[[A, A, A, int], int] = kernels.errors_softmax
        self.update: Kernel = kernels.update_shift

    def bias_input(self, l: int) -> int:
        return 128  # 1.0

    def output(self, out: "A", d: "A", layer: "A") -> None:
        kernels.output_shift(out)


def feedback(rng: "Xorshift", n_hidden: int, n_out: int) -> "A":
    """TIFeD's B, uniform in [-r, r), r = isqrt(12 * 32767 / (n_out + n_hidden)): array('h')."""
    r = isqrt(12 * 32767 // (n_out + n_hidden))
    b = zeros("h", n_hidden * n_out)
    for i in range(len(b)):
        b[i] = rng.below(2 * r) - r
    return b


def make(spec: "Spec") -> "Tifed | Fedboard":
    """The rule that `spec` names (which Spec has checked)."""
    return Tifed(spec.n_layers - 1) if spec.rule == "tifed" else Fedboard()
