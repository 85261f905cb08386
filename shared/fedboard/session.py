"""A conversation between a board's Node (module node) and the host's Hub (module hub).

    Hub                                   Node
     KNOCK (again until heard)      ->                          a serial board speaks when asked,
                                    <-    HELLO nonce           a WiFi board when it has dialled
     WELCOME nonce, tag             ->                          proves that the hub has the key
                                    <-    STATUS, tag           proves that the node has it
     TASK, BEGIN CHUNK* END         ->                          a model, if the node lacks it
                                    <-    PROGRESS*, BEGIN CHUNK* END
     ACCEPTED or REFUSED            ->

Sans I/O: receive(data, now_ms) returns events, send() and transfer() queue, outgoing(now_ms) is
what to write. Events are messages, and a few classes of node and hub. A WireError out of
receive() means that an authenticated peer broke the protocol: close the link. Noise never gets
that far. Here is what the two have in common.
"""

from binascii import crc32

from fedboard import StateError, WireError, messages, wire
from fedboard.channel import Channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fedboard.message import Message

LEAST_CHUNK = 32  # bytes: how short chunks get on a noisy line
REPEAT_MS = 500  # between KNOCKs, and between HELLOs


class Denied:
    """No session: the peer lacks the key, or speaks another version. Try again after a change."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Peer:
    """What Node and Hub share: the channel, one outgoing transfer, liveness."""

    def __init__(
        self,
        is_hub: bool,
        key: "bytes | None",
        entropy: "Callable[[int], bytes]",
        limit: int = wire.MAX_FRAME,
    ) -> None:
        self.channel = Channel(is_hub, limit)
        self._key = key
        self._entropy = entropy
        self.heard_ms = 0  # when the peer was last heard (a genuine frame)
        self._transfer: Iterator[bytes] | None = None
        self._longest = wire.MAX_PAYLOAD  # bytes of a chunk, at present
        self._n_lost = 0  # by the channel, when that was found
        self._again_ms = 0

    def send(self, message: "Message") -> None:
        """Queue one message; it arrives once and in order, or the link is dead."""
        if not self.channel.open:
            raise StateError("no session yet: wait for Opened or Joined")
        self.channel.send(message.KIND, message.pack())

    def transfer(self, begin: messages.Begin, pieces: "Iterable[bytes]") -> None:
        """Send BEGIN, the pieces (of any size, taken only as the window has room) and END."""
        self.send(begin)
        self._n_lost = self.channel.n_lost
        self._transfer = self._chunks(pieces)

    @property
    def transferring(self) -> bool:
        return self._transfer is not None

    def cancel(self) -> None:
        """Drop the rest of the outgoing transfer."""
        self._transfer = None

    def _chunks(self, pieces: "Iterable[bytes]") -> "Iterator[bytes]":
        """CHUNK payloads. On a noisy line short ones: few long frames would get through whole."""
        offset = 0
        crc = 0
        for piece in pieces:
            crc = crc32(piece, crc)
            at = 0
            while at < len(piece):
                most = self._find_longest()
                part = piece  # cut only where it must be: a board has no room for copies
                if at or len(piece) > most:
                    part = piece[at : at + most]
                n = wire.fit(part, messages.Chunk.HEAD_BYTES, self.channel.frame)
                if n < len(part):
                    n -= n & 1  # whole parameters: a board need not join halves
                    part = part[:n]
                yield messages.Chunk(offset=offset, data=part).pack()
                offset += n
                at += n
        while self.channel.queue and self.channel.frame > wire.MAX_FRAME:
            yield b""  # they may have to be cut anew, with nothing behind them: see Hub
        # Sent last and by itself: the generator's end is the transfer's end.
        self.send(messages.End(n_bytes=offset, crc=crc & 0xFFFFFFFF))

    def _find_longest(self) -> int:
        """Bytes of a chunk: after a loss the half, then slowly more."""
        if self.channel.n_lost != self._n_lost:
            self._n_lost = self.channel.n_lost
            self._longest = max(LEAST_CHUNK, self._longest // 2)
        elif self._longest < wire.MAX_PAYLOAD:
            self._longest += 2
        return self._longest

    def _pump(self, now_ms: int) -> bytes:
        if self._transfer is not None:
            self._queue_chunks()
        return self.channel.outgoing(now_ms)

    def _queue_chunks(self) -> None:
        while self._transfer is not None and self.channel.room > 0:
            try:
                payload = next(self._transfer)
            except StopIteration:
                self._transfer = None
                break
            if not payload:
                break
            self.channel.send(messages.Chunk.KIND, payload)

    def _void(self) -> None:
        self.channel.stop()
        self._transfer = None


def handshake(frame: wire.Frame) -> "Message | None":
    """A raw frame's message, or None: before authentication, nonsense is noise."""
    try:
        return messages.unpack(frame.kind, frame.payload)
    except WireError:
        return None


def is_name(name: str) -> bool:
    """Names go into logs, file names and pages: nothing in them may need escaping there."""
    for c in name:
        if not ("a" <= c <= "z" or "A" <= c <= "Z" or "0" <= c <= "9" or c in "-_."):
            return False
    return 0 < len(name) <= 24 and name[0] != "."
