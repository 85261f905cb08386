"""Recorded readings, played again as if they came live: for tests, demos and a first try.

    "sensor": {"module": "replay", "files": ["idle.bin", "wave.bin"], "window": 100, "rate_hz": 50}

While label 0 is recorded the first file is played, at label 1 the second one, and so on;
predictions see all of them in turn, 300 readings each. A file goes on where it stopped, and begins
anew at its end.
The format: fedboard.replay; `fedboard pack` makes such files.
"""

from array import array

from fedboard import DataError, replay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TURN = 300  # readings

_files: "list[Any]" = []
_current = 0
_turns = False
_left = 0
_reading = array("h")


def setup(settings: "dict[str, Any]") -> int:
    """Returns the number of axes."""
    global _reading
    names = settings.get("files", [])
    if not names:
        raise DataError('a replay sensor needs its `files`, such as "files": ["wave.bin"]')
    for file in _files:
        file.close()
    _files.clear()
    n_axes = 0
    for path in names:
        if settings.get("folder") and path[:1] != "/":
            path = settings["folder"] + "/" + path
        try:
            file = open(path, "rb")
        except OSError as error:
            raise DataError(f"cannot read {path} ({error}): copy it onto the board")
        _files.append(file)
        found = replay.unpack_header(file.read(replay.HEADER_BYTES))
        if n_axes and found != n_axes:
            raise DataError(f"{path} has {found} axes, the first file has {n_axes}")
        n_axes = found
    _reading = array("h", bytes(2 * n_axes))
    return n_axes


def start(label: int, rate_hz: int) -> None:
    """The next readings are those of this label; -1: of all in turn."""
    global _current, _turns, _left
    if label >= len(_files):
        raise DataError(f"no file of readings for label {label}: there are {len(_files)}")
    _current = max(0, label)
    _turns = label < 0
    _left = _TURN


def read() -> "array[int]":
    global _current, _left
    if _turns:
        if not _left:
            _current = (_current + 1) % len(_files)
            _left = _TURN
        _left -= 1
    file = _files[_current]
    for _ in range(2):
        if file.readinto(_reading) == 2 * len(_reading):
            return _reading
        file.seek(replay.HEADER_BYTES)
    raise DataError("a file of readings is empty: make it anew with `fedboard pack`")
