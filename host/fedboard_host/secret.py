"""The host's side of masked updates: sums what it cannot read, and has the sum opened.

    secret = Secret(...)                  one round: its boards, a fresh nonce
    secret.peers()                        what each board is told before its task
    secret.add(name, secret.parse(...))   the masked words of one board
    secret.asks()                         the updates are in: whom to ask for what opens them
    secret.take(name, opening)            until secret.is_open, then
    secret.sums() -> int64 (n_params,)    the sum of the changes, and of no single board's

See fedboard.mask for what the masks are, and docs/privacy.md for what they protect from.
"""

from __future__ import annotations

import secrets
import struct
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedboard import WireError, mask, messages
from fedboard.cohort import NONCE_BYTES, SEED_BYTES, Cohort, Opening, Peer, Unmask, recover, unseal
from fedboard.model import Spec
from fedboard_host.aggregate import Ints

Masked = NDArray[np.uint16]

_latest_ns = 0


def new_nonce() -> bytes:
    """Above all that were made before, as boards demand: the time, then random bytes."""
    global _latest_ns
    _latest_ns = max(_latest_ns + 1, time.time_ns())
    return struct.pack(">Q", _latest_ns) + secrets.token_bytes(NONCE_BYTES - 8)


class Secret:
    """One masked round. nonce: given by tests only."""

    def __init__(
        self,
        spec: Spec,
        layers: int,
        top_permille: int,
        run: int,
        round_no: int,
        names: Sequence[str],
        nonce: bytes = b"",
    ) -> None:
        self.layers = layers
        self._spec = spec
        self._round = round_no
        self._nonce = nonce or new_nonce()
        self.cohort = Cohort(sorted(names))
        self._places = np.fromiter(
            mask.places(spec, layers, top_permille, run, round_no), dtype=np.intp
        )
        self._sum: Masked = np.zeros(len(self._places), np.uint16)
        self._survivors = 0
        self._shares: dict[int, bytes] = {}
        self._sealed: dict[tuple[int, int], bytes] = {}

    @property
    def names(self) -> list[str]:
        """Of the boards whose updates are in the sum."""
        return [name for i, name in enumerate(self.cohort.names) if self._survivors >> i & 1]

    @property
    def heard(self) -> set[str]:
        """Who has told its share."""
        return {self.cohort.names[i] for i in self._shares}

    def peers(self) -> list[Peer]:
        names = self.cohort.names
        return [
            Peer(round=self._round, nonce=self._nonce, place=i, of=len(names), name=name)
            for i, name in enumerate(names)
        ]

    def parse(self, begin: messages.Begin, data: bytes) -> Masked:
        """Raises WireError for what is no masked update of this round."""
        if begin.encoding != mask.ENCODING or begin.meta != bytes([self.layers]):
            raise WireError("an update that is not masked as this round's are")
        if len(data) != 2 * len(self._places):
            raise WireError(f"{len(data)} masked bytes where {2 * len(self._places)} belong")
        return np.frombuffer(data, "<u2").astype(np.uint16)

    def add(self, name: str, words: Masked) -> None:
        self._sum += words  # modulo 2**16
        self._survivors |= 1 << self.cohort.names.index(name)

    def ask(self, of: str) -> Unmask:
        place = self.cohort.names.index(of)
        return Unmask(
            round=self._round, nonce=self._nonce, survivors=self._survivors, of=place
        )  # fmt: skip

    def take(self, name: str, opening: Opening) -> None:
        """Raises WireError for what was not asked for."""
        i = self.cohort.names.index(name) if name in self.cohort.names else -1
        known = i >= 0 and self._survivors >> i & self._survivors >> opening.of & 1
        if opening.round != self._round or not known or len(opening.share) != SEED_BYTES:
            raise WireError("an opening that nobody asked for")
        self._shares[i] = opening.share
        self._sealed[opening.of, opening.peer] = opening.sealed

    def missing(self) -> list[str]:
        """The boards in the sum whose seeds are not all here."""
        lost = self.cohort.lost(self._survivors)
        return [
            name
            for i, name in enumerate(self.cohort.names)
            if self._survivors >> i & 1 and any((i, j) not in self._sealed for j in [i, *lost])
        ]

    @property
    def is_open(self) -> bool:
        return len(self._shares) >= self.cohort.threshold and not self.missing()

    def sums(self) -> Ints:
        """Raises WireError if what the boards told does not fit together."""
        assert self.is_open
        chosen = dict(sorted(self._shares.items())[: self.cohort.threshold])
        opener = recover(chosen)
        total = self._sum.copy()
        lost = self.cohort.lost(self._survivors)
        for i in range(self.cohort.n):
            if self._survivors >> i & 1:
                for j in [i, *lost]:
                    seed = unseal(opener, i, j, self._sealed[i, j])
                    words = self._stream(seed)
                    total += words if j < i else -words
        sums: Ints = np.zeros(self._spec.n_params, np.int64)
        sums[self._places] = total.view(np.int16)
        return sums

    def _stream(self, seed: bytes) -> Masked:
        stream = mask.Stream(seed)
        n_blocks = -(-len(self._places) // mask.WORDS)
        words = b"".join(bytes(stream.next()) for _ in range(n_blocks))
        return np.frombuffer(words, "<u2").astype(np.uint16)[: len(self._places)]
