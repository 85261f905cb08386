"""The golden vectors of the kernels: see golden.

A record: n_in, n_out, at, bias input, limit, batch, rate.
"""

from __future__ import annotations

from collections.abc import Iterator

from reference import kernels
from reference.notation import numbers, shown


def kernel_cases() -> Iterator[str]:
    for record, x, w in (
        ("5,3,0,1,32767,1,1", "rand:1:5:-128:127", "rand:2:18:-32767:32767"),
        ("5,3,7,128,32767,1,1", "rand:3:5:-128:127", "rand:4:25:-32767:32767"),
        ("64,32,0,128,32767,1,1", "rand:5:64:0:127", "rand:6:2080:-4000:4000"),
        ("784,20,11,-1,21399,1,1", "rand:7:784:-128:127", "rand:8:15711:-21399:21399"),
        ("784,2,0,1,21399,1,1", "fill:784:-128", "fill:1570:-21399"),  # the largest sums there are
        ("784,2,0,1,21399,1,1", "fill:784:-128", "fill:1570:21399"),
        ("4096,2,0,128,4087,1,1", "fill:4096:-128", "fill:8194:-4087"),
        ("4096,2,0,128,4087,1,1", "fill:4096:-128", "fill:8194:4087"),
        ("511,3,0,128,32767,1,1", "fill:511:-128", "fill:1536:-32767"),
    ):
        acc = kernels.forward(numbers(record).tolist(), numbers(x), numbers(w))
        yield f"forward {record} {x} {w} = {shown(acc)}"

    edges = "0,1,-1,4095,4096,-4096,-4097,520191,520192,524288,2147483647,-2147483648"
    made = numbers(edges)[:10]  # as x = 1 and a bias make them
    joints = ",".join(map(str, [*(made % 128).tolist(), *(made // 128).tolist()]))
    for record, x, w in (
        ("1,10,0,128,32767,1,1", "1", joints),
        ("64,32,3,128,32767,1,1", "rand:5:64:0:127", "rand:6:2083:-4000:4000"),
        ("5,3,7,128,32767,1,1", "rand:3:5:-128:127", "rand:4:25:-32767:32767"),
        ("511,3,0,128,32767,1,1", "fill:511:-128", "fill:1536:-32767"),
        ("511,3,0,128,32767,1,1", "fill:511:127", "fill:1536:-32767"),
    ):
        result = kernels.forward_relu(numbers(record).tolist(), numbers(x), numbers(w))
        yield f"forward_relu {record} {x} {w} = {shown(result)}"
    steps = [m * 256 for v in (0, 31, 32, 74, 75, 127, 128, 200) for m in (v, v + 1, -v, -v - 1)]
    text = ",".join(map(str, steps))
    for n_in, sign in ((1, 1), (1, -1)):
        yield from _activations("activate_tanh", f"{n_in},32,0,{sign},32767,1,1", text)
    nearly = ",".join(
        str(768 * v + off) for v in (-128, -75, -32, -1, 32, 75) for off in (-1, 0, 1)
    )
    for sign in (1, -1):
        yield from _activations("activate_tanh", f"3,18,0,{sign},32767,1,1", nearly)
        record = f"200,400,0,{sign},32767,1,1"
        yield from _activations("activate_tanh", record, "rand:10:400:-9000000:9000000")

    for out in (edges, "-9000,4099,-1,8191,4096", "5000,5001", "rand:37:40:-2147483648:2147483647"):
        logits, found = kernels.output_shift(numbers(out))
        yield f"output_shift {out} = {shown(logits)} {found}"
    for out in (
        "0,0,0", "5,5,5,5,5,5,5,5,5,5", "100,0,-100", "-40,-41,-39", "831,832,0",
        "64,0,0,0,0,0,0,0,0,0", "524287,-524288,0", "rand:38:10:-200:200",
        "rand:39:10:-900:900", "rand:40:200:0:30", "7",
    ):  # fmt: skip
        for label in sorted({0, len(numbers(out)) - 1}):
            errors, loss = kernels.errors_softmax(numbers(out), label)
            yield f"errors_softmax {out} {label} = {shown(errors)} {loss}"

    for record, deltas, w in (
        ("5,3,0,128,32767,1,1", "7,0,-9", "rand:11:18:-32767:32767"),
        ("200,10,6,128,32767,1,1", "rand:12:10:-128:127", "rand:13:2016:-32767:32767"),
        ("2,5,0,128,32767,1,1", "fill:5:13107", "fill:15:-32767"),  # the largest sums there are
        ("2,5,0,128,32767,1,1", "fill:5:-13107", "fill:15:-32767"),
    ):
        layer = numbers(record).tolist()
        result = kernels.backward(layer, numbers(deltas), numbers(w))
        yield f"backward {record} {deltas} {w} = {shown(result)}"
    for record, sums, a in (
        ("9,8,0,128,1,1,1", "255,256,-256,-257,767,-768,2147385345,-2147385345", "fill:8:1"),
        ("9,8,0,128,1,1,1", "255,256,-256,-257,767,-768,2147385345,9", "1,0,126,0,127,0,127,1"),
        ("9,200,0,128,1,1,1", "rand:15:200:-300000:300000", "rand:15:200:0:127"),
        ("9,1,0,128,1,1,1", "-2147385345", "1"),
    ):
        layer = numbers(record).tolist()
        result = kernels.gate(layer, numbers(sums), numbers(a))
        yield f"gate {record} {sums} {a} = {shown(result)}"
    for record, e, b, d in (
        ("9,6,0,1,1,1,1", "rand:16:4:-143:128", "rand:17:24:-43:42", "1,2,8,128,1,2"),
        ("9,6,0,-1,1,1,1", "rand:16:4:-143:128", "rand:17:24:-43:42", "1,2,8,128,1,2"),
        ("9,200,0,-1,1,1,1", "rand:18:10:-143:128", "rand:19:2000:-43:42", "rand:20:200:1:128"),
        ("9,5,0,1,1,1,1", "fill:10:-32767", "fill:50:43", "fill:5:1"),
    ):
        layer = numbers(record).tolist()
        result = kernels.feedback_divide(layer, numbers(e), numbers(b), numbers(d))
        yield f"feedback_divide {record} {e} {b} {d} = {shown(result)}"

    for name, rates in (("update_shift", (0, 1, 8, 28)), ("update_divide", (1, 7, 2048, 32767))):
        for rate in rates:
            yield from _updates(name, rate)

    for block, a, b in (
        ("0,6,-1", "0,5,-300,32767,-32768,255", "0,7,-44,-32768,32767,-1"),
        ("0,6,0", "0,5,-300,32767,-32768,255", "0,7,-44,-32768,32767,-1"),
        ("0,6,255", "0,5,-300,32767,-32768,255", "0,7,-44,-32768,32767,-1"),
        ("30,128,-1", "rand:31:200:-32767:32767", "rand:32:128:-32767:32767"),
        ("30,128,0", "rand:33:200:-200:200", "rand:34:128:-100:100"),
        ("72,128,1", "rand:33:200:-900:900", "rand:34:128:-100:100"),
    ):
        counts = kernels.histogram(numbers(block).tolist(), numbers(a), numbers(b))
        yield f"histogram {block} {a} {b} = {shown(counts)}"


def _activations(name: str, record: str, acc: str) -> Iterator[str]:
    a, d = getattr(kernels, name)(numbers(record).tolist(), numbers(acc))
    yield f"{name} {record} {acc} = {shown(a)} {shown(d)}"


def _updates(name: str, rate: int) -> Iterator[str]:
    """Small, offset, over several samples, against the limit, and the largest sums there are."""
    for record, w, x, d in (
        (f"3,2,0,128,32767,1,{rate}", "rand:21:8:-99:99", "rand:22:3:-128:127", "rand:23:2:-9:9"),
        (f"6,5,9,-1,900,4,{rate}", "rand:24:50:-900:900", "rand:25:24:-128:127", "rand:26:20:-9:9"),
        (f"3,2,0,128,32767,2,{rate}", "rand:21:8:-99:99", "rand:22:6:-128:127", "0,5,0,-7"),
        (f"40,30,0,1,32767,25,{rate}", "rand:27:1230:-9999:9999", "rand:28:1000:-128:127",
         "rand:29:750:-300:300"),
        (f"2,2,0,128,32767,255,{rate}", "fill:6:32767", "fill:510:-128", "fill:510:32767"),
        (f"2,2,0,128,32767,255,{rate}", "fill:6:-32767", "fill:510:-128", "fill:510:-32767"),
    ):  # fmt: skip
        result = getattr(kernels, name)(numbers(record).tolist(), *map(numbers, (w, x, d)))
        yield f"{name} {record} {w} {x} {d} = {shown(result)}"
