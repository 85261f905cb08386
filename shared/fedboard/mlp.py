"""The float network that learns on a board: backpropagation, stochastic gradient descent.

It has dfa.Network's interface and model.Spec's layout, over the caller's array('f'). By default it
learns online, one sample at a time with nothing stored, which is TinyReptile's saving; a batch of n
samples keeps n inputs and deltas of every trained layer until their step.

    hidden   tanh or relu        "softmax"  target: a class,          loss: cross-entropy, nats
    last     linear              "squared"  target: n_out numbers,    loss: sum of squares

To the wire a float network is int16 with WIRE_BITS fractional bits, so weights within ±8: load()
and store() convert (see image). What is finer is lost. Rates and losses come as integers, as
messages have them.

No step makes a buffer, and all numbers between its kernels are in buffers. So with compiled kernels
(an RP2040's) a step allocates nothing at all, on CPython nothing that stays, and on CircuitPython
floats are no objects. But MicroPython makes an object of each float that plain Python computes or
reads: in the kernels' pure form these are garbage, on 32 bits 334 kB a step of 64-32-10, which the
collector frees as it comes. tests/mlp_board.py prints it.
"""

from array import array

from fedboard import DataError, StateError, fkernels, kernels
from fedboard.image import Image
from fedboard.model import zeros

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedboard.model import Spec

WIRE_BITS = 12
RATE_BITS = 16  # fractional bits of a rate
LARGEST_BATCH = 255
LOSSES = ("softmax", "squared")
HIDDEN = ("tanh", "relu")
# What model.Spec's float rules are: loss, hidden activation, fractional bits of the int8 features.
KINDS = {
    "float": ("softmax", "tanh", 7),
    "float-relu": ("softmax", "relu", 7),
    "float-squared": ("squared", "tanh", 5),  # inputs within ±4: curves need room
}
TARGET_BITS = 12  # fractional bits of int16 targets, as samples have them: within ±8

_DEFAULT_RATE = 655  # 0.01
_LARGEST_RATE = 65535
LOSS_SCALE = fkernels.LOSS_SCALE


class Network:
    """One network over the caller's parameters.

    spec: model.Spec (its sizes and layout; its rule is of no concern here); params: array('f') as
    long as that, read and changed in place; x_scale, y_scale: what inputs and targets are
    multiplied by, 1 / 128 for int8 features. The rest: see configure() and make().
    To read: `out`, array('f') of the last sample's outputs; `n_seen`, `n_correct` (softmax:
    predicted right before it was learned) and `loss_sum` (int, in 1 / loss_scale).
    """

    loss_scale = LOSS_SCALE

    def __init__(
        self,
        spec: "Spec",
        params: "array[float]",
        batch: int = 1,
        layers: int = 0,
        rate: int = 0,
        loss: str = "softmax",
        hidden: str = "tanh",
        x_scale: float = 1.0,
        y_scale: float = 1.0,
    ) -> None:
        if len(params) != spec.n_params:
            raise StateError(f"a buffer of {spec.n_params} parameters is needed: {len(params)}")
        if loss not in LOSSES or hidden not in HIDDEN:
            raise DataError(
                f"no loss '{loss}' with '{hidden}': use one of {', '.join(LOSSES)}; "
                f"{', '.join(HIDDEN)}"
            )
        if fkernels.backend == "pure" and kernels.offer_floats:
            kernels.offer_floats()
        self.spec = spec
        self.params = params
        self._x_scale = array("f", (x_scale,))
        self._y_scale = array("f", (y_scale,))
        self._factor = array("f", (0.0,))  # minus the rate, over the samples of a step
        self._softmax = loss == "softmax"
        self._tanh = hidden == "tanh"
        # per layer: its record, inputs (the sample's, then activations), deltas
        self._records: list[array[int]] = []
        self._a: list[array[float]] = []
        self._d: list[array[float]] = []
        for l in range(spec.n_layers):
            n_in, n_out = spec.shape(l)
            self._records.append(array("i", (n_in, n_out, spec.at(l), 1)))
            self._a.append(array("f", bytes(4 * n_in)))
            self._d.append(array("f", bytes(4 * n_out)))
        self.out = array("f", bytes(4 * spec.sizes[-1]))
        self._pending = 0
        self.reset_counters()
        self.configure(batch, layers, rate)

    def configure(self, batch: int = 1, layers: int = 0, rate: int = 0) -> None:
        """Set how to learn: samples a step, a bit mask of the layers to train (0: all), the rate.

        rate: the learning rate in 1 / 65536; 0: 0.01. A batch's step is the mean of its samples'.
        Raises StateError while samples wait for their step.
        """
        if self._pending:
            raise StateError("samples wait for their step: flush() before configure()")
        n = self.spec.n_layers
        if not 1 <= batch <= LARGEST_BATCH:
            raise DataError(f"a batch has 1 to {LARGEST_BATCH} samples, not {batch}")
        if not 0 <= layers < 1 << n:
            raise DataError(f"no layers {layers:#b} in a network of {n}: use bits 0 to {n - 1}")
        if not 0 <= rate <= _LARGEST_RATE:
            raise DataError(f"the rate is 1 to {_LARGEST_RATE} (in 1/65536), not {rate}")
        self.batch = batch
        self.layers = layers or (1 << n) - 1
        self.rate = rate or _DEFAULT_RATE
        self._set_factor(batch)
        self._lowest = 0  # no deltas are needed below it
        while not self.layers >> self._lowest & 1:
            self._lowest += 1
        self.release()

    @property
    def batch_bytes(self) -> int:
        """What the batch's buffers take: a batch of one is learned from the sample's own."""
        n_bytes = 0
        for l in range(self.spec.n_layers):
            if self.batch > 1 and self.layers >> l & 1:
                n_in, n_out = self.spec.shape(l)
                n_bytes += 4 * self.batch * (n_in + n_out)
        return n_bytes

    def release(self) -> None:
        """Free the batch's buffers; the next learn() makes them anew."""
        if self._pending:
            raise StateError("samples wait for their step: flush() before release()")
        self._batch_x = self._a if self.batch == 1 else []
        self._batch_d = self._d if self.batch == 1 else []

    def _make_batch(self) -> None:
        for l in range(self.spec.n_layers):
            n_in, n_out = self.spec.shape(l)
            slots = self.batch if self.layers >> l & 1 else 0
            self._batch_x.append(array("f", bytes(4 * slots * n_in)))
            self._batch_d.append(array("f", bytes(4 * slots * n_out)))

    def reset_counters(self) -> None:
        self.n_seen = 0
        self.n_correct = 0
        self.loss_sum = 0

    def predict(self, x: "Sequence[float]") -> int:
        """Fill `out` for the features x; the number of its largest (the first of equal ones)."""
        a = self._a[0]
        fkernels.scaled(x, self._x_scale, a)
        records = self._records
        last = len(records) - 1
        for l in range(last):
            following = self._a[l + 1]
            fkernels.forward(a, self.params, following, records[l])
            if self._tanh:
                fkernels.activate_tanh(following, records[l])
            else:
                fkernels.activate_relu(following, records[l])
            a = following
        out = self.out
        fkernels.forward(a, self.params, out, records[last])
        return fkernels.largest(out, records[last])

    def learn(self, x: "Sequence[float]", target: "int | Sequence[float]") -> bool:
        """Learn from one sample; True if it filled the batch, and so the parameters changed."""
        guess = self.predict(x)
        self.loss_sum += self.loss(target)
        self.n_correct += guess == target
        self.n_seen += 1
        l = len(self._records) - 1
        while l > self._lowest:
            record = self._records[l - 1]
            fkernels.backward(self.params, self._d[l], self._d[l - 1], self._records[l])
            if self._tanh:
                fkernels.slope_tanh(self._a[l], self._d[l - 1], record)
            else:
                fkernels.slope_relu(self._a[l], self._d[l - 1], record)
            l -= 1
        if self.batch > 1:
            if not self._batch_x:
                self._make_batch()
            for l in range(self._lowest, len(self._records)):
                if self.layers >> l & 1:
                    fkernels.put(self._a[l], self._batch_x[l], self._pending)
                    fkernels.put(self._d[l], self._batch_d[l], self._pending)
        self._pending += 1
        if self._pending < self.batch:
            return False
        return self.flush()

    def loss(self, target: "int | Sequence[float]") -> int:
        """The loss, in 1 / loss_scale, of the sample that predict() saw last; sets its deltas."""
        out = self.out
        d = self._d[-1]
        record = self._records[-1]
        if isinstance(target, int):
            if not self._softmax or not 0 <= target < len(out):
                raise DataError(f"no target {target} for {len(out)} outputs of this network")
            return fkernels.cross_entropy(out, d, target, record)
        if self._softmax or len(target) != len(out):
            raise DataError(f"a target of {len(target)} numbers for {len(out)} outputs")
        fkernels.scaled(target, self._y_scale, d)
        return fkernels.squared(out, d, record)

    def flush(self) -> bool:
        """Apply the step of a batch that is not full; False if there is nothing to apply."""
        n = self._pending
        if n == 0:
            return False
        self._pending = 0
        if n < self.batch:
            self._set_factor(n)
        for l in range(self._lowest, len(self._records)):
            if self.layers >> l & 1:
                record = self._records[l]
                record[3] = n
                d = self._batch_d[l]
                fkernels.scaled(d, self._factor, d)
                fkernels.update(self.params, self._batch_x[l], d, record)
        if n < self.batch:
            self._set_factor(self.batch)
        return True

    def _set_factor(self, n: int) -> None:
        self._factor[0] = -self.rate / ((1 << RATE_BITS) * n)

    def load(self, block: "array[int]", at: int = 0) -> None:
        """Take a block of a wire image, an array('h'), as the parameters from number `at` on."""
        w = self.params
        for i in range(len(block)):
            w[at + i] = block[i] / (1 << WIRE_BITS)

    def store(self, block: "array[int]", at: int = 0) -> None:
        """Fill `block`, an array('h'), with the wire image of the parameters from `at` on.

        Halves are rounded up. Raises DataError for parameters that are no numbers any more.
        """
        Image(self.params).store(block, at)


def make(spec: "Spec", params: "array[float]") -> Network:
    """The network that a float rule means, for int8 features and samples' int16 targets."""
    loss, hidden, x_bits = KINDS[spec.rule]
    return Network(
        spec, params, loss=loss, hidden=hidden, x_scale=1 / (1 << x_bits),
        y_scale=1 / (1 << TARGET_BITS),
    )  # fmt: skip


def new_params(spec: "Spec") -> "array[float]":
    """A zeroed buffer for the spec's parameters."""
    return zeros("f", spec.n_params)
