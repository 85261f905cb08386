"""The board's loop: bytes from the link into the Board, work, bytes back; sleep when all is done.

    link.read -> board.receive -> board.step (one sample) -> board.outgoing -> link.write

Training goes on while a network is away; a link that the board dials is dialled again, later and
later. Ctrl-C ends loop() with KeyboardInterrupt, at any time. Other errors are shown on the console
and the session starts over; too many of them end the program.
"""

import gc

from fedboard import VERSION, DataError, WireError, messages
from fedboard.board import Board
from fedboard.node import Identity
from fedboard_device import link, samplefile, store, system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fedboard.base import MemoryBase
    from fedboard_device.config import Settings
    from fedboard_device.sensors import Sensor

WORK_MS = 5  # samples are learned for so long before the link is served again
IDLE_MS = 20  # the longest sleep: timers and the watchdog wait no longer
SILENT_MS = 30000  # a network without a word for so long is dead: hosts ping each 5 s
RETRY_MS = 1000  # before the second try to dial; doubles up to
MAX_RETRY_MS = 32000
SHORTEST_REST_S = 2  # less is not worth a new session
MAX_ERRORS = 5  # unexpected ones between two rounds
# Collect after so much garbage, not when the heap is full: what lives long then lies close
# together, and a model finds its room in one piece: a third less heap.
GARBAGE_BYTES = 512
# But a collection takes as long as a Pico learns ten samples. What learning, a transfer and a
# sensor make is short-lived: meanwhile a share of what is free, beyond what a round may need in one
# piece, may become garbage; all of that while a model comes in, as it needs nothing more.
GARBAGE_SHARE = 4
RESERVED_BYTES = 8192
# Reads before a HELLO. A program takes seconds to start, and hosts knock twice a second: to answer
# each such KNOCK would take a Pico longer than hosts wait, and it would be late for all of them.
MOST_READS = 64


class LinkDown(Exception):
    """The link is gone."""


class Runner:
    """`settings` decide the link. Nothing is opened yet but files."""

    def __init__(self, settings: "Settings") -> None:
        self._free = 0  # bytes of the heap, when they were last asked for
        self._garbage = 0
        self._collect(False)
        folder = settings.data_dir or ("" if system.DESKTOP else "/") + "fedboard_data"
        if settings.link == "tcp":
            from fedboard_device import tcp

            self._link: link.Link = tcp.Tcp(settings.hosts, settings.wifi)
        else:
            self._link = link.serial()
        uid = system.unique_id(folder)
        name = settings.name or system.default_name(uid)
        try:
            identity = Identity(name, uid, self._link.window, self._link.frame)
        except DataError as error:
            system.say(str(error))
            name = "board-" + "".join([f"{b:02x}" for b in uid[-3:]])
            identity = Identity(name, uid, self._link.window, self._link.frame)
        self._folder = folder
        self._wear = store.Wear(settings.saves_per_hour)
        self._base = store.open_base(folder, system.say, wear=self._wear)
        self._own: store.FileBase | MemoryBase | None = None
        self._samples = samplefile.stored(folder, system.say, settings.max_samples)
        self._board = Board(
            identity,
            settings.key,
            self._base,
            self._samples,
            system.entropy,
            system.firmware(),
            self._free_memory if system.free_memory else None,
            self._log,
            lambda: system.free_flash(folder),
            self._personal,
            self._open_sensor,
            settings.mask_key,
        )
        self._board.node.channel.burst = 1
        self._sensor = dict(settings.sensor)
        self._sensor["folder"] = settings.folder
        self._is_watched = system.start_watchdog(settings.watchdog_ms)
        self._sleep = settings.sleep
        self._up = False
        self._retry_at_ms = 0
        self._retry_ms = RETRY_MS
        self._said = ""
        self._n_errors = 0
        where = "the console"
        if self._link.dials:
            where = " or ".join([f"{host}:{port}" for host, port in settings.hosts])
        self._greeting = (
            f"{VERSION} is {name} on {system.firmware()}: {len(self._samples)} samples,"
            f" model {self._base.version}, link {where}"
        )

    def _personal(self) -> "store.FileBase | MemoryBase":
        """The personal model's files, opened when they are first wanted."""
        if self._own is None:
            self._own = store.open_base(self._folder, system.say, "own", self._wear)
        return self._own

    def _open_sensor(self) -> "Sensor":
        from fedboard_device import sensors  # only the boards that are asked pay for it

        return sensors.Sensor(self._sensor)

    def loop(self) -> None:
        """Serve the link for ever. Ends with KeyboardInterrupt, or LinkDown: a desktop's console.

        A board's own serial port never goes away: somebody will read from it again.
        """
        if not self._link.dials:
            self._open_link()
        system.say(self._greeting)
        self._greeting = ""
        while True:
            try:
                self._turn()
            except WireError as error:
                self._lost(f"the host broke the protocol ({error})")
            except LinkDown as error:
                if system.DESKTOP and not self._link.dials:
                    raise
                self._lost(str(error))
            except Exception as error:
                self._n_errors += 1
                if self._n_errors > MAX_ERRORS:
                    raise
                system.show(error)
                self._lost("starting over")

    def _turn(self) -> None:
        now_ms = system.clock_ms()
        system.feed()
        if not self._up and now_ms >= self._retry_at_ms:
            self._begin()
        came = self._up and self._receive(now_ms)
        working = self._board.step(now_ms)
        while working and system.clock_ms() - now_ms < WORK_MS:
            working = self._board.step(now_ms)
        went = self._up and self._send(now_ms)
        self._collect(working or self._board.moving)
        if not (came or working or went):
            self._idle(now_ms)

    def _idle(self, now_ms: int) -> None:
        if self._sleep and self._board.rest_s and not self._board.busy:
            self._rest()
        elif self._up:
            self._link.wait(self._board.wait_ms(now_ms, IDLE_MS))
        else:
            system.sleep_ms(IDLE_MS)

    def _rest(self) -> None:
        """The host has nothing to do for a while: say so and sleep. Dialled links only."""
        seconds = self._board.rest_s
        self._board.rest_s = 0
        if seconds < SHORTEST_REST_S or not self._link.dials or not self._up:
            return
        system.feed()
        self._board.node.send(messages.Bye(reason=f"asleep for {seconds} s"))
        self._send(system.clock_ms())
        self._up = False
        self._link.close()
        self._link.leave()
        if self._sleep == "deep" and not system.DESKTOP:
            self._base.close()
            self._samples.close()
        system.rest(seconds, self._sleep == "deep")
        self._retry_at_ms = 0

    def _collect(self, moving: bool) -> None:
        """Say when to collect garbage: `moving` is whether its makers are at work."""
        share = 0
        if moving:
            share = self._free - RESERVED_BYTES
            if not self._board.receiving:
                share //= GARBAGE_SHARE
        share = max(GARBAGE_BYTES, share)
        if share != self._garbage and hasattr(gc, "threshold"):
            self._garbage = share
            gc.threshold(share)

    def _free_memory(self) -> int:
        self._free = system.free_memory() if system.free_memory else 0
        return self._free

    # An OSError on the link means that it is down; elsewhere it means something else.

    def _open_link(self) -> None:
        try:
            self._link.open()
        except OSError as error:
            raise LinkDown(str(error))

    def _begin(self) -> None:
        """A session, on a link that is dialled for it, or is there for ever."""
        if self._link.dials:
            self._open_link()
        self._up = True
        self._board.open(system.clock_ms())

    def _receive(self, now_ms: int) -> bool:
        """Read once; without a session all that waits, so that one HELLO answers it."""
        channel = self._board.node.channel
        was_open = channel.open
        came = self._take(now_ms)
        left = 0 if was_open and channel.open else MOST_READS
        while came and left and self._take(now_ms):
            left -= 1
            system.feed()
        if not came and self._link.dials and now_ms - self._board.node.heard_ms > SILENT_MS:
            raise LinkDown("the host has fallen silent")
        return came

    def _take(self, now_ms: int) -> bool:
        data = self._read() if self._link.steady or self._link.ready() else b""
        if data:
            self._board.receive(data, now_ms)
            if self._board.receiving:
                self._collect(True)
            # What it waits for may never come; a watchdog must not bite meanwhile.
            self._link.steady = self._board.receiving and not self._is_watched
        return bool(data)

    def _send(self, now_ms: int) -> bool:
        data = self._board.outgoing(now_ms)
        if data:
            self._write(data)
        return bool(data)

    def _read(self) -> "Any":
        try:
            return self._link.read()
        except OSError as error:
            raise LinkDown(str(error))

    def _write(self, data: bytes) -> None:
        try:
            self._link.write(data)
        except OSError as error:
            raise LinkDown(str(error))

    def _lost(self, why: str) -> None:
        """The link, or what was said on it, is void: start over, a dialled one after a while."""
        self._log(why)
        self._link.steady = False
        gc.collect()
        self._up = False
        if not self._link.dials:
            return
        self._link.close()
        self._retry_at_ms = system.clock_ms() + self._retry_ms
        self._retry_ms = min(2 * self._retry_ms, MAX_RETRY_MS)

    def _log(self, text: str) -> None:
        """A line on the console, but not the same one over and over."""
        if text == "joined":
            self._retry_ms = RETRY_MS
            self._n_errors = 0
        if text != self._said:
            self._said = text
            system.say(text)

    def close(self) -> None:
        """An orderly end: say BYE, let go of files and link."""
        try:
            if self._up and self._board.node.channel.open:
                self._board.node.cancel()
                self._board.node.send(messages.Bye(reason="stopped"))
                self._link.write(self._board.outgoing(system.clock_ms()))
        except OSError:
            pass  # the host is gone already
        self._up = False
        self._link.close()
        self._base.close()
        if self._own is not None:
            self._own.close()
        self._samples.close()
