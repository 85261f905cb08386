"""Models out of fedboard, and back: npz for Python, a C header for Arduino, model.bin for a board.

    npz         W0 (n_out, n_in), b0 (n_out,), W1, b1, ... int16; sizes, rule, seed, version, digest
    C header    the same as static const int16_t, and fedboard_predict(): see cheader
    model.bin   fedboard.checkpoint, which a board loads by itself

Nothing in here unpickles. Weights have 12 fractional bits under rule "fedboard" and the float ones,
14 under "conv..."; under "tifed" they are plain integers.
"""

from __future__ import annotations

import io
from array import array
from dataclasses import dataclass
from pathlib import Path

from fedboard import DataError, checkpoint
from fedboard.model import Spec
from fedboard_host import cheader


@dataclass(frozen=True)
class Model:
    """A merged model. params: array("h"), laid out as in fedboard.model; version: merges behind."""

    spec: Spec
    version: int
    params: array[int]

    @property
    def digest(self) -> bytes:
        return self.spec.digest(self.params)


def write_npz(path: Path, model: Model) -> None:
    """Arrays W0, b0, W1, b1, ... (int16), and what tells how to use them."""
    import numpy as np

    flat = np.frombuffer(model.params, np.int16)
    arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int16]]] = {}
    for l in range(model.spec.n_layers):
        n_in, n_out = model.spec.shape(l)
        at = model.spec.at(l)
        arrays[f"W{l}"] = flat[at : at + n_in * n_out].reshape(n_out, n_in)
        arrays[f"b{l}"] = flat[at + n_in * n_out : model.spec.at(l + 1)]
    data = io.BytesIO()
    np.savez(
        data,
        allow_pickle=False,
        sizes=np.array(model.spec.sizes, np.int32),
        rule=np.array(model.spec.rule),
        seed=np.array(model.spec.seed, np.uint32),
        version=np.array(model.version, np.uint32),
        digest=np.array(model.digest.hex()),
        **arrays,
    )
    write_whole(path, data.getvalue())


def read_npz(path: Path) -> Model:
    """The model in an npz of write_npz(). Raises DataError unless all of it is sound."""
    import numpy as np

    from fedboard_host import npz

    data = npz.read(path)
    try:
        spec = Spec([int(n) for n in data["sizes"]], str(data["rule"]), int(data["seed"]))
        params = array("h")
        for l in range(spec.n_layers):
            n_in, n_out = spec.shape(l)
            for name, shape in ((f"W{l}", (n_out, n_in)), (f"b{l}", (n_out,))):
                part = data[name]
                if part.shape != shape or part.dtype != np.int16:
                    raise DataError(
                        f"{path}: {name} is {part.dtype}{list(part.shape)}, "
                        f"int16{list(shape)} is wanted: export it again"
                    )
                params.frombytes(np.ascontiguousarray(part).tobytes())
        model = Model(spec, int(data["version"]), params)
        digest = str(data["digest"])
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{path}: no model of `fedboard export`: {error}") from None
    if digest != model.digest.hex():
        raise DataError(f"{path}: the weights do not match their digest: export it again")
    return model


def write_bin(path: Path, model: Model) -> None:
    """The checkpoint that a board loads from its flash."""
    data = io.BytesIO()
    checkpoint.write_checkpoint(data.write, model.spec, model.version, model.params)
    write_whole(path, data.getvalue())


def write_c_header(path: Path, model: Model, name: str = "fedboard") -> None:
    write_whole(path, cheader.text_of(model.spec, model.params, model.version, name).encode())


def write_whole(path: Path, data: bytes) -> None:
    """All of it or nothing: write beside the target, then rename."""
    beside = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None
