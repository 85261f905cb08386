"""Taking updates in: judge, decode, add to the sums; or say why not.

Where changes are only summed, the updates that come in the same turn of the loop are added to the
sums together, which takes less time than one by one (lockstep). Each is judged for itself, and
heard by its board as if it had come alone. Its connection may end meanwhile: what became of it is
told all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from fedboard import WireError, hub, messages
from fedboard.model import Spec
from fedboard_host import rounds
from fedboard_host.aggregate import Merger
from fedboard_host.batch import Batch
from fedboard_host.clock import Clock
from fedboard_host.decode import Decoder
from fedboard_host.dispatch import refuse
from fedboard_host.events import Event, UpdateReceived
from fedboard_host.member import Member
from fedboard_host.rounds import Round

MAX_WAITING = 128  # updates that are added to the sums at once
# Of a round that was dropped and will be begun anew: the board keeps the update and is asked again.
_EARLY = "no round is open"


class _Update(NamedTuple):
    """An update that has come as a whole."""

    member: Member
    begin: messages.Begin
    data: bytes


class Intake:
    """One round at a time: open(round), then take() whatever comes, until close().

    changed() is called when a board's part in the round may be over.
    """

    def __init__(
        self,
        spec: Spec,
        merger: Merger,
        emit: Callable[[Event], None],
        set_state: Callable[[Member, str, str], None],
        changed: Callable[[], None],
        clock: Clock,
        n_closed: int,
    ) -> None:
        self.n_bytes = 0  # of this round's updates
        self.n_closed = n_closed  # the last round that was merged
        self._decoder = Decoder(spec)
        self._merger = merger
        self._emit = emit
        self._set_state = set_state
        self._changed = changed
        self._clock = clock
        self._round: Round | None = None
        self._last: Round | None = None  # the last one that was merged
        self._batch = Batch(self._take_all, MAX_WAITING)

    def open(self, round_: Round) -> None:
        self._round = round_
        self.n_bytes = 0
        self._merger.drop()

    def close(self) -> None:
        """No more updates: the round is merged."""
        assert self._round is not None
        self._last = self._round
        self.n_closed = self._round.number
        self._round = None

    def drop(self) -> None:
        """The round is not merged, its updates are forgotten."""
        self._round = None
        self._merger.drop()

    async def take(self, member: Member, received: hub.Update) -> None:
        update = _Update(member, received.begin, received.data)
        reason = self._judge(member, update.begin)
        round_ = self._round
        if not reason and round_ is not None:
            if round_.secret is None and self._merger.sums_streams:
                # In less time than it takes to ask another thread.
                await self._batch.put(update)
                return
            reason = await self._read(round_, update)
        self._tell(update, reason)

    def _tell(self, update: _Update, reason: str) -> None:
        """Its board and people: it is in, or why not."""
        member, begin, data = update
        if reason in (rounds.DUPLICATE, _EARLY):
            return
        if reason:
            refuse(member, begin.round, reason)
            self._set_state(member, "failed", reason)
        else:
            self._set_state(member, "done", "")
        accuracy = loss = None
        learned = member.progress
        if learned is not None and learned.round == begin.round and learned.done:
            accuracy, loss = learned.n_correct / learned.done, learned.loss / 1000
        self._emit(UpdateReceived(
            member.info.name, begin.round, begin.n_samples, len(data), not reason, reason,
            accuracy, loss,
        ))  # fmt: skip
        self._changed()

    async def _read(self, round_: Round, update: _Update) -> str:
        """Add it to the sums, or say why not."""
        member, begin, data = update
        name, merger = member.info.name, self._merger
        layers = round_.parts[name].work.sent
        try:
            if round_.secret is not None:
                masked = round_.secret.parse(begin, data)
            else:
                parsed = await asyncio.to_thread(self._decoder.parse, layers, begin.meta, data)
        except WireError as error:
            round_.fail(name, str(error))  # it would send the same again
            return str(error)
        reason = self._judge(member, begin)  # time has passed
        if reason:
            return reason
        if merger.is_full:
            reason = "the host holds as many updates as it can"
            round_.fail(name, reason)
            return reason
        if round_.secret is not None:
            round_.secret.add(name, masked)
        else:
            merger.add(parsed, merger.counted(begin.n_samples), name)
        self._accept(member, data)
        return ""

    def _take_all(self, updates: list[_Update]) -> list[str]:
        """Add them to the sums and tell of each; for each why it is not in, or nothing."""
        reasons = self._sum(updates)
        for update, reason in zip(updates, reasons, strict=True):
            self._tell(update, reason)
        return reasons

    def _sum(self, updates: list[_Update]) -> list[str]:
        """Add them to the sums; for each why it is not, or nothing."""
        reasons = []
        taken: dict[str, int] = {}  # by name: its place
        wires = []
        for i, (member, begin, data) in enumerate(updates):
            name = member.info.name
            reason = self._judge(member, begin)  # time has passed
            if not reason and name in taken:
                reason = rounds.DUPLICATE
            reasons.append(reason)
            if not reason:
                assert self._round is not None
                taken[name] = i
                layers = self._round.parts[name].work.sent
                weight = self._merger.counted(begin.n_samples)
                wires.append((weight, layers, begin.meta, data))
        if not taken:
            return reasons
        names = list(taken)
        refused = self._merger.take_all(self._decoder, wires, names)
        for place, name in enumerate(names):
            if place not in refused:
                self._accept(updates[taken[name]].member, updates[taken[name]].data)
                continue
            reasons[taken[name]] = str(refused[place])
            assert self._round is not None
            self._round.fail(name, str(refused[place]))  # it would send the same again
        return reasons

    def _accept(self, member: Member, data: bytes) -> None:
        """It is in the sums: whatever becomes of its connection now, it counts."""
        assert self._round is not None
        part = self._round.accept(member.info.name)
        member.took_ms.append(self._clock.now_ms() - part.asked_ms)
        self.n_bytes += len(data)

    def _judge(self, member: Member, begin: messages.Begin) -> str:
        name, uid = member.info.name, member.info.uid
        last = self._last
        if last is not None and begin.round == last.number and last.accepted.get(name) == uid:
            return rounds.DUPLICATE  # it will hear that it was accepted
        if self._round is None:
            return _EARLY if begin.round > self.n_closed else f"round {begin.round} is closed"
        return self._round.check(name, uid, begin)
