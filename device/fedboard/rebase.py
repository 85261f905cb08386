"""Host to board: a new base, dense or as exact changes to the old one, under what was learned.

    DENSE   all parameters, int16          meta: empty
    SPARSE  the changed ones, exactly      meta: see sparse

The new base is staged block by block as it comes in (`base`: see base.MemoryBase; on a board a
file), so RAM never holds a second model. Parameters and the old base stay as they are until
finish() has checked length and digest: a broken transfer costs nothing but its bytes. `touched`
tells when that is over: if flash then fails, the parameters must be read from the base again. Then

    carry      parameters += new base - old base           what was not sent yet is kept
    else       parameters  = new base

clamped to the layers' limits.
"""

from array import array

from fedboard import WireError, sparse
from fedboard.model import BLOCK, DIGEST_BYTES, new_block

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fedboard.model import Spec

DENSE = 0
SPARSE = 1


class Rebase:
    """Takes one transfer. params: array('h'), or image.Image where they are floats.

    n_bytes: of all chunks (0: not known). version, digest: of the new base. Any failure is a
    WireError; the base then is as it was, and the host may send it again.
    """

    def __init__(
        self,
        spec: "Spec",
        params: "Any",
        base: "Any",
        encoding: int,
        meta: bytes,
        n_bytes: int,
        version: int,
        digest: bytes,
        carry: bool,
    ) -> None:
        spec.check(params)
        if not version or len(digest) != DIGEST_BYTES:
            raise WireError("a model needs a version above 0 and a digest")
        same = bool(base.version) and base.spec_bytes == spec.pack()
        if encoding == SPARSE:
            if not same:
                raise WireError("changes to a model that is not here: send it dense")
            parts = sparse.unpack_meta(spec, meta)
            least = sparse.min_bytes(parts)
            most = sparse.max_bytes(parts)
        elif encoding == DENSE and not meta:
            parts = []
            least = most = 2 * spec.n_params
        else:
            raise WireError(f"a model in encoding {encoding} with a head of {len(meta)} bytes")
        if n_bytes and not least <= n_bytes <= most:
            raise WireError(f"a model of {n_bytes} bytes: {least} to {most} are possible")
        self.touched = False  # the parameters are being moved
        self._spec = spec
        self._params = params
        self._base = base
        self._version = version
        self._digest = digest
        self._carry = carry and same
        self.left = self._all = n_bytes or most  # bytes still to come
        self._exact = n_bytes > 0
        self._hash = spec.start_digest()
        self._at = 0  # parameters staged
        self._odd = b""  # DENSE: half a parameter
        self._decoder = sparse.Decoder(parts) if encoding == SPARSE else None
        self._block = new_block(BLOCK if encoding == SPARSE else 0)  # from `_at` on, changed
        if encoding == SPARSE:
            self._read_block()
        base.begin(spec.pack())

    def take(self, offset: int, chunk: "bytes | memoryview") -> None:
        """A CHUNK. Bytes that are here already are passed over: it was cut anew after a loss."""
        n_known = self._all - self.left - offset
        if n_known < 0:
            self._fail("bytes are missing")
        if n_known < len(chunk):
            self.feed(chunk[n_known:] if n_known else chunk)

    def feed(self, chunk: "bytes | memoryview") -> None:
        """The next bytes of the transfer, any number of them."""
        self.left -= len(chunk)
        if self.left < 0:
            self._fail("more bytes than its head announced")
        if self._decoder is None:
            if self._odd and len(chunk):
                self._stage(self._odd + bytes(chunk[:1]), 1)
                self._odd = b""
                chunk = chunk[1:]
            if len(chunk) & 1:
                self._odd = bytes(chunk[len(chunk) - 1 :])
                chunk = chunk[: len(chunk) - 1]
            self._stage(chunk, len(chunk) // 2)
            return
        try:
            self._decoder.feed(chunk)
            while self._decoder.next():
                self._change(self._decoder.part.at + self._decoder.index, self._decoder.value)
        except WireError as error:
            self._fail(str(error))

    def finish(self) -> None:
        """All bytes are in: check them, move the parameters to the new base, make it the base."""
        spec = self._spec
        if self._exact and self.left:
            self._fail(f"{self.left} bytes are missing")
        if self._decoder is None:
            if self._odd or self._at != spec.n_params:
                self._fail("its length is not the model's")
        else:
            try:
                self._decoder.finish()
            except WireError as error:
                self._fail(str(error))
            while self._at < spec.n_params:
                self._next_block()
        if self._hash.digest()[:DIGEST_BYTES] != self._digest:
            self._fail("its digest is another model's")
        self.touched = True
        self._move()
        self._base.commit(self._version, self._digest)

    def _fail(self, why: str) -> None:
        self._base.abort()
        raise WireError(f"model not received, {why}: send it dense")

    def _stage(self, block: "array[int] | bytes | memoryview", n: int) -> None:
        """The next n parameters."""
        self._hash.update(block)
        self._base.write(block)
        self._at += n

    def _change(self, i: int, value: int) -> None:
        while i >= self._at + len(self._block):
            self._next_block()
        value += self._block[i - self._at]
        if not -32768 <= value <= 32767:
            raise WireError("a parameter beyond int16")
        self._block[i - self._at] = value

    def _next_block(self) -> None:
        self._stage(self._block, len(self._block))
        self._read_block()

    def _read_block(self) -> None:
        n = min(BLOCK, self._spec.n_params - self._at)
        if n < len(self._block):
            self._block = new_block(n)
        if n:
            self._base.read(self._at, self._block)

    def _move(self) -> None:
        """The parameters' step from the old base to the staged one."""
        spec = self._spec
        params = self._params
        base = self._base
        new = new_block(BLOCK)
        old = new_block(BLOCK)
        for l in range(spec.n_layers):
            limit = spec.limit(l)
            at = spec.at(l)
            end = spec.at(l + 1)
            while at < end:
                n = min(BLOCK, end - at)
                if n != len(new):
                    new = new_block(n)
                    old = new_block(n)
                base.read_staged(at, new)
                if self._carry:
                    base.read(at, old)
                elif isinstance(params, array) and -limit <= min(new) and max(new) <= limit:
                    params[at : at + n] = new  # a copy in C
                    at += n
                    continue
                for i in range(n):
                    value = new[i]
                    if self._carry:
                        value += params[at + i] - old[i]
                    params[at + i] = -limit if value < -limit else limit if value > limit else value
                at += n
