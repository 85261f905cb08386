"""One board asked directly: a model brought, adapted, kept; and what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from device_lab import make_samples, start_params, write_samples
from fedboard import messages
from fedboard.model import Spec
from fedboard_host.clock import Clock
from fedboard_host.history import History
from fedboard_host.links.memory import Faults
from fedboard_host.links.process import ProcessOpener
from fedboard_host.talk import Talk, TalkError
from fedboard_host.virtual import ArraySamples, VirtualBoard

SPEC = Spec((16, 12, 4), seed=7)
KEY = bytes(range(32))
MADE = make_samples()


def history(*versions):
    """Of (version, parameters), ... the last is the current one."""
    found = History(SPEC)
    for version, params in zip(versions[::2], versions[1::2], strict=True):
        found.add(version, params)
    return found


def adapt(**changes):
    fields = {"op": messages.ADAPT, "shots": 5, "n_max": 40, "batch": 1, "rate": 6, "seed": 4}
    return messages.Task(**(fields | changes))


@contextlib.asynccontextmanager
async def plugged_in(**options):
    samples = ArraySamples([x.tolist() for x, _ in MADE], [label for _, label in MADE])
    board = VirtualBoard("b", samples, **options)
    life = asyncio.create_task(board.run())
    try:
        yield board
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)


@contextlib.asynccontextmanager
async def talking(link, key=None, clock=None):
    talk = Talk(link, key, clock or Clock())
    try:
        await talk.join(20)
        yield talk
    finally:
        await talk.close()


@pytest.mark.parametrize("faults", [None, Faults(seed=3, loss=0.1, corrupt=0.05)])
def test_a_model_is_brought_adapted_and_kept(faults):
    async def go():
        clock = Clock(20 if faults else 1)
        async with plugged_in(key=KEY, up=faults, down=faults, clock=clock) as board:
            async with talking(board.link, KEY, clock) as talk:
                assert talk.hello.name == "b"
                assert (talk.status.n_samples, talk.status.version) == (60, 0)
                model = history(3, start_params(SPEC))
                found = await talk.work(adapt(flags=messages.KEEP), model)
                again = await talk.work(adapt(), model)
                assert found.pack()[4:] == again.pack()[4:]
                own = messages.Task(op=messages.EVALUATE, flags=messages.PERSONAL)
                assert (await talk.work(own)).version == 3
            async with talking(board.link, KEY, clock) as talk:
                assert talk.status.version == board.personal.version == 3
                assert (await talk.work(adapt())).n_correct == found.n_correct
                with pytest.raises(TalkError, match="b: a batch has"):
                    await talk.work(adapt(batch=0))
                assert (await talk.work(messages.Task(op=messages.FORGET))).n == 0
            assert board.personal.version == 0
            return found

    found = asyncio.run(go())
    assert found.n_correct > found.n_correct_before


def test_only_changes_are_sent_to_a_board_that_holds_an_earlier_model():
    """And all of it to one whose model is not what it says: nothing else is ever applied to it."""
    first = start_params(SPEC)
    near, next_ = first[:], first[:]
    near[3] += 1
    next_[5] -= 2
    evaluate = {"op": messages.EVALUATE}

    async def go():
        async with plugged_in() as board, talking(board.link) as talk:

            async def down(model):
                before = talk._connection.bytes_out
                await talk.work(messages.Task(**evaluate), model)
                base = board.base
                assert (base.version, base.digest) == (model.version, model.digest)
                assert base.digest == SPEC.digest(base._params)
                return talk._connection.bytes_out - before

            assert await down(history(3, first)) > 2 * SPEC.n_params
            assert await down(history(3, first, 3, near)) < SPEC.n_params
            assert await down(history(3, first, 3, near, 4, next_)) < SPEC.n_params
            assert await down(history(3, near)) > 2 * SPEC.n_params
            board.base._params[7] += 1  # it is damaged
            assert await down(history(3, near, 4, next_)) > 2 * SPEC.n_params

    asyncio.run(go())


def test_a_real_micropython_board(tmp_path, micropython):
    """The same answer as a board in this process, to the bit."""
    write_samples(tmp_path / "data", MADE)
    config = tmp_path / "fedboard.json"
    config.write_text(f'{{"name": "b", "data_dir": "{tmp_path / "data"}"}}')
    from fedboard_host import paths

    command = [*micropython, str(paths.device_dir() / "main.py"), "--config", str(config)]

    async def ask(link):
        async with talking(link) as talk:
            task = adapt(flags=messages.KEEP, local=2, n_local=9)
            return (await talk.work(task, history(1, start_params(SPEC)))).pack()

    async def go():
        async with plugged_in() as board:
            return await ask(board.link), await ask(await ProcessOpener(command, name="b").open())

    here, there = asyncio.run(go())
    assert here == there
