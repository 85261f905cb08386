"""Starts emulated Picos: one process each, its USB serial a pty or a TCP port.

    with Pico(flash=tmp_path / "flash.img") as pico:
        subprocess.run(["mpremote", "connect", pico.port, "eval", "1+1"])
        pico.kill()                                 # a power cut: the flash is what it was
    with Pico(flash=tmp_path / "flash.img"): ...    # the same board, powered again

`port` is for pyserial: the path of a link to the pty, or socket://127.0.0.1:PORT. A board is up
half a second after its start; it comes with an empty file system unless `flash` holds one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from pico import kit

MAIN = Path(__file__).resolve().parent / "emulator" / "main.mjs"
START_TIMEOUT_S = 60  # on a busy machine
STOP_TIMEOUT_S = 10


class Pico:
    """A running board.

    uid: its chip's id, 16 hex digits. seed: of its random bits. pace: how many times as fast as
    the wall clock an idle board's time may run; 0: it does not wait at all. tcp: the port, 0 for
    any that is free; None for a pty. link: where to put the link to it.
    """

    def __init__(
        self,
        flash: Path | None = None,
        uid: str = "e660000000000001",
        seed: int = 1,
        pace: float = 1,
        tcp: int | None = None,
        link: Path | None = None,
        extra: tuple[str, ...] = (),
    ) -> None:
        found = kit.find()
        if found.kit is None:
            raise OSError(found.note)
        self.flash = flash
        self.log: list[str] = []
        self.port = ""
        self._up = threading.Event()
        self._folder: Path | None = None
        self._link = link
        command = [found.kit.node, str(MAIN), "--kit", str(found.kit.folder), "--uid", uid]
        command += ["--seed", str(seed), "--pace", str(pace), "--leash", *extra]
        if flash is not None:
            command += ["--flash", str(flash)]
        fds: tuple[int, ...] = ()
        if tcp is None:
            fds = (self._pty(),)
            command += ["--fd", str(fds[0])]
        else:
            command += ["--tcp", str(tcp)]
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=fds
            )
        finally:
            for fd in fds:
                os.close(fd)
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self._wait()

    def __enter__(self) -> Pico:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """Cut its power, now."""
        self.process.kill()
        self._ended()

    def stop(self) -> None:
        """End the process in an orderly way. The board notices as little as of a power cut."""
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._ended()

    def wait_dead(self, timeout_s: float = 60) -> None:
        """Until a power cut that was planned on the board (see emulator/flash.mjs) happens."""
        self.process.wait(timeout_s)
        self._ended()

    def _pty(self) -> int:
        """Makes the pty and the link; returns the master's descriptor."""
        import pty
        import tty

        master, slave = pty.openpty()
        tty.setraw(slave)
        # A link: mpremote treats /dev/pts in a way of its own, without timeouts.
        if self._link is None:
            self._folder = Path(tempfile.mkdtemp(prefix="fedboard-pico-"))
            self._link = self._folder / "port"
        elif self._link.is_symlink():
            self._link.unlink()
        self._link.symlink_to(os.ttyname(slave))
        os.close(slave)
        self.port = str(self._link)
        return master

    def _wait(self) -> None:
        end = time.monotonic() + START_TIMEOUT_S
        while not self._up.wait(0.1):
            if not self.running or time.monotonic() > end:
                self.kill()
                raise OSError("the emulated Pico does not start: " + " | ".join(self.log[-5:]))

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            text = line.decode("utf-8", "replace").rstrip().removeprefix("pico: ")
            self.log.append(text)
            if text.startswith("port "):
                self.port = "socket://127.0.0.1:" + text.split()[1]
            elif text.startswith("up "):
                self._up.set()

    def _ended(self) -> None:
        self.process.wait()
        self._reader.join(STOP_TIMEOUT_S)
        for stream in (self.process.stdin, self.process.stderr):
            if stream is not None:
                stream.close()
        if self._link is not None and self._link.is_symlink():
            self._link.unlink()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
