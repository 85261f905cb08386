"""The golden vectors of rule "centred", for golden.py: from tools/reference, as all others."""

from __future__ import annotations

from collections.abc import Iterator

from reference import learning
from reference.notation import numbers, shown, sizes_of


def centred_cases() -> Iterator[str]:
    """The mean of the first samples, measured; then all of them, learned."""
    for sizes, n_first, n, batch, layers, rate, x in (
        ("5-5-3", 7, 40, 1, 2, 8, "rand:81:200:-127:127"),
        ("6-6-5-3", 1, 60, 4, 6, 6, "rand:82:360:20:127"),
        ("16-16-12-5", 33, 99, 16, 6, 7, "rand:83:1584:-128:-60"),
        ("16-16-12-5", 99, 99, 5, 4, 8, "fill:1584:-128"),
        ("60-60-24-3", 36, 108, 1, 6, 8, "rand:84:6480:-40:127"),
    ):  # fmt: skip
        net = learning.Net(sizes_of(sizes), "centred", seed=5)
        inputs = numbers(x).reshape(n, net.sizes[0])
        labels = numbers(f"rand:{n}:{n}:0:{net.sizes[-1] - 1}")
        net.measure(inputs[:n_first])
        trained = [l for l in range(net.last + 1) if layers >> 1 >> l & 1]
        n_correct = 0
        for at in range(0, n, batch):
            these = slice(at, min(at + batch, n))
            logits = net.logits(inputs[these])
            n_correct += int((logits.argmax(1) == labels[these]).sum())
            net.step(inputs[these], labels[these], trained, rate)
        said = f"centred {sizes} 5 {n_first} {n} {batch} {layers} {rate} {x}"
        results = [shown(net.mean), shown(net.flat()), f"{n_correct}", shown(logits[-1])]
        yield f"{said} = {' '.join(results)}"
