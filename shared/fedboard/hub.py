"""The host's end of one link: finds the board, proves its key, collects its updates. See session.

Before the board has proved its key nothing of it is kept but one frame and its HELLO.
"""

from binascii import crc32

from fedboard import PROTOCOL, WireError, auth, messages, wire
from fedboard.session import LEAST_CHUNK, REPEAT_MS, Denied, Peer, handshake, is_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fedboard.message import Message

PING_MS = 5000  # a silent board is asked
LONGEST_FRAME = 2048  # bytes that are sent to a board which says that it takes so many


class Joined:
    """Hub: a board is here and, if there is a key, has it."""

    def __init__(self, hello: messages.Hello, status: messages.Status) -> None:
        self.hello = hello
        self.status = status


class Left:
    """Hub: the board starts over (it was reset, or said BYE): what was under way is void."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Update:
    """Hub: a complete update. `data` are the chunks, joined and checked."""

    def __init__(self, begin: messages.Begin, data: bytes) -> None:
        self.begin = begin
        self.data = data


class Hub(Peer):
    """The host's end of one link. With a key it speaks to nobody who does not have it.

    max_update_bytes bounds what a transfer may fill.
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
        self._greeting = b""  # its payload
        self.joined = False
        self._window = window
        self._max_update_bytes = max_update_bytes
        self._knock = knock
        self._is_new = knock  # nothing was said since open()
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
        self._is_new = self._knock

    def silent_ms(self, now_ms: int) -> int:
        """How long ago the board was last heard."""
        return now_ms - self.heard_ms

    def receive(self, data: bytes, now_ms: int) -> "list[object]":
        events: list[object] = []
        for frame in self.channel.frames(data):
            if frame.kind == messages.Hello.KIND:
                self._greet(frame, events)
            elif frame.kind >= messages.Status.KIND:
                self.heard_ms = now_ms
                self._ping_ms = now_ms
                self._message(messages.unpack(frame.kind, frame.payload), events)
        return events

    def _greet(self, frame: wire.Frame, events: "list[object]") -> None:
        hello = handshake(frame)
        if not isinstance(hello, messages.Hello) or not is_name(hello.name):
            return
        if self.hello is not None and frame.payload == self._greeting:
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
        self._greeting = frame.payload
        self._welcome = self._entropy(auth.NONCE_BYTES)
        self._say_welcome()

    def _say_welcome(self) -> None:
        hello = self.hello
        assert hello is not None
        tx = rx = None
        if self._key is not None:
            rx, tx = auth.signers(self._key, self._greeting, self._welcome)
        welcome = messages.Welcome(
            protocol=PROTOCOL, window=self._window, nonce=self._welcome, name=self.name
        ).pack()
        bond = crc32(self._greeting)
        self.channel.stop()
        self.channel.start(tx, rx, hello.window, bond=crc32(welcome, bond))
        if self._is_new:
            self._say_knock()  # it ends what the board began with whoever was here before
        self.channel.send_raw(messages.Welcome.KIND, welcome, tx, bond)

    def _say_knock(self) -> None:
        self.channel.send_raw(messages.Knock.KIND, messages.Knock(protocol=PROTOCOL).pack())

    def _message(self, message: "Message", events: "list[object]") -> None:
        if not self.joined:
            if not isinstance(message, messages.Status) or self.hello is None:
                raise WireError("a board must say STATUS first")
            self.joined = True
            self.channel.frame = min(max(message.frame, wire.MAX_FRAME), LONGEST_FRAME)
            self._longest = self.channel.frame - wire.MARGIN
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
            self._again_ms = now_ms + REPEAT_MS
            self._say_knock()
        self._is_new = False
        if self.joined and now_ms - self._ping_ms >= PING_MS and self.channel.idle:
            self._ping_ms = now_ms
            self.send(messages.Ping())
        is_long = self.joined and self.channel.frame > wire.MAX_FRAME
        if is_long and self.channel.stuck and self.channel.n_lost != self._n_lost:
            self._cut_anew()
        return self._pump(now_ms)

    def _find_longest(self) -> int:
        """As long as a board takes; but no more than MAX_PAYLOAD when that gets stuck."""
        channel = self.channel
        is_long = channel.frame > wire.MAX_FRAME and self._longest >= wire.MAX_PAYLOAD
        if channel.stuck or not is_long:
            self._longest = min(self._longest, wire.MAX_PAYLOAD)
            return super()._find_longest()
        self._n_lost = channel.n_lost
        self._longest = min(self._longest * 5 // 4, channel.frame - wire.MARGIN)
        return self._longest

    def _cut_anew(self) -> None:
        """Cut long chunks under way shorter: on a noisy line a long frame may never come through.

        The board may have got them, and the word of it may be lost. So each keeps its number and
        ends no later than before, and the rest follows behind all of them: a board passes over
        what it has already. END waits for that (see Peer), so nothing comes too late.
        """
        head = messages.Chunk.HEAD_BYTES
        queue = self.channel.queue
        self._n_lost = self.channel.n_lost
        longest = max(LEAST_CHUNK, min(self._longest // 2, wire.MAX_PAYLOAD))
        sizes = [len(payload) for kind, payload in queue if kind == messages.Chunk.KIND]
        if not sizes or max(sizes) <= longest + head:
            return  # no chunk is to blame: the board is silent, or away
        self._longest = longest
        data = b""  # to be sent anew, from `at` on
        at = 0
        for i in range(len(queue)):
            kind, payload = queue[i]
            if kind == messages.Begin.KIND:
                data = b""  # the transfer before was given up
            elif kind == messages.Chunk.KIND and (data or len(payload) > longest + head):
                chunk = messages.Chunk.unpack(payload)
                at = chunk.offset - len(data)
                data += chunk.data
                n = wire.fit(data[:longest], head)
                queue[i] = kind, messages.Chunk(offset=at, data=data[:n]).pack()
                data = data[n:]
                at += n
        while data:
            n = wire.fit(data[:longest], head)
            self.channel.send(messages.Chunk.KIND, messages.Chunk(offset=at, data=data[:n]).pack())
            data = data[n:]
            at += n
