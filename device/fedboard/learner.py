"""What a board learns: the network, its parameters, the base they came from, the samples.

One task at a time: prepare() makes room and checks the whole task before anything is learned,
rebase() brings the model, train() and evaluate() are generators that do one sample a step, and
then `update` is what to send until settle() or drop(). No messages are sent here: see board.

    parameters = base + what was learned since + residual       base: see model.MemoryBase

Samples: len(samples), samples.n_in, samples.read(i, x) -> label fills the int8 features x.
"""

from array import array

from fedboard import DataError, StateError, messages, prng, update
from fedboard.dfa import Network
from fedboard.model import BLOCK, Spec, new_block, new_params, unpack_spec
from fedboard.order import Order
from fedboard.rebase import Rebase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Protocol

    class Samples(Protocol):
        n_in: int

        def __len__(self) -> int: ...
        def read(self, i: int, x: "array[int]") -> int: ...


# What a model needs beside its weights: activations, feedback, transfers, the garbage of a round.
WORK_BYTES = 8192


class NoMemory(DataError):
    """The model is too large for this board."""


class NoSamples(DataError):
    """There is nothing to learn from."""


class Learner:
    """free_memory() -> bytes, where a board can tell. Buffers are made by prepare(), and kept."""

    def __init__(
        self, base: "Any", samples: "Samples", free_memory: "Callable[[], int] | None" = None
    ) -> None:
        self.base = base
        self.samples = samples
        self.free_memory = free_memory
        self.params: array[int] = array("h")
        self.net: Network | None = None
        self.update: update.Update | None = None  # learned and not yet settled
        self.done = 0  # samples of the present task
        self.total = 0
        self._x = array("b", bytes(samples.n_in))

    def prepare(self, task: messages.Task) -> None:
        """Make room for the task's network. Raises DataError for a task that cannot be done."""
        spec = unpack_spec(task.spec)
        n_in = self.samples.n_in
        if spec.sizes[0] != n_in:
            raise DataError(f"the model has {spec.sizes[0]} inputs, this board's samples {n_in}")
        if not len(self.samples):
            raise NoSamples("this board has no samples yet: record some")
        if self.net is None or self.net.spec.pack() != task.spec:
            self._make(spec)
        net = self._network()
        if task.op == messages.TRAIN:
            update.check(spec, task.layers, task.top_permille, task.bits)
            net.configure(task.batch, task.layers, task.rate)
            self._check_free(net.batch_bytes, f"a batch of {task.batch}")
        elif task.op != messages.EVALUATE:
            raise DataError(f"the host asks for op {task.op}, unknown here: deploy again")

    def _make(self, spec: Spec) -> None:
        self.drop()
        self.net = None
        self.params = array("h")
        need = 2 * spec.n_params + WORK_BYTES
        self._check_free(need, "the model")
        try:
            self.params = new_params(spec)
            self.net = Network(spec, self.params)
        except MemoryError:
            self.net = None
            self.params = array("h")
            raise NoMemory(f"out of memory for a model of {need} bytes: choose a smaller one")
        self.reload()

    def _check_free(self, need: int, what: str) -> None:
        free = self.free_memory() if self.free_memory else need
        if free < need:
            raise NoMemory(f"{what} needs {need} bytes, {free} are free: choose a smaller one")

    def _network(self) -> Network:
        if self.net is None:
            raise StateError("prepare() a task first")
        return self.net

    def has(self, task: messages.Task) -> bool:
        """The task's model is the base."""
        same: bool = self.base.version == task.version and self.base.digest == task.digest
        return same and self.base.version > 0

    def rebase(self, begin: messages.Begin, carry: bool) -> Rebase:
        """The receiver of a new base. Raises WireError for one that cannot be."""
        return Rebase(
            self._network().spec, self.params, self.base, begin.encoding, begin.meta,
            begin.n_bytes, begin.version, begin.digest, carry,
        )  # fmt: skip

    def reload(self) -> None:
        """parameters = base, where the base is of this shape."""
        spec = self._network().spec
        if self.base.version and self.base.spec_bytes == spec.pack():
            block = new_block(BLOCK)
            for at in range(0, spec.n_params, BLOCK):
                n = min(BLOCK, spec.n_params - at)
                if n < BLOCK:
                    block = new_block(n)
                self.base.read(at, block)
                for i in range(n):
                    self.params[at + i] = block[i]

    def drop(self) -> None:
        """The present task is overtaken: what it has learned stays, as residual."""
        if self.net is not None:
            self.net.flush()
            self.net.release()
        self.update = None

    def train(self, task: messages.Task) -> "Iterator[None]":
        """Learn in place, then make `update` ready. One sample a step."""
        net = self._network()
        if not task.flags & messages.CARRY:
            self.reload()
        if self.free_memory:
            self.free_memory()  # collects: the batch will lie next to what stays
        net.reset_counters()
        samples = self.samples
        x = self._x
        n = len(samples)
        per_epoch = min(task.n_max, n) if task.n_max else n
        self.done = 0
        self.total = task.epochs * per_epoch
        for epoch in range(task.epochs):
            order = Order(n, prng.mix(task.seed, task.round, epoch))
            for _ in range(per_epoch):
                label = samples.read(order.next(), x)
                net.learn(x, label)
                self.done += 1
                yield
        net.flush()
        net.release()
        ready = update.Update(
            net.spec, self.params, self.base, net.layers, task.top_permille, task.bits
        )
        ready.prepare()
        self.update = ready

    def evaluate(self) -> "Iterator[None]":
        """Count into net.n_seen and net.n_correct over all samples. One sample a step."""
        net = self._network()
        net.reset_counters()
        samples = self.samples
        x = self._x
        self.done = 0
        self.total = len(samples)
        for i in range(self.total):
            label = samples.read(i, x)
            net.n_seen += 1
            net.n_correct += net.predict(x) == label
            self.done += 1
            yield

    def settle(self) -> None:
        """The host has the update for good: what was sent is no longer residual."""
        if self.update is not None:
            self.update.settle()
            self.update = None
