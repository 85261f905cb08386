"""Writes tests/vectors/*.txt: what every interpreter and every kernel must compute, bit for bit.

    python3 tools/golden.py            write the files
    python3 tools/golden.py --check    only say whether they are up to date

Everything in them comes from tools/reference, which shares no code with the package; the cases and
their arguments are chosen here. tests/vectors/README.md says how to read a line.
"""

from __future__ import annotations

if __name__ == "__main__":
    import in_venv  # noqa: F401

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parent))

from golden_centre import centred_cases
from golden_conv import conv_cases
from golden_kernels import kernel_cases
from golden_mask import mask_cases
from golden_reptile import reptile_cases
from reference import codec, features, frames, learning, prng
from reference.notation import hexed, numbers, raw, shown, sizes_of

Ints = npt.NDArray[np.int64]
VECTORS = Path(__file__).resolve().parent.parent / "tests" / "vectors"


# Random numbers


def prng_cases() -> Iterator[str]:
    for seed in (0, 1, 2, 0x8000, 0x10000, 0x12345678, 0xFFFFFFFF, 0x100000000, 0x7FFFFFFFFFFFFFFF):
        for skip in (0, 1000):
            words = prng.stream(seed)
            for _ in range(skip):
                next(words)
            found = " ".join(f"{next(words):08x}" for _ in range(6))
            yield f"xorshift {seed} {skip} 6 = {found}"
    for n in (1, 2, 3, 10, 1000, 16383, 16384):
        for count in (12, 500):
            words = prng.stream(n + 7)
            found = shown([prng.below(words, n) for _ in range(count)])
            yield f"below {n + 7} {n} {count} = {found}"
    for n in (0, 1, 2, 5, 16, 1797, 16384):
        shuffled = prng.shuffled(prng.stream(9 + n), list(range(n)))
        yield f"shuffle {9 + n} {n} = {shown(shuffled)}"
    for parts in (
        (0,),
        (1,),
        (1, 0),
        (0, 1),
        (1, 2, 3),
        (2, 1, 3),
        (0xFFFFFFFF, 5),
        (2**40 + 1, 7),
    ):
        yield f"mix {' '.join(map(str, parts))} = {prng.mix(*parts):08x}"
    for n in (0, 1, 2, 3, 4, 8, 9, 65535, 65536, 393204, 50331648, 2**31 - 1, 2**40 - 1, 2**40):
        yield f"isqrt {n} = {prng.isqrt(n)}"


# Learning: sizes rule seed start batch layers rate samples every (a multiple of batch) x


def learning_cases() -> Iterator[str]:
    for sizes, rule, start, batch, layers, rate, n, every, x in (
        ("6-5-3", "tifed", "start", 1, 3, 64, 60, 20, "rand:41:360:-128:127"),
        ("16-12-5", "tifed", "start", 5, 3, 128, 1000, 250, "rand:42:16000:-128:127"),
        ("16-12-8-5", "tifed", "rand:43:353:-99:99", 5, 7, 16, 500, 100, "rand:44:8000:-128:127"),
        ("16-12-5", "tifed", "rand:45:269:-32767:32767", 4, 3, 1, 99, 20, "rand:46:1584:-128:127"),
        ("64-32-10", "tifed", "rand:47:2410:-999:999", 25, 1, 512, 250, 50, "rand:48:16000:-99:99"),
        ("64-32-10", "tifed", "rand:47:2410:-999:999", 25, 2, 512, 250, 50, "rand:48:16000:-99:99"),
        ("784-20-10", "tifed", "fill:15910:-21399", 5, 3, 8, 20, 5, "fill:15680:-128"),
        ("784-200-10", "tifed", "start", 4, 3, 2048, 8, 4, "rand:49:6272:-128:127"),
        ("6-5-3", "fedboard", "start", 1, 3, 8, 60, 20, "rand:51:360:-128:127"),
        ("16-12-5", "fedboard", "start", 5, 3, 8, 1000, 250, "rand:52:16000:0:127"),
        ("16-12-8-5", "fedboard", "rand:53:353:-999:999", 5, 7, 6, 500, 100, "rand:54:8000:0:127"),
        ("16-12-5", "fedboard", "rand:55:269:-32767:32767", 4, 3, 1, 99, 20, "rand:56:1584:-99:99"),
        ("64-32-10", "fedboard", "start", 8, 1, 7, 250, 48, "rand:57:16000:0:127"),
        ("64-32-10", "fedboard", "start", 8, 2, 7, 250, 48, "rand:58:16000:0:127"),
        ("784-20-10", "fedboard", "fill:15910:-21357", 5, 3, 4, 20, 5, "fill:15680:-128"),
        ("200-50-10", "fedboard", "start", 20, 3, 8, 80, 20, "rand:59:16000:0:127"),
        ("4-3", "fedboard", "start", 7, 1, 5, 100, 35, "rand:60:400:-128:127"),
    ):  # fmt: skip
        net = learning.Net(sizes_of(sizes), rule, seed=5)
        if start != "start":
            net.load(numbers(start))
        inputs = numbers(x).reshape(n, net.sizes[0])
        labels = numbers(f"rand:{n}:{n}:0:{net.sizes[-1] - 1}")
        trained = [l for l in range(net.last + 1) if layers >> l & 1]
        results = []
        n_correct = loss = 0
        for at in range(0, n, batch):
            these = slice(at, min(at + batch, n))
            logits = net.logits(inputs[these])
            n_correct += int((logits.argmax(1) == labels[these]).sum())
            loss += sum(learning.losses(rule, logits, labels[these]))
            net.step(inputs[these], labels[these], trained, rate)
            if these.stop % every == 0:
                results.append(shown(net.flat()))
        said = f"learn {sizes} {rule} 5 {start} {batch} {layers} {rate} {n} {every} {x}"
        results += [shown(net.flat()), f"{n},{n_correct},{loss}", shown(logits[-1])]
        yield f"{said} = {' '.join(results)}"
    yield from centred_cases()


# Specs, start values, checkpoints


def model_cases() -> Iterator[str]:
    for sizes, rule, seed in (
        ("1-1", "tifed", 0), ("64-32-10", "fedboard", 1), ("784-200-10", "tifed", 2048),
        ("4096-1", "fedboard", 2**32 - 1), ("2-3-4-5-6-7-8", "fedboard", 7),
        ("1-90", "fedboard", 3),
    ):  # fmt: skip
        shape = sizes_of(sizes)
        spec = codec.spec_bytes(shape, rule, seed)
        params = learning.Net(shape, rule, seed).flat()
        limits = [codec.limits(shape, rule)[part.start] for part in codec.layer_slices(shape)]
        yield f"spec {sizes} {rule} {seed} = {hexed(spec)}"
        yield f"limits {sizes} {rule} = {shown(limits)}"
        digest = hexed(codec.digest(spec, params))
        yield f"start {sizes} {rule} {seed} = {shown(params)} {digest}"
    for sizes, rule, seed, version, values in (
        ("2-2", "tifed", 1, 0, "0,1,-1,32767,-32768,256"),
        ("5-4-3", "fedboard", 77, 12, "rand:71:39:-32767:32767"),
        ("9-8", "fedboard", 2**31, 2**32 - 1, "fill:80:-1"),
    ):
        spec = codec.spec_bytes(sizes_of(sizes), rule, seed)
        data = codec.checkpoint(spec, version, numbers(values))
        yield f"checkpoint {sizes} {rule} {seed} {version} {values} = {hexed(data)}"


# The sparse codec, both ways


def sparse_cases() -> Iterator[str]:
    for n in (2, 10, 330, 2410, 159010, 1 << 20):
        for k in sorted({1, 2, n // 1000, n // 100, n // 20, n // 5, n // 2, n - 1} - {0, n}):
            yield f"rice {n} {k} = {codec.rice(n, k)}"
    still = "fill:157:0"
    for new, old in (
        ("rand:81:157:-40:40", still),
        ("rand:82:157:-32767:32767", "rand:83:157:-32767:32767"),
        ("rand:84:157:-2:2", "rand:85:157:-1:1"),
        ("rand:86:157:1000:1300", "rand:87:157:900:1100"),
        ("fill:157:77", still),
        ("fill:157:32767", "fill:157:-32767"),
        (still, still),
    ):
        for layers, top_permille, bits in ((3, 50, 4), (3, 10, 8), (1, 200, 5), (2, 100, 1),
                                           (3, 1000, 4), (3, 1000, 16), (3, 500, 2)):  # fmt: skip
            shape = sizes_of("12-9-4")
            meta, stream, settled = codec.update(
                shape, "fedboard", numbers(new), numbers(old), layers, top_permille, bits
            )
            found: list[int] = []
            for layer, (indices, values) in codec.decode(shape, meta, stream).items():
                for index, value in zip(indices.tolist(), values.tolist(), strict=True):
                    found += [layer, index, value]
            said = f"changes 12-9-4 fedboard {new} {old} {layers} {top_permille} {bits}"
            yield f"{said} = {hexed(meta)} {hexed(stream)} {shown(found)} {shown(settled)}"
    for before, after, local in (
        ("rand:91:157:-900:900", "rand:91:157:-900:900", "rand:92:157:-900:900"),
        ("rand:91:157:-900:900", "rand:93:157:-900:900", "rand:92:157:-900:900"),
        ("rand:94:157:-2:2", "rand:95:157:-2:2", "rand:92:157:-32767:32767"),
        ("fill:157:-32767", "rand:96:157:-32767:-32700", "fill:157:32767"),
        ("rand:97:157:-32767:32767", "rand:98:157:-32767:32767", "rand:99:157:-32767:32767"),
        ("fill:157:64", "rand:100:157:0:1", "fill:157:5"),
    ):
        shape = sizes_of("12-9-4")
        old_params, new_params = numbers(before), numbers(after)
        encoding, meta, data = codec.delta(shape, old_params, new_params)
        moved = np.clip(numbers(local) + new_params - old_params, -32767, 32767)
        shortened = hexed(data) if encoding else "-"
        said = f"delta 12-9-4 fedboard {before} {after} {local}"
        yield f"{said} = {encoding} {hexed(meta)} {shortened} {shown(moved)}"


# Frames and keys


def frame_cases() -> Iterator[str]:
    key = bytes(range(32)).hex()
    worst = "7e7d03040d0a" * 3
    for kind, seq, ack, flags, counter, payload in (
        (1, 0, 0, 2, 0, "01"),
        (0x11, 1, 255, 2, 1, "-"),
        (0x13, 0x7E, 0x7D, 0, 0x0A0D0403, worst),
        (0x13, 3, 4, 0, 2**32 - 1, "byte:0:192"),
        (0x13, 255, 13, 2, 65536, "byte:171:192"),
        (0x13, 10, 10, 0, 7, "byte:126:80"),
    ):
        for secret, before in (("-", "-"), (key, "-"), ("-", "byte:170:60")):
            data = frames.frame(
                kind, seq, ack, counter, raw(payload), raw(secret) or None, flags == 2, raw(before)
            )
            said = f"frame {kind} {seq} {ack} {flags} {counter} {payload} {secret} {before}"
            yield f"{said} = {hexed(data)}"


def auth_cases() -> Iterator[str]:
    """The first seven are RFC 4231's, test cases 1 to 7."""
    for key, data in (
        ("byte:11:20", b"Hi There".hex()),
        (b"Jefe".hex(), b"what do ya want for nothing?".hex()),
        ("byte:170:20", "byte:221:50"),
        (bytes(range(1, 26)).hex(), "byte:205:50"),
        ("byte:12:20", b"Test With Truncation".hex()),
        ("byte:170:131", b"Test Using Larger Than Block-Size Key - Hash Key First".hex()),
        ("byte:170:131", (b"This is a test using a larger than block-size key and a larger than bl"
                          b"ock-size data. The key needs to be hashed before being used by the HMA"
                          b"C algorithm.").hex()),
        ("-", "-"), ("byte:0:64", "byte:0:64"), ("byte:1:65", "byte:2:200"),
    ):  # fmt: skip
        yield f"hmac {key} {data} = {hexed(frames.hmac_sha256(raw(key), raw(data)))}"
    for window, name, data in ((1, b"kitchen", "byte:3:12"), (2, b"kitchen", "-"), (1, b"b", "-")):
        key, nonce = "byte:9:32", "byte:2:16"
        hello = bytes((1, 1, window, 16)) + bytes(16) + bytes((2, 7, 8, len(name))) + name
        node, hub = frames.session_keys(raw(key), hello, raw(nonce))
        tags = " ".join(hexed(frames.hmac_sha256(each, raw(data))[:8]) for each in (node, hub))
        yield f"session {key} {hello.hex()} {nonce} {data} = {tags}"


# Features of a window of readings: readings axes blocks bands group floor window


def feature_cases() -> Iterator[str]:
    for sizes, window in (
        ("100 6 6 2 3 64", "rand:101:600:-9000:9000"),
        ("100 6 6 2 3 64", "rand:102:600:-40:40"),  # below the floor
        ("128 3 8 3 3 64", "rand:103:384:-32768:32767"),
        ("119 6 5 3 3 20", "rand:104:714:-300:4000"),
        ("64 2 4 6 1 1", "rand:105:128:-2000:2000"),
        ("1024 1 4 9 1 64", "rand:106:1024:-32768:32767"),
        ("7 4 7 1 4 9", "rand:107:28:-500:500"),
        ("2 1 0 0 1 1", "-32768,32767"),
        ("2 1 2 1 1 1", "-32768,32767"),
        ("5 2 2 2 2 32767", "rand:108:10:-32768:32767"),
        ("8 1 3 3 1 1", "0,1,0,-1,0,1,0,-1"),
        ("8 1 3 3 1 64", "fill:8:-1"),
        ("1024 1 4 9 1 64", "fill:1024:32767"),
        ("1024 1 4 9 1 64", "fill:1024:-32768"),
    ):
        n, n_axes, *rest = map(int, sizes.split())
        found = features.features(numbers(window).reshape(n, n_axes), *rest)
        yield f"features {sizes} {window} = {shown(found)}"
    for v in (0, 1, 2, 3, 5, 31, 32, 33, 1000, 65535):
        yield f"log2 {v} = {features.log2_16(np.array([v]))[0]}"


AREAS = {
    "prng": prng_cases,
    "kernels": kernel_cases,
    "learning": learning_cases,
    "conv": conv_cases,
    "reptile": reptile_cases,
    "model": model_cases,
    "sparse": sparse_cases,
    "frames": frame_cases,
    "auth": auth_cases,
    "features": feature_cases,
    "mask": mask_cases,
}


def text_of(area: str) -> str:
    return "".join(line + "\n" for line in AREAS[area]())


def main(arguments: list[str]) -> int:
    stale = 0
    for area in AREAS:
        path = VECTORS / f"{area}.txt"
        text = text_of(area)
        if path.is_file() and path.read_bytes() == text.encode():
            continue
        stale += 1
        print(f"golden: {path.name} is {'out of date' if '--check' in arguments else 'written'}")
        if "--check" not in arguments:
            path.write_bytes(text.encode())
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
