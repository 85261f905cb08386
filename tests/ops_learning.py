"""Golden vectors' ops of networks that learn. See golden_runner."""

from array import array

from fedboard import dfa, messages, model, order, reptile
from golden_text import numbers, shown, spec_of

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


def jittered(samples, amount, seed, round_, op=messages.ADAPT):
    from fedboard import jitter

    task = messages.Task(op=op, seed=int(seed) & 0xFFFFFFFF, round=int(round_), jitter=int(amount))
    return jitter.Samples(samples, task) if task.jitter else samples


def jitter_of(amount, seed, round_, n_in, x):
    """TRAIN's samples, read in their order."""
    inputs = numbers(x)
    n_in = int(n_in)
    samples = jittered(
        Samples(inputs, [0] * (len(inputs) // n_in), n_in), amount, seed, round_, messages.TRAIN
    )
    buffer = array("b", bytes(n_in))
    seen = []
    for i in range(len(samples)):
        samples.read(i, buffer)
        seen += list(buffer)
    return shown(seen)


def adapt(sizes, rule, rate, n_samples, n, local, n_local, x, seed, amount=0):
    spec = spec_of(sizes, rule, 5)
    params = model.new_params(spec)
    model.init_params(spec, params)
    net = dfa.Network(spec, params, 1, 0, int(rate))
    labels = numbers(f"rand:{n_samples}:{n_samples}:0:{spec.sizes[-1] - 1}")
    samples = jittered(Samples(numbers(x), labels, spec.sizes[0]), amount, seed, 7)
    few = reptile.FewShot(net, reptile.Start(array("h", params)), int(local))
    buffer = array("b", bytes(spec.sizes[0]))
    for _ in few.adapt(samples, buffer, int(n), int(n_local), int(seed)):
        pass
    return shown(params)


OPS = {
    "learn": learn, "convolved": convolved, "centred": centred, "order": ordered, "linear": linear,
    "step": outer_step, "adapt": adapt, "jitter": jitter_of,
}  # fmt: skip
