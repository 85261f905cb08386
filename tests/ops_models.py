"""Golden vectors' ops of models, updates and deltas. See golden_runner."""

from array import array

from fedboard import checkpoint, model, rebase, sparse, update
from fedboard.delta import encode_delta, parse_update
from golden_text import based, hexed, numbers, shown, spec_of

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


OPS = {
    "spec": spec, "limits": limits, "start": start, "checkpoint": saved, "rice": rice,
    "changes": changes, "delta": delta,
}  # fmt: skip
