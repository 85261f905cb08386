"""Checkpoints on the host's disk: one npz a merge, written whole, read with suspicion.

    W0, b0, W1, ... int16      the model to use (result), and sizes, rule, seed, version, digest
    params int16               what boards hold as their base
    state_* int64              the merger's
    meta uint8                 JSON: run, round, strategy, accuracy, the log's row, who took part

Nothing is unpickled. Whatever does not add up is a DataError.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import zipfile
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fedboard import DataError
from fedboard.model import Spec
from fedboard_host.aggregate import Ints

_NAME = re.compile(r"model-(\d{5,10})\.npz")
_FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """The model after a closed round (round 0: the start) and all that is needed to go on."""

    spec: Spec
    run: int  # u32, names this run to boards
    round: int  # the last closed one
    version: int  # of params; round + 1
    params: array[int]  # what boards get
    result: array[int]  # what to use: params or their running average
    strategy: str  # name and parameters, as text
    accuracy: float | None = None
    loss: float | None = None
    state: dict[str, Ints] = field(default_factory=dict)  # the merger's
    # board: (uid, round) of its last accepted update, so that it is told when it returns
    accepted: dict[str, tuple[str, int]] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)  # the log's row of this round
    learned: dict[str, int] = field(default_factory=dict)  # board: samples at its last update


def path_of(folder: Path, round_no: int) -> Path:
    return folder / f"model-{round_no:05d}.npz"


def paths(folder: Path) -> dict[int, Path]:
    """The checkpoints in a folder by round, newest first; none of them is read."""
    found = {}
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match:
            found[int(match[1])] = path
    return dict(sorted(found.items(), reverse=True))


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Durable, whole or not at all. Raises DataError if the disk is full or read-only."""
    spec = checkpoint.spec
    meta = {
        "format": _FORMAT,
        "run": checkpoint.run,
        "round": checkpoint.round,
        "strategy": checkpoint.strategy,
        "accuracy": checkpoint.accuracy,
        "loss": checkpoint.loss,
        "accepted": checkpoint.accepted,
        "record": checkpoint.record,
        "learned": checkpoint.learned,
    }
    arrays: dict[str, Any] = {
        "sizes": np.array(spec.sizes, np.int32),
        "rule": np.array(spec.rule),
        "seed": np.array(spec.seed, np.uint32),
        "version": np.array(checkpoint.version, np.uint32),
        "digest": np.array(spec.digest(checkpoint.result).hex()),
        "params_digest": np.array(spec.digest(checkpoint.params).hex()),
        "params": np.asarray(checkpoint.params, np.int16),
        "meta": np.frombuffer(json.dumps(meta).encode(), np.uint8),
    }
    flat = np.asarray(checkpoint.result, np.int16)
    for l in range(spec.n_layers):
        n_in, n_out = spec.shape(l)
        at = spec.at(l)
        arrays[f"W{l}"] = flat[at : at + n_in * n_out].reshape(n_out, n_in)
        arrays[f"b{l}"] = flat[at + n_in * n_out : spec.at(l + 1)]
    for key, value in checkpoint.state.items():
        arrays["state_" + key] = value
    data = io.BytesIO()
    np.savez(data, **arrays)
    _write_durably(path, data.getvalue())


def read(path: Path | str) -> Checkpoint:
    """The checkpoint in this file. Raises DataError for whatever is none, or is damaged."""
    try:
        data = Path(path).read_bytes()
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            bad = archive.testzip()  # all checksums, before numpy believes any header
        if bad is not None:
            raise DataError(f"{bad} is damaged")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return _from_arrays({key: arrays[key] for key in arrays.files})
    except FileNotFoundError:
        raise DataError(f"{path} is not there") from None
    except (DataError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no sound checkpoint: {error}") from None
    except Exception as error:  # numpy and zipfile raise nearly anything for damaged files
        raise DataError(f"{path} is no sound checkpoint ({type(error).__name__})") from None


def _from_arrays(arrays: dict[str, Any]) -> Checkpoint:
    if "meta" not in arrays:
        raise DataError(
            "it is of no run; name the run's folder, like runs/home (of imported weights "
            "`fedboard import` writes all formats)"
        )
    meta = json.loads(arrays["meta"].astype(np.uint8).tobytes())
    if meta["format"] != _FORMAT:
        raise DataError(f"it is of format {meta['format']}: update fedboard")
    spec = Spec([int(n) for n in arrays["sizes"]], str(arrays["rule"]), int(arrays["seed"]))
    parts = []
    for l in range(spec.n_layers):
        n_in, n_out = spec.shape(l)
        if arrays[f"W{l}"].shape != (n_out, n_in) or arrays[f"b{l}"].shape != (n_out,):
            raise DataError(f"layer {l} is of another shape")
        parts += [arrays[f"W{l}"].reshape(-1), arrays[f"b{l}"]]
    result = _int16(np.concatenate(parts), spec, str(arrays["digest"]))
    return Checkpoint(
        spec=spec,
        run=int(meta["run"]),
        round=int(meta["round"]),
        version=int(arrays["version"]),
        params=_int16(arrays["params"], spec, str(arrays["params_digest"])),
        result=result,
        strategy=str(meta["strategy"]),
        accuracy=None if meta["accuracy"] is None else float(meta["accuracy"]),
        loss=None if meta["loss"] is None else float(meta["loss"]),
        state={
            key[6:]: value.astype(np.int64)
            for key, value in arrays.items()
            if key.startswith("state_")
        },
        accepted={
            str(name): (str(uid), int(round_no))
            for name, (uid, round_no) in meta["accepted"].items()
        },
        record=dict(meta["record"]),
        learned={str(name): int(n) for name, n in meta.get("learned", {}).items()},
    )


def _int16(values: Any, spec: Spec, digest: str) -> array[int]:
    if values.dtype != np.int16 or values.shape != (spec.n_params,):
        raise DataError(f"{values.shape} parameters where {spec} has {spec.n_params}")
    params = array("h", values.astype(np.int16).tobytes())
    if spec.digest(params).hex() != digest:
        raise DataError("its digest is another model's")
    return params


def _write_durably(path: Path, data: bytes) -> None:
    beside = path.with_name(path.name + ".part")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        if os.name == "posix":  # the name, too, must outlast a power cut
            fd = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise DataError(
            f"{path} cannot be written ({error.strerror or error}): make room or choose another "
            "folder, then resume"
        ) from None
