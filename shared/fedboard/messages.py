"""What node and hub say to each other: one class a message, its fields in wire order.

Whatever is not a CHUNK stays below 105 bytes, so that it fits a frame even if every byte of it
needs escaping. unpack() finds the class of a frame's kind; what is said of samples and sensors is
in collect_messages, of masks in cohort: boards load those when they are asked.
"""

import struct

from fedboard import WireError
from fedboard.message import BYTES, REST, TEXT, U8, U16, U32, Message


class Knock(Message):
    """Hub: is a board there? Answered by Hello. Sent again until it is."""

    KIND = 0x01
    FIELDS = (("protocol", U8),)
    protocol: int


class Hello(Message):
    """Node: who I am; all of it is in the keys of the session. Sent again until Welcome."""

    KIND = 0x02
    FIELDS = (("protocol", U8), ("keyed", U8), ("window", U8),
              ("nonce", BYTES), ("uid", BYTES), ("name", TEXT))
    protocol: int
    keyed: int  # 1: I have a key and speak to nobody without it
    window: int  # frames, each as long as Status says, that may be under way to me
    nonce: bytes
    uid: bytes  # the hardware's own id: tells a reconnect from a second board of this name
    name: str


class Welcome(Message):
    """Hub: the session's other nonce. Its tag proves that the hub has the key."""

    KIND = 0x03
    FIELDS = (("protocol", U8), ("window", U8), ("nonce", BYTES), ("name", TEXT))
    protocol: int
    window: int
    nonce: bytes
    name: str


class Deny(Message):
    """Hub: why there is no session. Unauthenticated: shown to people, never acted upon."""

    KIND = 0x05
    FIELDS = (("reason", TEXT),)
    reason: str


class Status(Message):
    """Node: the first authenticated word; proves the node's key. Again when samples come or go."""

    KIND = 0x10
    FIELDS = (("firmware", TEXT), ("kernels", TEXT), ("free_ram", U32), ("n_samples", U32),
              ("n_in", U16), ("version", U32), ("digest", BYTES), ("free_flash", U32),
              ("n_saves", U32), ("frame", U16))
    firmware: str
    kernels: str
    free_ram: int  # bytes; 0 where the board cannot tell
    n_samples: int
    n_in: int  # inputs a sample has
    version: int  # of the last global model here; 0: none
    digest: bytes  # model.digest of it
    free_flash: int  # bytes, where samples and the base are; 0 where the board cannot tell
    n_saves: int  # models written to flash since the board's start
    frame: int  # bytes of the longest frame that I take; 0, or less than MAX_FRAME: MAX_FRAME


TRAIN = 1
EVALUATE = 2
ADAPT = 3  # few shots: see personal
FORGET = 4  # the personal model goes; the base stays
# Flags
CARRY = 0x01  # TRAIN: keep what was learned but not sent as residual (else start from the model)
STREAM = 0x02  # TRAIN: n_max samples in all, pass after pass
MASKED = 0x10  # TRAIN: top_permille of the changes, the same on all boards, masked: see mask
KEEP = 0x04  # ADAPT: keep what comes of it as the board's personal model; TRAIN: keep local layers
PERSONAL = 0x08  # EVALUATE: the personal model, not what federation has made
BLEND = 0x20  # ADAPT, EVALUATE with PERSONAL: its answers are blended with the base's: see blend


class Task(Message):
    """Hub: train on, evaluate or adapt model `version`; it follows as a transfer if you lack it.

    version 0, with no digest and no spec: the model that the board has, whichever it is.
    """

    KIND = 0x11
    FIELDS = (("run", U32), ("round", U32), ("version", U32), ("digest", BYTES), ("op", U8),
              ("flags", U8), ("layers", U16), ("epochs", U8), ("batch", U8), ("rate", U16),
              ("top_permille", U16), ("bits", U8), ("n_max", U32), ("seed", U32), ("spec", BYTES),
              ("local", U16), ("n_local", U16), ("shots", U8), ("jitter", U8))
    run: int
    round: int
    version: int
    digest: bytes
    op: int  # TRAIN, EVALUATE, ADAPT or FORGET
    flags: int
    layers: int  # bit l set: layer l is trained
    epochs: int  # passes over the samples
    batch: int  # samples a weight update
    rate: int  # 1/eta (tifed), the update's right shift (fedboard), eta in 1/65536 (float...)
    top_permille: int  # of each layer's changes, the largest to send; 1000: all
    bits: int  # a value in the update: 4..8, or 16 for exact
    n_max: int  # samples a pass at most, 0: all; with STREAM, and to ADAPT, samples in all
    seed: int  # of the order of the samples
    spec: bytes  # model.Spec.pack()
    local: int  # bit l set: layer l is never sent; a task begins with it as in the model, or KEEP
    n_local: int  # so many samples teach the local layers alone, before the others
    shots: int  # ADAPT: samples of each class to learn from; without classes, in all
    jitter: int  # learn each input with a random number of at most so much added; 0: none; to 127


MODEL = 1
UPDATE = 2


class Begin(Message):
    """Either: a transfer starts. MODEL goes to the node, UPDATE to the hub."""

    KIND = 0x12
    FIELDS = (("what", U8), ("round", U32), ("version", U32), ("base", U32), ("encoding", U8),
              ("n_bytes", U32), ("n_samples", U32), ("digest", BYTES), ("meta", REST))
    what: int
    round: int
    version: int  # MODEL: of the new model; UPDATE: of the model that was trained on
    base: int  # MODEL, sparse: the version that the deltas are against
    encoding: int  # rebase.DENSE or rebase.SPARSE
    n_bytes: int  # 0: not known yet, see End
    n_samples: int  # UPDATE: samples trained on, the update's weight
    digest: bytes  # MODEL: of the new model
    meta: bytes  # see update


class Chunk(Message):
    """Either: the next bytes of the transfer."""

    KIND = 0x13
    FIELDS = (("offset", U32), ("data", REST))
    HEAD_BYTES = 4

    def __init__(self, offset: int = 0, data: "bytes | memoryview" = b"") -> None:
        # Not by FIELDS: nearly all that a board reads are chunks.
        self.offset = offset
        self.data = data  # at a Node, a view: good until more is received

    @classmethod
    def unpack(cls, payload: "bytes | memoryview") -> "Chunk":
        """Its data is a view if the payload is."""
        if len(payload) < Chunk.HEAD_BYTES:
            raise WireError("Chunk is cut short in offset")
        return cls(struct.unpack_from("<I", payload, 0)[0], payload[Chunk.HEAD_BYTES :])


class End(Message):
    """Either: the transfer is complete."""

    KIND = 0x14
    FIELDS = (("n_bytes", U32), ("crc", U32))
    n_bytes: int
    crc: int  # CRC-32 over all chunks' data


class Progress(Message):
    """Node: about once a second while it trains."""

    KIND = 0x15
    FIELDS = (("round", U32), ("done", U32), ("total", U32), ("n_correct", U32), ("loss", U32))
    round: int
    done: int  # samples
    total: int
    n_correct: int  # of the done ones, each predicted before it was learned
    loss: int  # mean, in 1/1000 of the rule's unit


class Accepted(Message):
    """Hub: the update of this round is in; what was sent is no longer residual."""

    KIND = 0x16
    FIELDS = (("round", U32),)
    round: int


class Refused(Message):
    """Hub: the update of this round was not used, and why. What was learned stays on the board."""

    KIND = 0x17
    FIELDS = (("round", U32), ("reason", TEXT))
    round: int
    reason: str


class Metrics(Message):
    """Node: the answer to EVALUATE and ADAPT: predictions of the board's own samples.

    To ADAPT: of those that it did not learn from, before and after; version 0: of no model.
    """

    KIND = 0x18
    FIELDS = (("round", U32), ("version", U32), ("n", U32), ("n_correct", U32), ("loss", U32),
              ("n_correct_before", U32), ("loss_before", U32), ("n_support", U16))
    round: int
    version: int
    n: int
    n_correct: int
    loss: int  # mean, in 1/1000 of the rule's unit
    n_correct_before: int
    loss_before: int
    n_support: int  # samples that were learned from


class Ping(Message):
    KIND = 0x19
    FIELDS = (("token", U32),)
    token: int


class Pong(Message):
    KIND = 0x1A
    FIELDS = (("token", U32),)
    token: int


class Error(Message):
    """Either: what was asked for cannot be done, and what would help."""

    KIND = 0x1B
    FIELDS = (("code", U8), ("round", U32), ("text", TEXT))
    code: int
    round: int
    text: str


BAD_TASK = 1  # the task does not fit this board or this program
NO_MEMORY = 2
NO_SAMPLES = 3
BAD_MODEL = 4  # the transfer failed its check: send it dense
BAD_MESSAGE = 5


class Bye(Message):
    """Either: an orderly end of the session."""

    KIND = 0x1C
    FIELDS = (("reason", TEXT),)
    reason: str


class Sleep(Message):
    """Hub: there is nothing to do for so long. A board that may sleeps, after a BYE."""

    KIND = 0x1F
    FIELDS = (("seconds", U32),)
    seconds: int


FIRST_COLLECT = 0x20  # these and the next 15 kinds are in module collect
FIRST_MASKED = 0x30  # and these in module cohort
_BY_KIND: "dict[int, type[Message]]" = {}


def add(*kinds: "type[Message]") -> None:
    """Let unpack() know these messages."""
    for each in kinds:
        _BY_KIND[each.KIND] = each


add(Knock, Hello, Welcome, Deny, Status, Task, Begin, Chunk, End, Progress, Accepted, Refused,
    Metrics, Ping, Pong, Error, Bye, Sleep)  # fmt: skip


def unpack(kind: int, payload: bytes) -> Message:
    """The message in a frame. Raises WireError for an unknown kind or a malformed payload."""
    if kind not in _BY_KIND and kind & 0xF0 == FIRST_COLLECT:
        from fedboard import collect  # boards load it when they are asked, and it adds itself

        assert collect
    if kind not in _BY_KIND and kind & 0xF0 == FIRST_MASKED:
        from fedboard import cohort

        assert cohort
    if kind not in _BY_KIND:
        raise WireError(f"message kind 0x{kind:02x} is unknown: update the older side")
    return _BY_KIND[kind].unpack(payload)
