"""What must not end a board's program, reset it or slow it down: faults, and use of the heap."""

from __future__ import annotations

from pathlib import Path

import pytest

import interpreters
from fedboard import DataError
from fedboard_device import config, runner, system

WATCHED = Path(__file__).with_name("watchdog_board.py")


@pytest.mark.parametrize("name", ["cpython", "micropython"])
def test_a_watchdog_does_not_bite_while_there_is_no_network(name, request):
    if name == "micropython":
        request.getfixturevalue(name)
    paths = (interpreters.SHARED, interpreters.DEVICE)
    said = interpreters.run(name, WATCHED, paths=paths).decode().splitlines()
    assert said == [
        "no WiFi home: check its name, password, and that it is 2.4 GHz", "20100 100", "4",
    ]  # fmt: skip


def test_a_step_of_training_takes_nothing_from_the_heap(micropython):
    script = Path(__file__).with_name("steps_board.py")
    assert interpreters.run("micropython", script).split() == [b"36", b"0", b"True"]


class Ended(BaseException):
    """The test is over."""


def test_a_session_that_cannot_be_begun_anew_does_not_end_the_program(tmp_path, monkeypatch):
    """Flash fails, which ends the session; to let go of the file that is written fails as well."""
    settings = config.Settings()
    settings.name = "lab"
    settings.data_dir = str(tmp_path)
    said = []
    monkeypatch.setattr(system, "say", said.append)
    monkeypatch.setattr(system, "show", said.append)
    made = runner.Runner(settings)
    made._link.open = lambda: None
    made._link.wait = lambda timeout_ms: None
    opened = []

    def begin_anew(now_ms):
        opened.append(now_ms)
        if len(opened) == 2:
            raise OSError("no such sector")

    def read():
        if len(opened) == 3:
            raise Ended
        raise DataError("this base cannot be read")

    made._board.open = begin_anew
    made._link.ready = lambda: True
    made._link.read = read
    try:
        with pytest.raises(Ended):
            made.loop()
    finally:
        made.close()
    assert [str(each) for each in said if isinstance(each, Exception)] == [
        "this base cannot be read", "no such sector",
    ]  # fmt: skip
