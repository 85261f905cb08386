"""The integer network that looks at images: convolutions, then dense layers; rules "conv...".

It has dfa.Network's interface, but learns one sample at a time and stores no batch. Deltas go back
through the same weights (exact backpropagation, but for rounding), in integers only:

    weights      int16, 14 fractional bits        activations  int8, 7 bits, clipped to [0, 1)
    sums         int32                            deltas       int16, 11 bits, within ERROR_LIMIT

    softmax of base 2: p_k ~ 2**((out_k - max) / 16), out_k in 7 bits; e_k = p_k in 11 bits,
    floored, for the wrong classes; the right one's is minus their sum, so that no output drifts

A sum that goes back is shifted by BACK_SHIFT before a pixel's four windows are added. The input is
an image of side * side int8, 0 to 127 for ink or light. On the host: fleet_conv.
"""

from array import array

from fedboard import DataError, StateError, ckernels, kernels
from fedboard.model import ERROR_LIMIT, KERNEL, STRIDE, zeros

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fedboard.model import Spec

DEFAULT_RATE = 7  # a shift; 7 is a learning rate of 1/8 for these units
LARGEST_RATE = 20
# The first layer's weights are a quarter of the others' (see init_params): so its step is 1/16.
FIRST_SHIFT = 4
ERROR_BITS = 11


class Network:
    """One network over the caller's parameters, with work buffers for one sample.

    spec: model.Spec of a rule "conv..."; params: its array('h'), read and changed in place.
    To read: as in dfa.Network; loss in 1 / 2048 of 1 - p.
    """

    loss_scale = 1 << ERROR_BITS

    def __init__(
        self, spec: "Spec", params: "array[int]", batch: int = 1, layers: int = 0, rate: int = 0
    ) -> None:
        if len(params) != spec.n_params:
            raise StateError(f"a buffer of {spec.n_params} parameters is needed: {len(params)}")
        if not spec.n_conv:
            raise StateError(f"{spec} has no convolutions: use dfa or mlp")
        if ckernels.backend == "pure" and kernels.offer_conv:
            kernels.offer_conv()
        self.spec = spec
        self.params = params
        n = spec.n_layers
        self.out = array("i", bytes(4 * spec.sizes[n]))
        self._records: list[array[int]] = []
        self._a: list[array[int]] = []
        self._d: list[array[int]] = []
        counts = []  # of each layer's units
        for l in range(n):
            record = _record(spec, l)
            self._records.append(record)
            counts.append(record[3] * record[3] * record[6])
        self._acc = zeros("i", max(counts))  # the largest buffer first, while memory is whole
        for l in range(n):
            self._d.append(zeros("h", counts[l]))
            if l < n - 1:
                self._a.append(zeros("b", counts[l]))
        self.batch = self.layers = 0
        self.reset_counters()
        self.configure(batch, layers, rate)

    def configure(self, batch: int = 1, layers: int = 0, rate: int = 0) -> None:
        """Set how to learn: a bit mask of the layers to train (0: all), the shift of an update.

        batch is 1: nothing is stored. rate 0: the default.
        """
        n = self.spec.n_layers
        if batch != 1:
            raise DataError(f"a batch of {batch}: rule {self.spec.rule} learns sample by sample: 1")
        if not 0 <= layers < 1 << n:
            raise DataError(f"no layers {layers:#b} in a network of {n}: use bits 0 to {n - 1}")
        if not 0 <= rate <= LARGEST_RATE:
            raise DataError(f"the rate is 1 to {LARGEST_RATE}, not {rate}")
        self.batch = 1
        self.layers = layers or (1 << n) - 1
        self.rate = rate or DEFAULT_RATE
        for l in range(n):
            self._records[l][9] = self.rate + (0 if l else FIRST_SHIFT)

    @property
    def batch_bytes(self) -> int:
        return 0

    def release(self) -> None:
        """There is no batch to free."""

    def flush(self) -> bool:
        """Every sample is learned at once: nothing waits."""
        return False

    def reset_counters(self) -> None:
        self.n_seen = 0
        self.n_correct = 0
        self.loss_sum = 0

    def predict(self, x: "array[int]") -> int:
        """The class of the image x (the first of equal logits); logits in `out`."""
        if len(x) != self.spec.sizes[0]:
            raise DataError(f"{len(x)} features for a network of {self.spec.sizes[0]} inputs")
        last = len(self._records) - 1
        acc = self._acc
        for l in range(last):
            a = self._a[l]
            ckernels.forward(x, self.params, acc, self._records[l])
            ckernels.squash(acc, a, len(a))
            x = a
        out = self.out
        ckernels.forward(x, self.params, out, self._records[last])
        for k in range(len(out)):
            out[k] >>= ckernels.WEIGHT_BITS
        return kernels.argmax(out)

    def features(self, l: int) -> "array[int]":
        """Hidden layer l's activations after predict(); the buffer changes with the next sample."""
        return self._a[l]

    def learn(self, x: "array[int]", label: int) -> bool:
        """Learn from one sample: True, the parameters changed."""
        guess = self.predict(x)
        self.loss_sum += self.loss(label)
        self.n_correct += guess == label
        self.n_seen += 1
        acc = self._acc
        l = len(self._records) - 1
        # A layer's deltas go back through its weights before these change.
        while True:
            record = self._records[l]
            below = self.layers & (1 << l) - 1
            if below:
                a = self._a[l - 1]
                n = len(a)
                for i in range(n):
                    acc[i] = 0
                ckernels.backward(self.params, self._d[l], acc, record)
                ckernels.gate(acc, a, self._d[l - 1], n)
            if self.layers >> l & 1:
                ckernels.update(self.params, self._a[l - 1] if l else x, self._d[l], record)
            if not below:
                return True
            l -= 1

    def loss(self, label: int) -> int:
        """The loss, and the last layer's deltas, of the sample that predict() saw last."""
        if not 0 <= label < len(self.out):
            raise DataError(f"no class {label} in a network of {len(self.out)} outputs")
        return errors_softmax(self.out, self._d[-1], label)


def errors_softmax(out: "array[int]", d: "array[int]", label: int) -> int:
    """d = the errors of a softmax in base 2, see above; returns 2048 (1 - p[label])."""
    powers = kernels.EXP2
    top = max(out)
    total = 0
    for k in range(len(out)):
        i = top - out[k]
        d[k] = powers[i & 15] >> (i >> 4) if i < 208 else 0
        total += d[k]
    loss = (1 << ERROR_BITS) - (d[label] << ERROR_BITS) // total
    d[label] = 0
    wrong = 0
    for k in range(len(out)):
        d[k] = (d[k] << ERROR_BITS) // total
        if d[k] > ERROR_LIMIT:
            d[k] = ERROR_LIMIT
        wrong += d[k]
    d[label] = max(-wrong, -ERROR_LIMIT)
    return loss


def _record(spec: "Spec", l: int) -> "array[int]":
    """Layer l as the kernels want it; RATE is yet to come."""
    n_in, n_out = spec.shape(l)
    rows, row, pitch, side, step, jump = 1, n_in, 0, 1, 0, 0
    if l < spec.n_conv:
        channels = spec.sizes[l] if l else 1
        rows = KERNEL
        row = KERNEL * channels
        pitch = spec.sides[l] * channels
        side = spec.sides[l + 1]
        step = STRIDE * channels
        jump = STRIDE * pitch
    return array(
        "i", (rows, row, pitch, side, step, jump, n_out, spec.at(l), spec.limit(l), DEFAULT_RATE)
    )
