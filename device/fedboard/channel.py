"""Reliable, ordered, authenticated delivery of small payloads over a lossy byte stream.

Go-back-N with cumulative acknowledgements: every frame carries `ack`, the next sequence number
that its sender expects. `window` frames may be under way; one (stop and wait) suits a UART's
260-byte buffer. Every transmission, repeats included, has a new and higher counter: a frame
whose counter is not above the last one seen is a replay or a copy and is dropped unseen.
Frames below FIRST_RELIABLE (the handshake's, and ACK) are not numbered; an ACK's number is 1 if
something is missing: only that is repeated early. (A second ACK for the same frame does not mean
it: a receiver answers repeats, too, and those would be answered by repeats without end.) No clock:
`now_ms` is any millisecond count that only grows.
"""

from fedboard import WireError, auth, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACK = 0x04
FIRST_RELIABLE = 0x10
TIMEOUT_MS = 300  # first repeat; doubles up to MAX_TIMEOUT_MS
# But never sooner than this for each byte of the longest payload under way: boards need up to
# 0.6 ms for one, and acknowledge every second frame.
BYTE_US = 1500
MAX_TIMEOUT_MS = 4800
MOST_UNHEARD = 16  # payloads; what is no more than news is not queued behind so many
MOST_RAW = 4  # handshake frames that wait to be written: who floods us with HELLO may never read
ACK_DELAY_MS = 20  # for which a bare ACK waits for company: a frame of ours, or more to acknowledge


class Channel:
    """One side of one link. start() begins a session; before it only raw frames pass.

    limit: bytes of the longest frame that is taken.
    """

    def __init__(self, is_hub: bool, limit: int = wire.MAX_FRAME) -> None:
        self._direction = wire.FROM_HUB if is_hub else 0
        self.decoder = wire.Decoder(limit)
        self.frame = wire.MAX_FRAME  # bytes of the longest that the peer takes in this session
        self.window = 1
        self.burst = 255  # frames that one outgoing() gives at most: a board has no room for many
        self.n_bad = 0  # damaged frames, those of other sessions, text
        self.n_refused = 0  # wrong or missing tag, replayed counter
        self.n_repeated = 0  # transmissions again, after a timeout
        self.n_lost = 0  # those, and the early ones
        self.bytes_in = 0
        self.bytes_out = 0
        self.stop()

    def stop(self) -> None:
        """Forget the session: nothing but raw frames until the next start()."""
        self.open = False
        self.bond = 0  # CRC of the handshake so far: see wire
        self._sign: Callable[[bytes], bytes] | None = None
        self._check: auth.Signer | None = None
        self.queue: list[tuple[int, bytes]] = []  # unacknowledged (kind, payload), oldest first
        self._raw: list[bytes] = []  # handshake frames to write, packed

    def start(
        self,
        tx: "auth.Signer | None",
        rx: "auth.Signer | None",
        window: int,
        rx_window: int = 1,
        bond: int = 0,
    ) -> None:
        """Begin a session with these keys (None: unkeyed). Sequence and counters start over.

        window: how many frames may be under way to the peer; rx_window: from it.
        """
        self.open = True
        self.bond = bond
        self.frame = wire.MAX_FRAME
        self.window = max(1, window)
        self._sign = tx.tag if tx else None
        self._check = rx
        self.queue = []
        self._base = 0  # sequence number of queue[0]
        self._n_sent = 0  # how many of queue are under way
        self._tx_counter = 0
        self._rx_counter = 0
        self._rx_next = 0
        self._rx_window = rx_window
        self._ack_due = False
        self._missing = False  # a frame was damaged, or lost: the ACK says so
        self._n_owed = 0  # frames taken and not acknowledged
        self._owed_ms = 0  # since when; -1: since the next outgoing()
        self._nudged = False
        self._hurried = False  # one early repeat per loss, not one per duplicate ack
        self._timeout_ms = TIMEOUT_MS
        self._n_vain = 0  # repeats since the peer acknowledged something
        self._sent_ms = 0

    @property
    def room(self) -> int:
        """How many more payloads the window takes now. Negative when urgent ones queue up."""
        return self.window - len(self.queue)

    @property
    def idle(self) -> bool:
        """Nothing waits to be sent, or to be acknowledged by either side."""
        return not self.queue and not self._raw and not (self.open and self._n_owed)

    @property
    def unheard(self) -> bool:
        """More waits for an acknowledgement than it would if the peer were there."""
        return len(self.queue) >= MOST_UNHEARD

    @property
    def stuck(self) -> bool:
        """The oldest was repeated twice, and no word came of it."""
        return self._n_vain > 1

    def hurry(self) -> None:
        """Acknowledge by the next outgoing(): the peer waits for that."""
        self._ack_due = True

    def send(self, kind: int, payload: bytes) -> None:
        """Queue one payload. It is kept until the peer acknowledges it."""
        self.queue.append((kind, payload))

    def send_raw(
        self, kind: int, payload: bytes, tx: "auth.Signer | None" = None, bond: int = 0
    ) -> None:
        """Queue an unnumbered handshake frame: sent once, by the next outgoing(), or never."""
        if len(self._raw) >= MOST_RAW:
            return
        sign = tx.tag if tx else None
        flags = self._direction
        self._raw.append(wire.pack(kind, 0, 0, flags, 0, payload, sign, wire.MAX_FRAME, bond))

    def frames(self, data: bytes) -> "Iterator[wire.Frame]":
        """The frames that `data` completes: raw ones as they come, numbered ones in order, once.

        One may begin or end a session: only then is the next one looked at.
        """
        self.bytes_in += len(data)
        for body in self.decoder.feed(data):
            try:
                frame = wire.unpack(body, self.decoder.limit, self.bond)
            except WireError:
                self.n_bad += 1
                if self.open and not self._nudged:
                    self._ack_due = self._missing = True  # tells the sender early,
                    self._nudged = True  # once, lest two ends answer each other's noise for ever
                continue
            if frame.flags & wire.FROM_HUB == self._direction:
                self.n_refused += 1  # our own word, echoed
            elif frame.kind < FIRST_RELIABLE and frame.kind != ACK:
                yield frame  # the handshake's: the session judges it
            elif self.open and self._accept(frame):
                yield frame

    def _accept(self, frame: wire.Frame) -> bool:
        """Authenticate and take acknowledgements; True if the frame is the next new one."""
        if self._check is None:
            genuine = not frame.flags & wire.KEYED
        else:
            genuine = auth.equal(frame.tag, self._check.tag(frame.signed))
        if not genuine or frame.counter <= self._rx_counter:
            self.n_refused += 1
            return False
        self._rx_counter = frame.counter
        self._nudged = False
        n = (frame.ack - self._base) & 0xFF
        if 0 < n <= self._n_sent:
            del self.queue[:n]
            self._base = frame.ack
            self._n_sent -= n
            self._timeout_ms = TIMEOUT_MS
            self._n_vain = 0
            self._sent_ms = -1  # the rest gets a fresh timer
            self._hurried = False
        elif n == 0 and frame.kind == ACK and frame.seq and self._n_sent > 1 and not self._hurried:
            self._n_sent = 0
            self.n_lost += 1
            self._n_vain += 1
            self._hurried = True
        if frame.kind == ACK:
            return False
        if self._n_owed == 0:
            self._owed_ms = -1
        if frame.seq != self._rx_next:
            if (frame.seq - self._rx_next) & 0x80:
                self._n_owed = max(1, self._n_owed)  # what we have: its answer may wait,
                if self._rx_window == 1:
                    self._ack_due = True  # but not where nothing else can come before it
            else:
                self._ack_due = self._missing = True  # ahead of a lost one
            return False
        self._n_owed += 1
        if 2 * self._n_owed >= self._rx_window:
            self._ack_due = True  # the peer's window must not run dry
        self._rx_next = (self._rx_next + 1) & 0xFF
        return True

    def outgoing(self, now_ms: int) -> bytes:
        """What to write now: raw frames, repeats that are due, new frames, else a bare ACK."""
        out = b""
        if self._raw:
            out = out.join(self._raw)
            self._raw = []
        if self.open:
            if self._sent_ms < 0:
                self._sent_ms = now_ms
            if self._is_late(now_ms):
                self._n_sent = 0
                self._timeout_ms = min(2 * self._timeout_ms, MAX_TIMEOUT_MS)
                self._n_vain += 1
                self.n_repeated += 1
                self.n_lost += 1
            left = self.burst
            while left and self._n_sent < min(self.window, len(self.queue)):
                left -= 1
                if self._n_sent == 0:
                    self._sent_ms = now_ms
                out += self._pack_queued(self._n_sent)
                self._n_sent += 1
            if self._n_owed and self._owed_ms < 0:
                self._owed_ms = now_ms
            if self._ack_due or (self._n_owed and now_ms - self._owed_ms >= ACK_DELAY_MS):
                out += self._pack(ACK, 1 if self._missing else 0, b"")
        self.bytes_out += len(out)
        return out

    def _is_late(self, now_ms: int) -> bool:
        """Is it time to repeat what is under way?"""
        waited_ms = now_ms - self._sent_ms
        if not self._n_sent or waited_ms < self._timeout_ms:
            return False
        longest = max([len(payload) for _, payload in self.queue[: self._n_sent]])
        return 1000 * waited_ms >= BYTE_US * longest

    def _pack_queued(self, i: int) -> bytes:
        kind, payload = self.queue[i]
        return self._pack(kind, (self._base + i) & 0xFF, payload)

    def _pack(self, kind: int, seq: int, payload: bytes) -> bytes:
        self._tx_counter += 1
        self._ack_due = self._missing = False
        self._n_owed = 0
        return wire.pack(
            kind, seq, self._rx_next, self._direction, self._tx_counter, payload, self._sign,
            self.frame, self.bond,
        )  # fmt: skip
