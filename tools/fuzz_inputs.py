"""Malformed inputs for tools/fuzz.py: genuine ones, damaged so that no reader may take them.

    MAKERS[target](rng) -> bytes      a malformed input, that follows from rng alone
    seeds(target)                     genuine inputs

Damage is of two kinds. Blind: see fuzz_damage. Sealed: what a checksum covers is changed and the
checksum made right again, so that the checks behind it are reached. Settings get mistakes that a
reader must name: see fuzz_settings.
"""

import functools
import io
import json
import struct
import tempfile
from array import array
from binascii import crc32
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np

import fuzz_settings
import fuzz_targets as targets
from fedboard import auth, channel, checkpoint, delta, messages, model, rebase, sparse, update, wire
from fedboard.base import MemoryBase
from fedboard_device import config as board_config
from fedboard_host import checkpoints, config, config_learning, config_values, decode
from fuzz_damage import changed, damaged

# Frames and messages


def _sealed_frame(rng: Random, data: bytes) -> bytes:
    """Damaged, most often with a right checksum around the damage."""
    if rng.random() < 0.4:
        return damaged(rng, data)
    body = bytearray(damaged(rng, targets.unstuffed(data)[:-4]))
    if body and body[0] < channel.FIRST_RELIABLE:
        body[0] |= channel.FIRST_RELIABLE  # the handshake's need no tag
    if len(body) >= wire.HEADER_BYTES and rng.random() < 0.7:  # the right length
        n_tag = wire.TAG_BYTES if body[3] & wire.KEYED else 0
        body[8:10] = struct.pack("<H", max(0, len(body) - wire.HEADER_BYTES - n_tag))
    return wire.stuff(bytes(body) + struct.pack("<I", crc32(body)))


def _make_frame(rng: Random, genuine: "list[bytes]") -> bytes:
    # Flags inside cut it into runs: of those none may be genuine, either.
    while True:
        out = changed(rng, genuine, _sealed_frame)
        if not any(run in genuine for run in out.split(wire.FLAG)):
            return out


def make_frame(rng: Random) -> bytes:
    return _make_frame(rng, targets.GENUINE)


def make_long(rng: Random) -> bytes:
    return _make_frame(rng, targets.GENUINE_LONG)


def make_message(rng: Random) -> bytes:
    return changed(rng, seeds("message"), damaged)


# Updates and models


def _based(values: "array[int]") -> MemoryBase:
    base = MemoryBase()
    base.begin(targets.SPEC.pack())
    base.write(values)
    base.commit(1, b"")
    return base


def _updates() -> "list[bytes]":
    spec, rng = targets.SPEC, Random(1)
    found = []
    for layers, top_permille, bits in ((3, 100, 4), (1, 1000, 16), (3, 1000, 4), (2, 10, 1)):
        values = array("h", [rng.randint(-2000, 2000) for _ in range(spec.n_params)])
        base = _based(array("h", bytes(2 * spec.n_params)))
        made = update.Update(spec, values, base, layers, top_permille, bits)
        made.prepare()
        meta = made.meta()
        found.append(bytes((len(meta),)) + meta + b"".join(made.chunks()))
    return found


def _deltas() -> "list[bytes]":
    spec, rng = targets.SPEC, Random(2)
    old = array("h", range(spec.n_params))
    found = []
    for share in (0.05, 1.0):
        new = array("h", [v + (rng.randint(-9, 9) if rng.random() < share else 0) for v in old])
        if share == 1.0:
            new = array("h", [rng.randint(-2000, 2000) for _ in old])
        encoding, meta, data = delta.encode_delta(spec, old, new)
        head = bytes((encoding, rng.randrange(200), len(meta)))
        found.append(head + spec.digest(new) + meta + data)
    return found


def make_update(rng: Random) -> bytes:
    return changed(rng, seeds("update"), damaged)


def make_delta(rng: Random) -> bytes:
    return changed(rng, seeds("delta"), damaged)


# Checkpoints


def _checkpoints() -> "list[bytes]":
    found = []
    for spec in (targets.SPEC, model.Spec((3, 2), "tifed", 1)):
        params = model.new_params(spec)
        model.init_params(spec, params)
        data = bytearray()

        def write(block: "bytes | array[int]", to: bytearray = data) -> None:
            to.extend(bytes(block))

        checkpoint.write_checkpoint(write, spec, 7, params)
        found.append(bytes(data))
    return found


def make_checkpoint(rng: Random) -> bytes:
    def change(rng: Random, data: bytes) -> bytes:
        kind = rng.randrange(4)
        end = 10 + data[5]
        if kind == 0:  # a header with a right checksum
            head = damaged(rng, data[: end - 4])
            return head + struct.pack("<I", crc32(head)) + data[end:]
        if kind == 1:  # parameters with a right checksum, and another model's digest
            body = bytearray(data[end:-4])
            at = rng.choice([rng.randrange(len(body) - 12), len(body) - 1 - rng.randrange(8)])
            body[at] ^= 1 << rng.randrange(8)
            return data[:end] + bytes(body) + struct.pack("<I", crc32(body))
        return damaged(rng, data)

    return changed(rng, seeds("checkpoint"), change)


def _npz() -> "tuple[checkpoints.Checkpoint, bytes]":
    spec = model.Spec((3, 2), "fedboard", 1)
    params = model.new_params(spec)
    model.init_params(spec, params)
    made = checkpoints.Checkpoint(
        spec=spec, run=1, round=3, version=4, params=params, result=params, strategy="fedavg",
        accuracy=0.5, loss=1.0, state={"master": np.arange(8)}, accepted={"a": ("00", 3)},
        record={}, learned={},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        checkpoints.write(path, made)
        return made, path.read_bytes()


NPZ, _NPZ_BYTES = _npz()


def make_npz(rng: Random) -> bytes:
    if rng.random() < 0.5:
        return changed(rng, [_NPZ_BYTES], damaged)
    with np.load(io.BytesIO(_NPZ_BYTES)) as arrays:  # a sound zip of the wrong arrays
        found = {name: arrays[name] for name in arrays.files}
    name = rng.choice([n for n in found if n not in ("version", "state_master")])
    value = found[name]
    kind = rng.randrange(4)
    if kind == 0:
        del found[name]
    elif kind == 1:
        found[name] = np.concatenate([value.reshape(-1)[:1]] * (value.size + 1))
    elif kind == 2:
        found[name] = np.array(rng.choice([{}, None, "x" * 9, -1, 1e300, b"\xff"]), dtype=object)
    elif value.dtype.kind in "iu" and value.size:
        found[name] = value.copy()
        found[name].reshape(-1)[rng.randrange(value.size)] ^= 1 << rng.randrange(4)
    else:
        found[name] = np.array("zz" * rng.randint(1, 9))
    out = io.BytesIO()
    np.savez(out, **found)
    return out.getvalue()


@functools.cache
def seeds(name: str) -> "list[bytes]":
    """Genuine inputs of a target."""
    if name == "frame":
        return list(targets.GENUINE)
    if name == "long":
        return list(targets.GENUINE_LONG)
    if name == "message":
        said = (
            messages.Hello(protocol=2, keyed=1, window=1, nonce=bytes(16), uid=b"u", name="x"),
            messages.Status(firmware="test", kernels="pure", n_in=12, digest=b"12345678"),
            messages.Task(run=1, round=2, version=3, digest=b"12345678", spec=targets.SPEC.pack()),
            messages.Begin(what=messages.UPDATE, n_samples=40, meta=b"\x03\x7e"),
            messages.Chunk(offset=100, data=b"\x7e\x7d\x03\x04\x0a\x0d" * 9),
            messages.End(n_bytes=154, crc=0x7E7D0304),
            messages.Bye(reason="the end"),
        )
        return [bytes((m.KIND,)) + m.pack() for m in said]
    made: dict[str, Callable[[], list[bytes]]] = {
        "update": _updates, "delta": _deltas, "checkpoint": _checkpoints,
        "npz": lambda: [_NPZ_BYTES], "home": lambda: [fuzz_settings.HOME.encode()],
        "settings": lambda: [json.dumps(fuzz_settings.JSON).encode()],
    }  # fmt: skip
    return made[name]()


MAKERS: "dict[str, Callable[[Random], bytes]]" = {
    "frame": make_frame, "long": make_long, "message": make_message, "update": make_update,
    "delta": make_delta, "checkpoint": make_checkpoint, "npz": make_npz,
    "home": fuzz_settings.make_home, "settings": fuzz_settings.make_settings,
}  # fmt: skip
# The modules that read a target's bytes, for coverage.
READERS = {
    "frame": (wire, channel, auth, messages), "long": (wire, channel, auth, messages),
    "message": (messages,),
    "update": (update, sparse, decode), "delta": (rebase, sparse, model),
    "checkpoint": (checkpoint, model), "npz": (checkpoints, model),
    "home": (config, config_learning, config_values), "settings": (board_config,),
}  # fmt: skip
