"""The host's end of changes: what boards' updates say, and how to tell boards of a new model.

    parse_update    update.Update's stream to indices and values
    toward          the next model, with only the largest changes applied
    encode_delta    the way from one model to the next, for rebase.Rebase
    encode          a stream of parts at once, see sparse

Boards need none of it, and do not load it.
"""

from array import array

from fedboard import WireError, sparse, update
from fedboard.base import MemoryBase
from fedboard.rebase import DENSE, SPARSE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fedboard.model import Spec


def parse_update(
    spec: "Spec", layers: int, meta: bytes, data: bytes
) -> "list[tuple[int, array[int], array[int]]]":
    """What an update says, a (layer, indices, values) for each of its layers.

    Indices count from the layer's first parameter; values have the scale applied; both array('i').
    Raises WireError for anything but a whole update of just these layers.
    """
    parts = sparse.unpack_meta(spec, meta)
    if meta[0] != layers:
        raise WireError(f"update of layers 0x{meta[0]:02x} where 0x{layers:02x} were trained")
    if not sparse.min_bytes(parts) <= len(data) <= sparse.max_bytes(parts):
        raise WireError(f"update of {len(data)} bytes: its head says otherwise")
    found = [(p.layer, array("i"), array("i")) for p in parts]
    decoder = sparse.Decoder(parts)
    decoder.feed(data)
    at = 0
    while decoder.next():
        while decoder.part is not parts[at]:
            at += 1
        found[at][1].append(decoder.index)
        found[at][2].append(decoder.value)
    decoder.finish()
    return found


def toward(
    spec: "Spec", old: "array[int]", new: "array[int]", top_permille: int, bits: int
) -> "array[int]":
    """The model that boards get next: `old` with only the largest changes to `new` applied.

    All that is left out stays in the host's exact sum, so it comes in a later round; what boards
    receive (encode_delta) then is as small as what they send. Returns new parameters.
    """
    layers = (1 << spec.n_layers) - 1
    base = MemoryBase()
    base.begin(spec.pack())
    base.write(old)
    base.commit(1, b"")
    change = update.Update(spec, new, base, layers, top_permille, bits)
    change.prepare()
    result = array("h", old)
    stream = b"".join(change.chunks())
    for l, indices, values in parse_update(spec, layers, change.meta(), stream):
        limit = spec.limit(l)
        for n in range(len(indices)):
            i = spec.at(l) + indices[n]
            value = result[i] + values[n]
            result[i] = -limit if value < -limit else limit if value > limit else value
    return result


def encode_delta(
    spec: "Spec", old: "array[int] | None", new: "array[int]"
) -> "tuple[int, bytes, bytes]":
    """(encoding, meta, data) that takes a board from `old` to `new`, whichever is smaller.

    old None: the board has no base.
    """
    dense = bytes(new)
    if old is None:
        return DENSE, b"", dense
    spec.check(old)
    spec.check(new)
    stream = []
    for l in range(spec.n_layers):
        at = spec.at(l)
        n = spec.n_layer_params(l)
        changes = [new[i] - old[i] for i in range(at, at + n)]
        changed = [i for i in range(n) if changes[i]]
        if not changed:
            continue
        shift = 0
        while not any(change >> shift & 1 for change in changes):
            shift += 1  # what toward() made are small multiples of a power of two
        lowest = min(changes) >> shift
        highest = max(changes) >> shift
        bits = 1
        while 1 << bits - 1 < max(highest, -lowest):
            bits += 1
        part = sparse.Part(l, at, n, len(changed), bits, shift)
        whole = sparse.Part(l, at, n, n, bits + (highest == 1 << bits - 1), shift, True)
        if whole.n_bits() < part.n_bits() + part.n_gap_bits():
            part = whole
            changed = list(range(n))
        stream.append((part, changed, [changes[i] >> shift for i in changed]))
    meta = sparse.pack_meta([part for part, _, _ in stream])
    data = encode(stream)
    if len(meta) + len(data) >= len(dense):
        return DENSE, b"", dense
    return SPARSE, meta, data


def encode(stream: "Iterable[tuple[sparse.Part, Sequence[int], Sequence[int]]]") -> bytes:
    """A whole stream at once, of each part's indices and coded values."""
    data = bytearray()
    encoder = sparse.Encoder(256)
    for part, indices, values in stream:
        encoder.part(part)
        k = 0
        while k < len(indices):
            at = indices[k]
            found = array("i")
            while k < len(indices) and indices[k] < at + 256:
                found.append(values[k] << 8 | indices[k] - at)
                k += 1
            encoder.add(found, len(found), at)
            while encoder.is_full():
                data.extend(encoder.take())
    encoder.finish()
    data.extend(encoder.take())
    return bytes(data)
