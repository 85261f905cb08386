"""Updates of which only the sum can be read: pairwise masks that cancel (Bonawitz et al., 2017).

    q_i   a board's changes at the round's places, each within ±(32767 // n)       n boards
    y_i = q_i + M(b_i) + sum(M(s_ij), j > i) - sum(M(s_ij), j < i)     mod 2**16, what it sends
    M(k)  16-bit words, SHA-256(k | counter) one block after the other

The seeds b_i and s_ij follow from the mask key, which boards have and the host does not, from the
task, a nonce and all names. So the sum of all y lacks but the masks M(b_i). Once the updates are
in, the host names the set S of those that it has, and boards open it:

    K_S       a key that follows from the mask key and S; each board answers with a Shamir share
              of it, n // 2 + 1 of which give it back
    sealed    b_i of each i in S, and s_id of each d that is not: encrypted with K_S

A board answers for one S a cohort, and no two of them get enough shares: so nobody learns both
b_i and the s_ij of one board, not even a host that tells boards different things. A cohort that
a board has left does not come back: nonces rise. It knows the last one as long as it has its RAM.

All boards send the same places: of each layer's parameters about top_permille, one out of each
stretch, by lot from run, round and layer. The largest changes would be others on each board.
"""

import struct
from array import array

from fedboard import DataError, StateError, auth, messages, prng, update
from fedboard.cohort import MOST, NONCE_BYTES, Cohort, Opening, Peer, Unmask, about, seal
from fedboard.message import Message
from fedboard.model import BLOCK, new_block, zeros

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from fedboard.model import Spec

ENCODING = 2  # of Begin: rebase has 0 and 1
WORDS = 16  # of a block of the stream
_PLACES = 7  # the label of a layer's places


class Stream:
    """M(seed): next() gives the next block of 16 words."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._counter = 0

    def next(self) -> "array[int]":
        h = auth.sha256()
        h.update(self._seed)
        h.update(struct.pack("<I", self._counter))
        self._counter += 1
        return array("H", h.digest())  # little endian, as on every board


def n_places(n: int, top_permille: int) -> int:
    """How many of a layer's n parameters are sent."""
    return (n * top_permille + 999) // 1000


def places(
    spec: "Spec", layers: int, top_permille: int, run: int, round_no: int
) -> "Iterator[int]":
    """The numbers of the parameters that all boards send, rising."""
    for l in range(spec.n_layers):
        if layers >> l & 1:
            at = spec.at(l)
            n = spec.n_layer_params(l)
            k = n_places(n, top_permille)
            rng = prng.Xorshift(prng.mix(run, _PLACES, round_no, l))
            low = 0
            for g in range(k):
                high = (g + 1) * n // k
                yield at + low + rng.below(high - low)
                low = high


class MaskedUpdate:
    """What a board sends; as update.Update. params: array('h') or mlp.Image.

    Its values are kept, two bytes each: whatever becomes of the parameters, all that is sent under
    these masks is the same.
    """

    ENCODING = ENCODING

    def __init__(
        self, spec: "Spec", params: "Any", base: "Any", layers: int, top_permille: int,
        cohort: Cohort, key: bytes, own: int, run: int, round_no: int,
    ) -> None:  # fmt: skip
        spec.check(params)
        update.check(spec, layers, top_permille, 16)
        if not base.version or base.spec_bytes != spec.pack():
            raise StateError("an update needs the base that it is the difference to")
        self._spec = spec
        self._params = params
        self._base = base
        self._layers = layers
        self._top_permille = top_permille
        self._cohort = cohort
        self._key = key
        self._own = own
        self._where = run, round_no
        self._values: array[int] = array("h")

    def prepare(self) -> None:
        spec = self._spec
        n = 0
        for l in range(spec.n_layers):
            if self._layers >> l & 1:
                n += n_places(spec.n_layer_params(l), self._top_permille)
        values = zeros("h", n)
        params = self._params
        limit = 32767 // self._cohort.n
        block = new_block(BLOCK)
        start = end = 0
        for k, i in enumerate(self._places()):
            if i >= end:
                start = i
                end = min(i + BLOCK, spec.n_params)
                if end - start != len(block):
                    block = new_block(end - start)
                self._base.read(start, block)
            change = params[i] - block[i - start]
            values[k] = -limit if change < -limit else limit if change > limit else change
        self._values = values

    def meta(self) -> bytes:
        return bytes((self._layers,))

    def changes(self) -> "Iterator[tuple[int, int]]":
        """(number of a parameter, q) in order."""
        if not self._values:
            self.prepare()
        return zip(self._places(), self._values)

    def _places(self) -> "Iterator[int]":
        return places(self._spec, self._layers, self._top_permille, *self._where)

    def chunks(self, size: int = update.CHUNK_BYTES) -> "Iterator[bytes]":
        """The masked words, two bytes each."""
        cohort = self._cohort
        streams = [
            (Stream(cohort.seed(self._key, self._own, j)), j < self._own) for j in range(cohort.n)
        ]
        out = bytearray()
        words = array("i", range(WORDS))
        n = 0
        if not self._values:
            self.prepare()
        values = iter(self._values)
        while n >= 0:
            n = 0
            for value in values:
                words[n] = value
                n += 1
                if n == WORDS:
                    break
            for stream, minus in streams if n else ():
                mask = stream.next()
                if minus:
                    for k in range(n):
                        words[k] -= mask[k]
                else:
                    for k in range(n):
                        words[k] += mask[k]
            for k in range(n):
                word = words[k]
                out.append(word & 0xFF)
                out.append(word >> 8 & 0xFF)
            last = n < WORDS
            while len(out) >= size or (last and out):
                chunk = bytes(out[:size])
                out = out[size:]
                yield chunk
            if last:
                n = -1

    def settle(self) -> None:
        """The host has the sum: what was sent is no longer residual."""
        params = self._params
        limits = [self._spec.limit(l) for l in range(self._spec.n_layers)]
        l = 0
        for i, value in self.changes():
            while i >= self._spec.at(l + 1):
                l += 1
            rest = params[i] - value
            limit = limits[l]
            params[i] = -limit if rest < -limit else limit if rest > limit else rest


class Party:
    """A board's side: takes the host's Peers, answers UNMASK. key None: it has none."""

    def __init__(self, key: "bytes | None", name: str) -> None:
        self._key = key
        self._name = name
        self._nonce = b""
        self._round = 0
        self._names: list[str] = []
        self._of = 0
        self._cohort: Cohort | None = None
        self._opened = 0  # the set of survivors that it has answered for; 0: none yet
        self._made = False  # an update: two under the same masks would tell their difference

    def hear(self, message: Message) -> "tuple[bool, list[Message]]":
        """Take what the host says of masks: whether a new cohort begins, and what to answer."""
        try:
            if isinstance(message, Peer):
                return self.take(message), []
            if isinstance(message, Unmask):
                return False, list(self.answer(message))
        except DataError as error:
            round_ = getattr(message, "round", 0)
            text = str(error)[:96]
            return False, [messages.Error(code=messages.BAD_TASK, round=round_, text=text)]
        return False, []

    def take(self, message: Peer) -> bool:
        """A peer of the next masked round. True: a new cohort begins. Raises DataError.

        A nonce must be above the last one: masks of a cohort that is over would serve twice.
        """
        begins = (message.nonce, message.round) != (self._nonce, self._round)
        if begins:
            if len(message.nonce) != NONCE_BYTES or message.nonce <= self._nonce:
                raise DataError(
                    "masks of a round that is over: restart the board if the host's clock was set"
                )
            self._nonce = message.nonce
            self._round = message.round
            self._names = []
            self._cohort = None
            self._opened = 0
            self._made = False
            self._of = message.of
        if message.place == len(self._names) and len(self._names) < min(self._of, MOST):
            self._names.append(message.name)
        return begins

    def join(self, task: messages.Task) -> "tuple[Cohort, bytes, int]":
        """(the cohort of this task, the key, the own place in it). Raises DataError."""
        if self._key is None:
            raise DataError('no "mask_key" in fedboard.json: this run hides updates from its host')
        learns = task.epochs or (task.n_max and task.flags & messages.STREAM)
        if not task.version or not learns:
            raise DataError("a masked update is learned, from a model that is the same for all")
        names = self._names
        if self._round != task.round or len(names) != self._of or not names:
            raise DataError("the host did not tell with whom updates are masked")
        if self._name not in names:
            raise DataError("this board is not among those whose updates are masked")
        self._cohort = Cohort(names, about(task, self._nonce, names))
        return self._cohort, self._key, names.index(self._name)

    def update(
        self, spec: "Spec", params: "Any", base: "Any", layers: int, task: messages.Task
    ) -> MaskedUpdate:
        """What to send of what was learned."""
        cohort, key, own = self.join(task)
        if self._made:
            raise DataError("this board has masked an update of this round already")
        self._made = True
        return MaskedUpdate(
            spec, params, base, layers, task.top_permille, cohort, key, own, task.run, task.round
        )

    def answer(self, ask: Unmask) -> "list[Opening]":
        """What opens the sum of these survivors. Raises DataError for what would tell too much."""
        cohort = self._cohort
        if cohort is None or self._key is None or ask.nonce != self._nonce:
            raise DataError("this board has no masked update of that round any more")
        cohort.check(ask.survivors)
        own = self._names.index(self._name)
        if not ask.survivors >> own & 1 or not ask.survivors >> ask.of & 1:
            raise DataError("only those whose update is in the sum open it, and for such")
        if self._opened not in (0, ask.survivors):
            raise DataError("this board has opened another sum of this round")
        self._opened = ask.survivors
        opener = cohort.opener(self._key, ask.survivors)
        share = cohort.share(self._key, ask.survivors, own)
        return [
            Opening(
                round=ask.round, of=ask.of, peer=j, share=share,
                sealed=seal(opener, ask.of, j, cohort.seed(self._key, ask.of, j)),
            )
            for j in [ask.of] + cohort.lost(ask.survivors)
        ]  # fmt: skip
