"""Who masks their updates together, and the keys that open their sum: see mask.

    s_ij = HMAC(mask key, "fedboard pair" | about | i | j)       i < j, one byte each
    b_i  = HMAC(mask key, "fedboard self" | about | i)
    K_S  = HMAC(mask key, "fedboard open" | about | S | 0), likewise its shares' other coefficients
    about = SHA-256(TASK, seed 0 | nonce | for each name: its length u8, name)

So the masks of boards that were told other names, or another task, do not cancel. The nonce is
fresh whenever a round is begun, and rises: no mask is used twice, and none is asked for again.
Boards load this only for a run that masks; its messages add themselves.
"""

import struct

from fedboard import DataError, WireError, auth, messages
from fedboard.message import BYTES, TEXT, U8, U32, Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedboard.messages import Task

LEAST = 3  # boards: of two, each could tell the other's update from the sum
MOST = 32
NONCE_BYTES = 16  # compared as bytes: the first eight are a clock's, big endian
SEED_BYTES = 32
TAG_BYTES = 4


class Peer(Message):
    """Hub: before a masked TASK, one for each board of the round."""

    KIND = 0x30
    FIELDS = (("round", U32), ("nonce", BYTES), ("place", U8), ("of", U8), ("name", TEXT))
    round: int
    nonce: bytes
    place: int  # of this board among them
    of: int  # so many boards
    name: str


class Unmask(Message):
    """Hub: these updates are in: open their sum. Answered by Openings, or an Error."""

    KIND = 0x31
    FIELDS = (("round", U32), ("nonce", BYTES), ("survivors", U32), ("of", U8))
    round: int
    nonce: bytes
    survivors: int  # bit i set: the update of the board at place i
    of: int  # whose seeds are wanted: the board's own, or those of one that is gone


class Opening(Message):
    """Node: one sealed seed of board `of`, and this board's share of what opens it."""

    KIND = 0x32
    FIELDS = (("round", U32), ("of", U8), ("peer", U8), ("share", BYTES), ("sealed", BYTES))
    round: int
    of: int
    peer: int  # `of` itself: its own mask; else the lost board that it shares this seed with
    share: bytes
    sealed: bytes


messages.add(Peer, Unmask, Opening)


def about(task: "Task", nonce: bytes, names: "Sequence[str]") -> bytes:
    """What all boards of a round must have been told alike. The order of samples is each one's."""
    seed = task.seed
    task.seed = 0
    h = auth.sha256()
    h.update(task.pack())
    task.seed = seed
    h.update(nonce)
    for name in names:
        data = name.encode()
        h.update(bytes((len(data),)) + data)
    digest: bytes = h.digest()
    return digest


class Cohort:
    """The boards of one round, by name in their order, and what follows from the mask key.

    about: see there; the host, which has no mask key, needs none.
    """

    def __init__(self, names: "Sequence[str]", about: bytes = b"") -> None:
        if not LEAST <= len(names) <= MOST or len(set(names)) < len(names):
            raise DataError(f"{len(names)} boards cannot hide each other: use {LEAST} to {MOST}")
        self.names = list(names)
        self.n = len(names)
        self.about = about
        self.threshold = max(LEAST, self.n // 2 + 1)

    def self_seed(self, key: bytes, i: int) -> bytes:
        return auth.hmac_sha256(key, b"fedboard self" + self.about + bytes((i,)))

    def pair_seed(self, key: bytes, i: int, j: int) -> bytes:
        both = bytes((min(i, j), max(i, j)))
        return auth.hmac_sha256(key, b"fedboard pair" + self.about + both)

    def seed(self, key: bytes, i: int, j: int) -> bytes:
        """s_ij, or b_i where j is i."""
        return self.self_seed(key, i) if i == j else self.pair_seed(key, i, j)

    def check(self, survivors: int) -> None:
        """Raise DataError unless this set (bit i: board i) is one that may be opened."""
        n = sum(survivors >> i & 1 for i in range(self.n))
        if survivors >> self.n or n < self.threshold:
            raise DataError(f"{n} updates of {self.n} boards are too few to be summed in secret")

    def lost(self, survivors: int) -> "list[int]":
        return [d for d in range(self.n) if not survivors >> d & 1]

    def share(self, key: bytes, survivors: int, i: int) -> bytes:
        """Board i's share of K_S: a polynomial over GF(256) for each byte, at i + 1."""
        x = i + 1
        found = bytearray(SEED_BYTES)
        for k in range(self.threshold - 1, -1, -1):  # Horner's rule
            term = self._coefficient(key, survivors, k)
            for b in range(SEED_BYTES):
                found[b] = times(found[b], x) ^ term[b]
        return bytes(found)

    def opener(self, key: bytes, survivors: int) -> bytes:
        """K_S."""
        return self._coefficient(key, survivors, 0)

    def _coefficient(self, key: bytes, survivors: int, k: int) -> bytes:
        about = b"fedboard open" + self.about + struct.pack("<IB", survivors, k)
        return auth.hmac_sha256(key, about)


def seal(opener: bytes, i: int, j: int, seed: bytes) -> bytes:
    """Encrypt a seed of boards i and j; with 4 bytes that tell whether it was opened rightly."""
    tag = auth.hmac_sha256(opener, b"fedboard tag" + bytes((i, j)) + seed)[:TAG_BYTES]
    return _mixed(opener, i, j, seed) + tag


def unseal(opener: bytes, i: int, j: int, sealed: bytes) -> bytes:
    """The seed. Raises WireError if it was sealed with another key."""
    seed = _mixed(opener, i, j, sealed[:SEED_BYTES])
    if seal(opener, i, j, seed) != sealed:
        raise WireError("what the boards told to open the sum does not fit together")
    return seed


def _mixed(opener: bytes, i: int, j: int, seed: bytes) -> bytes:
    stream = auth.hmac_sha256(opener, b"fedboard seal" + bytes((i, j)))
    return bytes([a ^ b for a, b in zip(seed, stream)])


def times(a: int, b: int) -> int:
    """The product in GF(256), modulo x**8 + x**4 + x**3 + x + 1."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= 0x11B
        b >>= 1
    return product


def recover(shares: "dict[int, bytes]") -> bytes:
    """K_S from the shares of `threshold` boards: Lagrange's interpolation at 0."""
    found = bytearray(SEED_BYTES)
    for i, share in shares.items():
        weight = 1
        for j in shares:
            if j != i:
                weight = times(times(weight, j + 1), _inverse((i + 1) ^ (j + 1)))
        for b in range(SEED_BYTES):
            found[b] ^= times(share[b], weight)
    return bytes(found)


def _inverse(a: int) -> int:
    power = a
    for _ in range(6):  # a**254
        power = times(times(power, power), a)
    return times(power, power)
