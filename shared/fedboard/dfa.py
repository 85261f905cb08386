"""The network that learns on a board, in integers only, by one of two rules.

    a = f(W x + b) per layer     d_last = g(e)     W -= rate * sum d x'
    d_l = f'(.) * (B_l e)             "tifed": direct feedback alignment (DFA)
    d_l = f'(.) * (W_l+1' d_l+1)      "fedboard": backpropagation

DFA sends the output's errors e to every hidden layer at once through a fixed random matrix B
(Nokland, "Direct Feedback Alignment Provides Learning in Deep Neural Networks", 2016). All deltas
are computed before any weight changes, so a layer can be trained alone just as well, and `x` may
be the output of frozen features.

Arithmetic: int8 inputs and activations, int16 parameters and deltas, int32 sums that cannot
overflow: |x| <= 128 and |W|, |b| <= spec.limit(l) bound the forward ones, |x| <= 128, |d| <= 32767
and LARGEST_BATCH those of an update. What f, g and the update are is the rule's: see `rules`.
"""

from array import array

from fedboard import DataError, StateError, kernels, rules
from fedboard.model import zeros
from fedboard.prng import Xorshift, mix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fedboard.model import Spec

    A = array[int]
    Trained = tuple[int, A, "A | None", A]  # a layer, its record, inputs (None: the sample), deltas

# A batch's sum of x d, and half of a rounding shift: 255 * 128 * 32767 + 2**29 < 2**31.
LARGEST_BATCH = 255

_FEEDBACK = 2  # the label of the feedback matrices' random streams


class Network:
    """One network over the caller's parameters, with work buffers for a batch of samples.

    spec: model.Spec; params: its array('h'), read and changed in place. The rest: see configure().
    To read: `out`, array('i') of the last sample's logits; `n_seen`, `n_correct` (predicted right
    before it was learned) and `loss_sum` (in the rule's unit) of the samples that it learned.
    """

    loss_scale = 1  # loss_sum in 1 / loss_scale of the rule's unit

    def __init__(
        self, spec: "Spec", params: "array[int]", batch: int = 1, layers: int = 0, rate: int = 0
    ) -> None:
        if len(params) != spec.n_params:
            raise StateError(f"a buffer of {spec.n_params} parameters is needed: {len(params)}")
        self.spec = spec
        self.params = params
        self.rule = rules.make(spec)
        n = spec.n_layers
        n_out = spec.sizes[n]
        self.out = array("i", bytes(4 * n_out))
        self._e = array("h", bytes(2 * n_out))
        # for each layer: its record, a sample's activations and deltas, the feedback matrix
        self._records: list[array[int]] = []
        self._a: list[array[int]] = []
        self._d: list[array[int]] = []
        self._b: list[array[int]] = []
        widest = 0
        for l in range(n):
            n_in, units = spec.shape(l)
            self._records.append(
                array("i", (n_in, units, spec.at(l), self.rule.bias_input(l), spec.limit(l), 1, 1))
            )
            self._d.append(array("h", bytes(2 * units)))
            if l < n - 1:
                widest = max(widest, units)
                self._a.append(array("b", bytes(units)))
                if self.rule.is_direct:
                    rng = Xorshift(mix(spec.seed, _FEEDBACK, l))
                    self._b.append(rules.feedback(rng, units, n_out))
        self._acc = array("i", bytes(4 * widest))
        # Tuples, as a board looks one up faster than an element of each of several lists.
        self._hidden = [(self._records[l], self._a[l], self._d[l]) for l in range(n - 1)]
        self._trained: list[Trained] = []  # by layer that learns
        self._down: list[int] = []  # the hidden layers that need deltas, the highest first
        self._pending = 0  # samples of the present batch, and those of them with an error
        self._stored = 0
        self._batch_x: list[array[int]] = []
        self._batch_d: list[array[int]] = []
        self.batch = self.layers = 0
        self.reset_counters()
        self.configure(batch, layers, rate)

    def configure(self, batch: int = 1, layers: int = 0, rate: int = 0) -> None:
        """Set how to learn: samples a step, a bit mask of the layers to train (0: all), the rate.

        rate: "fedboard": the right shift of an update; "tifed": the divisor 1/eta; 0: the default.
        Only trained layers store a batch. Raises StateError while samples wait for their step.
        """
        if self._pending:
            raise StateError("samples wait for their step: flush() before configure()")
        n = self.spec.n_layers
        if not 1 <= batch <= LARGEST_BATCH:
            raise DataError(f"a batch has 1 to {LARGEST_BATCH} samples, not {batch}")
        if not 0 <= layers < 1 << n:
            raise DataError(f"no layers {layers:#b} in a network of {n}: use bits 0 to {n - 1}")
        if not 0 <= rate <= self.rule.largest_rate:
            raise DataError(f"the rate is 1 to {self.rule.largest_rate}, not {rate}")
        layers = layers or (1 << n) - 1
        self.rate = rate or self.rule.default_rate
        for record in self._records:
            record[6] = self.rate
        if (batch, layers) != (self.batch, self.layers):
            self.batch = batch
            self.layers = layers
            self.release()
            self._choose()

    def _choose(self) -> None:
        """What learn() goes through."""
        self._trained = []
        self._down = []
        for l in range(self.spec.n_layers):
            is_trained = self.layers >> l & 1
            if is_trained:
                self._records[l][5] = 1
                x = self._a[l - 1] if l else None
                self._trained.append((l, self._records[l], x, self._d[l]))
            needs = is_trained if self.rule.is_direct else self._trained
            if needs and l < self.spec.n_layers - 1:
                self._down.insert(0, l)

    @property
    def batch_bytes(self) -> int:
        """What the batch's buffers take: the most after the parameters."""
        n_bytes = 0
        if self.batch > 1:
            for layer in self._trained:
                n_in, n_out = self.spec.shape(layer[0])
                n_bytes += self.batch * (n_in + 2 * n_out)
        return n_bytes

    def _make_batch(self) -> None:
        for layer in self._trained:
            n_in, n_out = self.spec.shape(layer[0])
            self._batch_x.append(zeros("b", self.batch * n_in))
            self._batch_d.append(zeros("h", self.batch * n_out))

    def release(self) -> None:
        """Free the batch's buffers; the next learn() makes them anew."""
        if self._pending:
            raise StateError("samples wait for their step: flush() before release()")
        self._batch_x.clear()
        self._batch_d.clear()

    def reset_counters(self) -> None:
        self.n_seen = 0
        self.n_correct = 0
        self.loss_sum = 0

    def predict(self, x: "array[int]") -> int:
        """The class of the int8 features x (the first of equal logits); logits in `out`."""
        params = self.params
        acc = self._acc
        rule = self.rule
        last = self._records[-1]
        forward = kernels.forward
        if len(x) != self.spec.sizes[0]:
            raise DataError(f"{len(x)} features for a network of {self.spec.sizes[0]} inputs")
        for record, a, d in self._hidden:
            forward(x, params, acc, record)
            rule.activate(acc, a, d, record)
            x = a
        out = self.out
        forward(x, params, out, last)
        rule.output(out, self._d[-1], last)
        return kernels.argmax(out)

    def features(self, l: int) -> "array[int]":
        """Hidden layer l's int8 activations after predict(): inputs for a head of its own.

        The buffer is the network's and changes with the next sample. "tifed": they are negated.
        """
        return self._a[l]

    def learn(self, x: "array[int]", label: int) -> bool:
        """Learn from one sample; True if the parameters changed, as it filled the batch.

        A sample without any error counts in the batch, but needs no room and no work there.
        """
        guess = self.predict(x)
        self.loss_sum += self.loss(label)
        self.n_correct += guess == label
        self.n_seen += 1
        e = self._e
        is_wrong = e[label] != 0 or any(e)
        if self.batch == 1:
            if is_wrong:
                self._step(x)
            return is_wrong
        self._pending += 1
        if is_wrong:
            if not self._batch_x:
                self._make_batch()
            self._store(x)
        return self._pending == self.batch and self.flush()

    def loss(self, label: int) -> int:
        """The loss, in the rule's unit, of the sample that predict() saw last. Ask once."""
        if not 0 <= label < len(self._e):
            raise DataError(f"no class {label} in a network of {len(self._e)} outputs")
        return self.rule.errors(self.out, self._e, self._d[-1], label)

    def flush(self) -> bool:
        """Apply the step of a batch that is not full; False if there is nothing to apply."""
        n = self._stored
        self._pending = self._stored = 0
        if n == 0:
            return False
        for i in range(len(self._trained)):
            record = self._trained[i][1]
            record[5] = n
            self.rule.update(self.params, self._batch_x[i], self._batch_d[i], record)
        return True

    def _step(self, x: "array[int]") -> None:
        """Learn a sample at once: its own buffers are a batch of one."""
        self._spread()
        update = self.rule.update
        params = self.params
        for _, record, a, d in self._trained:
            update(params, x if a is None else a, d, record)

    def _store(self, x: "array[int]") -> None:
        """Put the inputs and the deltas of the layers that are trained into the batch."""
        self._spread()
        slot = self._stored
        self._stored = slot + 1
        for i in range(len(self._trained)):
            _, _, a, d = self._trained[i]
            kernels.put(x if a is None else a, self._batch_x[i], slot)
            kernels.put(d, self._batch_d[i], slot)

    def _spread(self) -> None:
        """The hidden layers' slopes become their deltas."""
        for l in self._down:
            record, _, d = self._hidden[l]
            if self.rule.is_direct:
                kernels.feedback_divide(self._e, self._b[l], d, record)
            else:
                kernels.backward(self._d[l + 1], self.params, self._acc, self._records[l + 1])
                kernels.gate(self._acc, d, record)
