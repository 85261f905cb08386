"""Golden vectors' ops of random numbers, kernels and features. See golden_runner."""

from array import array

from fedboard import features, kernels, prng
from golden_text import numbers, shown

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


# features


def described(n_readings, n_axes, blocks, bands, group, floor, window):
    sizes = [int(part) for part in (n_readings, n_axes, blocks, bands, group, floor)]
    made = features.Features(*sizes)
    x = array("b", bytes(made.n_out))
    made.compute(array("h", numbers(window)), x)
    return shown(x)


def log2(v):
    return str(features.log2_16(int(v)))


OPS = {
    "xorshift": xorshift, "below": below, "shuffle": shuffle, "mix": mix, "isqrt": isqrt,
    "forward": forward, "forward_relu": forward_relu, "activate_tanh": activate_tanh,
    "output_shift": output_shift, "errors_softmax": errors_softmax, "backward": backward,
    "gate": gate, "feedback_divide": feedback_divide, "update_shift": update_shift,
    "update_divide": update_divide, "histogram": histogram, "features": described, "log2": log2,
}  # fmt: skip
