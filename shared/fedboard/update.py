"""Board to host: the largest changes since the base, few bits each; what is not sent is kept.

    parameters = base + learned + residual    prepare() picks the top of (parameters - base)
    the host has it on disk                   settle() subtracts what was sent: what is left
                                              is the residual

So neither the changes nor the residual cost memory: both are the difference of the parameters to
the base, which is read in blocks (`base`: see base.MemoryBase). Between prepare() and settle() the
parameters must not change: chunks() then gives the same bytes as often as it is run.

Each layer sends its own top: ceil(n * top_permille / 1000) entries, fewer if fewer changed (or
would round to zero), equal magnitudes in index order; where that is n, dense if it is shorter.
With 16 bits all values are exact (a difference beyond ±32767 saturates; its rest is residual).
"""

from array import array
from binascii import crc32

from fedboard import DataError, StateError, kernels, sparse
from fedboard.model import BLOCK, new_block

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from fedboard.model import Spec

CHUNK_BYTES = 184  # with its head and a few escapes one frame
_COUNTED = 2 * BLOCK  # parameters that are counted at a time: nothing else needs room then


class Update:
    """What a board sends of its parameters, an array('h') or image.Image that it goes on to own.

    layers: bit l set: layer l takes part. bits: 1 to 16 for a value, with its sign.
    """

    def __init__(
        self,
        spec: "Spec",
        params: "Any",
        base: "Any",
        layers: int,
        top_permille: int,
        bits: int,
    ) -> None:
        spec.check(params)
        if not base.version or base.spec_bytes != spec.pack():
            raise StateError("an update needs the base that it is the difference to")
        check(spec, layers, top_permille, bits)
        self.parts: list[sparse.Part] = []
        self._spec = spec
        self._params = params
        self._is_image = hasattr(params, "store")
        self._base = base
        self._layers = layers
        self._top_permille = top_permille
        self._bits = bits
        self._least: list[int] = []  # by part: the least magnitude that is sent
        self._n_least: list[int] = []  # by part: how many of just that magnitude are
        self._crc = -1  # of the stream, once it has been made
        self._part = sparse.Part(0, -1, 0, 0, 1)  # what _picked() is at, and where in it
        self._at = 0
        self._found = array("i")
        self._ready = False

    def prepare(self) -> None:
        """Pick what to send: two passes over parameters and base."""
        spec = self._spec
        self.parts = []
        self._least = []
        self._n_least = []
        counts = array("i", range(256))  # zeroed by _count(); see model.new_block()
        for l in range(spec.n_layers):
            if self._layers >> l & 1:
                n = spec.n_layer_params(l)
                part = sparse.Part(l, spec.at(l), n, 0, self._bits)
                self._pick(part, (n * self._top_permille + 999) // 1000, counts)
                self.parts.append(part)
        self._crc = -1
        self._ready = True

    def meta(self) -> bytes:
        """The head that delta.parse_update() needs, for BEGIN."""
        self._check_ready()
        return sparse.pack_meta(self.parts)

    def chunks(self, size: int = CHUNK_BYTES) -> "Iterator[bytes]":
        """The stream in pieces of `size` bytes, the last shorter, made as they are asked for."""
        self._check_ready()
        encoder = sparse.Encoder(size)
        crc = 0
        part = None
        for n in self._picked():
            if self._part is not part:
                part = self._part
                encoder.part(part)
            encoder.add(self._found, n, self._at)
            while encoder.is_full():
                chunk = encoder.take()
                crc = crc32(chunk, crc)
                yield chunk
        encoder.finish()
        chunk = encoder.take()
        while chunk:
            crc = crc32(chunk, crc)
            yield chunk
            chunk = encoder.take()
        if self._crc not in (-1, crc):
            raise StateError("the parameters changed during an upload: settle() first")
        self._crc = crc

    def settle(self) -> None:
        """The host has the update: subtract what was sent. Then this object is spent."""
        self._check_ready()
        self._ready = False
        params = self._params
        for n in self._picked():
            p = self._part
            at = p.at + self._at
            limit = self._spec.limit(p.layer)
            for k in range(n):
                entry = self._found[k]
                i = at + (entry & 255)
                value = params[i] - (entry >> 8 << p.shift)
                params[i] = -limit if value < -limit else limit if value > limit else value

    def _check_ready(self) -> None:
        if not self._ready:
            raise StateError("prepare() an update before it is sent, and settle() it once")

    def _pick(self, part: sparse.Part, n_top: int, counts: "array[int]") -> None:
        """Find exactly the n_top largest changes of a part, and the scale of their values.

        A change that would round to zero is not among them: sent as one step it would do harm.
        """
        k = n_top
        self._count(part, -1, counts)
        largest, _ = _place(counts, 1)
        if largest:
            part.shift = _shift(part.bits, largest << 8 | 255)
            k = min(k, _tail(counts, _least(part) >> 8))
        high, above = _place(counts, k)
        self._count(part, high, counts)
        if not largest:
            largest, _ = _place(counts, 1)
            part.shift = _shift(part.bits, largest)
        if not high:
            k = min(k, above + _tail(counts, _least(part)))
        low, n = _place(counts, k - above)
        part.k = k
        self._least.append(high << 8 | low)
        self._n_least.append(k - above - n)
        whole = part.bits > 1 and part.n * part.bits <= part.n_bits() + part.n_gap_bits()
        if n_top == part.n and whole:
            part.dense = True
            part.k = self._n_least[-1] = n_top
            self._least[-1] = 0

    def _count(self, part: sparse.Part, high: int, counts: "array[int]") -> None:
        """The histogram of a part's magnitudes: see kernels.histogram."""
        for i in range(256):
            counts[i] = 0
        block = new_block(_COUNTED)
        where = array("i", (0, 0, high))  # of a kernel's block
        end = part.at + part.n
        for at in range(part.at, end, _COUNTED):
            if end - at < _COUNTED:
                block = new_block(end - at)
            mine = self._read(at, block, where)
            kernels.histogram(mine, block, counts, where)

    def _read(self, at: int, block: "array[int]", where: "array[int]") -> "array[int]":
        """Fill `block` with the base from `at` on. Returns what to compare it with, from where[0].

        Kernels want an array: a float network's wire image is made block by block.
        """
        n = len(block)
        self._base.read(at, block)
        where[1] = n
        params: array[int] = self._params
        where[0] = at
        if self._is_image:
            params = new_block(n)
            self._params.store(params, at)
            where[0] = 0
        return params

    def _picked(self) -> "Iterator[int]":
        """Block by block, how many entries `_found` has; `_part` and `_at`, in it, go with them."""
        self._found = found = array("i", range(BLOCK))
        for turn in range(len(self.parts)):
            self._part = part = self.parts[turn]
            least_code = 0 if part.dense else 1
            top = (1 << part.bits - 1) - (1 if part.dense else 0)
            where = array(
                "i",
                (0, 0, self._least[turn], self._n_least[turn], part.k, part.shift, least_code, top),
            )
            block = new_block(BLOCK)
            self._at = 0
            while where[4]:
                n = min(BLOCK, part.n - self._at)
                if n <= 0:
                    raise StateError("the parameters changed during an upload: settle() first")
                if n < BLOCK:
                    block = new_block(n)
                mine = self._read(part.at + self._at, block, where)
                yield kernels.pick(mine, block, found, where)
                self._at += n


def check(spec: "Spec", layers: int, top_permille: int, bits: int) -> None:
    """Raise DataError for what no update of this model can be."""
    if not 0 < layers < 1 << spec.n_layers:
        raise DataError(f"no layers {layers:#b} in a model of {spec.n_layers}")
    if not 1 <= top_permille <= 1000:
        raise DataError(f"an update has 1 to 1000 permille of the changes, not {top_permille}")
    if not 1 <= bits <= 16:
        raise DataError(f"an update's value has 1 to 16 bits, not {bits}")


def _place(counts: "array[int]", k: int) -> "tuple[int, int]":
    """(where a histogram of 256 has its k-th largest, how many are larger): at least 0."""
    place = 255
    above = 0
    view = memoryview(counts)
    while place > 31 and above + (n := sum(view[place - 31 : place + 1])) < k:  # the quick way
        above += n
        place -= 32
    while place and above + counts[place] < k:
        above += counts[place]
        place -= 1
    return place, above


def _tail(counts: "array[int]", start: int) -> int:
    return sum(memoryview(counts)[start:])


def _least(part: sparse.Part) -> int:
    """The least magnitude that is worth an entry: it does not round to zero."""
    return max(1, 1 << part.shift >> 1) if part.bits > 1 else 1


def _shift(bits: int, largest: int) -> int:
    """The scale of a part's values: the finest that reaches the largest change.

    A single bit, the sign, stands for half of it. (Measured: finer scales, which clip, are worse.)
    """
    shift = 0
    while (1 << bits - 1) << shift < largest and bits + shift < 16:
        shift += 1
    return shift - 1 if bits == 1 and shift else shift
