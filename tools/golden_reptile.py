"""The golden vectors of meta-learning in integers: see golden."""

from __future__ import annotations

from collections.abc import Iterator

from reference import learning, reptile
from reference.notation import numbers, shown, sizes_of


def reptile_cases() -> Iterator[str]:
    for n, seed in ((1, 1), (2, 3), (7, 1), (50, 9), (50, 10), (1000, 2**32 - 1), (20000, 77)):
        yield f"order {n} {seed} = {shown(reptile.order(n, seed))}"
    for first, last, t, n in (
        (4096, 0, 0, 4), (4096, 0, 3, 4), (4096, 0, 9, 4), (100, 10, 33, 100), (6, 9, 1, 2),
        (1000, 100, 999, 1000), (2, 5, 1, 7),
    ):  # fmt: skip
        yield f"linear {first} {last} {t} {n} = {reptile.linear(first, last, t, n)}"
    for phi, tuned, rest, alpha, limit in (
        ("0,1,-1,10,-10", "3,-2,0,13,-13", "0,4095,1,2048,7", 4, 32767),
        ("rand:111:300:-20000:20000", "rand:112:300:-20000:20000", "rand:113:300:0:4095", 1, 32767),
        ("rand:114:300:-900:900", "rand:115:300:-900:900", "rand:116:300:0:4095", 1229, 32767),
        ("rand:117:300:-32767:32767", "rand:118:300:-32767:32767", "fill:300:0", 4096, 20000),
        ("fill:20:32767", "fill:20:-32767", "fill:20:4095", 4096, 32767),
        ("fill:20:-20000", "fill:20:-32767", "fill:20:0", 4000, 21000),
    ):
        moved, owed = reptile.step(numbers(phi), numbers(tuned), numbers(rest), alpha, limit)
        yield f"step {phi} {tuned} {rest} {alpha} {limit} = {shown(moved)} {shown(owed)}"
    for amount, seed, round_, n_in, x in (
        (1, 1, 0, 5, "0,1,-1,126,127,-126,-127,-128,60,-60"),
        (28, 4, 3, 7, "rand:124:350:-128:127"),
        (127, 2**32 - 1, 2**32 - 1, 60, "rand:125:600:-128:127"),
        (127, 0, 9, 3, "fill:300:-128"),
        (28, 9, 9, 1, "fill:300:127"),
    ):
        words = reptile.jitter_words(seed, round_)
        blurred = reptile.jitter(numbers(x), amount, words)
        yield f"jitter {amount} {seed} {round_} {n_in} {x} = {shown(blurred)}"
    for sizes, rule, rate, samples, n, local, n_local, x, seed, amount in (
        ("6-5-3", "fedboard", 6, 9, 40, 0, 0, "rand:121:54:-128:127", 4, 0),
        ("6-5-3", "fedboard", 5, 9, 30, 2, 20, "rand:121:54:-128:127", 4, 0),
        ("16-12-8-5", "fedboard", 7, 25, 60, 6, 33, "rand:122:400:0:127", 2**32 - 1, 0),
        ("16-12-5", "tifed", 64, 25, 60, 1, 25, "rand:123:400:-128:127", 5, 0),
        ("6-5-3", "fedboard", 6, 9, 40, 0, 0, "rand:121:54:-128:127", 4, 28),
        ("16-12-8-5", "fedboard", 7, 25, 60, 6, 33, "rand:122:400:0:127", 2**32 - 1, 28),
        ("16-12-5", "tifed", 64, 25, 60, 1, 25, "rand:123:400:-128:127", 5, 127),
    ):
        net = learning.Net(sizes_of(sizes), rule, seed=5)
        inputs = numbers(x).reshape(samples, net.sizes[0])
        labels = numbers(f"rand:{samples}:{samples}:0:{net.sizes[-1] - 1}")
        chosen = [l for l in range(net.last + 1) if local >> l & 1]
        reptile.adapt(net, inputs, labels, rate, n, chosen, n_local, seed, amount)
        said = f"adapt {sizes} {rule} {rate} {samples} {n} {local} {n_local} {x} {seed}"
        said += f" {amount}" if amount else ""
        yield f"{said} = {shown(net.flat())}"
