"""A task at work: one sample a step, and what the host is told of it meanwhile and in the end.

    TRAIN                       PROGRESS about once a second, and last; then learner.update is there
    EVALUATE, ADAPT, FORGET     PROGRESS about once a second, then METRICS

The learner has prepared the task and has its model. tell(message, is_news) sends, or drops it
where there is no session: a host that comes back asks again.
"""

from fedboard import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fedboard.learner import Learner

PROGRESS_MS = 1000


class Work:
    def __init__(
        self,
        learner: "Learner",
        task: messages.Task,
        tell: "Callable[..., None]",
        now_ms: int,
    ) -> None:
        self.task = task
        self._learner = learner
        self._tell = tell
        self._told_ms = now_ms
        self._samples = self._train() if task.op == messages.TRAIN else self._measure()

    def step(self, now_ms: int) -> bool:
        """Do one sample's work. True while there is more. Raises DataError, MemoryError."""
        try:
            next(self._samples)
        except StopIteration:
            return False
        if now_ms - self._told_ms >= PROGRESS_MS:
            self._told_ms = now_ms
            self._progress()
        return True

    def _train(self) -> "Iterator[None]":
        for _ in self._learner.train(self.task):
            yield
        self._progress()

    def _measure(self) -> "Iterator[None]":
        """All tasks that are answered by Metrics."""
        learner = self._learner
        task = self.task
        said = messages.Metrics(round=task.round, version=task.version or learner.base.version)
        if task.op == messages.EVALUATE and not task.flags & messages.PERSONAL:
            samples = learner.evaluate()
        else:
            from fedboard import personal  # only the boards that are asked to pay for it

            if task.op == messages.FORGET:
                personal.forget(learner)
                self._tell(said)
                return
            if task.op == messages.EVALUATE:
                samples = personal.evaluate(learner, said)
            else:
                samples = personal.adapt(learner, task, said)
        for _ in samples:
            yield
        if task.op == messages.EVALUATE:
            said.n = learner.net.n_seen
            said.n_correct = learner.net.n_correct
            said.loss = learner.mean_loss()
        self._tell(said)

    def _progress(self) -> None:
        learner = self._learner
        self._tell(messages.Progress(
            round=self.task.round, done=learner.done, total=learner.total,
            n_correct=learner.net.n_correct, loss=learner.mean_loss(),
        ), True)  # fmt: skip
