"""kernels' updates: a batch's inputs and deltas change a layer's parameters.

    W[j, i] -= sum over s of x[s, i] d[s, j], scaled down by RATE; rounded, and clamped to LIMIT

Arguments as in `kernels`, which tells of `layer` and offers these to callers.
"""

from array import array


def update_shift(w: "array[int]", x: "array[int]", d: "array[int]", layer: "array[int]") -> None:
    """W[j, i] -= (sum_s x[s, i] d[s, j] + half) >> RATE, half = 2**RATE // 2; changes are clamped.

    x[s, i] = x[s*N_IN + i] and d[s, j] = d[s*N_OUT + j], s < BATCH; a bias has the x BIAS_INPUT.
    """
    n_in = layer[0]
    n_out = layer[1]
    at = layer[2]
    limit = layer[4]
    rate = layer[6]
    bias_at = at + n_in * n_out
    half = (1 << rate) >> 1
    low = -limit
    for j in range(n_out):
        if not _sum_row(x, d, j, layer):
            at += n_in
            continue
        row = _row
        for i in range(n_in):
            step = row[i] + half >> rate
            if step:
                value = w[at] - step
                w[at] = low if value < low else limit if value > limit else value
            at += 1
        step = row[n_in] + half >> rate
        if step:
            value = w[bias_at + j] - step
            w[bias_at + j] = low if value < low else limit if value > limit else value


def update_one(w: "array[int]", x: "array[int]", d: "array[int]", layer: "array[int]") -> None:
    """update_shift of a single sample, whatever BATCH says: a board's most frequent step.

    It needs no sums; x has exactly N_IN elements.
    """
    n_in = layer[0]
    n_out = layer[1]
    at = layer[2]
    bias_input = layer[3]
    limit = layer[4]
    rate = layer[6]
    bias_at = at + n_in * n_out
    half = (1 << rate) >> 1
    low = -limit
    for j in range(n_out):
        factor = d[j]
        if not factor:
            at += n_in
            continue
        for value in x:
            step = value * factor + half >> rate
            if step:
                value = w[at] - step
                w[at] = low if value < low else limit if value > limit else value
            at += 1
        step = bias_input * factor + half >> rate
        if step:
            value = w[bias_at + j] - step
            w[bias_at + j] = low if value < low else limit if value > limit else value


def update_divide(w: "array[int]", x: "array[int]", d: "array[int]", layer: "array[int]") -> None:
    """W[j, i] -= sum_s x[s, i] d[s, j] // RATE (the floor); all else as update_shift."""
    n_in = layer[0]
    n_out = layer[1]
    at = layer[2]
    limit = layer[4]
    rate = layer[6]
    bias_at = at + n_in * n_out
    low = -limit
    for j in range(n_out):
        if not _sum_row(x, d, j, layer):
            at += n_in
            continue
        row = _row
        for i in range(n_in):
            step = row[i] // rate
            if step:
                value = w[at] - step
                w[at] = low if value < low else limit if value > limit else value
            at += 1
        step = row[n_in] // rate
        if step:
            value = w[bias_at + j] - step
            w[bias_at + j] = low if value < low else limit if value > limit else value


_row = array("i")  # of _sum_row, as long as the widest layer so far


def _sum_row(x: "array[int]", d: "array[int]", j: int, layer: "array[int]") -> bool:
    """_row[i] = sum_s x[s, i] d[s, j], the bias's sum behind; False, undone, if all d are 0.

    Sample by sample: most deltas of a trained network are 0, and cost nothing.
    """
    global _row
    n_in = layer[0]
    n_out = layer[1]
    bias_input = layer[3]
    if len(_row) <= n_in:
        _row = array("i", range(n_in + 1))  # bytes(...) would take the memory twice
    row = _row
    found = False
    for s in range(layer[5]):
        factor = d[j]
        j += n_out
        if factor:
            k = s * n_in
            if found:
                for i in range(n_in):
                    row[i] += x[k] * factor
                    k += 1
                row[n_in] += bias_input * factor
            else:
                found = True
                for i in range(n_in):
                    row[i] = x[k] * factor
                    k += 1
                row[n_in] = bias_input * factor
    return found
