"""Sending work out: a board's TASK, and the model where it lacks it."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Callable

from fedboard import messages, prng
from fedboard.model import Spec
from fedboard_host.history import History, pieces
from fedboard_host.member import Member
from fedboard_host.rounds import Round
from fedboard_host.strategies.base import Work

MAX_TRANSFERS = 3  # of one model to one board: then it is out of the round


class Dispatch:
    """set_state(member, state) is told what a board is at."""

    def __init__(self, spec: Spec, run: int, set_state: Callable[[Member, str], None]) -> None:
        self.history = History(spec)
        self._spec = spec
        self._run = run
        self._set_state = set_state

    async def send(self, round_: Round, member: Member) -> None:
        """Ask a board for its part of this round, again if it was away; nothing if it is done."""
        connection = member.connection
        info = member.info
        base = member.holds()
        transfer = None
        if not self.history.is_current(*base):
            transfer = await self.history.transfer(*base)
        work = round_.work(info.name, info.uid)
        if work is None or round_.is_over or member.asked is round_:
            return
        if connection is None or member.connection is not connection or not connection.joined:
            return  # overtaken: when it is back, it is asked anew
        member.settle_model()
        member.asked = round_
        for peer in round_.secret.peers() if round_.secret else ():
            connection.hub.send(peer)
        connection.hub.send(self._task(round_, info.name, work))
        if transfer is not None:
            base_version, encoding, meta, data = transfer
            begin = messages.Begin(
                what=messages.MODEL, round=round_.number, version=self.history.version,
                base=base_version, encoding=encoding, n_bytes=len(data),
                digest=self.history.digest, meta=meta,
            )  # fmt: skip
            connection.hub.transfer(begin, pieces(data))
            member.sent_version = self.history.version
            member.sent_digest = self.history.digest
        self._set_state(member, "training" if transfer is None else "receiving")
        connection.wake()

    def _task(self, round_: Round, name: str, work: Work) -> messages.Task:
        """The same for the same run, round and board: a board that holds the update sends it."""
        return messages.Task(
            run=self._run, round=round_.number, version=self.history.version,
            digest=self.history.digest, op=messages.TRAIN,
            flags=work.flags | (round_.secret is not None) * messages.MASKED,
            layers=work.layers, local=work.local, n_local=work.n_local, epochs=work.epochs,
            batch=work.batch, rate=work.rate, top_permille=work.top_permille, bits=work.bits,
            n_max=work.n_max, jitter=work.jitter, seed=prng.mix(self._run, crc32(name.encode())),
            spec=self._spec.pack(),
        )  # fmt: skip


def refuse(member: Member, round_no: int, reason: str) -> None:
    if member.is_here and member.connection is not None:
        # ASCII: the message has room for so many bytes.
        text = reason.encode("ascii", "replace")[:90].decode()
        member.connection.hub.send(messages.Refused(round=round_no, reason=text))
        member.connection.wake()


def confirm(member: Member, round_no: int) -> None:
    """The board's update of that round is on disk. Heard twice, it changes nothing."""
    if member.is_here and member.connection is not None:
        member.connection.hub.send(messages.Accepted(round=round_no))
        member.connection.wake()
