"""A board's side of masked rounds: with whom it masks, and for whom it opens the sum. See mask.

    PEER*  ->  TASK, masked: join()  ->  update(), once  ->  UNMASK: one answer(), for one set

A board answers for one set of survivors a cohort, and no two sets get enough shares: so nobody
learns both the b_i and the s_ij of one board, not even a host that tells boards different things. A
cohort that a board has left does not come back: nonces rise. It knows the last one as long as it
has its RAM. Only boards with a mask key load this.
"""

from fedboard import DataError, messages
from fedboard.cohort import MOST, NONCE_BYTES, Cohort, Opening, Peer, Unmask, about, seal
from fedboard.mask import MaskedUpdate
from fedboard.message import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fedboard.model import Spec


class Party:
    """key: the mask key. name: the board's."""

    def __init__(self, key: bytes, name: str) -> None:
        self._key = key
        self._name = name
        self._nonce = b""
        self._round = 0
        self._names: list[str] = []
        self._of = 0
        self._cohort: Cohort | None = None
        self._opened = 0  # the set of survivors that it has answered for; 0: none yet
        self._made = False  # an update: two under the same masks would tell their difference

    def hear(self, message: Message, tell: "Callable[[Message], None]") -> bool:
        """Take what the host says of masks; tell() it what it asks for. True: a new cohort begins.

        Raises DataError for what cannot be.
        """
        if isinstance(message, Unmask):
            for opening in self.answer(message):
                tell(opening)
        return isinstance(message, Peer) and self.take(message)

    def take(self, message: Peer) -> bool:
        """A peer of the next masked round. True: a new cohort begins. Raises DataError.

        A nonce must be above the last one: masks of a cohort that is over would serve twice.
        """
        begins = (message.nonce, message.round) != (self._nonce, self._round)
        if begins:
            if len(message.nonce) != NONCE_BYTES or message.nonce <= self._nonce:
                raise DataError(
                    "masks of a round that is over: restart the board if the host's clock was set"
                )
            self._nonce = message.nonce
            self._round = message.round
            self._names = []
            self._cohort = None
            self._opened = 0
            self._made = False
            self._of = message.of
        if message.place == len(self._names) and len(self._names) < min(self._of, MOST):
            self._names.append(message.name)
        return begins

    def join(self, task: messages.Task) -> "tuple[Cohort, bytes, int]":
        """(the cohort of this task, the key, the own place in it). Raises DataError."""
        if not task.flags & messages.MASKED:
            raise DataError(
                'this board has a "mask_key": it sends masked updates only, with secure = true'
            )
        learns = task.epochs or (task.n_max and task.flags & messages.STREAM)
        if not task.version or not learns:
            raise DataError("a masked update is learned, from a model that is the same for all")
        names = self._names
        if self._round != task.round or len(names) != self._of or not names:
            raise DataError("the host did not tell with whom updates are masked")
        if self._name not in names:
            raise DataError("this board is not among those whose updates are masked")
        self._cohort = Cohort(names, about(task, self._nonce, names))
        return self._cohort, self._key, names.index(self._name)

    def update(
        self, spec: "Spec", params: "Any", base: "Any", layers: int, task: messages.Task
    ) -> MaskedUpdate:
        """What to send of what was learned."""
        cohort, key, own = self.join(task)
        if self._made:
            raise DataError("this board has masked an update of this round already")
        self._made = True
        return MaskedUpdate(
            spec, params, base, layers, task.top_permille, cohort, key, own, task.run, task.round
        )

    def answer(self, ask: Unmask) -> "list[Opening]":
        """What opens the sum of these survivors. Raises DataError for what would tell too much."""
        cohort = self._cohort
        if cohort is None or ask.nonce != self._nonce:
            raise DataError("this board has no masked update of that round any more")
        cohort.check(ask.survivors)
        own = self._names.index(self._name)
        if not ask.survivors >> own & 1 or not ask.survivors >> ask.of & 1:
            raise DataError("only those whose update is in the sum open it, and for such")
        if self._opened not in (0, ask.survivors):
            raise DataError("this board has opened another sum of this round")
        self._opened = ask.survivors
        opener = cohort.opener(self._key, ask.survivors)
        share = cohort.share(self._key, ask.survivors, own)
        return [
            Opening(
                round=ask.round, of=ask.of, peer=j, share=share,
                sealed=seal(opener, ask.of, j, cohort.seed(self._key, ask.of, j)),
            )
            for j in [ask.of] + cohort.lost(ask.survivors)
        ]  # fmt: skip
