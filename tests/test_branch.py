"""A home that learns for a federation above it: its orders, its door, what survives a restart."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import stat
from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from fedboard import DataError, delta
from fedboard.delta import encode_delta
from fedboard.model import Spec, init_params, new_params
from fedboard.rebase import DENSE, SPARSE
from fedboard_host import branch, digits, door, strategies
from fedboard_host.branch import Branch
from fedboard_host.demo_boards import Boards
from fedboard_host.rounds import Policy
from fedboard_host.runtime import fast_kernels
from fedboard_host.server import Federation
from fedboard_host.store import Store

SPEC = Spec((64, 8, 10), "fedboard", 7)
DEAL = digits.deal(digits.load(), 2, 1)


def model(change: int = 0) -> array:
    params = new_params(SPEC)
    init_params(SPEC, params)
    params[5] += change
    return params


def order(params: array, number: int = 1, old: array | None = None, **fields) -> branch.Order:
    encoding, meta, data = encode_delta(SPEC, old, params)
    return replace(
        branch.Order(
            run=9, round=number, rounds=2, spec=SPEC.pack(), version=number,
            digest=SPEC.digest(params), base=number - 1 if old else 0, encoding=encoding,
            meta=meta, data=data, top_permille=1000, bits=16,
        ),
        **fields,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def home(folder: Path, resume: bool = False):
    with contextlib.closing(Store(folder, resume=resume)) as store, fast_kernels():
        async with Boards("memory") as boards:
            federation = Federation(
                SPEC, strategies.make("fedavg", {"batch": 8}), store, policy=Policy(2, quorum=2),
                run=3,
            )  # fmt: skip
            for b in range(2):
                federation.add_opener(boards.add(f"board-{b}", DEAL.boards[b]))
            try:
                yield federation
            finally:
                await federation.close()


def learned(reply: bytes) -> tuple[dict, array]:
    """The reply's head, and all the changes in it."""
    head, data = door.unpack(reply)
    changes = array("i", bytes(4 * SPEC.n_params))
    meta = bytes.fromhex(head["meta"])
    for l, indices, values in delta.parse_update(SPEC, head["layers"], meta, data):
        for i, value in zip(indices, values, strict=True):
            changes[SPEC.at(l) + i] = value
    return head, changes


def test_an_order_is_what_the_home_itself_would_learn(tmp_path):
    async def main():
        async with home(tmp_path / "a") as federation:
            answer = Branch(federation, tmp_path / "a").answer
            reply = await answer(branch.write_order(order(model())))
            ordered = federation.checkpoint
        async with home(tmp_path / "b") as federation:
            own = await federation.run(2)
        return reply, ordered, own.model

    reply, ordered, own = asyncio.run(main())
    head, changes = learned(reply)
    start = model()
    assert [start[i] + changes[i] for i in range(SPEC.n_params)] == list(own)
    assert head["n_samples"] == len(DEAL.everything)
    assert (ordered.round, ordered.version) == (2, 4)


def test_what_is_not_sent_or_not_settled_comes_later(tmp_path):
    """Through a restart, too: base + sent + kept is always what was learned."""

    async def main():
        async with home(tmp_path) as federation:
            first = await Branch(federation, tmp_path).answer(
                branch.write_order(order(model(), top_permille=100, bits=4))
            )
        async with home(tmp_path, resume=True) as federation:
            again = Branch(federation, tmp_path)
            kept = array("h", again._params)
            # The first update did not arrive: nothing is settled, the model above is the same.
            same = order(model(), 1, top_permille=1000, round=2)
            assert again._sent is not None
            again._take(same)
            lost = array("h", again._params)
            # It did arrive, and moved the model there by just that.
            again._sent = (1, 100, 4)
            _, changes = learned(first)
            moved = array("h", (v + c for v, c in zip(model(), changes, strict=True)))
            again._take(order(moved, 2, model(), settled=1))
            return kept, lost, array("h", again._params)

    kept, lost, settled = asyncio.run(main())
    assert lost == kept
    assert settled == kept  # + what the model above moved, - what was sent


def test_a_new_federation_starts_clean(tmp_path):
    async def main():
        async with home(tmp_path) as federation:
            mine = Branch(federation, tmp_path)
            await mine.answer(branch.write_order(order(model(), top_permille=10)))
            mine._take(order(model(3), run=10))
            return mine._params

    assert asyncio.run(main()) == model(3)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"spec": Spec((64, 9, 10)).pack()}, "another model"),
        ({"base": 4, "encoding": SPARSE}, "send the model dense"),
        ({"data": b"\0\0"}, "a model of 2 bytes"),
        ({"digest": bytes(8)}, "digest"),
        ({"rounds": 0}, "rounds"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(tmp_path, wrong, text):
    async def main():
        async with home(tmp_path) as federation:
            mine = Branch(federation, tmp_path)
            before = array("h", mine._params)
            with pytest.raises(DataError, match=text):
                await mine.answer(branch.write_order(order(model(1), **wrong)))
            assert mine._params == before
            assert federation.checkpoint.round == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    "message", [b"", b"{}", b"[]\n", b'{"op":"learn"}\n', b'{"op":"x"}\n', b"\xff"]
)
def test_no_order(message):
    with pytest.raises(DataError):
        branch.read_order(message)


def test_an_order_is_read_as_it_was_written():
    sent = order(model(2), 2, model())
    assert sent.encoding == SPARSE
    assert branch.read_order(branch.write_order(sent)) == sent
    assert order(model()).encoding == DENSE


def test_the_door_lets_in_who_has_its_key(tmp_path):
    async def answer(message: bytes) -> bytes:
        head, data = door.unpack(message)
        if head["op"] == "fail":
            raise DataError("no such luck")
        if head["op"] == "bug":
            raise KeyError("oops")
        return door.pack({"n": len(data)}, data[::-1])

    async def main():
        mine = door.Door(tmp_path, answer)
        mine.open()
        path = tmp_path / "door.json"
        mode = stat.S_IMODE(path.stat().st_mode)
        found = path.read_text()

        def ask(head, data=b""):
            return asyncio.to_thread(door.knock, tmp_path, door.pack(head, data))

        try:
            reply = await ask({"op": "echo"}, b"abc")
            with pytest.raises(DataError, match="no such luck"):
                await ask({"op": "fail"})
            with pytest.raises(DataError, match="oops"):
                await ask({"op": "bug"})
            path.write_text(found.replace(found[-6:-2], "0000"))  # another key
            with pytest.raises(DataError, match="does not answer"):
                await ask({"op": "echo"})
            path.write_text(found)
            assert await ask({"op": "echo"}, b"abc") == reply  # and it goes on
        finally:
            await mine.close()
        with pytest.raises(DataError, match="no home waits there"):
            await ask({"op": "echo"})
        return mode, reply

    mode, reply = asyncio.run(main())
    assert mode == 0o600
    assert door.unpack(reply) == ({"n": 3}, b"cba")


def test_the_door_closes_at_any_time(tmp_path):
    """With an order under way, and with a stranger who says nothing."""

    async def main():
        begun = asyncio.Event()

        async def answer(message: bytes) -> bytes:
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

        mine = door.Door(tmp_path, answer)
        mine.open()
        port = json.loads((tmp_path / "door.json").read_text())["port"]
        with socket.create_connection(("127.0.0.1", port)):
            asked = asyncio.create_task(
                asyncio.to_thread(door.knock, tmp_path, door.pack({"op": "x"}))
            )
            await begun.wait()
            await mine.close()
            with pytest.raises(DataError, match="could not do it"):
                await asked

    asyncio.run(main())


def test_the_door_lets_an_order_finish(tmp_path):
    async def main():
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def answer(message: bytes) -> bytes:
            begun.set()
            await go_on.wait()
            return door.pack({"done": 1})

        mine = door.Door(tmp_path, answer)
        mine.open()
        order = door.pack({"op": "x"})
        asked = asyncio.create_task(asyncio.to_thread(door.knock, tmp_path, order))
        await begun.wait()
        finished = asyncio.create_task(mine.finish())
        await asyncio.sleep(0)
        go_on.set()
        await finished
        with pytest.raises(DataError, match="was stopped"):
            await asyncio.to_thread(door.knock, tmp_path, order)
        await mine.close()
        return door.unpack(await asked)[0]

    assert asyncio.run(main()) == {"done": 1}


def test_an_order_that_breaks_off_loses_no_closed_round(tmp_path):
    """The home is killed after the first of two rounds: the next order goes on from there."""

    async def main():
        async with home(tmp_path) as federation:
            mine = Branch(federation, tmp_path)
            run = federation.run

            async def killed(n_rounds):
                await run(n_rounds - 1)
                raise ZeroDivisionError

            federation.run = killed
            with pytest.raises(ZeroDivisionError):
                await mine.answer(branch.write_order(order(model())))
            learned_so_far = array("h", federation.checkpoint.result)
        async with home(tmp_path, resume=True) as federation:
            mine = Branch(federation, tmp_path)
            mine._take(order(model(), round=2))
            return learned_so_far, mine._params

    learned_so_far, kept = asyncio.run(main())
    assert kept == learned_so_far != model()
