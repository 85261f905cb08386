"""The learning rules of a Network: what its activation, its errors and its update are.

A rule is a small set of kernels, functions and constants, made once, with its network, which then
runs lists of Calls: a kernel and the four buffers that it works on.

    hidden layer   up(...)                inputs -> activations, and slopes in d if it has them
    last layer     output(out)            sums -> logits, guess           errors(out, d, label)
    hidden layer   down(...)              errors, or the deltas above -> deltas
    every layer    update(w, x, d)        a batch's deltas -> parameters; step: a sample's

`e` are the last sample's errors. Types as in `kernels`; `layer` is its record of the layer in
question. A rule holds the kernels that were in use when it was made, and lists of calls all that
they need: looking a name up costs a board as much as twenty multiplications, a method's 200.
"""

from array import array

from fedboard import kernels
from fedboard.model import zeros
from fedboard.prng import Xorshift, isqrt, mix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fedboard.model import Spec

    A = array[int]
    Kernel = Callable[[A, A, A, A], None]
    Call = tuple[Kernel, A, A, A, A]

_FEEDBACK = 2  # the label of the feedback matrices' random streams


class Layer:
    """Layer l's buffers for a sample: its record, inputs x; activations a and deltas d."""

    def __init__(self, spec: "Spec", l: int, x: "A") -> None:
        n_in, n_out = spec.shape(l)
        self.l = l
        self.record = array("i", (n_in, n_out, spec.at(l), 0, spec.limit(l), 1, 1))
        self.x = x
        self.a = array("b", bytes(n_out))
        self.d = array("h", bytes(2 * n_out))


class Tifed:
    """TIFeD's published arithmetic, bit for bit, with clamps before the stores of W, b and d.

    Hidden activations lie in [-127, 128]: they are kept negated, which fits int8. A layer fed by
    them has the bias input -1, so that its sums and its deltas are the negated ones too, and the
    products x d, which parameters are updated by, the published ones. Rate: 1/eta, a divisor.
    """

    is_direct = True  # a hidden layer's deltas need no other layer's
    default_rate = 2048
    largest_rate = 32767

    def __init__(self, spec: "Spec") -> None:
        n = spec.n_layers
        self.e = array("h", bytes(2 * spec.sizes[n]))
        self.update: Kernel = kernels.update_divide
        self.step: Kernel = kernels.update_divide
        self.feedback = [_feedback(spec, l) for l in range(n - 1)]  # B of each hidden layer
        self._slopes = array("h", bytes(2 * spec.sizes[n]))  # of the last layer
        self._sign = self.bias_input(n - 1)

    def bias_input(self, l: int) -> int:
        return -1 if l else 1

    def up(self, layer: Layer, w: "A", acc: "A") -> "list[Call]":
        record = layer.record
        forward = (kernels.forward, layer.x, w, acc, record)
        return [forward, (kernels.activate_tanh, acc, layer.a, layer.d, record)]

    def output(self, out: "A", layer: "A") -> int:
        """The last layer has the hidden layers' tanh: logits in [-127, 128]."""
        kernels.activate_tanh(out, out, self._slopes, layer)
        for k in range(len(out)):
            out[k] = -out[k]
        return kernels.argmax(out)

    def errors(self, out: "A", d: "A", label: int, layer: "A") -> int:
        """e = out - 16 onehot(label), d = e // slope. Returns the loss: half the squared error."""
        e = self.e
        slopes = self._slopes
        sign = self._sign
        loss = 0
        for k in range(len(out)):
            error = out[k] - 16 if k == label else out[k]
            loss += error * error
            e[k] = error
            d[k] = error // slopes[k] * sign
        return loss >> 1

    def down(self, layer: Layer, above: Layer, w: "A", acc: "A") -> "list[Call]":
        """Deltas come of the errors themselves, by B."""
        b = self.feedback[layer.l]
        return [(kernels.feedback_divide, self.e, b, layer.d, layer.record)]


class Fedboard:
    """Our own rule: clipped ReLU, integer softmax, errors of sum zero, and backpropagation.

    12 fractional bits in a weight, 7 in an input, an activation, a logit and an error. Softmax of
    base 2: p_k ~ 2**((out_k - max) / 64). e_k = 128 p_k, floored, for the wrong classes; 0 below
    1/16: what is known well costs no update; the right one's is minus their sum, so that no
    output drifts. A hidden unit learns while its activation is strictly between 0 and 1; its delta
    comes back through the weights above, of which 3 bits more are kept than an error has: hidden
    layers learn 8 times as fast. Rate: the shift of an update, rounded to the nearest.
    """

    is_direct = False
    default_rate = 8
    largest_rate = 28

    def __init__(self, d: "A") -> None:
        self.e = d  # the last layer's deltas are its errors
        self.output: Callable[[A, A], int] = kernels.output_shift
        self.errors: Callable[[A, A, int, A], int] = kernels.errors_softmax
        self.update: Kernel = kernels.update_shift
        self.step: Kernel = kernels.update_one
        self.feedback: list[A] = []

    def bias_input(self, l: int) -> int:
        return 128  # 1.0

    def up(self, layer: Layer, w: "A", acc: "A") -> "list[Call]":
        return [(kernels.forward_relu, layer.x, w, layer.a, layer.record)]

    def down(self, layer: Layer, above: Layer, w: "A", acc: "A") -> "list[Call]":
        """Deltas come of those above, through the weights between."""
        backward = (kernels.backward, above.d, w, acc, above.record)
        return [backward, (kernels.gate, acc, layer.a, layer.d, layer.record)]


def _feedback(spec: "Spec", l: int) -> "A":
    """TIFeD's B, uniform in [-r, r), r = isqrt(12 * 32767 / (n_out + n_hidden)): array('h')."""
    n_hidden = spec.sizes[l + 1]
    n_out = spec.sizes[-1]
    rng = Xorshift(mix(spec.seed, _FEEDBACK, l))
    r = isqrt(12 * 32767 // (n_out + n_hidden))
    b = zeros("h", n_hidden * n_out)
    for i in range(len(b)):
        b[i] = rng.below(2 * r) - r
    return b


def make(spec: "Spec", d: "A") -> "Tifed | Fedboard":
    """The rule that `spec` names (which Spec has checked). d: the last layer's deltas."""
    return Tifed(spec) if spec.rule == "tifed" else Fedboard(d)
