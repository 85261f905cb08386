"""Programs as boards, on a pseudo-terminal: it is raw, they end, and say why."""

from __future__ import annotations

import sys

import pytest

from fedboard_host.links import LinkError
from fedboard_host.links.process import ProcessOpener
from link_ends import posix, read_n, run


@posix
def test_a_process_that_ends_is_an_end_and_its_last_words_are_known():
    async def work():
        code = "import sys; sys.stdout.write('text'); sys.stdout.flush(); raise SystemExit('oh no')"
        link = await ProcessOpener([sys.executable, "-c", code]).open()
        assert await link.read() == b"text"
        assert await link.read() == b""
        await link.close()
        assert link.last_words() == "oh no"

    run(work())


@posix
def test_a_process_that_ignores_the_request_is_ended_anyway():
    async def work():
        code = (
            "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "sys.stdout.write('up'); sys.stdout.flush(); signal.pause(); signal.pause()"
        )
        link = await ProcessOpener([sys.executable, "-c", code]).open()
        assert await link.read() == b"up"
        await link.close()
        assert link.process.returncode == -9

    run(work())


@posix
def test_the_terminal_is_raw():
    async def work():
        code = "import os\nwhile True: os.write(1, os.read(0, 999).hex().encode() + b';')"
        link = await ProcessOpener([sys.executable, "-c", code]).open()
        await link.write(b"\x03\r\n\x04\x11\x13\x1a\x7f")
        assert await read_n(link, 17) == b"030d0a0411131a7f;"
        await link.close()

    run(work())


@posix
def test_a_program_that_is_not_there_is_told():
    with pytest.raises(LinkError, match="cannot start no-such-program"):
        run(ProcessOpener(["no-such-program"]).open())


def test_without_pseudo_terminals_it_says_what_to_use_instead(monkeypatch):
    monkeypatch.setattr("fedboard_host.links.process._POSIX", False)
    with pytest.raises(LinkError, match="use in-memory virtual boards"):
        run(ProcessOpener(["x"]).open())
