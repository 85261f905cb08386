"""The model: its shape, the layout of its parameters, its start values and its digest.

A model is a dense network over int8 features. All its parameters lie in ONE flat array('h') that
the caller owns; layer l starts at spec.at(l):

    W[j, i] = params[at + j * n_in + i]     row-major per output unit, 0 <= j < n_out
    b[j]    = params[at + n_out * n_in + j] the biases right behind

    spec bytes   version u8 | rule u8 | n_layers u8 | seed u32 | (n_layers + 1) sizes u16      LE

Rules "conv1" to "conv3" look at square images first: so many layers are 3x3 convolutions of stride
2 without a margin, whose sizes are channels; an image lies in memory as row, column, channel. Such
a layer is a matrix as well, of n_in = 9 x channels inputs: row, column, channel of a window.

Rule "centred" subtracts the features' mean first: layer 0 has no weights, and for each input a
bias, the mean with CENTRE_BITS fractional bits (see centre). Its sizes have the inputs twice.

A layer's |parameters| stay within limit(l), so that an int32 accumulator of fan-in n_in over int8
inputs cannot overflow by construction. Whatever is no spec is a DataError.
"""

from array import array

from fedboard import DataError, StateError, auth, prng

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

MAX_LAYERS = 6
MAX_UNITS = 4096
MAX_PARAMS = 1 << 20
MAX_SPEC_BYTES = 7 + 2 * (MAX_LAYERS + 1)
DIGEST_BYTES = 8
BLOCK = 128  # parameters that are read, written or compared at a time

_VERSION = 1
# A rule's number on the wire is its place here: append only. "float...": see mlp.KINDS.
RULES = (
    "tifed", "fedboard", "float", "float-relu", "float-squared", "conv1", "conv2", "conv3",
    "centred",
)  # fmt: skip
CENTRE_BITS = 8
KERNEL = 3  # a convolution's window is KERNEL x KERNEL,
STRIDE = 2  # and moves so far
ERROR_LIMIT = 2047  # the largest delta of a convolutional network: see conv
_START = 1  # the label of the start values' random streams


class Spec:
    """Shape, learning rule and seed: all that two machines need to make the same network.

    sizes: inputs, hidden units (a convolution's: channels)..., outputs. seed (u32): start values
    and feedback follow from it.
    """

    def __init__(self, sizes: "Sequence[int]", rule: str = "fedboard", seed: int = 1) -> None:
        if rule not in RULES:
            raise DataError(f"no learning rule '{rule}': use one of {', '.join(RULES)}")
        if not 2 <= len(sizes) <= MAX_LAYERS + 1:
            raise DataError(f"a model has 1 to {MAX_LAYERS} layers, not {len(sizes) - 1}")
        for n in sizes:
            if not 1 <= n <= MAX_UNITS:
                raise DataError(f"a layer has 1 to {MAX_UNITS} units, not {n}")
        n_conv = int(rule[4:]) if rule.startswith("conv") else 0
        self.sides: tuple[int, ...] = ()
        fans = list(sizes[:-1])
        if n_conv:
            self.sides = _sides(sizes, n_conv)
            fans = [KERNEL * KERNEL * c for c in (1,) + tuple(sizes[1:n_conv])]
            fans.append(self.sides[n_conv] * self.sides[n_conv] * sizes[n_conv])
            fans.extend(sizes[n_conv + 1 : -1])
        self.is_centred = rule == "centred"
        if self.is_centred:
            if len(sizes) < 3 or sizes[0] != sizes[1]:
                raise DataError(f"a centred model's sizes begin with the inputs, twice: {sizes}")
            fans[0] = 0
        at = [0]
        for l in range(len(fans)):
            at.append(at[-1] + (fans[l] + 1) * sizes[l + 1])
        if at[-1] > MAX_PARAMS:
            raise DataError(f"a model of {at[-1]} parameters is too large: at most {MAX_PARAMS}")
        if not 0 <= seed <= 0xFFFFFFFF:
            raise DataError(f"a model's seed is 0 to 4294967295, not {seed}")
        self.sizes = tuple(sizes)
        self.rule = rule
        self.seed = seed
        self.n_layers = len(sizes) - 1
        self.n_conv = n_conv
        self._fans = tuple(fans)
        self.n_params = at[-1]
        self._at = tuple(at)

    def at(self, l: int) -> int:
        """Where layer l begins in the parameters; at(n_layers) is their number."""
        return self._at[l]

    def shape(self, l: int) -> "tuple[int, int]":
        """(n_in, n_out) of layer l."""
        return self._fans[l], self.sizes[l + 1]

    def n_layer_params(self, l: int) -> int:
        return self._at[l + 1] - self._at[l]

    def dense(self) -> "Spec":
        """The layers behind a centred model's first one, at their places in its parameters."""
        if not self.is_centred:
            return self
        part = Spec(self.sizes[1:], "fedboard", self.seed)
        part._at = self._at[1:]
        part.n_params = self.n_params
        return part

    @property
    def is_float(self) -> bool:
        """The board computes in floats (mlp); these int16 are then its parameters' wire image."""
        return self.rule.startswith("float")

    @property
    def image_bytes(self) -> int:
        """What a network of convolutions needs for one image's activations, deltas and sums."""
        n = 0
        most = 0
        for l in range(self.n_conv):
            n_units = self.sides[l + 1] * self.sides[l + 1] * self.sizes[l + 1]
            n += 3 * n_units
            most = max(most, n_units)
        return n + 4 * most

    def limit(self, l: int) -> int:
        """The largest magnitude of a parameter of layer l: int32 sums then cannot overflow."""
        if self.is_float:
            return 32767
        if not self._fans[l]:
            return 127 << CENTRE_BITS
        # What a bias is multiplied by when it enters the accumulator: 128 is 1.0 to "fedboard".
        scale = 1 if self.rule == "tifed" else 128
        limit = min(32767, (0x7FFFFFFF - 32767 * scale) // (128 * self._fans[l]))
        if self.n_conv and l:  # sums of deltas that go back cannot overflow, either
            limit = min(limit, 0x7FFFFFFF // (ERROR_LIMIT * self.sizes[l + 1]))
        return limit

    def pack(self) -> bytes:
        data = bytearray((_VERSION, RULES.index(self.rule), self.n_layers))
        for k in range(4):
            data.append((self.seed >> (8 * k)) & 0xFF)
        for n in self.sizes:
            data.append(n & 0xFF)
            data.append(n >> 8)
        return bytes(data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and self.pack() == other.pack()

    def __hash__(self) -> int:
        return hash(self.pack())

    def __str__(self) -> str:
        sizes = self.sizes[1:] if self.is_centred else self.sizes  # as people say it
        return "-".join([str(n) for n in sizes]) + " " + self.rule

    def check(self, params: "Sequence[int]") -> None:
        """Raise StateError unless the buffer is as long as this model."""
        if len(params) != self.n_params:
            raise StateError(f"{self} has {self.n_params} parameters, the buffer {len(params)}")

    def start_digest(self) -> "Any":
        """A SHA-256 object that has seen the spec: update() it with the parameters in order."""
        h = auth.sha256()
        h.update(self.pack())
        return h

    def digest(self, params: "array[int]") -> bytes:
        """8 bytes that name this model with these parameters (little endian, as on every board)."""
        self.check(params)
        h = self.start_digest()
        h.update(params)  # through the buffer protocol: no copy
        d: bytes = h.digest()[:DIGEST_BYTES]
        return d


def _sides(sizes: "Sequence[int]", n_conv: int) -> "tuple[int, ...]":
    """The sides of the images that the convolutions read, and of the last one's. Or DataError."""
    if len(sizes) < n_conv + 2:
        raise DataError(f"{n_conv} convolutions need a dense layer behind: sizes are too few")
    side = prng.isqrt(sizes[0])
    sides = [side]
    for _ in range(n_conv):
        side = (side - KERNEL) // STRIDE + 1
        sides.append(side)
    if sides[0] * sides[0] != sizes[0] or sides[n_conv - 1] < KERNEL:
        raise DataError(f"{sizes[0]} inputs are no square image for {n_conv} convolutions")
    return tuple(sides)


def with_centre(sizes: "Sequence[int]", rule: str) -> "tuple[int, ...]":
    """A Spec's sizes of what a person calls a model's layers: "centred" has one more."""
    return tuple(sizes[:1]) * (rule == "centred") + tuple(sizes)


def unpack_spec(data: bytes) -> Spec:
    """The Spec in `data`, which must be all of it. Raises DataError."""
    n = len(data)
    if n < 11 or data[0] != _VERSION:
        raise DataError(
            f"no model spec of version {_VERSION}: the other side is of another release"
        )
    if data[1] >= len(RULES) or not 1 <= data[2] <= MAX_LAYERS or n != 9 + 2 * data[2]:
        raise DataError("a model spec that is damaged or of a newer release")
    sizes = [data[at] | data[at + 1] << 8 for at in range(7, n, 2)]
    return Spec(sizes, RULES[data[1]], int.from_bytes(data[3:7], "little"))


class _Zeros:
    """So many zeros to an array() that asks for their number first, and holds nothing itself."""

    def __init__(self, n: int) -> None:
        self._n = n

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> "Iterator[int]":
        for _ in range(self._n):
            yield 0


def zeros(typecode: str, n: int) -> "array[Any]":
    """An array of n zeros, however many."""
    # Neither from bytes nor by extend(): a board has no room for a copy, not even for a moment.
    return array(typecode, _Zeros(n))


def new_block(n: int) -> "array[int]":
    """An array('h') of n <= 32768 numbers, whatever they are: to be filled."""
    return array("h", range(n))  # as zeros() without a copy, and sooner


def new_params(spec: Spec) -> "array[int]":
    """A zeroed buffer for the spec's parameters."""
    return zeros("h", spec.n_params)


def init_params(spec: Spec, params: "array[int]") -> None:
    """Start values. "tifed": zeros; others: uniform ±sqrt(3 / n_in) at 12 fractional bits.

    "conv...": ±sqrt(6 / n_in) at 14 bits, a quarter of that in the first layer, so that activations
    have room; the last layer is zero.
    """
    spec.check(params)
    for i in range(spec.n_params):
        params[i] = 0
    if spec.rule == "tifed":
        return
    for l in range(spec.is_centred, spec.n_layers - (spec.n_conv > 0)):
        n_in, n_out = spec.shape(l)
        bound = prng.isqrt((3 << 24) // n_in)  # at most 7094: 2 * bound + 1 suits below()
        if spec.n_conv:
            bound = min(8191, prng.isqrt((6 << 28 if l else 6 << 24) // n_in))
        rng = prng.Xorshift(prng.mix(spec.seed, _START, l))
        at = spec.at(l)
        for i in range(at, at + n_in * n_out):
            params[i] = rng.below(2 * bound + 1) - bound
