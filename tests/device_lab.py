"""Runs device/main.py as a process, on a pty or over TCP, and is its host with a bare Hub.

    with Process(command, folder, {"name": "kitchen"}) as board:
        host = Host(board.stream)
        joined = host.until(Joined)

A stream has fileno(), read() and write(); `Host.mangle` changes what goes over it, to test faults.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import select
import socket
import subprocess
import time
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fedboard import delta, messages, model, samples
from fedboard.base import MemoryBase
from fedboard.board import Board
from fedboard.hub import Hub, Joined, Update
from fedboard.node import Identity

ROOT = Path(__file__).resolve().parent.parent
MAIN = ROOT / "device" / "main.py"
KEY = bytes(range(32))
SPEC = model.Spec((16, 12, 4), seed=7)
_Event = TypeVar("_Event")


def now_ms() -> int:
    return int(time.monotonic() * 1000)


def noise(seed: int) -> Callable[[bytes], bytes]:
    """For Host.mangle: one byte in a thousand is lost, another one is changed, to no Ctrl-C."""
    rng = random.Random(seed)

    def mangle(data: bytes) -> bytes:
        damaged = bytearray()
        for byte in data:
            chance = rng.random()
            if chance < 0.001:
                continue
            damaged.append(byte ^ 0x10 if chance < 0.002 and byte ^ 0x10 != 3 else byte)
        return bytes(damaged)

    return mangle


def make_samples(n: int = 60, n_in: int = 16, n_labels: int = 4, seed: int = 1) -> list[Any]:
    """[(features, label), ...]: noise, with a bright comb for each label."""
    rng = random.Random(seed)
    made = []
    for i in range(n):
        label = i % n_labels
        x = [rng.randrange(-20, 20) + 100 * (k % n_labels == label) for k in range(n_in)]
        made.append((array("b", x), label))
    return made


def make_waves(n: int = 60, amplitude: float = 2.0, phase: float = 0.5) -> list[Any]:
    """[(x, targets), ...]: a sine wave over -125 to 125, for rule "float-squared"."""
    made = []
    for i in range(n):
        x = (i * 37) % 251 - 125
        y = amplitude * math.sin(x / 25 + phase)
        made.append((array("b", [x]), array("h", [round(4096 * y)])))
    return made


def write_samples(folder: Path, made: Sequence[Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "samples.bin", "wb") as file:
        x, target = made[0]
        if isinstance(target, int):
            file.write(samples.pack_header(len(x)))
        else:
            file.write(samples.pack_targets_header(len(x), len(target)))
        for x, label in made:
            file.write(samples.pack_record(x, label))


class PtyStream:
    def __init__(self, fd: int) -> None:
        self.fd = fd

    def fileno(self) -> int:
        return self.fd

    def read(self) -> bytes:
        try:
            return os.read(self.fd, 4096)
        except OSError:  # the other side is gone
            return b""

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self.fd, data)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


class SocketStream:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def fileno(self) -> int:
        return self.connection.fileno()

    def read(self) -> bytes:
        try:
            return self.connection.recv(4096)
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self.connection.sendall(data)

    def close(self) -> None:
        self.connection.close()


class Process:
    """device/main.py with these settings. Without a "host" among them its console is a pty."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        settings: dict[str, Any] | str,
        main: Sequence[str] = (str(MAIN),),
        raw: bool = True,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "fedboard.json"
        if isinstance(settings, dict):
            settings = json.dumps({"name": "lab", "data_dir": str(folder / "data")} | settings)
        config.write_text(settings, "utf-8")
        self.dials = '"host"' in settings
        self.output = b""
        arguments = [*command, *main, "--config", str(config)]
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}
        if self.dials:
            self.process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, env=environment, cwd=folder,
            )  # fmt: skip
            self.stream: PtyStream | None = None
        else:
            import pty
            import tty

            master, slave = pty.openpty()
            if raw:
                tty.setraw(slave)
            self.process = subprocess.Popen(
                arguments, stdin=slave, stdout=slave, stderr=slave, env=environment, cwd=folder,
                start_new_session=True,
            )  # fmt: skip
            os.close(slave)
            self.stream = PtyStream(master)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """SIGKILL: a power cut."""
        self.process.kill()
        self.process.wait()
        if self.stream is not None:
            self.stream.close()
        if self.process.stdout is not None:
            self.output += self.process.stdout.read()
            self.process.stdout.close()

    def finish(self, timeout_s: float = 10) -> int:
        """Wait for its end, reading what it says into `output`. Its exit code."""
        until = time.monotonic() + timeout_s
        while self.process.poll() is None and time.monotonic() < until:
            if self.stream is not None and select.select([self.stream], [], [], 0.05)[0]:
                self.output += self.stream.read()
        if self.stream is not None:
            while select.select([self.stream], [], [], 0.05)[0] and (last := self.stream.read()):
                self.output += last
        return self.process.wait(0.1)


class Host:
    """A Hub on a stream."""

    def __init__(self, stream: Any, key: bytes | None = None, window: int = 16) -> None:
        self.stream = stream
        self.hub = Hub(key, os.urandom, "lab host", window)
        self.hub.open(self.now_ms())
        self.seen: list[object] = []
        self.output = b""
        self.mangle_in: Callable[[bytes], bytes] = lambda data: data
        self.mangle_out: Callable[[bytes], bytes] = lambda data: data

    def now_ms(self) -> int:
        """Its clock; others' may run at another speed."""
        return now_ms()

    def turn(self) -> list[object]:
        """Move bytes once. What happened."""
        out = self.hub.outgoing(self.now_ms())
        if out:
            self.stream.write(self.mangle_out(out))
        if not select.select([self.stream], [], [], 0.01)[0]:
            return []
        data = self.stream.read()
        if not data:
            raise EOFError("the board is gone; it said " + repr(self.output[-2000:]))
        self.output += data
        events = self.hub.receive(self.mangle_in(data), self.now_ms())
        self.seen += events
        return events

    def until(self, kind: type[_Event], timeout_s: float = 30) -> _Event:
        """The next event of this kind."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            for event in self.turn():
                if isinstance(event, kind):
                    return event
                if isinstance(event, messages.Error):
                    raise AssertionError(f"the board answered: {event.text}")
        said = repr(self.output[-2000:])
        raise AssertionError(f"no {kind.__name__} in {timeout_s} s; {self.seen} {said}")

    def said(self, text: str, timeout_s: float = 10) -> None:
        """Wait until the board's console has said this."""
        end = time.monotonic() + timeout_s
        while text.encode() not in self.output:
            assert time.monotonic() < end, f"never said {text}, but {self.output!r}"
            self.turn()

    def idle(self, timeout_s: float = 5) -> None:
        """Wait until all that was sent is acknowledged."""
        end = time.monotonic() + timeout_s
        while not self.hub.channel.idle or self.hub.transferring:
            assert time.monotonic() < end, "the board acknowledges nothing"
            self.turn()

    def send_task(self, task: messages.Task, params: array[int] | None) -> None:
        """The task and, unless params is None, its model, dense."""
        self.hub.send(task)
        if params is not None:
            begin = messages.Begin(
                what=messages.MODEL, round=task.round, version=task.version, encoding=0,
                n_bytes=2 * len(params), digest=task.digest,
            )  # fmt: skip
            self.hub.transfer(begin, [bytes(params)])

    def round(self, task: messages.Task, params: array[int] | None) -> Update:
        """One round of training, accepted."""
        self.send_task(task, params)
        got = self.until(Update)
        self.hub.send(messages.Accepted(round=task.round))
        self.idle()
        return got


def start_params(spec: model.Spec = SPEC) -> array[int]:
    params = model.new_params(spec)
    model.init_params(spec, params)
    return params


def make_task(
    params: array[int], round_: int = 1, spec: model.Spec = SPEC, **changes: Any
) -> messages.Task:
    """A task to train on these parameters, version = round; `changes` to its fields."""
    fields: dict[str, Any] = {
        "run": 1, "round": round_, "version": round_, "digest": spec.digest(params),
        "op": messages.TRAIN, "flags": messages.CARRY, "layers": (1 << spec.n_layers) - 1,
        "epochs": 2, "batch": 5, "rate": 8, "top_permille": 100, "bits": 4, "seed": 3,
        "spec": spec.pack(),
    }  # fmt: skip
    return messages.Task(**(fields | changes))


def apply(params: array[int], got: Update, spec: model.Spec = SPEC) -> array[int]:
    """The parameters with an update added."""
    new = array("h", params)
    layers = (1 << spec.n_layers) - 1
    for l, indices, values in delta.parse_update(spec, layers, got.begin.meta, got.data):
        for i, value in zip(indices, values, strict=True):
            new[spec.at(l) + i] += value
    return new


class ListSamples:
    def __init__(self, made: Sequence[Any]) -> None:
        self.made = made
        self.n_in = len(made[0][0])

    def __len__(self) -> int:
        return len(self.made)

    @property
    def n_targets(self) -> int:
        target = self.made[0][1]
        return 0 if isinstance(target, int) else len(target)

    def read(self, i: int, x: array[int]) -> Any:
        features, target = self.made[i]
        x[:] = features
        return target


class InProcess:
    """The same board inside this process, with its base in memory: what processes must equal."""

    def __init__(self, made: Sequence[Any]) -> None:
        identity = Identity("lab", b"1", 4)
        self.personal = MemoryBase()
        self.board = Board(
            identity, None, MemoryBase(), ListSamples(made), os.urandom,
            personal=lambda: self.personal,
        )  # fmt: skip
        self.board.open(0)
        self.hub = Hub(None, os.urandom)
        self.hub.open(0)
        self.clock = 0
        self.until(Joined)

    def until(self, kind: type[_Event]) -> _Event:
        for _ in range(100000):
            self.clock += 1
            self.board.receive(self.hub.outgoing(self.clock), self.clock)
            self.board.step(self.clock)
            for event in self.hub.receive(self.board.outgoing(self.clock), self.clock):
                if isinstance(event, kind):
                    return event
        raise AssertionError(f"no {kind.__name__}")

    def round(self, task: messages.Task, params: array[int] | None) -> Update:
        Host.send_task(self, task, params)  # type: ignore[arg-type]
        got = self.until(Update)
        self.hub.send(messages.Accepted(round=task.round))
        while not self.hub.channel.idle:
            self.clock += 1
            self.board.receive(self.hub.outgoing(self.clock), self.clock)
            self.hub.receive(self.board.outgoing(self.clock), self.clock)
        return got


def listener() -> socket.socket:
    """A listening socket on this machine, at a free port."""
    return socket.create_server(("127.0.0.1", 0))


def accept(server: socket.socket, timeout_s: float = 20) -> SocketStream:
    server.settimeout(timeout_s)
    connection, _ = server.accept()
    connection.settimeout(timeout_s)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return SocketStream(connection)
