"""What is said of a board's samples and its sensor: record, list, remove, predict. See collect.

    Hub                                     Node
     RECORD label, n, duration       ->
                                     <-     RECORDED n... and the last one with `done`
     LABELS                          ->
                                     <-     RUNS: the samples' labels in their order
     REMOVE label or the last n      ->
                                     <-     RUNS: what is left
     PREDICT n                       ->
                                     <-     PREDICTION for each window, until n, or STOP

Every answer has its question's token; what cannot be done is an Error with the token as its round.
"""

from fedboard import messages
from fedboard.message import REST, U8, U16, U32, Message

ANY = 256  # no label, in REMOVE
MAX_SHARES = 8  # classes in a PREDICTION


class Record(Message):
    """Hub: record n samples (0: any number) of this label, for duration_ms at most (0: no end)."""

    KIND = 0x20
    FIELDS = (("token", U32), ("label", U8), ("n", U32), ("duration_ms", U32))
    token: int
    label: int
    n: int
    duration_ms: int


class Recorded(Message):
    """Node: the sensor is open and n samples of this recording are on flash."""

    KIND = 0x21
    FIELDS = (("token", U32), ("n", U32), ("n_all", U32), ("done", U8))
    token: int
    n: int
    n_all: int  # samples on the board
    done: int


class Stop(Message):
    """Hub: end the recording (answered by RECORDED) or the predictions (not answered)."""

    KIND = 0x22
    FIELDS = (("token", U32),)
    token: int


class Labels(Message):
    """Hub: which samples are there?"""

    KIND = 0x23
    FIELDS = (("token", U32),)
    token: int


class Runs(Message):
    """Node: the labels of the samples from number `first` on; another one follows if `more`."""

    KIND = 0x24
    FIELDS = (("token", U32), ("n_in", U16), ("first", U32), ("more", U8), ("runs", REST))
    token: int
    n_in: int
    first: int
    more: int
    runs: bytes  # (label u8, how many in a row u16) each


class Remove(Message):
    """Hub: delete the samples of a label (ANY: of none), and the last n. Answered by RUNS."""

    KIND = 0x25
    FIELDS = (("token", U32), ("label", U16), ("n_last", U32))
    token: int
    label: int
    n_last: int


class Predict(Message):
    """Hub: predict n windows (0: until STOP)."""

    KIND = 0x26
    FIELDS = (("token", U32), ("n", U32))
    token: int
    n: int


class Prediction(Message):
    """Node: what it sees. The shares are a softmax's: an order of the classes, no true odds."""

    KIND = 0x27
    FIELDS = (("token", U32), ("number", U32), ("version", U32), ("personal", U8), ("shares", REST))
    token: int
    number: int  # 1, 2, ...
    version: int  # of the global model that this one is, or began as
    personal: int  # 1: the board's own, see personal
    shares: bytes  # (label u8, share u8 of 255) each, the largest first, at most MAX_SHARES


messages.add(Record, Recorded, Stop, Labels, Runs, Remove, Predict, Prediction)
