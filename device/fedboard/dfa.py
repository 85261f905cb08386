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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fedboard.model import Spec

    A = array[int]
# A batch's sum of x d, and half of a rounding shift: 255 * 128 * 32767 + 2**29 < 2**31.
LARGEST_BATCH = 255


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
        n = spec.n_layers
        self.out = array("i", bytes(4 * spec.sizes[n]))
        self._acc = array("i", bytes(4 * max((0,) + spec.sizes[1:n])))
        self._x = x = array("b")  # the last sample, whose length is right
        self._layers: list[rules.Layer] = []
        for l in range(n):
            self._layers.append(rules.Layer(spec, l, x))
            x = self._layers[l].a
        last = self._layers[-1]
        self.rule = rule = rules.make(spec, last.d)
        # What a sample goes through, in lists: a board is slow to find names and elements.
        up: list[rules.Call] = []
        for layer in self._layers:
            layer.record[3] = rule.bias_input(layer.l)
            if layer is not last:
                up += rule.up(layer, params, self._acc)
        up.append((kernels.forward, last.x, params, self.out, last.record))
        self._up = up
        self._output = rule.output
        self._errors = rule.errors
        self._last = last
        self._down: list[rules.Call] = []
        self._steps: list[rules.Call] = []
        self._pending = 0  # samples of the present batch, and those of them with an error
        self._stored = 0
        # From where (None: the sample) to a batch's buffer, and how many.
        self._puts: list[tuple[A | None, A, int]] = []
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
        for layer in self._layers:
            layer.record[6] = self.rate
        if (batch, layers) != (self.batch, self.layers):
            self.batch = batch
            self.layers = layers
            self.release()
            self._choose()

    def _choose(self) -> None:
        """What learn() goes through."""
        rule = self.rule
        update = rule.step if self.batch == 1 else rule.update
        self._steps = []
        self._down = []
        for layer in self._layers:
            is_trained = self.layers >> layer.l & 1
            if is_trained:
                layer.record[5] = 1
                x = layer.x if layer.l else self._x
                self._steps.append((update, self.params, x, layer.d, layer.record))
            needs = is_trained if rule.is_direct else self._steps
            if needs and layer is not self._last:
                above = self._layers[layer.l + 1]
                self._down = rule.down(layer, above, self.params, self._acc) + self._down

    @property
    def batch_bytes(self) -> int:
        """What the batch's buffers take: the most after the parameters."""
        n_bytes = 0
        if self.batch > 1:
            for _, _, _, _, record in self._steps:
                n_bytes += self.batch * (record[0] + 2 * record[1])
        return n_bytes

    def _make_batch(self) -> None:
        for _, _, x, d, record in self._steps:
            n_in, n_out = record[0], record[1]
            source = None if x is self._x else x
            self._puts.append((source, zeros("b", self.batch * n_in), n_in))
            self._puts.append((d, zeros("h", self.batch * n_out), n_out))

    def release(self) -> None:
        """Free the batch's buffers; the next learn() makes them anew."""
        if self._pending:
            raise StateError("samples wait for their step: flush() before release()")
        self._puts.clear()

    def reset_counters(self) -> None:
        self.n_seen = 0
        self.n_correct = 0
        self.loss_sum = 0

    def predict(self, x: "array[int]") -> int:
        """The class of the int8 features x (the first of equal logits); logits in `out`."""
        if x is not self._x:
            self._take(x)
        kernels.run(self._up)
        return self._output(self.out, self._last.record)

    def _take(self, x: "A") -> None:
        """Have the samples in this buffer from now on: it is the first layer's inputs."""
        if len(x) != self.spec.sizes[0]:
            raise DataError(f"{len(x)} features for a network of {self.spec.sizes[0]} inputs")
        self._x = x
        kernel, _, p, q, r = self._up[0]
        self._up[0] = (kernel, x, p, q, r)
        if self.layers & 1:
            kernel, w, _, q, r = self._steps[0]
            self._steps[0] = (kernel, w, x, q, r)

    def features(self, l: int) -> "array[int]":
        """Hidden layer l's int8 activations after predict(): inputs for a head of its own.

        The buffer is the network's and changes with the next sample. "tifed": they are negated.
        """
        return self._layers[l].a

    def learn(self, x: "array[int]", label: int) -> bool:
        """Learn from one sample; True if the parameters changed, as it filled the batch.

        A sample without any error counts in the batch, but needs no room and no work there.
        """
        guess = self.predict(x)
        self.loss_sum += self.loss(label)
        self.n_correct += guess == label
        self.n_seen += 1
        e = self.rule.e
        is_wrong = e[label] != 0 or any(e)
        if is_wrong:
            kernels.run(self._down)
        if self.batch > 1:
            return self._store(x, is_wrong)
        if is_wrong:
            kernels.run(self._steps)  # its own buffers are a batch of one
        return is_wrong

    def _store(self, x: "A", is_wrong: bool) -> bool:
        """Keep a sample for its batch's step; True if that was it."""
        self._pending += 1
        if is_wrong:
            if not self._puts:
                self._make_batch()
            slot = self._stored
            self._stored = slot + 1
            for source, buffer, n in self._puts:
                kernels.put(x if source is None else source, buffer, slot * n, n)
        return self._pending == self.batch and self.flush()

    def loss(self, label: int) -> int:
        """The loss, in the rule's unit, of the sample that predict() saw last. Ask once."""
        out = self.out
        if not 0 <= label < len(out):
            raise DataError(f"no class {label} in a network of {len(out)} outputs")
        return self._errors(out, self._last.d, label, self._last.record)

    def flush(self) -> bool:
        """Apply the step of a batch that is not full; False if there is nothing to apply."""
        n = self._stored
        self._pending = self._stored = 0
        if n == 0:
            return False
        for i in range(len(self._steps)):
            update, w, _, _, record = self._steps[i]
            record[5] = n
            update(w, self._puts[2 * i][1], self._puts[2 * i + 1][1], record)
        return True
