"""kernels' share in an update to the host: find the largest changes of parameters a to a base b.

`kernels` offers these to callers. a, b: array('h').
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


def pick(a: "array[int]", b: "array[int]", found: bytearray, block: "array[int]") -> int:
    """The i < n <= 256, in order, with |a[at + i] - b[i]| >= least, into found; how many they are.

    block = array('i', [at, n, least]).
    """
    at = block[0]
    least = block[2]
    n = 0
    for i in range(block[1]):
        m = a[at] - b[i]
        at += 1
        if m >= least or -m >= least:
            found[n] = i
            n += 1
    return n
