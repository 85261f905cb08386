"""A whole board but for its I/O: the session's Node joined to the Learner.

The caller moves bytes and time: open() when a link is up, receive() what came, step() while it
returns True (one sample's work a call, so that the link is served in between), outgoing() is
what to write. Samples, the base model, randomness and the memory gauge are handed in, so the
same class runs on a microcontroller, in a desktop process and, many times, inside the host.

    idle -> TASK -> (BEGIN CHUNK* END: the model) -> train, a sample a step -> upload
         -> wait for ACCEPTED (the host has it on disk: forget what was sent) or REFUSED -> idle

A lost link loses nothing: training goes on, and a host that comes back with the same task gets
the same update, byte for byte.
"""

from fedboard import DataError, FedboardError, WireError, kernels, messages
from fedboard.learner import Learner
from fedboard.message import Message
from fedboard.node import Identity, Node, Opened
from fedboard.session import Denied
from fedboard.work import PROGRESS_MS, steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from fedboard.collect import Collector
    from fedboard.learner import Samples
    from fedboard.rebase import Rebase


class Board:
    """`base`: see base.MemoryBase; personal() gives a second such store, for a personal model.

    `log(text)` gets a line whenever something worth it happens.
    """

    def __init__(
        self, identity: Identity, key: "bytes | None", base: "Any", samples: "Samples",
        entropy: "Callable[[int], bytes]", firmware: str = "",
        free_memory: "Callable[[], int] | None" = None, log: "Callable[[str], None] | None" = None,
        free_flash: "Callable[[], int] | None" = None, personal: "Callable[[], Any] | None" = None,
        open_sensor: "Callable[[], Any] | None" = None, mask_key: "bytes | None" = None,
    ) -> None:  # fmt: skip
        self.node = Node(identity, key, entropy, self._status)
        self.learner = Learner(base, samples, free_memory, personal)
        self.task: messages.Task | None = None
        self.rest_s = 0  # the host has nothing to do for so long; whoever sleeps sets it to 0
        self._free_flash = free_flash
        self._open_sensor = open_sensor
        self._collector: Collector | None = None
        self._n_told = 0  # samples that the host knows of
        self._firmware = firmware
        self._say = log or (lambda text: None)
        self._rebase: Rebase | None = None
        self._work: Iterator[None] | None = None
        self._now_ms = 0
        self._told_ms = 0
        if mask_key:
            from fedboard import party  # only the boards of masked rounds pay for it

            self.learner.party = party.Party(mask_key, identity.name)

    def open(self, now_ms: int) -> None:
        """A fresh link is up."""
        self._stop_collecting()
        self._abort_model()
        self.node.open(now_ms)

    def receive(self, data: bytes, now_ms: int) -> None:
        """Take what the link brought. Raises WireError if the host broke the protocol."""
        self._now_ms = now_ms
        for event in self.node.receive(data, now_ms):
            if isinstance(event, messages.Chunk):
                if self._rebase is not None:
                    self._on_model(self._on_chunk, self._rebase, event)
            elif isinstance(event, messages.Task):
                self.rest_s = 0
                self._on_task(event)
            elif isinstance(event, messages.Begin):
                self._on_begin(event)
            elif isinstance(event, messages.End):
                if self._rebase is not None:
                    self._on_model(self._finish_model, self._rebase, self.task)
            elif isinstance(event, messages.Accepted):
                if self.task is not None and event.round == self.task.round:
                    self.learner.settle()
            elif isinstance(event, messages.Refused):
                self._say(f"round {event.round}: update not used: {event.reason}")
                self.learner.drop()
            elif isinstance(event, messages.Error):
                self._say("host: " + event.text)
            elif isinstance(event, Denied):
                self._say(event.reason)
            elif isinstance(event, Opened):
                self._stop_collecting()
                self._abort_model()
                self._say("joined")
            elif isinstance(event, messages.Bye):
                self._stop_collecting()
                self._say("host left: " + event.reason)
            elif isinstance(event, messages.Sleep):
                self.rest_s = event.seconds
            elif isinstance(event, tuple):
                self._on_rare(event[0], event[1])

    def step(self, now_ms: int) -> bool:
        """Do one sample's work, or read the sensor if it is time. True while there is more."""
        self._now_ms = now_ms
        if self._work is None:
            return self._collector is not None and self._collector.step(now_ms)
        try:
            next(self._work)
        except StopIteration:
            self._work = None
        return self._work is not None

    def outgoing(self, now_ms: int) -> bytes:
        self._now_ms = now_ms
        news = len(self.learner.samples) != self._n_told and now_ms - self._told_ms >= PROGRESS_MS
        node = self.node
        if news and node.channel.open and not (node.transferring or node.channel.unheard):
            self._told_ms = now_ms
            node.send(self._status())
        return self.node.outgoing(now_ms)

    @property
    def busy(self) -> bool:
        """Work or a transfer is under way: no time to sleep."""
        return self._work is not None or self.moving or not self.node.channel.idle

    def wait_ms(self, now_ms: int, most_ms: int) -> int:
        """How long nothing needs to be done here, if nothing comes in."""
        if self._collector is not None and self.collecting:
            return max(0, min(most_ms, self._collector.due_ms - now_ms))
        return most_ms

    @property
    def collecting(self) -> bool:
        """The sensor is being read."""
        return self._collector is not None and self._collector.active

    @property
    def receiving(self) -> bool:
        """A model is coming in."""
        return self._rebase is not None

    @property
    def moving(self) -> bool:
        """Bytes or readings are: they leave garbage."""
        return self.receiving or self.node.transferring or self.collecting

    def _tell(self, message: Message, is_news: bool = False) -> None:
        """Send if there is a session, news only to a host that hears: nobody else misses it."""
        if self.node.channel.open and not (is_news and self.node.channel.unheard):
            self.node.send(message)

    def _fail(self, error: BaseException) -> None:
        """The task cannot be done: drop it."""
        self._complain(error)
        self.task = None
        self._work = None

    def _complain(
        self, error: BaseException, code: int = messages.BAD_TASK, asked: "int | None" = None
    ) -> None:
        """Tell the host and the console why the present task, or what was asked, cannot be."""
        text = str(error)
        if isinstance(error, MemoryError):
            code = messages.NO_MEMORY
            text = "out of memory: restart the board, or choose a smaller model"
        self._say(text)
        if asked is None:
            asked = self.task.round if self.task else 0
        self._tell(messages.Error(code=getattr(error, "CODE", code), round=asked, text=text[:96]))

    def _status(self) -> messages.Status:
        learner = self.learner
        self._n_told = len(learner.samples)
        return messages.Status(
            firmware=self._firmware[:24], kernels=kernels.backend[:12], n_samples=self._n_told,
            n_in=learner.samples.n_in, version=learner.base.version, digest=learner.base.digest,
            free_ram=learner.free_memory() if learner.free_memory else 0,
            free_flash=self._free_flash() if self._free_flash else 0,
            n_saves=learner.base.n_saves, frame=self.node.identity.frame,
        )  # fmt: skip

    def _on_rare(self, kind: int, payload: bytes) -> None:
        """What only some boards are asked for: these load its code now, if there is room for it."""
        try:
            if kind & 0xF0 != messages.FIRST_MASKED:
                self._collect(messages.unpack(kind, payload))
            elif self.learner.party is not None:  # else the task will be refused
                message = messages.unpack(kind, payload)
                if self.learner.party.hear(message, self._tell):
                    self._turn_to(None)  # a new cohort: what is here is masked for others
        except (DataError, MemoryError) as error:
            asked = int.from_bytes(payload[:4], "little")  # the token or round of all of them
            self._complain(error, asked=asked)

    def _collect(self, message: Message) -> None:
        """Do with samples and the sensor what a person asks for: see collect."""
        if self._collector is None:
            from fedboard import collect  # only the boards that are asked pay for it

            sensor = self._open_sensor
            self._collector = collect.Collector(self.learner, sensor, self._tell, self._say)
        self._collector.take(message, self._now_ms, self._work is not None or self.receiving)

    def _stop_collecting(self) -> None:
        if self._collector is not None:
            self._collector.stop()

    def _on_task(self, task: messages.Task) -> None:
        self._stop_collecting()
        learner = self.learner
        if self.task is not None and task.pack() == self.task.pack() and self._rebase is None:
            if learner.update is not None:
                self._upload(task)
            if self._work is not None or learner.update is not None:
                return  # the same again, after a lost link: carry on
        self._turn_to(task)
        try:
            learner.prepare(task)
            if learner.has(task):
                self._start(task)
        except (DataError, MemoryError) as error:
            self._fail(error)

    def _turn_to(self, task: "messages.Task | None") -> None:
        """This task is the present one now, in the place of another."""
        self._abort_model()
        self._work = None
        self.learner.drop()
        self.task = task

    def _on_begin(self, begin: messages.Begin) -> None:
        self._abort_model()
        if begin.what != messages.MODEL:
            raise WireError(f"transfer of kind {begin.what} is not for a board")
        if self._work is not None or self.learner.update is not None:
            return  # the model is here, and what was learned from it: nothing may change either
        if self.task is not None and begin.version == self.task.version:
            self._on_model(self._begin_model, begin, self.task)
        # else it is of a task that we dropped: its chunks are ignored

    def _begin_model(self, begin: messages.Begin, task: messages.Task) -> None:
        self._rebase = self.learner.rebase(begin, bool(task.flags & messages.CARRY))

    def _on_chunk(self, rebase: "Rebase", chunk: messages.Chunk) -> None:
        rebase.take(chunk.offset, chunk.data)
        if not rebase.left:
            self.node.channel.hurry()  # END waits for this

    def _finish_model(self, rebase: "Rebase", task: messages.Task) -> None:
        rebase.finish()
        self._rebase = None
        if not self.learner.has(task):
            raise WireError("model not received: it is not the task's")
        self._start(task)

    def _on_model(self, action: "Callable[..., None]", *args: "Any") -> None:
        """One step of receiving the model; if it fails, the host is asked for all of it again."""
        try:
            action(*args)
        except FedboardError as error:
            self._abort_model()
            self._complain(error, messages.BAD_MODEL)
        except MemoryError as error:
            self._abort_model()
            self._fail(error)

    def _abort_model(self) -> None:
        """A transfer broke off: the base stays as it was, and the parameters go with it."""
        if self._rebase is not None:
            touched = self._rebase.touched
            self._rebase = None
            self.learner.base.abort()
            if touched:
                self.learner.reload()

    def _start(self, task: messages.Task) -> None:
        self._told_ms = self._now_ms
        self._work = steps(
            self.learner, task, self._tell, lambda: self._now_ms, self._upload, self._fail
        )

    def _upload(self, task: messages.Task) -> None:
        """Send the update; without a session the host asks again when it is back."""
        update = self.learner.update
        if self.node.channel.open:
            begin = messages.Begin(
                what=messages.UPDATE, round=task.round, version=task.version,
                encoding=getattr(update, "ENCODING", 0), n_samples=self.learner.done,
                meta=update.meta(),
            )  # fmt: skip
            self.node.transfer(begin, update.chunks())
