"""A home that learns for a federation above it, as a board learns for a home.

    order   {"op": "learn", run, round, rounds, spec, version, digest, base, encoding, meta,
             top_permille, bits, settled}                                and the model's bytes
    reply   {round, version, digest, n_samples, layers, meta}            and the update's bytes

The codecs are a board's: the model comes dense or as exact changes (fedboard.rebase), the update is
the home's largest changes in few bits (fedboard.update). What is not sent stays here as residual,
and so does an update that the order after it does not call settled. FOLDER/branch.npz has it all,
written whole: a home that is killed goes on from there.
"""

from __future__ import annotations

import io
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedboard import DataError, WireError
from fedboard.base import MemoryBase
from fedboard.model import unpack_spec
from fedboard.rebase import Rebase
from fedboard.update import Update
from fedboard_host import door, npz
from fedboard_host.export import write_whole

if TYPE_CHECKING:
    from fedboard_host.server import Federation

MAX_ROUNDS = 10_000  # of one order


@dataclass(frozen=True)
class Order:
    """One round of the federation above. settled: its last round that this home's update is in.

    run: names the federation; what a home kept of another one is dropped.
    """

    run: int
    round: int
    rounds: int  # that the home's boards do for it
    spec: bytes
    version: int  # of the model in it
    digest: bytes
    base: int  # that the model is a change to; 0: none
    encoding: int
    meta: bytes
    data: bytes
    top_permille: int
    bits: int
    settled: int = 0


class Branch:
    """answer() is a Door's. federation: the home's, whose boards join and leave as they like."""

    def __init__(self, federation: Federation, folder: Path) -> None:
        self._federation = federation
        self._spec = federation.checkpoint.spec
        self._path = folder / "branch.npz"
        self._base = MemoryBase()
        self._params = array("h", federation.checkpoint.params)
        self._run = 0
        self._adopted = 0  # the home's own version of what an order began with
        self._sent: tuple[int, int, int] | None = None  # round, top_permille, bits of an update
        self._load()

    async def answer(self, message: bytes) -> bytes:
        """Do what an order says. Raises DataError if that cannot be."""
        order = read_order(message)
        if order.spec != self._spec.pack():
            raise DataError(
                f"the federation learns another model than this home's {self._spec}: "
                "give home.toml its layers, rule and seed"
            )
        self._take(order)
        self._adopted = self._federation.checkpoint.version + 1
        self._save()
        await self._federation.adopt(self._params)
        n_done = self._federation.checkpoint.round
        result = await self._federation.run(n_done + order.rounds)
        if result.stopped:
            raise DataError("the home was stopped")
        self._params[:] = result.model
        self._sent = order.round, order.top_permille, order.bits
        change = self._change()
        self._save()
        head = {
            "round": order.round,
            "version": self._base.version,
            "digest": self._base.digest.hex(),
            "n_samples": sum(
                board.n_samples for board in self._federation.boards() if board.state != "gone"
            ),
            "layers": (1 << self._spec.n_layers) - 1,
            "meta": change.meta().hex(),
        }
        return door.pack(head, b"".join(change.chunks()))

    def _take(self, order: Order) -> None:
        """Settle what arrived above, then move to its model, and carry what is left."""
        now = self._federation.checkpoint
        if self._sent is None and self._adopted and now.version > self._adopted:
            self._params[:] = now.result  # an order broke off: what its closed rounds learned
        self._adopted = 0
        if self._run != order.run:
            self._run, self._sent = order.run, None
            self._base.clear()
        if self._sent is not None and self._sent[0] == order.settled:
            self._change().settle()
        self._sent = None
        base = self._base
        if order.base and (base.version != order.base or base.spec_bytes != order.spec):
            raise DataError(f"this home has no version {order.base}: send the model dense")
        if (order.version, order.digest) != (base.version, base.digest):
            try:
                rebase = Rebase(
                    self._spec, self._params, base, order.encoding, order.meta, len(order.data),
                    order.version, order.digest, carry=True,
                )  # fmt: skip
                rebase.feed(order.data)
                rebase.finish()
            except WireError as error:
                raise DataError(str(error)) from None

    def _change(self) -> Update:
        """What the home learned beyond the base, as an update."""
        assert self._sent is not None
        _, top_permille, bits = self._sent
        layers = (1 << self._spec.n_layers) - 1
        change = Update(self._spec, self._params, self._base, layers, top_permille, bits)
        change.prepare()
        return change

    def _save(self) -> None:
        base = array("h", bytes(2 * self._spec.n_params))
        base_version = self._base.version
        self._base.read(0, base)
        data = io.BytesIO()
        np.savez(
            data, spec=np.frombuffer(self._spec.pack(), np.uint8),
            params=np.asarray(self._params), base=np.asarray(base),
            digest=np.frombuffer(self._base.digest, np.uint8),
            numbers=np.array(
                [self._run, self._adopted, base_version, *(self._sent or (0, 0, 0))], np.int64
            ),
        )  # fmt: skip
        write_whole(self._path, data.getvalue())

    def _load(self) -> None:
        """What an earlier process left. Nothing, or damaged: the model will come dense."""
        try:
            found = npz.read(self._path)
            spec = found["spec"].astype(np.uint8).tobytes()
            params, base = (array("h", found[k].astype("<i2").tobytes()) for k in _ARRAYS)
            digest = found["digest"].astype(np.uint8).tobytes()
            run, adopted, version, *sent = (int(n) for n in found["numbers"])
            if spec != self._spec.pack() or self._spec.digest(base) != digest:
                return
            self._spec.check(params)
        except (ValueError, KeyError, TypeError, DataError):
            return
        self._base.begin(spec)
        self._base.write(base)
        self._base.commit(version, digest)
        self._params = params
        self._run = run
        self._adopted = adopted
        self._sent = (sent[0], sent[1], sent[2]) if sent[0] else None


_ARRAYS = ("params", "base")
_IN_HEX = ("spec", "digest", "meta")


def write_order(order: Order) -> bytes:
    head: dict[str, Any] = dict(vars(order), op="learn")
    data = head.pop("data")
    head.update({name: head[name].hex() for name in _IN_HEX})
    return door.pack(head, data)


def read_order(message: bytes) -> Order:
    """Raises DataError for what write_order() cannot have made."""
    head, data = door.unpack(message)
    try:
        if head.pop("op") != "learn":
            raise DataError("a home can learn: it knows no other order")
        values: dict[str, Any] = {k: int(v) for k, v in head.items() if k not in _IN_HEX}
        values.update({k: bytes.fromhex(head[k]) for k in _IN_HEX})
        order = Order(data=data, **values)
    except (KeyError, TypeError, ValueError):
        raise DataError("this is no order of fedboard's") from None
    unpack_spec(order.spec)
    if not 1 <= order.rounds <= MAX_ROUNDS:
        raise DataError(f"an order for {order.rounds} rounds: 1 to {MAX_ROUNDS} are possible")
    return order
