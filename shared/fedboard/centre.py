"""Rule "centred": a network of rule "fedboard" that sees its inputs less their mean.

    x' = clamp(x - mean, -127, 127)     mean = (c + 128) >> 8, for each input; c: layer 0's biases

Features with an offset, say gravity or the logarithm of a strength, drive hidden units to their
limits before anything is learned; x' has none. The statistics are parameters like all others: they
lie in the model, its digest and its checkpoints, and boards get them with it.

Layer 0 learns no gradient but the mean itself, and only when it is asked to (bit 0 of `layers`): of
all samples since reset_counters(), rounded to the nearest. A federation's first round asks for
that alone, exact; the mean over all boards' samples then stays as it is.
"""

from array import array

from fedboard import DataError
from fedboard.dfa import Network as Dense
from fedboard.model import CENTRE_BITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fedboard.model import Spec

_HALF = 1 << CENTRE_BITS - 1
_LIMIT = 127 << CENTRE_BITS  # Spec.limit(0): features may be -128, no mean is above 127


class Network:
    """What dfa.Network is, for a spec of rule "centred". The sums cost 4 bytes an input."""

    loss_scale = 1

    def __init__(
        self, spec: "Spec", params: "array[int]", batch: int = 1, layers: int = 0, rate: int = 0
    ) -> None:
        self.spec = spec
        self.params = params
        self._dense = Dense(spec.dense(), params)
        self.out = self._dense.out
        n_in = spec.sizes[0]
        self._x = array("b", bytes(n_in))  # x'
        self._sums = array("i", bytes(4 * n_in))
        self._n = 0  # samples in the sums
        self.reset_counters()
        self.configure(batch, layers, rate)

    def configure(self, batch: int = 1, layers: int = 0, rate: int = 0) -> None:
        """As dfa.Network's. layers: bit 0: measure the mean; 0: train all but that."""
        n = self.spec.n_layers
        if not 0 <= layers < 1 << n:
            raise DataError(f"no layers {layers:#b} in a network of {n}: use bits 0 to {n - 1}")
        self._dense.configure(batch, layers >> 1, rate)
        self.layers = layers or (1 << n) - 2
        self.batch = batch
        self.rate = self._dense.rate

    @property
    def batch_bytes(self) -> int:
        return self._dense.batch_bytes if self.layers > 1 else 0

    def reset_counters(self) -> None:
        self.n_seen = 0
        self.n_correct = 0
        self.loss_sum = 0
        self._n = 0
        for i in range(len(self._sums)):
            self._sums[i] = 0

    def predict(self, x: "array[int]") -> int:
        return self._dense.predict(self._centred(x))

    def features(self, l: int) -> "array[int]":
        """Layer 0's are x', as predict() saw them."""
        return self._dense.features(l - 1) if l else self._x

    def loss(self, label: int) -> int:
        return self._dense.loss(label)

    def learn(self, x: "array[int]", label: int) -> bool:
        """Learn from one sample; True if weights changed. A mean that is measured: see flush()."""
        dense = self._dense
        if self.layers & 1:
            sums = self._sums
            for i in range(len(sums)):
                sums[i] += x[i]
            self._n += 1
        seen = self._centred(x)
        if self.layers == 1:
            self.n_correct += dense.predict(seen) == label
            self.loss_sum += dense.loss(label)
            self.n_seen += 1
            return False
        dense.reset_counters()
        changed = dense.learn(seen, label)
        self.n_correct += dense.n_correct
        self.loss_sum += dense.loss_sum
        self.n_seen += 1
        return changed

    def flush(self) -> bool:
        """Apply what is left of a batch, and the mean, if it was measured."""
        changed = self._dense.flush()
        n = self._n
        if n:
            for i in range(len(self._sums)):
                mean = ((self._sums[i] << CENTRE_BITS) + (n >> 1)) // n
                self.params[i] = -_LIMIT if mean < -_LIMIT else mean
            self._n = 0
            for i in range(len(self._sums)):
                self._sums[i] = 0
        return changed or n > 0

    def release(self) -> None:
        self._dense.release()

    def _centred(self, x: "array[int]") -> "array[int]":
        params = self.params
        seen = self._x
        if len(x) != len(seen):
            raise DataError(f"{len(x)} features for a network of {len(seen)} inputs")
        for i in range(len(seen)):
            v = x[i] - (params[i] + _HALF >> CENTRE_BITS)
            seen[i] = -127 if v < -127 else 127 if v > 127 else v
        return seen
