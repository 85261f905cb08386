"""A board's personal model: a few shots of its own samples make the global model its own.

    host   Task(op=ADAPT, round=TOKEN, shots=5, n_max=100, batch=1, seed=1, flags=KEEP)
    board  Metrics(round=TOKEN, version, n, n_correct, loss: after; n_correct_before, loss_before)
           or Error(round=TOKEN, text)

ADAPT starts from the base, an initialization that was learned by all boards, whatever it is: with
version 0 in the task nothing is sent down. `shots` samples of each class (with targets: in all),
chosen by the seed, are learned pass after pass, n_max samples in all; before that, n_local of them
teach the local layers alone. All other samples of the board judge it, before and after.

With KEEP the result stays on the board, beside the base, in a store of its own: learner.personal().
It survives restarts; it never leaves the board; rounds of federation neither use nor change it.
EVALUATE with PERSONAL judges it, FORGET drops it, and ADAPT with KEEP replaces it. `version` of
that store is the base's that it was made from, as blend.mark() has it, 0: there is none. To predict
with it:

    learner.astray = True
    learner.load(learner.personal())        # False: there is none of this shape

With BLEND its answers are the mean of its own and the base's, the base as it is by then: see blend.
What ADAPT keeps with it is blended ever after. With `jitter` what is learned is jittered.

What the board had learned and not sent yet is given up by ADAPT, as by a restart.
"""

from array import array

from fedboard import DataError, blend, messages, reptile
from fedboard.model import BLOCK, DIGEST_BYTES, new_block
from fedboard.order import Order
from fedboard.prng import mix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from fedboard.learner import Learner


class Shots:
    """Some of a board's samples, to learn from as if there were no others."""

    def __init__(self, samples: "Any") -> None:
        self._samples = samples
        self._chosen = array("i")
        self._is_mine = bytearray((len(samples) + 7) // 8)

    def add(self, i: int) -> None:
        self._chosen.append(i)
        self._is_mine[i >> 3] |= 1 << (i & 7)

    def has(self, i: int) -> bool:
        return bool(self._is_mine[i >> 3] >> (i & 7) & 1)

    def __len__(self) -> int:
        return len(self._chosen)

    def read(self, i: int, x: "array[int]") -> "Any":
        return self._samples.read(self._chosen[i], x)


def adapt(learner: "Learner", task: messages.Task, said: messages.Metrics) -> "Iterator[None]":
    """Do an ADAPT task that learner.prepare() has taken; fill in the answer. One sample a step."""
    net = learner.net
    samples = learner.samples
    if not task.shots or not task.n_max:
        raise DataError("to adapt takes shots, and samples to learn: at least 1 of each")
    if task.flags & messages.KEEP:
        _store(learner)  # there must be one
    learner.astray = True
    few = reptile.FewShot(net, learner.base, task.local)
    few.restore()
    learner.done = 0
    learner.total = 3 * len(samples) + task.n_max + task.n_local
    support = Shots(samples)
    learned: Any = support
    if task.jitter:
        from fedboard import jitter

        learned = jitter.Samples(support, task)
    for _ in _choose(learner, task, support):
        yield
    both = _blend(learner, len(samples) - len(support)) if task.flags & messages.BLEND else None
    for _ in _judge(learner, support, both.first if both else None):
        yield
    if not net.n_seen:
        raise DataError(
            f"{task.shots} shots a label leave no sample to judge by: use fewer, or record more"
        )
    said.n_correct_before = net.n_correct
    said.loss_before = learner.mean_loss()
    for _ in few.adapt(learned, learner.x, task.n_max, task.n_local, task.seed):
        learner.done += 1
        yield
    net.release()
    if both:
        both.turn()
    for _ in _judge(learner, support, both.second if both else None):
        yield
    said.version = learner.base.version
    said.n = net.n_seen
    said.n_correct = net.n_correct
    said.loss = learner.mean_loss()
    said.n_support = len(support)
    if task.flags & messages.KEEP:
        keep(learner, both is not None)
    learner.reload()


def evaluate(
    learner: "Learner", task: messages.Task, said: messages.Metrics
) -> "Iterator[None]":
    """Do an EVALUATE task with PERSONAL: blended, if the model was kept so, or the task says it."""
    store = _store(learner)
    learner.astray = True
    if not learner.load(store):
        learner.reload()
        raise DataError("this board has no personal model of this shape: let it ADAPT first")
    both = None
    if blend.is_blended(store.version) or task.flags & messages.BLEND:
        both = _blend(learner, len(learner.samples))
        learner.load(learner.base)
        for _ in learner.evaluate(both.first):
            yield
        both.turn()
        learner.load(store)
    said.version = blend.made_from(store.version)
    for _ in learner.evaluate(both.second if both else None):
        yield
    learner.reload()


def keep(learner: "Learner", is_blended: bool = False) -> None:
    """The present parameters become the personal model, all or nothing."""
    store = _store(learner)
    spec = learner.net.spec
    h = spec.start_digest()
    store.begin(spec.pack())
    block = new_block(BLOCK)
    for at in range(0, spec.n_params, BLOCK):
        n = min(BLOCK, spec.n_params - at)
        if n < BLOCK:
            block = new_block(n)
        for i in range(n):
            block[i] = learner.wire[at + i]
        h.update(block)
        store.write(block)
    version = blend.mark(learner.base.version, is_blended)
    store.commit(version, h.digest()[:DIGEST_BYTES])


def forget(learner: "Learner") -> None:
    """Drop the personal model; nothing happens if there is none."""
    _store(learner).clear()


def _store(learner: "Learner") -> "Any":
    if learner.personal is None:
        raise DataError("this board keeps no personal model: it was started without a place for it")
    return learner.personal()


def _choose(learner: "Learner", task: messages.Task, support: Shots) -> "Iterator[None]":
    samples = learner.samples
    n = len(samples)
    counts = bytearray(256)
    groups = 1 if getattr(samples, "n_targets", 0) else learner.net.spec.sizes[-1]
    order = Order(n, mix(task.seed, 0))
    for _ in range(n):
        i = order.next()
        label = samples.read(i, learner.x)
        group = label if isinstance(label, int) else 0
        if counts[group] < task.shots:
            counts[group] += 1
            support.add(i)
        learner.done += 1
        if len(support) == groups * task.shots:
            break
        yield


def _blend(learner: "Learner", n: int) -> blend.Blend:
    """Room to blend the answers to n samples. Raises DataError."""
    if learner.net.spec.rule == "float-squared":
        raise DataError("blend is for classes, and this model gives numbers: do without it")
    learner.check_free(
        blend.Blend.n_bytes(learner.net, n), f"to blend {n} answers", "do without it (--no-blend)"
    )
    return blend.Blend(learner.net, n)


def _judge(
    learner: "Learner", support: Shots, predict: "Callable[[Any], int] | None"
) -> "Iterator[None]":
    """Predict all samples but those."""
    learner.net.reset_counters()
    for i in range(len(learner.samples)):
        if not support.has(i):
            learner.judge(i, predict)
            yield
