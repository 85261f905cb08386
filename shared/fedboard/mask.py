"""Updates of which only the sum can be read: pairwise masks that cancel (Bonawitz et al., 2017).

    q_i   a board's changes at the round's places, each within ±(32767 // n)       n boards
    y_i = q_i + M(b_i) + sum(M(s_ij), j > i) - sum(M(s_ij), j < i)     mod 2**16, what it sends
    M(k)  16-bit words, SHA-256(k | counter) one block after the other

The seeds b_i and s_ij follow from the mask key, which boards have and the host does not, from the
task, a nonce and all names. So the sum of all y lacks but the masks M(b_i). Once the updates are
in, the host names the set S of those that it has, and boards open it (see party):

    K_S       a key that follows from the mask key and S; each board answers with a Shamir share
              of it, n // 2 + 1 of which give it back
    sealed    b_i of each i in S, and s_id of each d that is not: encrypted with K_S

All boards send the same places: of each layer's parameters about top_permille, one out of each
stretch, by lot from run, round and layer. The largest changes would be others on each board.
"""

import struct
from array import array

from fedboard import StateError, auth, prng, update
from fedboard.model import BLOCK, new_block, zeros

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from fedboard.cohort import Cohort
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
        cohort: "Cohort", key: bytes, own: int, run: int, round_no: int,
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
