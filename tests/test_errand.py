"""One board asked directly: a model brought, adapted, kept; and what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from device_lab import make_samples, start_params, write_samples
from fedboard import DataError, messages
from fedboard.model import Spec
from fedboard_host.clock import Clock
from fedboard_host.errand import Errand
from fedboard_host.links import LinkError
from fedboard_host.links.memory import Faults
from fedboard_host.links.process import ProcessOpener
from fedboard_host.virtual import ArraySamples, VirtualBoard

SPEC = Spec((16, 12, 4), seed=7)
KEY = bytes(range(32))
MADE = make_samples()


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


@pytest.mark.parametrize("faults", [None, Faults(seed=3, loss=0.1, corrupt=0.05)])
def test_a_model_is_brought_adapted_and_kept(faults):
    async def go():
        clock = Clock(20 if faults else 1)
        async with plugged_in(key=KEY, up=faults, down=faults, clock=clock) as board:
            async with Errand(board.link, KEY, clock=clock) as errand:
                assert errand.hello.name == "b"
                assert (errand.status.n_samples, errand.status.version) == (60, 0)
                start = start_params(SPEC)
                found = await errand.ask(adapt(flags=messages.KEEP), SPEC, start, 3)
                again = await errand.ask(adapt(), SPEC, start, 3)
                assert found.pack()[4:] == again.pack()[4:]
                own = messages.Task(op=messages.EVALUATE, flags=messages.PERSONAL)
                assert (await errand.ask(own)).version == 3
            async with Errand(board.link, KEY, clock=clock) as errand:
                assert errand.status.version == board.personal.version == 3
                assert (await errand.ask(adapt())).n_correct == found.n_correct
                with pytest.raises(DataError, match="b: a batch has"):
                    await errand.ask(adapt(batch=0))
                assert (await errand.ask(messages.Task(op=messages.FORGET))).n == 0
            assert board.personal.version == 0
            return found

    found = asyncio.run(go())
    assert found.n_correct > found.n_correct_before


def test_what_goes_wrong():
    async def go():
        clock = Clock(50)
        async with plugged_in(clock=clock) as board:
            with pytest.raises(LinkError, match="key"):
                async with Errand(board.link, KEY, clock=clock):
                    pass
            async with Errand(board.link, clock=clock) as errand:
                with pytest.raises(DataError, match="no model yet"):
                    await errand.ask(adapt())
                board.unplug()
                with pytest.raises(LinkError, match="link closed"):
                    await errand.ask(adapt())
        silent = VirtualBoard("s", ArraySamples([[1]], [0]), clock=clock)
        with pytest.raises(LinkError, match="no board answers"):
            async with Errand(silent.link, clock=clock):
                pass

    asyncio.run(go())


def test_a_real_micropython_board(tmp_path, micropython):
    """The same answer as a board in this process, to the bit."""
    write_samples(tmp_path / "data", MADE)
    config = tmp_path / "fedboard.json"
    config.write_text(f'{{"name": "b", "data_dir": "{tmp_path / "data"}"}}')
    from fedboard_host import paths

    command = [*micropython, str(paths.device_dir() / "main.py"), "--config", str(config)]

    async def ask(link):
        async with Errand(link) as errand:
            task = adapt(flags=messages.KEEP, local=2, n_local=9)
            return (await errand.ask(task, SPEC, start_params(SPEC), 1)).pack()

    async def go():
        async with plugged_in() as board:
            return await ask(board.link), await ask(await ProcessOpener(command, name="b").open())

    here, there = asyncio.run(go())
    assert here == there
