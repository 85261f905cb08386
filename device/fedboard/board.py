"""A whole board but for its I/O: the session's Node joined to the learner.

The caller moves bytes and time: open() when a link is up, receive() what came, step() while it
returns True (one sample's work a call, so that the link is served in between), outgoing() is
what to write. Samples, the base model, randomness and the memory gauge are handed in, so the
same class runs on a microcontroller, in a desktop process and, many times, inside the host.

    idle -> TASK -> (BEGIN CHUNK* END: the model) -> train, a sample a step -> upload
         -> wait for ACCEPTED (the host has it on disk: forget what was sent) or REFUSED -> idle

A lost link loses nothing: training goes on, and a host that comes back with the same task gets
the same update, byte for byte. Samples: len(samples), samples.n_in, samples.read(i, x) -> label.
"""

from array import array

from fedboard import DataError, FedboardError, WireError, kernels, messages, prng, update
from fedboard.dfa import Network
from fedboard.model import BLOCK, Spec, unpack_spec
from fedboard.node import Identity, Node, Opened
from fedboard.order import Order
from fedboard.rebase import Rebase
from fedboard.session import Denied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Protocol

    class Samples(Protocol):
        n_in: int

        def __len__(self) -> int: ...
        def read(self, i: int, x: "array[int]") -> int: ...


PROGRESS_MS = 1000
# What a model needs beside its weights: activations, feedback, transfers, the garbage of a round.
WORK_BYTES = 8192


class Board:
    """`base`: see model.MemoryBase. `log(text)` gets a line whenever something worth it happens."""

    def __init__(
        self,
        identity: Identity,
        key: "bytes | None",
        base: "Any",
        samples: "Samples",
        entropy: "Callable[[int], bytes]",
        firmware: str = "",
        free_memory: "Callable[[], int] | None" = None,
        log: "Callable[[str], None] | None" = None,
    ) -> None:
        self.node = Node(identity, key, entropy, self._status)
        self.base = base
        self.samples = samples
        self.spec: Spec | None = None
        self.params: array[int] = array("h")
        self.net: Network | None = None
        self.task: messages.Task | None = None
        self._firmware = firmware
        self._free_memory = free_memory
        self._log = log
        self._rebase: Rebase | None = None
        self._update: update.Update | None = None  # trained and not yet settled
        self._work: Iterator[None] | None = None
        self._now_ms = 0
        self._x = array("b", bytes(samples.n_in))

    def open(self, now_ms: int) -> None:
        """A fresh link is up."""
        self._abort_model()
        self.node.open(now_ms)

    def receive(self, data: bytes, now_ms: int) -> None:
        """Take what the link brought. Raises WireError if the host broke the protocol."""
        self._now_ms = now_ms
        for event in self.node.receive(data, now_ms):
            if isinstance(event, messages.Task):
                self._on_task(event)
            elif isinstance(event, messages.Begin):
                self._on_begin(event)
            elif isinstance(event, messages.Chunk):
                if self._rebase is not None:
                    self._on_model(self._rebase.feed, event.data)
            elif isinstance(event, messages.End):
                if self._rebase is not None:
                    self._on_model(self._finish_model)
            elif isinstance(event, messages.Accepted):
                self._on_accepted(event)
            elif isinstance(event, messages.Refused):
                self._say(f"round {event.round}: update not used: {event.reason}")
                self._update = None
            elif isinstance(event, messages.Error):
                self._say("host: " + event.text)
            elif isinstance(event, Denied):
                self._say(event.reason)
            elif isinstance(event, Opened):
                self._abort_model()
                self._say("joined")
            elif isinstance(event, messages.Bye):
                self._say("host left: " + event.reason)

    def step(self, now_ms: int) -> bool:
        """Do one sample's work. True while there is more."""
        self._now_ms = now_ms
        if self._work is None:
            return False
        try:
            next(self._work)
        except StopIteration:
            self._work = None
        except (DataError, MemoryError) as error:
            self._work = None
            self._fail(messages.NO_SAMPLES, str(error) or "out of memory")
        return self._work is not None

    def outgoing(self, now_ms: int) -> bytes:
        self._now_ms = now_ms
        return self.node.outgoing(now_ms)

    @property
    def busy(self) -> bool:
        """Work or a transfer is under way: no time to sleep."""
        return self._work is not None or self.node.transferring or not self.node.channel.idle

    def _say(self, text: str) -> None:
        if self._log is not None:
            self._log(text)

    def _fail(self, code: int, text: str) -> None:
        """Tell the host and the console why the task cannot be done, and drop it."""
        round_ = self.task.round if self.task else 0
        self.task = None
        self._say(text)
        if self.node.channel.open:
            self.node.send(messages.Error(code=code, round=round_, text=text[:96]))

    def _status(self) -> messages.Status:
        return messages.Status(
            firmware=self._firmware[:24], kernels=kernels.backend[:12],
            free_ram=self._free_memory() if self._free_memory else 0,
            n_samples=len(self.samples), n_in=self.samples.n_in,
            version=self.base.version, digest=self.base.digest,
        )

    # The model

    def _on_task(self, task: messages.Task) -> None:
        if self.task is not None and task.pack() == self.task.pack() and self._rebase is None:
            if self._update is not None:
                self._upload(task)
            if self._work is not None or self._update is not None:
                return  # the same again, after a lost link: carry on
        self._abort_model()
        if self._work is not None and self.net is not None:
            self.net.flush()  # what an overtaken round has learned stays, as residual
        self._work = None
        self._update = None
        self.task = task
        try:
            self._prepare(task)
        except DataError as error:
            self._fail(messages.BAD_TASK, str(error))
        except MemoryError:
            self._forget()
            self._fail(messages.NO_MEMORY, "out of memory: choose a smaller model")

    def _prepare(self, task: messages.Task) -> None:
        """Make room for the task's network, and start if its model is already here."""
        spec = unpack_spec(task.spec)
        if spec.sizes[0] != self.samples.n_in:
            raise DataError(
                f"the model has {spec.sizes[0]} inputs, this board's samples {self.samples.n_in}"
            )
        if not len(self.samples):
            self._fail(messages.NO_SAMPLES, "this board has no samples yet: record some")
            return
        if self.spec is None or self.spec.pack() != task.spec:
            self._forget()
            need = 2 * spec.n_params + WORK_BYTES
            free = self._free_memory() if self._free_memory else need
            if free < need:
                text = f"the model needs {need} bytes, {free} are free: choose a smaller one"
                self._fail(messages.NO_MEMORY, text)
                return
            self.params = array("h", bytes(2 * spec.n_params))
            self.spec = spec
            self._reload()
        if self.net is None:
            self.net = Network(spec, self.params)
        if task.op == messages.TRAIN:
            update.check(spec, task.layers, task.top_permille, task.bits)
            self.net.configure(task.batch, task.layers, task.rate)
        elif task.op != messages.EVALUATE:
            raise DataError(f"the host asks for op {task.op}, unknown here: deploy again")
        if self._has(task):
            self._start(task)

    def _has(self, task: messages.Task) -> bool:
        same: bool = self.base.version == task.version and self.base.digest == task.digest
        return same and self.base.version > 0

    def _forget(self) -> None:
        self.net = None
        self.spec = None
        self.params = array("h")

    def _reload(self) -> None:
        """params = base, where the base is of this shape."""
        assert self.spec is not None
        if self.base.version and self.base.spec_bytes == self.spec.pack():
            block = array("h", bytes(2 * BLOCK))
            for at in range(0, self.spec.n_params, BLOCK):
                n = min(BLOCK, self.spec.n_params - at)
                if n < BLOCK:
                    block = array("h", bytes(2 * n))
                self.base.read(at, block)
                for i in range(n):
                    self.params[at + i] = block[i]

    def _on_begin(self, begin: messages.Begin) -> None:
        self._abort_model()
        if begin.what != messages.MODEL:
            raise WireError(f"transfer of kind {begin.what} is not for a board")
        task = self.task
        if task is None or self.spec is None or begin.version != task.version:
            return  # of a task that we dropped: its chunks are ignored
        self._on_model(self._new_rebase, begin)

    def _new_rebase(self, begin: messages.Begin) -> None:
        assert self.spec is not None
        assert self.task is not None
        carry = bool(self.task.flags & messages.CARRY)
        self._rebase = Rebase(
            self.spec, self.params, self.base, begin.encoding, begin.meta, begin.n_bytes,
            begin.version, begin.digest, carry,
        )

    def _finish_model(self) -> None:
        assert self._rebase is not None
        assert self.task is not None
        self._rebase.finish()
        self._rebase = None
        if not self._has(self.task):
            raise WireError("it is not the task's")
        self._start(self.task)

    def _on_model(self, action: "Callable[..., None]", *args: "Any") -> None:
        """One step of receiving the model; if it fails, the host is asked for all of it again."""
        try:
            action(*args)
        except FedboardError as error:
            self._abort_model()
            text = str(error)
            self._say(text)
            self.node.send(messages.Error(code=messages.BAD_MODEL, text=text[:96],
                                          round=self.task.round if self.task else 0))

    def _abort_model(self) -> None:
        """A transfer broke off: the base stays as it was, and the parameters go with it."""
        if self._rebase is not None:
            touched = self._rebase.touched
            self._rebase = None
            self.base.abort()
            if touched:
                self._reload()

    # Learning

    def _start(self, task: messages.Task) -> None:
        self._work = self._evaluate() if task.op == messages.EVALUATE else self._train(task)

    def _evaluate(self) -> "Iterator[None]":
        net = self.net
        task = self.task
        assert net is not None
        assert task is not None
        x = self._x
        n = len(self.samples)
        n_correct = 0
        for i in range(n):
            label = self.samples.read(i, x)
            if net.predict(x) == label:
                n_correct += 1
            yield
        self._tell(messages.Metrics(round=task.round, version=task.version, n=n,
                                    n_correct=n_correct))

    def _train(self, task: messages.Task) -> "Iterator[None]":
        """Local learning in place, then the upload. Yields after each sample."""
        net = self.net
        assert net is not None
        if not task.flags & messages.CARRY:
            self._reload()
        net.reset_counters()
        samples = self.samples
        x = self._x
        n = len(samples)
        per_epoch = min(task.n_max, n) if task.n_max else n
        total = task.epochs * per_epoch
        told_ms = self._now_ms
        for epoch in range(task.epochs):
            order = Order(n, prng.mix(task.seed, task.round, epoch))
            for _ in range(per_epoch):
                label = samples.read(order.next(), x)
                net.learn(x, label)
                if self._now_ms - told_ms >= PROGRESS_MS:
                    told_ms = self._now_ms
                    self._progress(task, net, total)
                yield
        net.flush()
        self._progress(task, net, total)
        self._update = update.Update(
            net.spec, self.params, self.base, net.layers, task.top_permille, task.bits
        )
        self._update.prepare()
        self._upload(task)

    def _progress(self, task: messages.Task, net: Network, total: int) -> None:
        seen = max(1, net.n_seen)
        self._tell(messages.Progress(round=task.round, done=net.n_seen, total=total,
                                     n_correct=net.n_correct, loss=net.loss_sum // seen))

    def _tell(self, message: messages.Message) -> None:
        """Send if there is a session; without one there is nobody to miss it."""
        if self.node.channel.open:
            self.node.send(message)

    def _upload(self, task: messages.Task) -> None:
        ready = self._update
        net = self.net
        assert ready is not None
        assert net is not None
        if self.node.channel.open:  # else the host asks again when it is back
            self.node.transfer(
                messages.Begin(what=messages.UPDATE, round=task.round, version=task.version,
                               n_samples=net.n_seen, meta=ready.meta()),
                ready.chunks(),
            )

    def _on_accepted(self, accepted: messages.Accepted) -> None:
        if self._update is not None and self.task and accepted.round == self.task.round:
            self._update.settle()
            self._update = None
