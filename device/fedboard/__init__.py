"""fedboard: federated learning that trains on microcontroller boards.

Pure logic that runs unchanged on CPython, MicroPython and CircuitPython: bytes in, events out; no
socket, clock or file in here. Every noun is a module of its own, so importing the package itself
costs a board almost nothing.

    FedboardError        anything that fedboard raises on purpose; its text says the remedy
      WireError          the peer's fault: no frame, a wrong key, a message out of place
      StateError         our fault: a call in the wrong order or with the wrong sizes
      DataError          the input's fault: a broken checkpoint, a spec or a sample that cannot be
"""

VERSION = "0.1.0"
__version__ = VERSION

# Said in HELLO. It rises when an old and a new side could misread each other: they refuse to talk.
PROTOCOL = 3


class FedboardError(Exception):
    """Base of all errors that fedboard raises on purpose."""


class WireError(FedboardError):
    """The peer sent something wrong: answer or drop it, our own state is intact."""


class StateError(FedboardError):
    """We were used wrongly: a call out of order, or buffers of the wrong size."""


class DataError(FedboardError):
    """The input is broken: a file, a spec or a sample that cannot be used."""
