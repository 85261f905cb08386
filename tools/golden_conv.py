"""The golden vectors of convolutions, for golden.py: from tools/reference, as all others."""

from __future__ import annotations

from collections.abc import Iterator

from reference import conv
from reference.notation import numbers, shown, sizes_of


def conv_cases() -> Iterator[str]:
    """Images are learned one by one; labels take turns."""
    for sizes, n_conv, start, layers, rate, n, x in (
        ("81-4-5", 1, "start", 3, 7, 12, "rand:121:972:0:127"),
        ("81-4-6-5", 1, "rand:122:465:-3000:3000", 7, 4, 20, "rand:123:1620:0:127"),
        ("81-4-6-5-3", 2, "rand:124:315:-5000:5000", 15, 3, 20, "rand:125:1620:-128:127"),
        ("225-3-4-5-6-5", 3, "rand:126:398:-6000:6000", 31, 4, 12, "rand:127:2700:0:127"),
        ("225-3-4-5-6-5", 3, "rand:126:398:-6000:6000", 9, 4, 8, "rand:127:1800:0:127"),
        ("225-3-4-5-6-5", 3, "rand:126:398:-6000:6000", 2, 6, 6, "rand:127:1350:0:127"),
        ("81-4-6-5", 1, "fill:465:-32767", 7, 1, 4, "fill:324:-128"),  # all that can saturate
        ("81-4-6-5", 1, "fill:465:32767", 7, 1, 4, "fill:324:127"),
        ("225-2-3-5", 2, "rand:131:217:-9000:9000", 6, 6, 16, "rand:130:3600:0:127"),
        ("784-16-32-64-32-5", 3, "rand:129:31685:-1500:1500", 31, 5, 1, "rand:128:784:0:127"),
    ):
        net = conv.Net(sizes_of(sizes), n_conv, seed=5)
        if start != "start":
            net.load(numbers(start))
        trained = [l for l in range(len(net.W)) if layers >> l & 1]
        images = numbers(x).reshape(n, net.sizes[0])
        seen = []
        n_correct = losses = 0
        for i, image in enumerate(images):
            label = i % net.sizes[-1]
            logits, loss = net.step(image, label, trained, rate)
            n_correct += int(logits.argmax() == label)
            losses += loss
            if 2 * (i + 1) == n:
                seen.append(shown(net.flat()))
        said = f"convolved {sizes} conv{n_conv} 5 {start} {layers} {rate} {n} {x}"
        results = [*seen, shown(net.flat()), f"{n},{n_correct},{losses}", shown(logits)]
        yield f"{said} = {' '.join(results)}"
