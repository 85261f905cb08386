"""Golden vectors' ops of frames, keys and masked updates. See golden_runner."""

from array import array
from binascii import crc32

from fedboard import auth, messages, model, wire
from golden_text import based, hexed, numbers, raw, shown, spec_of

# frames and keys


def frame(kind, seq, ack, flags, counter, payload, key, before):
    head = [int(part) for part in (kind, seq, ack, flags, counter)]
    sign = None if key == "-" else auth.Signer(raw(key)).tag
    limit = wire.MAX_FRAME
    bond = crc32(raw(before))
    data = wire.pack(head[0], head[1], head[2], head[3], head[4], raw(payload), sign, limit, bond)
    found = wire.Decoder().feed(data)
    got = wire.unpack(found[0], limit, bond)
    again = [got.kind, got.seq, got.ack, got.flags & ~wire.KEYED, got.counter]
    if len(found) != 1 or again != head or got.payload != raw(payload):
        return "cannot be read back"
    return hexed(data)


def hmac(key, data):
    return hexed(auth.hmac_sha256(raw(key), raw(data)))


def session(key, hello, hub_nonce, data):
    node, hub = auth.signers(raw(key), raw(hello), raw(hub_nonce))
    return hexed(node.tag(raw(data))) + " " + hexed(hub.tag(raw(data)))


# masked updates: boards load these modules only where updates are masked


def times(a, b):
    from fedboard import cohort

    return str(cohort.times(int(a), int(b)))


def places(sizes, layers, permille, run, round_no):
    from fedboard import mask

    spec = spec_of(sizes, "fedboard")
    return shown(list(mask.places(spec, int(layers), int(permille), int(run), int(round_no))))


def about(task, nonce, names):
    from fedboard import cohort

    told = messages.unpack(messages.Task.KIND, raw(task))
    return hexed(cohort.about(told, raw(nonce), names.split(",")))


def masked(about, key, n, own, changes):
    """All parameters of a network of as many as there are changes."""
    from fedboard import cohort, mask

    params = array("h", numbers(changes))
    names = [str(i) for i in range(int(n))]
    spec = model.Spec([len(params) - 1, 1], "fedboard")
    made = mask.MaskedUpdate(
        spec, params, based(spec, model.new_params(spec)), 1, 1000,
        cohort.Cohort(names, raw(about)), raw(key), int(own), 1, 1,
    )  # fmt: skip
    return hexed(b"".join(list(made.chunks(30))))


def opening(about, key, n, survivors, i, j):
    from fedboard import cohort

    names = [str(place) for place in range(int(n))]
    those = cohort.Cohort(names, raw(about))
    secret = raw(key)
    i = int(i)
    j = int(j)
    survivors = int(survivors)
    opener = those.opener(secret, survivors)
    sealed = cohort.seal(opener, i, j, those.seed(secret, i, j))
    return hexed(those.share(secret, survivors, i)) + " " + hexed(sealed)


OPS = {
    "frame": frame, "hmac": hmac, "session": session, "times": times, "places": places,
    "about": about, "masked": masked, "opening": opening,
}  # fmt: skip
