"""What a board learns: the network, its parameters, the base they came from, the samples.

One task at a time: prepare() makes room and checks the whole task before anything is learned,
rebase() brings the model, train() and evaluate() are generators that do one sample a step, and
then `update` is what to send until settle() or drop(). No messages are sent here: see board.

    parameters = base + what was learned since + residual       base: see base.MemoryBase

A float network is seen through its wire image (see image), so base and updates are integers, too.
Local layers are never sent: every task begins with them as the base has them, so a board has no
state in them that a restart could lose. With KEEP it begins with what the last one left, until the
board restarts or adapts.

Samples: len(samples), samples.n_in, samples.read(i, x) fills the int8 features x and returns the
label; or, where samples.n_targets > 0, so many targets, array('h') (see samples).
"""

from array import array

from fedboard import DataError, StateError, messages, prng, update
from fedboard.dfa import Network
from fedboard.model import BLOCK, Spec, new_block, unpack_spec, zeros
from fedboard.order import Order
from fedboard.rebase import Rebase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Protocol

    class Samples(Protocol):
        n_in: int

        def __len__(self) -> int: ...
        def read(self, i: int, x: "array[int]") -> "int | array[int]": ...


LOCAL = 256  # the label of the order in which local layers see samples; those below are epochs
# What a model needs beside its weights: activations, feedback, transfers, the garbage of a round.
WORK_BYTES = 8192


class NoMemory(DataError):
    """The model is too large for this board."""

    CODE = messages.NO_MEMORY


class NoSamples(DataError):
    """There is nothing to learn from."""

    CODE = messages.NO_SAMPLES


class Learner:
    """free_memory() -> bytes, where a board can tell. Buffers are made by prepare(), and kept.

    personal() -> the store of the board's personal model, which is like `base`: see personal.
    """

    def __init__(
        self, base: "Any", samples: "Samples", free_memory: "Callable[[], int] | None" = None,
        personal: "Callable[[], Any] | None" = None,
    ) -> None:  # fmt: skip
        self.base = base
        self.samples = samples
        self.free_memory = free_memory
        self.personal = personal
        self.params: array[Any] = array("h")
        self.wire: Any = self.params  # the same as int16: a float network's image
        self.net: Any = None  # dfa.Network, mlp.Network or conv.Network
        self.astray = False  # the parameters are another model's than the base's
        self.update: Any = None  # update.Update, learned and not yet settled
        self.party: Any = None  # party.Party, of boards that mask what they send
        self.done = 0  # samples of the present task
        self.total = 0
        self.x = array("b", bytes(samples.n_in))

    def prepare(self, task: messages.Task) -> None:
        """Make room for the task's network. Raises DataError for a task that cannot be done."""
        if task.op == messages.FORGET:
            return
        if not task.version and not self.base.version:
            raise DataError("this board has no model yet: let it take part in a federation first")
        if not self.has(task):
            self.base.check_wear()
        spec = unpack_spec(task.spec if task.version else self.base.spec_bytes)
        self._check_samples(spec)
        self.use(spec)
        net = self._network()
        if task.op == messages.EVALUATE:
            return
        if task.op == messages.TRAIN:
            if task.local & ~task.layers or (task.n_local and not task.local):
                raise DataError(f"local layers {task.local:#b} among the layers {task.layers:#b}")
            update.check(spec, task.layers & ~task.local, task.top_permille, task.bits)
            if self.party is not None:
                self.party.join(task)
            elif task.flags & messages.MASKED:
                raise DataError('no "mask_key" in fedboard.json: the host wants masked updates')
        elif task.op != messages.ADAPT:
            raise DataError(f"the host asks for op {task.op}, unknown here: deploy again")
        net.configure(task.batch, task.layers, task.rate)
        self.check_free(net.batch_bytes, f"a batch of {task.batch}")

    def use(self, spec: Spec) -> None:
        """Have a network of this shape, at first with the base's parameters if they fit it."""
        if self.net is None or self.net.spec != spec:
            self._make(spec)

    def _check_samples(self, spec: Spec) -> None:
        n_in = self.samples.n_in
        if len(self.x) != n_in:  # the first samples have come meanwhile
            self.x = array("b", bytes(n_in))
        if spec.sizes[0] != n_in:
            raise DataError(f"the model has {spec.sizes[0]} inputs, this board's samples {n_in}")
        if not len(self.samples):
            raise NoSamples("this board has no samples yet: record some")
        n_targets = getattr(self.samples, "n_targets", 0)
        wanted = spec.sizes[-1] if spec.rule == "float-squared" else 0
        if n_targets != wanted:
            text = f"samples with {n_targets} targets for a model of {wanted} (0: labels, classes)"
            raise DataError(text + ": use other samples, or another rule")

    def _make(self, spec: Spec) -> None:
        self.drop()
        self.net = None
        self.params = self.wire = array("h")
        need = (4 if spec.is_float else 2) * spec.n_params + WORK_BYTES + spec.image_bytes
        if spec.is_float:
            from fedboard import image, mlp  # only the boards that need it pay for it
        elif spec.n_conv:
            from fedboard import conv
        elif spec.is_centred:
            from fedboard import centre
        self.check_free(need, "the model")
        try:
            self.params = self.wire = zeros("f" if spec.is_float else "h", spec.n_params)
            if spec.is_float:
                self.wire = image.Image(self.params)
                self.net = mlp.make(spec, self.params)
            elif spec.n_conv:
                self.net = conv.Network(spec, self.params)
            elif spec.is_centred:
                self.net = centre.Network(spec, self.params)
            else:
                self.net = Network(spec, self.params)
        except MemoryError:
            self.net = None
            self.params = self.wire = array("h")
            raise NoMemory(f"out of memory for a model of {need} bytes: choose a smaller one")
        self.reload()

    def check_free(self, need: int, what: str, text: str = "choose a smaller one") -> None:
        """Raise NoMemory unless so many bytes are free, as far as can be told."""
        free = self.free_memory() if self.free_memory else need
        if free < need:
            raise NoMemory(f"{what} needs {need} bytes, {free} are free: {text}")

    def _network(self) -> "Any":
        if self.net is None:
            raise StateError("prepare() a task first")
        return self.net

    def has(self, task: messages.Task) -> bool:
        """The task's model is the base, or it needs none."""
        base = self.base
        return not task.version or bool(base.version == task.version and base.digest == task.digest)

    def rebase(self, begin: messages.Begin, carry: bool) -> Rebase:
        """The receiver of a new base. Raises WireError for one that cannot be."""
        return Rebase(
            self._network().spec, self.wire, self.base, begin.encoding, begin.meta,
            begin.n_bytes, begin.version, begin.digest, carry,
        )  # fmt: skip

    def reload(self, layers: int = 0) -> None:
        """parameters = base, where the base is of this shape. layers: a mask, 0: all of them."""
        self.load(self.base, layers)
        self.astray = False

    def load(self, source: "Any", layers: int = 0) -> bool:
        """parameters = those in `source`, what is like the base; False if it is of another shape.

        Set `astray` before parameters become anything but the base and what was learned on it:
        then the next task starts from the base again.
        """
        spec = self._network().spec
        if not source.version or source.spec_bytes != spec.pack():
            return False
        wire = self.wire
        for l in range(spec.n_layers):
            if layers and not layers >> l & 1:
                continue
            block = new_block(BLOCK)
            end = spec.at(l + 1)
            for at in range(spec.at(l), end, BLOCK):
                n = min(BLOCK, end - at)
                if n < BLOCK:
                    block = new_block(n)
                source.read(at, block)
                if spec.is_float:
                    for i in range(n):
                        wire[at + i] = block[i]
                else:
                    wire[at : at + n] = block  # a copy in C
        return True

    def drop(self) -> None:
        """The present task is overtaken: what it has learned stays, as residual."""
        if self.net is not None:
            self.net.flush()
            self.net.release()
            if self.astray:
                self.reload()
        self.update = None

    def train(self, task: messages.Task) -> "Iterator[None]":
        """Learn in place, then make `update` ready. One sample a step."""
        net = self._network()
        if not task.flags & messages.CARRY:
            self.reload()
        else:
            # A mean is measured anew or it is the federation's: no part of it is residual.
            anew = net.spec.is_centred | (0 if task.flags & messages.KEEP else task.local)
            if anew:
                self.reload(anew)
        if self.free_memory:
            self.free_memory()  # collects: the batch will lie next to what stays
        net.reset_counters()
        samples: Any = self.samples
        if task.jitter:
            from fedboard import jitter

            samples = jitter.Samples(samples, task)
        x = self.x
        n = len(samples)
        streams = task.flags & messages.STREAM and task.n_max
        per_epoch = min(task.n_max, n) if task.n_max and not streams else n
        count = task.n_max if streams else task.epochs * per_epoch
        self.done = 0
        self.total = task.n_local + count
        if task.n_local:
            from fedboard import reptile

            seed = prng.mix(task.seed, task.round, LOCAL)
            for _ in reptile.reconstruct(net, samples, x, task.n_local, seed, task.local):
                self.done += 1
                yield
        for i in range(count):
            if i % per_epoch == 0:
                order = Order(n, prng.mix(task.seed, task.round, i // per_epoch))
            target = samples.read(order.next(), x)
            net.learn(x, target)
            self.done += 1
            yield
        net.flush()
        net.release()
        how = net.spec, self.wire, self.base, net.layers & ~task.local
        if task.flags & messages.MASKED:
            ready = self.party.update(*how, task)
        else:
            ready = update.Update(*how, task.top_permille, task.bits)
        try:
            ready.prepare()
        except DataError:  # floats that diverged: not even a residual is left
            self.reload()
            raise
        self.update = ready

    def evaluate(self, predict: "Callable[[Any], int] | None" = None) -> "Iterator[None]":
        """Count into net.n_seen, n_correct and loss_sum over all samples. One sample a step."""
        self._network().reset_counters()
        self.done = 0
        self.total = len(self.samples)
        for i in range(self.total):
            self.judge(i, predict)
            yield

    def judge(self, i: int, predict: "Callable[[Any], int] | None" = None) -> None:
        """Predict sample i, by the network or what is given in its place, and count it."""
        net = self._network()
        target = self.samples.read(i, self.x)
        guess = (predict or net.predict)(self.x)
        net.loss_sum += net.loss(target)
        net.n_correct += guess == target
        net.n_seen += 1
        self.done += 1

    def mean_loss(self) -> int:
        """Of the samples that were counted, in 1/1000 of the rule's unit."""
        net = self._network()
        return int(1000 * net.loss_sum // (net.loss_scale * max(1, net.n_seen)))

    def settle(self) -> None:
        """The host has the update for good: what was sent is no longer residual."""
        if self.update is not None:
            self.update.settle()
        self.update = None
