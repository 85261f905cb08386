"""A board that is a program on this machine: MicroPython's unix port on a pseudo-terminal.

    ProcessOpener(["micropython", "device/main.py", "--config", "board1.json"])

The terminal is raw, as a USB serial port is: what the program prints and what it sends share it.
POSIX only. Its error output is kept apart, so that a traceback can be shown when it dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Mapping, Sequence

from fedboard_host.links import Link, LinkError, Opener

_READ_BYTES = 4096
_LAST_WORDS_S = 0.5
_LAST_WORDS = 2000
_POSIX = os.name == "posix"


class ProcessLink(Link):
    """Made by ProcessOpener.open()."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, master: int) -> None:
        self.name = name
        self.process = process
        self._master = master
        self._loop = asyncio.get_running_loop()
        self._words = b""
        self._closing = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        os.set_blocking(master, False)
        self._watch = self._loop.create_task(self._collect())

    async def read(self) -> bytes:
        while True:
            if self._closing:
                return b""
            try:
                return os.read(self._master, _READ_BYTES)
            except BlockingIOError:
                pass
            except OSError:  # EIO: the program is gone
                return b""
            self._readable.clear()
            self._loop.add_reader(self._master, self._on_readable)
            await self._readable.wait()

    async def write(self, data: bytes) -> None:
        while data and not self._closing:
            try:
                data = data[os.write(self._master, data) :]
                continue
            except BlockingIOError:
                pass
            except OSError:
                return
            self._writable.clear()
            self._loop.add_writer(self._master, self._on_writable)
            await self._writable.wait()

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._on_readable()
        self._on_writable()
        os.close(self._master)
        for send in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                if self.process.returncode is None:
                    # Not process.send_signal(): it may reap the child that asyncio waits for.
                    os.kill(self.process.pid, send)
            try:
                async with asyncio.timeout(2):
                    await self.process.wait()
                    break
            except TimeoutError:
                continue
        # Its last words may still be in the pipe, whose end others that it started may hold open.
        await asyncio.wait([self._watch], timeout=_LAST_WORDS_S)
        self._watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watch

    def last_words(self) -> str:
        return self._words.decode("utf-8", "replace").strip()

    def _on_readable(self) -> None:
        self._loop.remove_reader(self._master)  # else it calls again until somebody reads
        self._readable.set()

    def _on_writable(self) -> None:
        self._loop.remove_writer(self._master)
        self._writable.set()

    async def _collect(self) -> None:
        stderr = self.process.stderr
        assert stderr is not None
        while data := await stderr.read(_READ_BYTES):
            self._words = (self._words + data)[-_LAST_WORDS:]


class ProcessOpener(Opener):
    """Starts the program, and again whenever it has ended."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        name: str = "",
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name or "process " + os.path.basename(command[0])
        self._command = list(command)
        self._cwd = cwd
        self._env = env

    @classmethod
    def from_text(cls, text: str) -> ProcessOpener:
        """From a command line."""
        return cls(shlex.split(text))

    async def open(self) -> Link:
        if not _POSIX:
            raise LinkError(
                "boards as processes need a pseudo-terminal, which this system lacks: "
                "use in-memory virtual boards"
            )
        import tty

        master, slave = os.openpty()
        try:
            tty.setraw(slave)
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=slave, stdout=slave, stderr=asyncio.subprocess.PIPE,
                cwd=self._cwd, env=dict(self._env) if self._env is not None else None,
                start_new_session=True,
            )
        except OSError as error:
            os.close(master)
            raise LinkError(
                f"cannot start {self._command[0]} ({error.strerror}): is it installed?"
            ) from None
        finally:
            os.close(slave)
        return ProcessLink(self.name, process, master)
