"""A board at its prompt is started; where that cannot be, the maker is told why."""

from __future__ import annotations

import asyncio

from fedboard_host.links import repl
from fedboard_host.links.memory import pair
from link_ends import run
from prompt_board import FakeBoard


def start(program, deaf=False):
    async def work():
        host, end = pair("port")
        board = FakeBoard(end, program, deaf)
        task = asyncio.create_task(board.run())
        said = await repl.start_program(host, timeout_s=0.5)
        task.cancel()
        return said, board

    return run(work())


def test_a_board_at_its_prompt_is_started():
    said, board = start(lambda code: None)
    assert said == ""
    assert board.code == repl.CODE
    assert board.n_resets == 1


def test_a_board_without_fedboard():
    error = b"Traceback (most recent call last):\r\nImportError: no module named 'fedboard_device'"
    said, _ = start(lambda code: error)
    assert "fedboard is not on the board on port" in said
    assert "run `fedboard deploy`" in said


def test_a_program_that_fails_at_once():
    said, _ = start(lambda code: b"Traceback:\r\nMemoryError: oh")
    assert said == "fedboard does not start on the board on port: MemoryError: oh"


def test_something_that_is_no_board():
    said, _ = start(lambda code: None, deaf=True)
    assert "no MicroPython prompt on port" in said


def test_the_code_is_what_main_py_does():
    from fedboard_host.paths import device_dir

    main = (device_dir() / "main.py").read_text()
    for line in repl.CODE.decode().splitlines():
        assert line.strip() in main
