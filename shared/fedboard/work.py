"""A task at work: one sample a step, and what the host is told of it meanwhile and in the end.

    TRAIN                       PROGRESS about once a second, and last; then upload(task)
    EVALUATE, ADAPT, FORGET     PROGRESS about once a second, then METRICS

The learner has prepared the task and has its model. All of it is one generator, so that a step
takes nothing from the heap: at each call MicroPython puts a function's variables there if they are
more than 11 words, and each `try` is 3 to 6 of them.
"""

from fedboard import DataError, messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fedboard.learner import Learner
    from fedboard.message import Message

PROGRESS_MS = 1000


def steps(
    learner: "Learner",
    task: messages.Task,
    tell: "Callable[..., None]",
    clock_ms: "Callable[[], int]",
    upload: "Callable[[messages.Task], None]",
    fail: "Callable[[BaseException], None]",
) -> "Iterator[None]":
    """Do the task. tell(message, is_news) sends it; fail(error) hears why it cannot be done."""
    told_ms = clock_ms()
    try:
        is_training = task.op == messages.TRAIN
        for _ in learner.train(task) if is_training else _measure(learner, task, tell):
            if clock_ms() - told_ms >= PROGRESS_MS:
                told_ms = clock_ms()
                tell(_progress(learner, task), True)
            yield
        if is_training:
            tell(_progress(learner, task), True)
            upload(task)
    except (DataError, MemoryError, OSError) as error:
        fail(error)


def _measure(
    learner: "Learner", task: messages.Task, tell: "Callable[..., None]"
) -> "Iterator[None]":
    """All tasks that are answered by Metrics."""
    said = messages.Metrics(round=task.round, version=task.version or learner.base.version)
    if task.op == messages.EVALUATE and not task.flags & messages.PERSONAL:
        learner.reload()  # what was learned since is no part of the global model
        samples = learner.evaluate()
    else:
        from fedboard import personal  # only the boards that are asked to pay for it

        if task.op == messages.FORGET:
            personal.forget(learner)
            tell(said)
            return
        if task.op == messages.EVALUATE:
            samples = personal.evaluate(learner, task, said)
        else:
            samples = personal.adapt(learner, task, said)
    for _ in samples:
        yield
    if task.op == messages.EVALUATE:
        said.n = learner.net.n_seen
        said.n_correct = learner.net.n_correct
        said.loss = learner.mean_loss()
    tell(said)


def _progress(learner: "Learner", task: messages.Task) -> "Message":
    return messages.Progress(
        round=task.round, done=learner.done, total=learner.total,
        n_correct=learner.net.n_correct, loss=learner.mean_loss(),
    )  # fmt: skip
