"""Data sets from files, as people have them: npz, csv, IDX (MNIST's own format), plain or gzipped.

    npz     x_train, y_train, x_test, y_test, or x, y; any shape (n, ...); a further array of length
            n ("writer", "speaker", "person", "user", "drawer") tells whose sample it is
    csv     a sample a line, its label, a whole number or a word, in the column "label" or "y", else
            in the first; a column named like those arrays likewise; the heading is optional:
            see _is_heading()
    IDX     ...images-idx3-ubyte beside ...labels-idx1-ubyte; "train" has "t10k" or "test" beside it

What has no test part of its own gets every fifth sample of each class as one. features() makes
values int8. Nothing is unpickled. What cannot be read is a DataError with the remedy.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedboard import DataError
from fedboard_host import npz
from fedboard_host.dataset import Labels, Set

Values = NDArray[Any]

WRITERS = ("writer", "speaker", "person", "user", "drawer")
_NAMES = ("label", "y", *WRITERS)
SCALES = ("half", "centred", "signed")
_TEST_EVERY = 5
_IDX_KINDS = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_LARGEST_LABEL = 255


@dataclass(frozen=True)
class Data:
    """x (n, n_in) of any number type, y (n,) classes; writer (n,) or empty: whose sample it is."""

    name: str
    x: Values
    y: Labels
    x_test: Values
    y_test: Labels
    writer: NDArray[np.int64]

    @property
    def n_classes(self) -> int:
        return int(max(self.y.max(), self.y_test.max())) + 1

    @property
    def n_in(self) -> int:
        return int(self.x.shape[1])

    def sets(self, scale: str) -> tuple[Set, Set]:
        """(training, test) samples as int8 features: see features()."""
        return (
            Set(features(self.x, scale, self.x), self.y),
            Set(features(self.x_test, scale, self.x), self.y_test),
        )


def features(x: Values, scale: str, known: Values) -> NDArray[np.int8]:
    """int8 features. `known` are the training samples, which range and mean are taken from.

    int8 stays as it is. Of bytes "half" makes x >> 1, "centred" that minus its mean (which suits
    pictures, whose pixels are mostly dark), "signed" x - 128. Other numbers are brought from
    their range to bytes first.
    """
    if scale not in SCALES:
        raise DataError(f"no scale '{scale}': use one of {', '.join(SCALES)}")
    if x.dtype == np.int8:
        return x
    if x.dtype != np.uint8:
        x, known = _bytes(x, known), _bytes(known, known)
    if scale == "signed":
        return (x.astype(np.int16) - 128).astype(np.int8)
    shift = round(float((known >> 1).mean())) if scale == "centred" else 0
    return ((x >> 1).astype(np.int16) - shift).astype(np.int8)


def _bytes(x: Values, known: Values) -> NDArray[np.uint8]:
    low, high = float(known.min()), float(known.max())
    scaled = (x.astype(np.float64) - low) * (255 / max(high - low, 1e-12))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def load(path: Path) -> Data:
    """The data set in a file; its kind follows from its content, not from its name."""
    data = _read(path)
    if data[:2] == b"PK":
        found = _load_npz(path, data)
    elif data[:2] == b"\0\0" and len(data) > 4 and data[2] in _IDX_KINDS:
        found = _load_idx(path, data)
    else:
        found = _load_csv(path, data)
    if not len(found.y) or not len(found.y_test):
        raise DataError(f"{path}: too few samples")
    return found


def _read(path: Path) -> bytes:
    """What is in the file, unpacked."""
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def _load_npz(path: Path, data: bytes) -> Data:
    found: dict[str, Any] = npz.parse(data, path)
    if "x_train" in found and "y_train" in found:
        x, y = found["x_train"], found["y_train"]
        test = found.get("x_test"), found.get("y_test")
    elif "x" in found and ("y" in found or "digit" in found):
        x, y = found["x"], found.get("y", found.get("digit"))
        test = None, None
    else:
        raise DataError(f"{path}: has {', '.join(found)}: arrays x and y are needed")
    named = [found[w] for w in WRITERS if w in found]
    whose = next((w for w in named if w.ndim == 1 and w.shape == x.shape[:1]), None)
    return _made(path, x, y, *test, whose)


def _load_idx(path: Path, data: bytes) -> Data:
    def beside(old: str, new: str) -> Values | None:
        other = path.with_name(path.name.replace(old, new))
        for candidate in (other, other.with_suffix(""), other.with_name(other.name + ".gz")):
            if other.name != path.name and candidate.is_file():
                return _idx(candidate, _read(candidate))
        return None

    x = _idx(path, data)
    if x.ndim < 2:
        raise DataError(f"{path}: these are labels: name the file of the images")
    y = beside("images-idx3", "labels-idx1")
    if y is None:
        raise DataError(f"{path}: its labels are not beside it (...labels-idx1-ubyte)")
    for name in ("t10k", "test"):
        x_test = beside("train", name)
        if x_test is not None:
            labels = path.name.replace("train", name).replace("images-idx3", "labels-idx1")
            y_test = beside(path.name, labels)
            if y_test is not None:
                return _made(path, x, y, x_test, y_test, None)
    return _made(path, x, y, None, None, None)


def _idx(path: Path, data: bytes) -> Values:
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _IDX_KINDS:
        raise DataError(f"{path}: no IDX file")
    head = 4 + 4 * data[3]
    shape = [int(n) for n in np.frombuffer(data, ">u4", data[3], 4)] if len(data) >= head else [0]
    kind = np.dtype(_IDX_KINDS[data[2]])
    n = math.prod(shape)
    if not n or len(data) != head + n * kind.itemsize:
        raise DataError(f"{path}: is cut short: fetch it again")
    values = np.frombuffer(data, kind, offset=head)
    return values.reshape(shape).astype(values.dtype.newbyteorder("="))


def _load_csv(path: Path, data: bytes) -> Data:
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig")))
        numbered = [(reader.line_num, line) for line in reader if line]
    except (UnicodeDecodeError, csv.Error):
        raise DataError(f"{path}: neither npz nor csv nor IDX") from None
    names: list[str] = []
    if _is_heading([line for _, line in numbered]):
        names = _lower(numbered.pop(0)[1])
    n_columns = len(numbered[0][1]) if numbered else 0
    for number, line in numbered:
        if len(line) != n_columns or n_columns < 2:
            raise DataError(
                f"{path}: line {number} has {len(line)} columns: each needs a label and as many"
                " values as the others"
            )
    lines = [line for _, line in numbered]
    label = next((names.index(n) for n in ("label", "y") if n in names), 0)
    writer = next((names.index(n) for n in WRITERS if n in names), -1)
    rest = [c for c in range(n_columns) if c not in (label, writer)]
    try:
        x = np.array([[float(line[c]) for c in rest] for line in lines])
    except ValueError as error:
        raise DataError(
            f"{path}: {error}: labels, which may be words, belong into the first column, or into"
            " one whose heading is label"
        ) from None
    if len(x) and x.min() >= 0 and x.max() <= 255 and (x == np.rint(x)).all() and x.max() > 1:
        x = x.astype(np.uint8)
    whose = np.array([line[writer].strip() for line in lines]) if writer >= 0 else None
    labels = _classes([line[label].strip() for line in lines])
    if (labels != np.rint(labels)).any():
        raise DataError(
            f"{path}: column {label + 1} is taken for the labels, but has no whole numbers: put the"
            " heading label above the right one"
        )
    return _made(path, x, labels, None, None, whose)


def _is_heading(lines: list[list[str]]) -> bool:
    """Whether the first line names columns: no number is in it, or it names one as _NAMES does.

    Such a word that comes again in its column is a label: of y and n, or of person and car.
    """
    if not lines:
        return False
    first = _lower(lines[0])
    if not any(map(_is_number, first)):
        return True
    known = [(column, word) for column, word in enumerate(first) if word in _NAMES]
    return any(
        all([word] != _lower(line[column : column + 1]) for line in lines[1:])
        for column, word in known
    )


def _lower(cells: list[str]) -> list[str]:
    return [cell.strip().lower() for cell in cells]


def _classes(labels: list[str]) -> NDArray[np.float64]:
    """Numbers stay; words become 0, 1, ... in the order of the alphabet."""
    if all(map(_is_number, labels)):
        return np.array(labels, np.float64)
    return np.unique(labels, return_inverse=True)[1].astype(np.float64)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _are_whole(labels: Values) -> bool:
    """Within bounds first: of infinity nothing else may be asked."""
    within = bool(((labels >= 0) & (labels <= _LARGEST_LABEL)).all())
    return within and bool((labels == labels // 1).all())


def _made(
    path: Path,
    x: Values,
    y: Values,
    x_test: Values | None,
    y_test: Values | None,
    writer: Values | None,
) -> Data:
    for values, labels in ((x, y), (x_test, y_test)):
        if values is None or labels is None:
            continue
        are_many = values.ndim > 1 and values.size and labels.shape[:1] == values.shape[:1]
        if not are_many or values.dtype.kind not in "iuf":
            raise DataError(f"{path}: x must be numbers (n, ...), y their n labels")
        if labels.ndim != 1 or labels.dtype.kind not in "iuf" or not _are_whole(labels):
            raise DataError(f"{path}: labels are whole numbers from 0 to {_LARGEST_LABEL}")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise DataError(f"{path}: has values that are no numbers: fill or drop them")
    flat = x.reshape(len(x), -1)
    classes = y.astype(np.int64)
    whose = np.empty(0, np.int64)
    if writer is not None:
        whose = np.unique(writer, return_inverse=True)[1].astype(np.int64)
    if x_test is None or y_test is None:
        held_out = np.zeros(len(classes), bool)
        for label in np.unique(classes):
            held_out[np.flatnonzero(classes == label)[_TEST_EVERY - 1 :: _TEST_EVERY]] = True
        return Data(
            path.stem, flat[~held_out], classes[~held_out], flat[held_out], classes[held_out],
            whose[~held_out] if len(whose) else whose,
        )  # fmt: skip
    flat_test = x_test.reshape(len(x_test), -1)
    if flat_test.shape[1] != flat.shape[1]:
        raise DataError(f"{path}: training and test samples differ in length")
    return Data(path.stem, flat, classes, flat_test, y_test.astype(np.int64), whose)
