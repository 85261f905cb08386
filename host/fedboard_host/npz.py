"""The arrays in an npz that people bring: or a DataError, whatever the file is.

Nothing is unpickled. All checksums are compared before NumPy believes any header. What NumPy and
zipfile raise for damaged files is nearly anything, and a plain .npy has no names at all.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedboard import DataError

Arrays = dict[str, NDArray[Any]]


def read(path: Path, *names: str) -> Arrays:
    """All arrays; names: those that must be there. Raises DataError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    return parse(data, path, *names)


def parse(data: bytes, path: Path, *names: str) -> Arrays:
    """Likewise, of a file's bytes."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            is_sound = archive.testzip() is None
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            found = {name: np.asarray(arrays[name]) for name in arrays.files}
    except Exception as error:
        why = "of numbers alone" if "pickle" in str(error) else f"({type(error).__name__})"
        raise DataError(f"{path}: this is no npz of arrays {why}") from None
    if not is_sound:
        raise DataError(f"{path}: this npz is damaged")
    for name in names:
        if name not in found:
            has = f"it has {', '.join(found)}" if found else "it has none"
            raise DataError(f"{path}: an array {name} is missing: {has}")
    return found
