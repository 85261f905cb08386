"""The k largest of n changes as a bitstream: Rice-coded gaps, values of few bits.

    entry     gap >> r zero bits | 1 | gap's low r bits | sign | magnitude - 1 in (bits - 1) bits
    stream    the entries of a part in index order, part after part, then zero bits to a whole byte
    meta      mask u8 | for each layer in the mask:  k u24 | bits u8 | shift u8              LE

Bits fill a byte from its lowest. A gap counts the entries left out since the last one; r follows
from n and k alone (Golomb 1966, Rice 1979); where k = n there are no gaps to tell. A value is
±magnitude << shift with 1 <= magnitude <= 2**(bits - 1): zero needs no code, as it is never sent.
But in a dense part (128 is added to its `bits`) all n values come, as two's complement.
A stream takes about k * bits + log2 C(n, k) bits, and never more than max_bytes() tells.
"""

from array import array

from fedboard import StateError, WireError, kernels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedboard.model import Spec

MAX_BITS = 17  # sign and 16 bits: any difference of two parameters
_GOLDEN = 10368889  # (sqrt(5) - 1) / 2 in 2**-24


def rice_parameter(n: int, k: int) -> int:
    """The r that codes the gaps of k random entries among n best, in integers as on any machine."""
    r = 0
    q = ((n - k) << 24) // n  # the chance of an entry to be left out; below 1 as k > 0
    while q > _GOLDEN:  # code r + 1 beats code r as long as x = q**(2**r) has x*x + x > 1
        q = q * q >> 24
        r += 1
    return r


class Part:
    """One layer's share of a stream: k of n entries, from parameter `at` on; dense: all of them."""

    def __init__(
        self, layer: int, at: int, n: int, k: int, bits: int, shift: int = 0, dense: bool = False
    ) -> None:
        self.layer = layer
        self.at = at
        self.n = n
        self.k = k
        self.bits = bits
        self.shift = shift
        self.dense = dense

    def n_bits(self) -> int:
        """The bits of a stream with the least gaps."""
        if self.k in (0, self.n):
            return self.k * self.bits
        return self.k * (self.bits + 1 + rice_parameter(self.n, self.k))

    def n_gap_bits(self) -> int:
        """The most bits that its gaps may add."""
        if self.k in (0, self.n):
            return 0
        return (self.n - self.k) >> rice_parameter(self.n, self.k)


def pack_meta(parts: "Sequence[Part]") -> bytes:
    mask = 0
    data = bytearray(1)
    for p in parts:
        mask |= 1 << p.layer
        bits = p.bits | 0x80 if p.dense else p.bits
        data.extend(bytes((p.k & 0xFF, p.k >> 8 & 0xFF, p.k >> 16, bits, p.shift)))
    data[0] = mask
    return bytes(data)


def unpack_meta(spec: "Spec", meta: bytes) -> "list[Part]":
    """The parts that `meta` announces. Raises WireError unless they fit the model."""
    parts = []
    at = 1
    mask = meta[0] if meta else 0
    if mask >> spec.n_layers:
        raise WireError(f"update of layers 0x{mask:02x}: the model has {spec.n_layers}")
    for l in range(spec.n_layers):
        if not mask >> l & 1:
            continue
        if at + 5 > len(meta):
            raise WireError("update whose head is cut short")
        n = spec.n_layer_params(l)
        k = meta[at] | meta[at + 1] << 8 | meta[at + 2] << 16
        dense = meta[at + 3] >= 0x80
        bits = meta[at + 3] & 0x7F
        shift = meta[at + 4]
        if k > n or (dense and k < n) or not 1 <= bits <= MAX_BITS - shift:
            raise WireError(f"layer {l} cannot have {k} changes of {bits} bits << {shift}")
        parts.append(Part(l, spec.at(l), n, k, bits, shift, dense))
        at += 5
    if at != len(meta):
        raise WireError(f"update whose head has {len(meta)} bytes where {at} belong")
    return parts


def min_bytes(parts: "Sequence[Part]") -> int:
    """The least bytes that a stream of these parts can have."""
    n_bits = 0
    for p in parts:
        n_bits += p.n_bits()
    return (n_bits + 7) // 8


def max_bytes(parts: "Sequence[Part]") -> int:
    """The most bytes that a stream of these parts can have, whatever the entries are."""
    n_bits = 0
    for p in parts:
        n_bits += p.n_bits() + p.n_gap_bits()
    return (n_bits + 7) // 8


class Encoder:
    """Entries to a stream, in place, in chunks of `size` bytes; the last one is shorter.

    part() and add() say what comes next, in index order; then take() a chunk whenever is_full().
    At the end finish(), and take() the rest.
    """

    def __init__(self, size: int) -> None:
        self._data = bytearray(size + 8)
        self._size = size
        self._state = array("i", (0, 0, -1, 0, 0, 0, 0, size, 0, 0))  # see kernels.encode
        self._found = array("i")
        self._at = 0

    def part(self, p: Part) -> None:
        """Begin the next part."""
        state = self._state
        state[2] = rice_parameter(p.n, p.k) if 0 < p.k < p.n else -1
        state[3] = p.bits
        state[4] = 1 if p.dense else 0
        state[5] = self._at = 0

    def add(self, found: "array[int]", n: int, at: int) -> None:
        """n entries as kernels.pick makes them, their places counted from the part's index `at`.

        A value is the coded one, ±1 to ±2**(bits - 1); the part's shift is not applied here. In a
        dense part all indices come, and values are -2**(bits - 1) to the other end.
        """
        state = self._state
        state[0] = 0
        state[1] = n
        state[5] += self._at - at
        self._at = at
        self._found = found

    def is_full(self) -> bool:
        """Encode what there is room for. True: take() a chunk, and ask again."""
        kernels.encode(self._found, self._data, self._state)
        return self._state[6] >= self._size

    def finish(self) -> None:
        """The last bits, filled with zeros."""
        state = self._state
        if state[9]:
            self._data[state[6]] = state[8]
            state[6] += 1
        state[8] = state[9] = 0

    def take(self) -> bytes:
        """Take a chunk, or what there is."""
        data = self._data
        end = self._state[6]
        n = min(self._size, end)
        chunk = bytes(memoryview(data)[:n])
        for i in range(n, end):
            data[i - n] = data[i]
        self._state[6] = end - n
        return chunk


class Decoder:
    """Reads entries from chunks of any size: feed(chunk), then next() while it is True.

    After a True, `part`, `index` (within the part) and `value` (shift applied) hold the entry.
    Raises WireError for whatever no Encoder makes.
    """

    def __init__(self, parts: "Sequence[Part]") -> None:
        self._parts = parts
        self._i = 0  # the next part
        self._left = 0  # entries of the present part still to come
        self._todo = 0  # entries of all parts still to come
        for p in parts:
            self._todo += p.k
        self._r = -1
        self._data: bytes | memoryview = b""
        self._at = 0
        self._acc = 0
        self._n = 0
        self._zeros = -1  # of the gap that is being read; -1: its end has been seen
        self.part = Part(0, 0, 0, 0, 1)
        self.index = -1
        self.value = 0

    def feed(self, data: "bytes | memoryview") -> None:
        if self._at < len(self._data):
            raise StateError("feed() before next() has used up the last chunk")
        self._data = data
        self._at = 0

    def next(self) -> bool:
        """The next entry, or False: the chunk is used up, or all entries are read."""
        data = self._data
        at = self._at
        end = len(data)
        acc = self._acc
        n = self._n
        if not self._left:
            if not self._todo:
                if acc or at < end:
                    raise WireError("more bits than the update's head announced")
                return False
            self._next_part()
        p = self.part
        r = self._r
        zeros = self._zeros
        if zeros >= 0:
            while not acc:
                zeros += n
                n = 0
                if zeros << r > p.n:
                    raise WireError(f"index beyond the {p.n} parameters of layer {p.layer}")
                if at == end:
                    self._at = at
                    self._acc = self._n = 0
                    self._zeros = zeros
                    return False
                acc = data[at]
                at += 1
                n = 8
            while not acc & 1:
                acc >>= 1
                n -= 1
                zeros += 1
            acc >>= 1
            n -= 1
            self.index += zeros << r
            self._zeros = -1
        need = p.bits if r < 0 else r + p.bits
        while n < need:
            if at == end:
                self._at = at
                self._acc = acc
                self._n = n
                return False
            acc |= data[at] << n
            at += 1
            n += 8
        if r < 0:
            self.index += 1
        else:
            self.index += 1 + (acc & ((1 << r) - 1))
            acc >>= r
            if self.index >= p.n:
                raise WireError(f"index beyond the {p.n} parameters of layer {p.layer}")
            self._zeros = 0
        code = acc & ((1 << p.bits) - 1)
        if p.dense:
            value = code - (code >> p.bits - 1 << p.bits)
        else:
            value = -1 - (code >> 1) if code & 1 else 1 + (code >> 1)
        self.value = value << p.shift
        self._acc = acc >> p.bits
        self._n = n - need
        self._at = at
        self._left -= 1
        self._todo -= 1
        return True

    def finish(self) -> None:
        """Raise WireError unless all entries have been read, and nothing else has come."""
        if self._todo:
            raise WireError(f"update that is cut short: {self._todo} changes are missing")
        if self._acc or self._at < len(self._data):
            raise WireError("more bits than the update's head announced")

    def _next_part(self) -> None:
        while not self._left:
            self.part = p = self._parts[self._i]
            self._i += 1
            self._left = p.k
        self._r = rice_parameter(p.n, p.k) if p.k < p.n else -1
        self._zeros = 0 if p.k < p.n else -1
        self.index = -1
