"""A board's end of a session: answers KNOCK, proves its key, checks the hub's. See session."""

from binascii import crc32

from fedboard import PROTOCOL, DataError, auth, messages, wire
from fedboard.session import REPEAT_MS, Denied, Peer, handshake, is_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_WINDOW = 2  # frames that a board keeps for repeats: 0.4 kB


class Identity:
    """Who a board is, for HELLO and STATUS."""

    def __init__(self, name: str, uid: bytes, window: int = 1, frame: int = 0) -> None:
        if not is_name(name):
            raise DataError(f"board name '{name}': use 1 to 24 letters, digits, - _ and .")
        self.name = name
        self.uid = uid[:16]
        self.window = window  # frames that may be under way to it, each so long:
        self.frame = frame  # bytes of the longest that it takes; 0: wire.MAX_FRAME


class Opened:
    """Node: the session is there."""


class Node(Peer):
    """A board's end. `status()` makes the STATUS that opens the session.

    What boards load code for when they are asked comes as (kind, payload), for messages.unpack().
    """

    def __init__(
        self,
        identity: Identity,
        key: "bytes | None",
        entropy: "Callable[[int], bytes]",
        status: "Callable[[], messages.Status]",
    ) -> None:
        super().__init__(False, key, entropy, max(identity.frame, wire.MAX_FRAME))
        self.identity = identity
        self._status = status
        self._hello = b""  # the payload that awaits its WELCOME

    def open(self, now_ms: int) -> None:
        """A fresh link is up: say HELLO until a hub answers."""
        self._void()
        self.heard_ms = now_ms
        self._hello = messages.Hello(
            protocol=PROTOCOL, keyed=0 if self._key is None else 1,
            nonce=self._entropy(auth.NONCE_BYTES), window=self.identity.window,
            uid=self.identity.uid, name=self.identity.name,
        ).pack()  # fmt: skip
        self.channel.bond = crc32(self._hello)  # a WELCOME to an older one is noise
        self._again_ms = now_ms

    def receive(self, data: bytes, now_ms: int) -> "list[object]":
        events: list[object] = []
        for frame in self.channel.frames(data):
            if frame.kind == messages.Knock.KIND:
                if self.channel.open or not self._hello:
                    self.open(now_ms)  # the hub is new: so is the session
                self._again_ms = now_ms
            elif frame.kind == messages.Welcome.KIND:
                self._welcome(frame, now_ms, events)
            elif frame.kind == messages.Deny.KIND:
                denial = handshake(frame)
                if isinstance(denial, messages.Deny) and not self.channel.open:
                    events.append(Denied(denial.reason))
            elif frame.kind >= messages.Status.KIND:
                self.heard_ms = now_ms
                if frame.kind == messages.Chunk.KIND:
                    events.append(messages.Chunk.unpack(frame.view))
                    continue
                if frame.kind >= messages.FIRST_COLLECT:
                    events.append((frame.kind, frame.payload))
                    continue
                message = messages.unpack(frame.kind, frame.payload)
                if isinstance(message, messages.Ping):
                    self.send(messages.Pong(token=message.token))
                else:
                    events.append(message)
        return events

    def _welcome(self, frame: wire.Frame, now_ms: int, events: "list[object]") -> None:
        welcome = handshake(frame)
        if not self._hello or not isinstance(welcome, messages.Welcome):
            return  # not asked for
        if len(welcome.nonce) != auth.NONCE_BYTES:
            return
        if welcome.protocol != PROTOCOL:
            reason = (f"the host speaks protocol {welcome.protocol}, this board {PROTOCOL}: "
                      "deploy again, or update the host")
            events.append(Denied(reason))
            return
        tx = rx = None
        if self._key is not None:
            tx, rx = auth.signers(self._key, self._hello, welcome.nonce)
            if not auth.equal(frame.tag, rx.tag(frame.signed)):
                self.channel.n_refused += 1
                events.append(Denied("the host does not have this board's key"))
                return
        elif frame.tag:
            return
        self._hello = b""
        self.heard_ms = now_ms
        window = min(welcome.window, MAX_WINDOW)
        bond = crc32(frame.payload, self.channel.bond)
        self.channel.start(tx, rx, window, self.identity.window, bond)
        self.send(self._status())
        events.append(Opened())

    def outgoing(self, now_ms: int) -> bytes:
        if self._hello and now_ms >= self._again_ms:
            self._again_ms = now_ms + REPEAT_MS
            self.channel.send_raw(messages.Hello.KIND, self._hello)
        return self._pump(now_ms)
