"""The base in memory: the last global model that a board received, beside its own parameters.

Boards keep it on flash, in a class with the same methods (store.FileBase), so that their RAM holds
the weights once. Memory is for those that cannot write theirs, for boards inside a host, for tests.
"""

from array import array

from fedboard import StateError


class MemoryBase:
    """A new base is staged block by block while the old one stays readable; commit() swaps them."""

    def __init__(self) -> None:
        self.version = 0  # 0: there is no base
        self.digest = b""
        self.spec_bytes = b""
        self.n_saves = 0  # models written to flash
        self._params = array("h")
        self._staged: array[int] | None = None
        self._staged_spec = b""

    def read(self, at: int, out: "array[int]") -> None:
        """Fill `out` with the base's parameters from number `at` on."""
        _copy(self._params, at, out)

    def check_wear(self) -> None:
        """Nothing wears: what FileBase needs."""

    def begin(self, spec_bytes: bytes) -> None:
        """Start to stage a new base; an unfinished one is dropped."""
        self._staged = array("h")
        self._staged_spec = spec_bytes

    def write(self, block: "array[int] | bytes | memoryview") -> None:
        """Append the next parameters, or their bytes, to the staged base."""
        if self._staged is None:
            raise StateError("write() to a base needs begin() first")
        self._staged.extend(block if isinstance(block, array) else array("h", bytes(block)))

    def read_staged(self, at: int, out: "array[int]") -> None:
        """Fill `out` with the staged parameters from number `at` on."""
        if self._staged is None:
            raise StateError("read_staged() from a base needs begin() first")
        _copy(self._staged, at, out)

    def commit(self, version: int, digest: bytes) -> None:
        """Make the staged base the base, all or nothing."""
        if self._staged is None:
            raise StateError("commit() of a base needs begin() first")
        self._params = self._staged
        self._staged = None
        self.spec_bytes = self._staged_spec
        self.version = version
        self.digest = digest

    def abort(self) -> None:
        """Drop what is staged; the base stays as it was."""
        self._staged = None

    def close(self) -> None:
        """As abort(): what FileBase needs."""
        self.abort()

    def clear(self) -> None:
        """No base any more."""
        self.version = 0
        self.digest = self.spec_bytes = b""
        self._params = array("h")


def _copy(source: "array[int]", at: int, out: "array[int]") -> None:
    if at < 0 or at + len(out) > len(source):
        raise StateError(f"a base of {len(source)} parameters has no block {at} to {at + len(out)}")
    for i in range(len(out)):
        out[i] = source[at + i]
