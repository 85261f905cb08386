"""kernels' share in an update to the host: the largest changes of parameters a to a base b, coded.

`kernels` offers these to callers. a, b: array('h'). An entry is value << 8 | place in one array('i'):
pick() makes them of a block of up to 256 parameters, encode() makes bits of them (see sparse).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array


def histogram(a: "array[int]", b: "array[int]", counts: "array[int]", block: "array[int]") -> None:
    """Count magnitudes m = |a[at + i] - b[i]| <= 65535, i < n; block = array('i', [at, n, high]).

    counts is an array('i') of 256, added to: with high < 0 the high bytes m >> 8 are counted; else
    the low bytes of those m whose high byte is `high`. So two passes find any threshold exactly.
    """
    at = block[0]
    high = block[2]
    for i in range(block[1]):
        m = a[at] - b[i]
        at += 1
        if m < 0:
            m = -m
        if high < 0:
            counts[m >> 8] += 1
        elif m >> 8 == high:
            counts[m & 255] += 1


def pick(a: "array[int]", b: "array[int]", found: "array[int]", block: "array[int]") -> int:
    """Entries for the i < N, in order, with m = |a[AT + i] - b[i]| >= LEAST, into found; their number.

    A value has the change's sign and the magnitude (m + half) >> SHIFT, half = 2**SHIFT // 2, in
    [LOW, TOP]. block: AT, N, LEAST, N_LEAST (how many may be of just LEAST), LEFT (how many entries
    at most), SHIFT, LOW, TOP; N_LEAST and LEFT are counted down.
    """
    at = block[0]
    least = block[2]
    n_least = block[3]
    left = block[4]
    shift = block[5]
    low = block[6]
    top = block[7]
    half = 1 << shift >> 1
    n = 0
    for i in range(block[1]):
        change = a[at] - b[i]
        at += 1
        m = -change if change < 0 else change
        if m < least:
            continue
        if not left:
            break
        if m == least:
            if not n_least:
                continue
            n_least -= 1
        left -= 1
        m = m + half >> shift
        m = low if m < low else top if m > top else m
        found[n] = (-m if change < 0 else m) << 8 | i
        n += 1
    block[3] = n_least
    block[4] = left
    return n


def encode(found: "array[int]", out: bytearray, state: "array[int]") -> None:
    """The bits of entries I to N behind those in `out`, until they are done or `out` is full.

    0 I  1 N       counted up; of found
    2 R  3 BITS    of a gap (-1: there are none) and of a value; see sparse
    4 DENSE        1: two's complement
    5 NEXT         a place that would have no gap; it may be before the block, so below 0
    6 AT  7 END    bytes in out; it is full from END on, but must have room for 8 more
    8 ACC  9 HELD  the bits of the next byte, and how many
    """
    i = state[0]
    r = state[2]
    bits = state[3]
    following = state[5]
    at = state[6]
    acc = state[8]
    held = state[9]
    mask = (1 << bits) - 1
    while i < state[1] and at < state[7]:
        if r >= 0:
            gap = (found[i] & 255) - following
            if held + (gap >> r) >= 8:  # a byte full of zeros; then once more
                following += 8 - held << r
                out[at] = acc
                at += 1
                acc = held = 0
                continue
            held += gap >> r
            acc |= (1 | (gap & ((1 << r) - 1)) << 1) << held
            held += 1 + r
            following = (found[i] & 255) + 1
            while held >= 8:
                out[at] = acc & 255
                at += 1
                acc >>= 8
                held -= 8
        value = found[i] >> 8
        i += 1
        if state[4]:
            value &= mask
        else:
            value = -2 * value - 1 if value < 0 else 2 * value - 2
        acc |= value << held
        held += bits
        while held >= 8:
            out[at] = acc & 255
            at += 1
            acc >>= 8
            held -= 8
    state[0] = i
    state[5] = following
    state[6] = at
    state[8] = acc
    state[9] = held
