"""Computes the golden vectors with shared/fedboard, on whatever interpreter runs this file.

    golden_runner.py VECTORS.txt [BACKEND]      prints the file again, each result computed anew

A line is "op argument... = result...". What the ops and arguments mean is said in
tests/vectors/README.md; tools/golden.py writes the files from an independent reference. So the
output equals the file, byte for byte, if and only if this interpreter (with these kernels: BACKEND
is a module for kernels.use or ckernels.use) computes what the reference does. Any board can run it,
too; a case that needs more memory than it has is said to be too large.
"""

import gc
import sys
from array import array
from binascii import crc32, hexlify, unhexlify

from fedboard import (
    auth,
    checkpoint,
    ckernels,
    dfa,
    features,
    kernels,
    messages,
    model,
    order,
    prng,
    rebase,
    reptile,
    sparse,
    update,
    wire,
)  # fmt: skip
from fedboard.base import MemoryBase
from fedboard.delta import encode_delta, parse_update


def numbers(text):
    """rand:SEED:N:LOW:HIGH, fill:N:VALUE, or the numbers themselves, with commas; - is none."""
    parts = text.split(":")
    if parts[0] == "rand":
        state, n, low, high = [int(part) for part in parts[1:]]
        found = []
        for _ in range(n):
            state = (state * 1103515245 + 12345) & 0x7FFFFFFF
            found.append(low + (state >> 8) % (high - low + 1))
        return found
    if parts[0] == "fill":
        return [int(parts[2])] * int(parts[1])
    return [] if text == "-" else [int(part) for part in text.split(",")]


def shown(values):
    """Up to 16 numbers as they are, more as the CRC of their 32-bit words."""
    if len(values) > 16:
        crc = 0
        for at in range(0, len(values), 64):  # a board has no room for a copy of them all
            crc = crc32(bytes(array("i", values[at : at + 64])), crc)
        return f"crc32:{crc & 0xFFFFFFFF:08x}"
    return ",".join([str(value) for value in values]) or "-"


def raw(text):
    if text == "-":
        return b""
    parts = text.split(":")
    return bytes([int(parts[1])] * int(parts[2])) if parts[0] == "byte" else unhexlify(text)


def hexed(data):
    return hexlify(data).decode() or "-"


def spec_of(sizes, rule, seed="1"):
    return model.Spec([int(size) for size in sizes.split("-")], rule, int(seed))


def based(spec, params):
    base = MemoryBase()
    base.begin(spec.pack())
    base.write(params)
    base.commit(1, spec.digest(params))
    return base


# prng


def xorshift(seed, skip, n):
    rng = prng.Xorshift(int(seed))
    for _ in range(int(skip)):
        rng.next()
    words = []
    for _ in range(int(n)):
        rng.next()
        words.append(f"{rng.hi:04x}{rng.lo:04x}")
    return " ".join(words)


def below(seed, n, count):
    rng = prng.Xorshift(int(seed))
    return shown([rng.below(int(n)) for _ in range(int(count))])


def shuffle(seed, n):
    items = array("i", range(int(n)))
    prng.Xorshift(int(seed)).shuffle(items)
    return shown(items)


def mix(*parts):
    seed = prng.mix(*[int(part) for part in parts])
    return f"{seed >> 16:04x}{seed & 0xFFFF:04x}"


def isqrt(n):
    return str(prng.isqrt(int(n)))


# kernels: RECORD is a layer's array('i'), its n_in first and its n_out second


def forward(record, x, w):
    layer = array("i", numbers(record))
    acc = array("i", bytes(4 * layer[1]))
    kernels.forward(array("b", numbers(x)), array("h", numbers(w)), acc, layer)
    return shown(acc)


def forward_relu(record, x, w):
    layer = array("i", numbers(record))
    a = array("b", bytes(layer[1]))
    kernels.forward_relu(array("b", numbers(x)), array("h", numbers(w)), a, layer)
    return shown(a)


def activate_tanh(record, acc):
    layer = array("i", numbers(record))
    a = array("b", bytes(layer[1]))
    d = array("h", bytes(2 * layer[1]))
    kernels.activate_tanh(array("i", numbers(acc)), a, d, layer)
    return shown(a) + " " + shown(d)


def layer_of(n_out):
    return array("i", (1, n_out, 0, 128, 1, 1, 1))


def output_shift(out):
    logits = array("i", numbers(out))
    found = kernels.output_shift(logits, layer_of(len(logits)))
    return f"{shown(logits)} {found}"


def errors_softmax(out, label):
    logits = array("i", numbers(out))
    e = array("h", bytes(2 * len(logits)))
    loss = kernels.errors_softmax(logits, e, int(label), layer_of(len(logits)))
    return f"{shown(e)} {loss}"


def backward(record, d, w):
    layer = array("i", numbers(record))
    acc = array("i", [9] * layer[0])
    kernels.backward(array("h", numbers(d)), array("h", numbers(w)), acc, layer)
    return shown(acc)


def gate(record, acc, a):
    layer = array("i", numbers(record))
    deltas = array("h", [9] * layer[1])
    kernels.gate(array("i", numbers(acc)), array("b", numbers(a)), deltas, layer)
    return shown(deltas)


def feedback_divide(record, e, b, d):
    deltas = array("h", numbers(d))
    layer = array("i", numbers(record))
    kernels.feedback_divide(array("h", numbers(e)), array("h", numbers(b)), deltas, layer)
    return shown(deltas)


def step(kernel, record, w, x, d):
    params = array("h", numbers(w))
    kernel(params, array("b", numbers(x)), array("h", numbers(d)), array("i", numbers(record)))
    return shown(params)


def update_shift(record, w, x, d):
    found = step(kernels.update_shift, record, w, x, d)
    if record.split(",")[5] == "1" and step(kernels.update_one, record, w, x, d) != found:
        return "update_one differs"
    return found


def update_divide(record, w, x, d):
    return step(kernels.update_divide, record, w, x, d)


def histogram(block, a, b):
    counts = array("i", bytes(1024))
    kernels.histogram(
        array("h", numbers(a)), array("h", numbers(b)), counts, array("i", numbers(block))
    )
    return shown(counts)


# dfa


def learn(sizes, rule, seed, begin, batch, layers, rate, n, every, x):
    made = spec_of(sizes, rule, seed)
    params = model.new_params(made)
    if begin == "start":
        model.init_params(made, params)
    else:
        params = array("h", numbers(begin))
    net = dfa.Network(made, params, int(batch), int(layers), int(rate))
    n = int(n)
    inputs = array("b", numbers(x))
    labels = numbers(f"rand:{n}:{n}:0:{made.sizes[-1] - 1}")
    n_in = made.sizes[0]
    seen = []
    for i in range(n):
        net.learn(inputs[i * n_in : (i + 1) * n_in], labels[i])
        if (i + 1) % int(every) == 0:
            seen.append(shown(params))
    net.flush()
    seen.append(shown(params))
    return " ".join(seen) + f" {net.n_seen},{net.n_correct},{net.loss_sum} {shown(net.out)}"


# model


def spec(*arguments):
    return hexed(spec_of(*arguments).pack())


def limits(sizes, rule):
    made = spec_of(sizes, rule)
    return shown([made.limit(l) for l in range(made.n_layers)])


def start(*arguments):
    made = spec_of(*arguments)
    params = model.new_params(made)
    model.init_params(made, params)
    return shown(params) + " " + hexed(made.digest(params))


def saved(sizes, rule, seed, version, values):
    made = spec_of(sizes, rule, seed)
    params = array("h", numbers(values))
    data = bytearray()
    checkpoint.write_checkpoint(lambda block: data.extend(bytes(block)), made, int(version), params)
    at = [0]

    def read(n):
        at[0] += n
        return bytes(data[at[0] - n : at[0]])

    same = checkpoint.read_checkpoint(read) == (made, int(version), params)
    return hexed(data) if same else "cannot be read back"


# sparse


def rice(n, k):
    return str(sparse.rice_parameter(int(n), int(k)))


def changes(sizes, rule, new, old, layers, top_permille, bits):
    made = spec_of(sizes, rule)
    params = array("h", numbers(new))
    base = based(made, array("h", numbers(old)))
    sent = update.Update(made, params, base, int(layers), int(top_permille), int(bits))
    sent.prepare()
    meta = sent.meta()
    stream = b"".join(sent.chunks(7))
    found = []
    for l, indices, values in parse_update(made, int(layers), meta, stream):
        for i in range(len(indices)):
            found += [l, indices[i], values[i]]
    sent.settle()
    return f"{hexed(meta)} {hexed(stream)} {shown(found)} {shown(params)}"


def delta(sizes, rule, old, new, local):
    made = spec_of(sizes, rule)
    before = array("h", numbers(old))
    after = array("h", numbers(new))
    params = array("h", numbers(local))
    encoding, meta, data = encode_delta(made, before, after)
    base = based(made, before)
    taken = rebase.Rebase(
        made, params, base, encoding, meta, len(data), 2, made.digest(after), True
    )
    for at in range(0, len(data), 5):
        taken.feed(data[at : at + 5])
    taken.finish()
    shortened = hexed(data) if encoding else "-"  # dense: the parameters as they are
    return f"{encoding} {hexed(meta)} {shortened} {shown(params)}"


# frames and keys


def frame(kind, seq, ack, flags, counter, payload, key):
    head = [int(part) for part in (kind, seq, ack, flags, counter)]
    sign = None if key == "-" else auth.Signer(raw(key)).tag
    data = wire.pack(head[0], head[1], head[2], head[3], head[4], raw(payload), sign)
    found = wire.Decoder().feed(data)
    got = wire.unpack(found[0])
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


# features


def described(n_readings, n_axes, blocks, bands, group, floor, window):
    sizes = [int(part) for part in (n_readings, n_axes, blocks, bands, group, floor)]
    made = features.Features(*sizes)
    x = array("b", bytes(made.n_out))
    made.compute(array("h", numbers(window)), x)
    return shown(x)


def log2(v):
    return str(features.log2_16(int(v)))


# convolutions


def convolved(sizes, rule, seed, begin, layers, rate, n, x):
    from fedboard import conv

    made = spec_of(sizes, rule, seed)
    params = model.new_params(made)
    if begin == "start":
        model.init_params(made, params)
    else:
        params = array("h", numbers(begin))
    net = conv.Network(made, params, 1, int(layers), int(rate))
    n = int(n)
    inputs = array("b", numbers(x))
    n_in = made.sizes[0]
    seen = []
    for i in range(n):
        net.learn(inputs[i * n_in : (i + 1) * n_in], i % made.sizes[-1])
        if 2 * (i + 1) == n:
            seen.append(shown(params))
    seen.append(shown(params))
    return " ".join(seen) + f" {net.n_seen},{net.n_correct},{net.loss_sum} {shown(net.out)}"


# centred features


def centred(sizes, seed, n_first, n, batch, layers, rate, x):
    from fedboard import centre

    made = spec_of(sizes, "centred", seed)
    params = model.new_params(made)
    model.init_params(made, params)
    net = centre.Network(made, params, 1, 1)
    n_in = made.sizes[0]
    inputs = array("b", numbers(x))
    labels = numbers(f"rand:{n}:{n}:0:{made.sizes[-1] - 1}")
    for i in range(int(n_first)):
        net.learn(inputs[i * n_in : (i + 1) * n_in], labels[i])
    net.flush()
    mean = shown(params[:n_in])
    net.configure(int(batch), int(layers), int(rate))
    net.reset_counters()
    for i in range(int(n)):
        net.learn(inputs[i * n_in : (i + 1) * n_in], labels[i])
    net.flush()
    return f"{mean} {shown(params)} {net.n_correct} {shown(net.out)}"


# meta-learning


def ordered(n, seed):
    turns = order.Order(int(n), int(seed))
    return shown([turns.next() for _ in range(int(n))])


def linear(*arguments):
    return str(reptile.linear(*[int(v) for v in arguments]))


def outer_step(phi, tuned, rest, alpha, limit):
    moved, owed = array("h", numbers(phi)), array("h", numbers(rest))
    reptile.interpolate_int(moved, array("h", numbers(tuned)), owed, int(alpha), int(limit))
    return shown(moved) + " " + shown(owed)


class Samples:
    def __init__(self, x, labels, n_in):
        self.x, self.labels, self.n_in = x, labels, n_in

    def __len__(self):
        return len(self.labels)

    def read(self, i, x):
        for k in range(self.n_in):
            x[k] = self.x[i * self.n_in + k]
        return self.labels[i]


def adapt(sizes, rule, rate, n_samples, n, local, n_local, x, seed):
    spec = spec_of(sizes, rule, 5)
    params = model.new_params(spec)
    model.init_params(spec, params)
    net = dfa.Network(spec, params, 1, 0, int(rate))
    labels = numbers(f"rand:{n_samples}:{n_samples}:0:{spec.sizes[-1] - 1}")
    samples = Samples(numbers(x), labels, spec.sizes[0])
    few = reptile.FewShot(net, reptile.Start(array("h", params)), int(local))
    buffer = array("b", bytes(spec.sizes[0]))
    for _ in few.adapt(samples, buffer, int(n), int(n_local), int(seed)):
        pass
    return shown(params)


OPS = {
    "xorshift": xorshift, "below": below, "shuffle": shuffle, "mix": mix, "isqrt": isqrt,
    "forward": forward, "forward_relu": forward_relu, "activate_tanh": activate_tanh,
    "output_shift": output_shift, "errors_softmax": errors_softmax,
    "backward": backward, "gate": gate, "feedback_divide": feedback_divide,
    "update_shift": update_shift, "update_divide": update_divide, "histogram": histogram,
    "learn": learn, "centred": centred, "convolved": convolved,
    "order": ordered, "linear": linear, "step": outer_step, "adapt": adapt,
    "spec": spec, "limits": limits, "start": start, "checkpoint": saved,
    "rice": rice, "changes": changes, "delta": delta,
    "frame": frame, "hmac": hmac, "session": session,
    "features": described, "log2": log2,
    "times": times, "places": places, "about": about, "masked": masked, "opening": opening,
}  # fmt: skip


def main(path, backend=None, every=1):
    if backend:
        __import__(backend)
        module = sys.modules[backend]
        has_frames = hasattr(module, "unstuff")
        user = wire if has_frames else ckernels if hasattr(module, "squash") else kernels
        user.use(module)
    n = 0
    with open(path) as file:
        for line in file:
            said, is_case, _ = line.rstrip("\n").partition(" = ")
            if is_case:
                n += 1
                if (n - 1) % every:
                    continue
                words = said.split(" ")
                try:
                    result = OPS[words[0]](*words[1:])
                except MemoryError:
                    result = "too large for this board"
                gc.collect()
                said += " = " + result
            print(said)


if __name__ == "__main__":
    main(*sys.argv[1:])
