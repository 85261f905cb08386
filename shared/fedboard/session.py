"""The two ends of a conversation: Node (a board) and Hub (the host's side of one link).

    Hub                                   Node
     KNOCK (again until heard)      ->                          a serial board speaks when asked,
                                    <-    HELLO nonce           a WiFi board when it has dialled
     WELCOME nonce, tag             ->                          proves that the hub has the key
                                    <-    STATUS, tag           proves that the node has it
     TASK, BEGIN CHUNK* END         ->                          a model, if the node lacks it
                                    <-    PROGRESS*, BEGIN CHUNK* END
     ACCEPTED or REFUSED            ->

Sans I/O: receive(data, now_ms) returns events, send() and transfer() queue, outgoing(now_ms) is
what to write. Events are messages, and the classes below. A WireError out of receive() means
that an authenticated peer broke the protocol: close the link. Noise never gets that far.
"""

from binascii import crc32

from fedboard import PROTOCOL, DataError, StateError, WireError, auth, messages, wire
from fedboard.channel import Channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

KNOCK_MS = 500  # between KNOCKs, and between HELLOs
PING_MS = 5000  # a silent peer is asked
MAX_NODE_WINDOW = 4  # frames that a board keeps for repeats: 0.8 kB


class Identity:
    """Who a board is, for HELLO."""

    def __init__(self, name: str, uid: bytes, window: int = 1) -> None:
        if not _is_name(name):
            raise DataError(f"board name '{name}': use 1 to 24 letters, digits, - _ and .")
        self.name = name
        self.uid = uid[:16]
        self.window = window  # frames of wire.MAX_FRAME bytes that the receive buffer holds


class Joined:
    """Hub: a board is here and, if there is a key, has it."""

    def __init__(self, hello: messages.Hello, status: messages.Status) -> None:
        self.hello = hello
        self.status = status


class Left:
    """Hub: the board starts over (it was reset, or said BYE): what was under way is void."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Denied:
    """No session: the peer lacks the key, or speaks another version. Try again after a change."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Opened:
    """Node: the session is there."""


class Update:
    """Hub: a complete update. `data` are the chunks, joined and checked."""

    def __init__(self, begin: messages.Begin, data: bytes) -> None:
        self.begin = begin
        self.data = data


class _Peer:
    """What Node and Hub share: the channel, one outgoing transfer, liveness."""

    def __init__(
        self, is_hub: bool, key: "bytes | None", entropy: "Callable[[int], bytes]"
    ) -> None:
        self.channel = Channel(is_hub)
        self._key = key
        self._entropy = entropy
        self.heard_ms = 0  # when the peer was last heard (a genuine frame)
        self._transfer: Iterator[bytes] | None = None
        self._again_ms = 0

    def send(self, message: messages.Message) -> None:
        """Queue one message; it arrives once and in order, or the link is dead."""
        if not self.channel.open:
            raise StateError("no session yet: wait for Opened or Joined")
        self.channel.send(message.KIND, message.pack())

    def transfer(self, begin: messages.Begin, pieces: "Iterable[bytes]") -> None:
        """Send BEGIN, the pieces (of any size, taken only as the window has room) and END."""
        self.send(begin)
        self._transfer = self._chunks(pieces)

    @property
    def transferring(self) -> bool:
        return self._transfer is not None

    def cancel(self) -> None:
        """Drop the rest of the outgoing transfer."""
        self._transfer = None

    def _chunks(self, pieces: "Iterable[bytes]") -> "Iterator[bytes]":
        offset = 0
        crc = 0
        for piece in pieces:
            crc = crc32(piece, crc)
            at = 0
            while at < len(piece):
                n = wire.fit(piece[at:], 4)
                yield messages.Chunk(offset=offset, data=piece[at : at + n]).pack()
                offset += n
                at += n
        # Sent last and by itself: the generator's end is the transfer's end.
        self.send(messages.End(n_bytes=offset, crc=crc & 0xFFFFFFFF))

    def _pump(self, now_ms: int) -> bytes:
        while self._transfer is not None and self.channel.room > 0:
            try:
                self.channel.send(messages.Chunk.KIND, next(self._transfer))
            except StopIteration:
                self._transfer = None
        return self.channel.outgoing(now_ms)

    def _void(self) -> None:
        self.channel.stop()
        self._transfer = None


class Node(_Peer):
    """A board's end. `status()` makes the STATUS that opens the session."""

    def __init__(
        self,
        identity: Identity,
        key: "bytes | None",
        entropy: "Callable[[int], bytes]",
        status: "Callable[[], messages.Status]",
    ) -> None:
        super().__init__(False, key, entropy)
        self.identity = identity
        self._status = status
        self._nonce = b""  # of the HELLO that awaits its WELCOME

    def open(self, now_ms: int) -> None:
        """A fresh link is up: say HELLO until a hub answers."""
        self._void()
        self.heard_ms = now_ms
        self._nonce = self._entropy(auth.NONCE_BYTES)
        self._again_ms = now_ms

    def receive(self, data: bytes, now_ms: int) -> "list[object]":
        events: list[object] = []
        for frame in self.channel.receive(data):
            if frame.kind == messages.Knock.KIND:
                if self.channel.open or not self._nonce:
                    self.open(now_ms)  # the hub is new: so is the session
                self._again_ms = now_ms
            elif frame.kind == messages.Welcome.KIND:
                self._welcome(frame, now_ms, events)
            elif frame.kind == messages.Deny.KIND:
                denial = _handshake(frame)
                if isinstance(denial, messages.Deny) and not self.channel.open:
                    events.append(Denied(denial.reason))
            elif frame.kind >= messages.Status.KIND:
                self.heard_ms = now_ms
                message = messages.unpack(frame.kind, frame.payload)
                if isinstance(message, messages.Ping):
                    self.send(messages.Pong(token=message.token))
                else:
                    events.append(message)
        return events

    def _welcome(self, frame: wire.Frame, now_ms: int, events: "list[object]") -> None:
        welcome = _handshake(frame)
        if not self._nonce or not isinstance(welcome, messages.Welcome):
            return  # not asked for
        if welcome.protocol != PROTOCOL:
            reason = f"the host speaks protocol {welcome.protocol}, this board {PROTOCOL}"
            events.append(Denied(reason))
            return
        tx = rx = None
        if self._key is not None:
            tx, rx = auth.signers(self._key, self._nonce, welcome.nonce, self.identity.name)
            if not auth.equal(frame.tag, rx.tag(frame.signed)):
                self.channel.n_refused += 1
                events.append(Denied("the host does not have this board's key"))
                return
        elif frame.tag:
            return
        self._nonce = b""
        self.heard_ms = now_ms
        self.channel.start(tx, rx, min(welcome.window, MAX_NODE_WINDOW))
        self.send(self._status())
        events.append(Opened())

    def outgoing(self, now_ms: int) -> bytes:
        if self._nonce and now_ms >= self._again_ms:
            self._again_ms = now_ms + KNOCK_MS
            self.channel.send_raw(messages.Hello.KIND, messages.Hello(
                protocol=PROTOCOL, keyed=0 if self._key is None else 1, nonce=self._nonce,
                window=self.identity.window, uid=self.identity.uid, name=self.identity.name,
            ).pack())
        return self._pump(now_ms)


class Hub(_Peer):
    """The host's end of one link. With a key it speaks to nobody who does not have it.

    max_update_bytes bounds what a transfer may fill; before JOINED nothing is buffered but
    one frame.
    """

    def __init__(
        self,
        key: "bytes | None",
        entropy: "Callable[[int], bytes]",
        name: str = "",
        window: int = 16,
        max_update_bytes: int = 1 << 20,
        knock: bool = True,
    ) -> None:
        super().__init__(True, key, entropy)
        self.name = name
        self.hello: messages.Hello | None = None
        self.joined = False
        self._window = window
        self._max_update_bytes = max_update_bytes
        self._knock = knock
        self._welcome = b""  # our nonce, kept to repeat a lost WELCOME
        self._begin: messages.Begin | None = None
        self._data = bytearray()
        self._ping_ms = 0

    def open(self, now_ms: int) -> None:
        """A fresh link is up: knock (a dialling board says HELLO by itself)."""
        self._void()
        self.joined = False
        self.hello = None
        self._begin = None
        self.heard_ms = now_ms
        self._again_ms = now_ms
        self._ping_ms = now_ms

    def silent_ms(self, now_ms: int) -> int:
        """How long ago the board was last heard."""
        return now_ms - self.heard_ms

    def receive(self, data: bytes, now_ms: int) -> "list[object]":
        events: list[object] = []
        for frame in self.channel.receive(data):
            if frame.kind == messages.Hello.KIND:
                self._greet(frame, events)
            elif frame.kind >= messages.Status.KIND:
                self.heard_ms = now_ms
                self._ping_ms = now_ms
                self._message(messages.unpack(frame.kind, frame.payload), events)
        return events

    def _greet(self, frame: wire.Frame, events: "list[object]") -> None:
        hello = _handshake(frame)
        if not isinstance(hello, messages.Hello) or not _is_name(hello.name):
            return
        if self.hello is not None and hello.nonce == self.hello.nonce:
            if not self.joined:
                self._say_welcome()  # ours was lost
            return
        reason = ""
        if hello.protocol != PROTOCOL:
            reason = (f"board {hello.name} speaks protocol {hello.protocol}, this host {PROTOCOL}: "
                      "deploy again, or update the host")
        elif self._key is not None and not hello.keyed:
            reason = f"board {hello.name} has no key, this federation needs one: deploy it"
        elif self._key is None and hello.keyed:
            reason = f"board {hello.name} needs a key and this host has none: name its key file"
        elif len(hello.nonce) != auth.NONCE_BYTES:
            reason = f"board {hello.name} sent a nonce of {len(hello.nonce)} bytes"
        if reason:
            self.channel.send_raw(messages.Deny.KIND, messages.Deny(reason=reason[:96]).pack())
            events.append(Denied(reason))
            return
        if self.joined:
            events.append(Left(f"board {hello.name} started over"))
        self._void()
        self.joined = False
        self._begin = None
        self.hello = hello
        self._welcome = self._entropy(auth.NONCE_BYTES)
        self._say_welcome()

    def _say_welcome(self) -> None:
        hello = self.hello
        assert hello is not None
        tx = rx = None
        if self._key is not None:
            rx, tx = auth.signers(self._key, hello.nonce, self._welcome, hello.name)
        self.channel.stop()
        self.channel.start(tx, rx, hello.window)
        self.channel.send_raw(messages.Welcome.KIND, messages.Welcome(
            protocol=PROTOCOL, window=self._window, nonce=self._welcome, name=self.name,
        ).pack(), tx)

    def _message(self, message: messages.Message, events: "list[object]") -> None:
        if not self.joined:
            if not isinstance(message, messages.Status) or self.hello is None:
                raise WireError("a board must say STATUS first")
            self.joined = True
            events.append(Joined(self.hello, message))
        elif isinstance(message, messages.Begin):
            if message.what != messages.UPDATE or message.n_bytes > self._max_update_bytes:
                raise WireError(f"no transfer of kind {message.what}, {message.n_bytes} bytes")
            self._begin = message  # a second BEGIN starts the upload over
            self._data = bytearray()
        elif isinstance(message, messages.Chunk):
            if self._begin is None or message.offset != len(self._data):
                raise WireError(f"chunk at {message.offset}, not at {len(self._data)}")
            if len(self._data) + len(message.data) > self._max_update_bytes:
                raise WireError(f"update of more than {self._max_update_bytes} bytes")
            self._data.extend(message.data)
        elif isinstance(message, messages.End):
            if self._begin is None or message.n_bytes != len(self._data):
                raise WireError(f"update of {message.n_bytes} bytes, {len(self._data)} came")
            if crc32(self._data) & 0xFFFFFFFF != message.crc:
                raise WireError("update with a wrong checksum")
            events.append(Update(self._begin, bytes(self._data)))
            self._begin = None
            self._data = bytearray()
        elif isinstance(message, messages.Bye):
            self._void()
            self.joined = False
            events.append(Left(message.reason))
        elif isinstance(message, messages.Ping):
            self.send(messages.Pong(token=message.token))
        elif not isinstance(message, messages.Pong):
            events.append(message)

    def outgoing(self, now_ms: int) -> bytes:
        if self.hello is None and self._knock and now_ms >= self._again_ms:
            self._again_ms = now_ms + KNOCK_MS
            self.channel.send_raw(messages.Knock.KIND, messages.Knock(protocol=PROTOCOL).pack())
        if self.joined and now_ms - self._ping_ms >= PING_MS and self.channel.idle:
            self._ping_ms = now_ms
            self.send(messages.Ping())
        return self._pump(now_ms)


def _handshake(frame: wire.Frame) -> "messages.Message | None":
    """A raw frame's message, or None: before authentication, nonsense is noise."""
    try:
        return messages.unpack(frame.kind, frame.payload)
    except WireError:
        return None


def _is_name(name: str) -> bool:
    """Names go into logs, file names and pages: nothing in them may need escaping there."""
    for c in name:
        if not ("a" <= c <= "z" or "A" <= c <= "Z" or "0" <= c <= "9" or c in "-_."):
            return False
    return 0 < len(name) <= 24 and name[0] != "."
