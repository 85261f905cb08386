"""A board's samples and its sensor, asked for by a person: record, list, remove, predict.

What is said of them: see collect_messages, whose names are here, too. Samples never leave the
board: their labels do, on request. A board loads this module when it is first asked, so that boards
which only learn need no memory for it.

A sensor: n_in, how many features a sample has; made, by which settings (see samples; it may lack);
period_ms between two calls of poll(x), which takes a reading and is True once it has filled x,
array('b') of n_in, with a sample; start(label) before the first call, label -1 for predictions.
All of them may raise DataError.
"""

import struct
from array import array

from fedboard import DataError, kernels, messages
from fedboard.collect_messages import ANY as ANY
from fedboard.collect_messages import MAX_SHARES as MAX_SHARES
from fedboard.collect_messages import Labels as Labels
from fedboard.collect_messages import Predict as Predict
from fedboard.collect_messages import Prediction as Prediction
from fedboard.collect_messages import Record as Record
from fedboard.collect_messages import Recorded as Recorded
from fedboard.collect_messages import Remove as Remove
from fedboard.collect_messages import Runs as Runs
from fedboard.collect_messages import Stop as Stop
from fedboard.model import unpack_spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from fedboard.learner import Learner

TELL_MS = 250  # between two RECORDED
_RUNS = 24  # in a message
_LATE_MS = 1000  # a sensor that is slower than its rate is not asked ever faster


class Collector:
    """One thing at a time. open_sensor() makes the sensor.

    tell(message, is_news) sends to the host. What cannot be done is told there, and to log(text).

    samples: as learner.samples, with append(x, label) and remove(label, n_last); `made` may lack.
    """

    def __init__(
        self,
        learner: "Learner",
        open_sensor: "Callable[[], Any] | None",
        tell: "Callable[..., None]",
        log: "Callable[[str], None]",
    ) -> None:
        self.due_ms = 0  # when step() has something to do; only where `active`
        self._learner = learner
        self._samples: Any = learner.samples
        self._open_sensor = open_sensor
        self._tell = tell
        self._log = log
        self._token = 0
        self._sensor: Any = None
        self._x = array("b")
        self._asked: Record | Predict | None = None
        self._runs: Iterator[None] | None = None
        self._n = 0  # samples or predictions so far
        self._until_ms = 0
        self._told_ms = 0
        self._is_personal = False
        self._blend: Any = None  # blend.Blend, where the personal model's answers are blended

    @property
    def active(self) -> bool:
        return self._asked is not None or self._runs is not None

    def take(self, message: "Any", now_ms: int, is_learning: bool = False) -> None:
        """Begin, or do, what the host asks for; not while the board is learning."""
        self.stop()
        self._token = message.token
        try:
            if is_learning:
                raise DataError("this board is learning just now: ask again later")
            if isinstance(message, (Record, Predict)):
                self._begin(message, self._ready(), now_ms)
            elif isinstance(message, Remove):
                self._samples.remove(message.label, message.n_last)
                self._runs = self._list(message.token)
            elif isinstance(message, Labels):
                self._runs = self._list(message.token)
        except (DataError, MemoryError) as error:
            self._fail(error)

    def step(self, now_ms: int) -> bool:
        """Take a reading if it is time. True if there was something to do."""
        try:
            if self._runs is not None:
                next(self._runs)
                return True
            return self._asked is not None and self._turn(self._asked, now_ms)
        except StopIteration:
            self._runs = None
        except (DataError, MemoryError) as error:
            self._fail(error)
        return True

    def stop(self) -> None:
        """End what is under way."""
        self._runs = None
        asked = self._asked
        self._asked = None
        try:
            if isinstance(asked, Record):
                self._samples.flush()
            elif asked is not None and self._is_personal:
                self._learner.reload()  # the parameters are the federation's again
        except DataError as error:  # of flash; what calls this has other things to do
            self._log(str(error))
        if isinstance(asked, Record):
            self._report(asked, True)

    def _fail(self, error: BaseException) -> None:
        text = str(error) or "out of memory: restart the board and try again"
        self.stop()
        self._log(text)
        code = messages.NO_MEMORY if isinstance(error, MemoryError) else messages.BAD_TASK
        self._tell(messages.Error(code=code, round=self._token, text=text[:96]))

    def _turn(self, asked: "Record | Predict", now_ms: int) -> bool:
        if isinstance(asked, Record):
            if self._until_ms and now_ms >= self._until_ms:
                self.stop()
                return True
            if now_ms - self._told_ms >= TELL_MS:
                self._told_ms = now_ms
                self._report(asked, False)
        if now_ms < self.due_ms:
            return False
        self.due_ms += self._sensor.period_ms
        if now_ms - self.due_ms > _LATE_MS:
            self.due_ms = now_ms
        if self._sensor.poll(self._x):
            self._n += 1
            if isinstance(asked, Record):
                self._samples.append(self._x, asked.label, False)
            else:
                self._predict(asked)
            if self._n == asked.n:
                self.stop()
        return True

    def _ready(self) -> "Any":
        """The sensor, opened when it is first asked for."""
        if self._sensor is None:
            if self._open_sensor is None:
                raise DataError("this board has no sensor: name one in its fedboard.json")
            self._sensor = self._open_sensor()
        return self._sensor

    def _begin(self, message: "Record | Predict", sensor: "Any", now_ms: int) -> None:
        n_in = self._samples.n_in
        made = getattr(sensor, "made", 0)
        is_recording = isinstance(message, Record)
        if is_recording and n_in and n_in != sensor.n_in:
            raise DataError(
                f"samples here have {n_in} features, the sensor gives {sensor.n_in}: remove them"
            )
        if n_in and 0 < made != getattr(self._samples, "made", 0) > 0:
            raise DataError(
                "samples here are of other sensor settings: remove all, or set the sensor back"
            )
        if not is_recording:
            self._prepare_model(sensor.n_in)
        elif not n_in:
            self._samples.made = made
        self._x = array("b", bytes(sensor.n_in))
        sensor.start(message.label if isinstance(message, Record) else -1)
        self._asked = message
        self._n = 0
        self.due_ms = now_ms
        self._told_ms = now_ms
        self._until_ms = 0
        if isinstance(message, Record):
            if message.duration_ms:
                self._until_ms = now_ms + message.duration_ms
            self._report(message, False)

    def _report(self, asked: Record, done: bool) -> None:
        n_all = len(self._learner.samples)
        self._tell(Recorded(token=asked.token, n=self._n, n_all=n_all, done=done), not done)

    # Samples

    def _list(self, token: int) -> "Iterator[None]":
        """Send the labels of all samples, a run of equal ones as one; a sample a step."""
        samples = self._learner.samples
        n_in = samples.n_in
        x = array("b", bytes(n_in))
        runs = b""
        first = n = label = 0
        for i in range(len(samples)):
            found = samples.read(i, x)
            if not isinstance(found, int):
                raise DataError("these samples have targets, no labels")
            if n and (found != label or n == 65535):
                runs += struct.pack("<BH", label, n)
                n = 0
                if len(runs) == 3 * _RUNS:
                    self._tell(Runs(token=token, n_in=n_in, first=first, more=1, runs=runs))
                    runs = b""
                    first = i
            label = found
            n += 1
            yield
        if n:
            runs += struct.pack("<BH", label, n)
        self._tell(Runs(token=token, n_in=n_in, first=first, more=0, runs=runs))

    # Predictions

    def _prepare_model(self, n_in: int) -> None:
        """Have the model to predict with in the learner: the personal one if there is one.

        Else the global one as it is here, with what was learned on it.
        """
        learner = self._learner
        if not learner.base.version:
            raise DataError("this board has no model yet: let it take part in a federation first")
        spec = unpack_spec(learner.base.spec_bytes)
        if spec.sizes[0] != n_in:
            raise DataError(f"the model has {spec.sizes[0]} inputs, the sensor {n_in} features")
        if spec.rule == "float-squared":
            raise DataError("this model gives numbers, not labels")
        learner.use(spec)
        self._is_personal = False
        self._blend = None
        own = learner.personal() if learner.personal else None
        if own is not None and own.version:
            learner.drop()
            learner.astray = True
            self._is_personal = learner.load(own)
            from fedboard import blend

            if self._is_personal and blend.is_blended(own.version):
                self._blend = blend.Blend(learner.net, 1)

    def _predict(self, asked: Predict) -> None:
        net = self._learner.net
        if self._blend is None:
            net.predict(self._x)
        else:
            self._blend.predict(self._learner, self._x)
        self._tell(
            Prediction(
                token=asked.token, number=self._n, version=self._learner.base.version,
                personal=self._is_personal, shares=shares(net),
            ), True,
        )  # fmt: skip


def shares(net: "Any") -> bytes:
    """The classes after net.predict(), the likeliest first: (label, share of 255) each.

    A softmax in powers of two: a logit's 64 more (rule fedboard), 4 more (tifed), 16 more (conv)
    or ln 2 more (floats) is twice as likely.
    """
    out = net.out
    top = max(out)
    rule = net.spec.rule
    powers = []
    total = 0
    for k in range(len(out)):
        gap = top - out[k]
        if rule == "fedboard" or rule == "centred":
            i = gap >> 2
        elif rule == "tifed":
            i = gap << 2
        elif net.spec.n_conv:
            i = gap
        else:
            i = int(gap * 23.083120654223414)  # 16 / ln 2
        power = kernels.EXP2[i & 15] >> (i >> 4) if i < 208 else 0
        total += power
        powers.append((-power, k))
    powers.sort()
    found = bytearray()
    for power, k in powers[:MAX_SHARES]:
        found.append(min(k, 255))
        found.append(-power * 255 // total)
    return bytes(found)
