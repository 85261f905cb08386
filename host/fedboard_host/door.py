"""Where another program of this machine asks a running home to learn: a door on loopback.

    door = Door(folder, answer); door.open() ... await door.close()     in the home
    reply = knock(folder, order)                                        in the other program

Orders and replies are a line of JSON and bytes behind it: pack(), unpack(). FOLDER/door.json, which
only its owner can read, has the port and the key that both sides prove to know (the standard
library's multiprocessing.connection: HMAC of a challenge). One order at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable
from multiprocessing import AuthenticationError
from multiprocessing.connection import (
    Client,
    Connection,
    Listener,
    answer_challenge,
    deliver_challenge,
)
from pathlib import Path
from typing import Any

from fedboard import DataError, FedboardError
from fedboard_host.keyfile import write_private

MAX_BYTES = 1 << 24  # of an order or a reply
_FILE = "door.json"

Answer = Callable[[bytes], Awaitable[bytes]]


class Door:
    """answer(order) -> reply runs in the event loop that open() was called in.

    A FedboardError that it raises is the reply: knock() raises it there.
    """

    def __init__(self, folder: Path, answer: Answer) -> None:
        self._path = folder / _FILE
        self._answer = answer
        self._is_open = False
        self._one = threading.Lock()  # order at a time
        self._waiting: asyncio.Future[bytes] | None = None

    def open(self) -> None:
        """Listen on a free port."""
        key = secrets.token_bytes(32)
        self._loop = asyncio.get_running_loop()
        self._listener = Listener(("127.0.0.1", 0))
        self._port = int(self._listener.address[1])
        self._key = key
        self._is_open = True
        self._thread = threading.Thread(target=self._serve, name="door", daemon=True)
        self._thread.start()
        self._path.unlink(missing_ok=True)  # of a home that was killed
        write_private(self._path, json.dumps({"port": self._port, "key": key.hex()}))

    async def finish(self) -> None:
        """Take no order any more, and let one that is under way end."""
        self._is_open = False
        if self._waiting is not None:
            await asyncio.wait([self._waiting])

    async def close(self) -> None:
        """Let nobody in any more; an order that is under way is dropped."""
        self._is_open = False
        self._path.unlink(missing_ok=True)
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.wait([self._waiting])
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self._port), 1).close()  # accept() returns
        await asyncio.to_thread(self._thread.join)
        self._listener.close()

    def _serve(self) -> None:
        """Each caller has a thread: one that says nothing keeps nobody else out."""
        while self._is_open:
            try:
                connection = self._listener.accept()
            except OSError:
                continue
            threading.Thread(target=self._meet, args=(connection,), daemon=True).start()

    def _meet(self, connection: Connection) -> None:
        with connection, contextlib.suppress(OSError, EOFError, AuthenticationError):
            deliver_challenge(connection, self._key)
            answer_challenge(connection, self._key)
            order = connection.recv_bytes(MAX_BYTES)
            with self._one:
                self._reply(connection, order)

    def _reply(self, connection: Connection, order: bytes) -> None:
        try:
            reply = asyncio.run_coroutine_threadsafe(self._ask(order), self._loop).result()
        except FedboardError as error:
            reply = pack({"error": str(error)})
        except BaseException as error:  # the home closes, or has a bug: tell the caller
            reply = pack({"error": f"the home could not do it: {type(error).__name__}: {error}"})
        connection.send_bytes(reply)

    async def _ask(self, order: bytes) -> bytes:
        if not self._is_open:
            raise DataError("the home was stopped")
        self._waiting = asyncio.ensure_future(self._answer(order))
        try:
            return await self._waiting
        finally:
            self._waiting = None


def knock(folder: Path, order: bytes) -> bytes:
    """The reply of the home that runs in `folder`. Raises DataError if none runs, or it refuses."""
    try:
        found = json.loads((folder / _FILE).read_text(encoding="ascii"))
        address, key = ("127.0.0.1", int(found["port"])), bytes.fromhex(found["key"])
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f"{folder}: no home waits there: start one with `fedboard run home.toml --flower`"
        ) from None
    try:
        with Client(address, authkey=key) as connection:
            connection.send_bytes(order)
            reply = connection.recv_bytes(MAX_BYTES)
    except (OSError, EOFError, AuthenticationError) as error:
        raise DataError(f"{folder}: its home does not answer ({type(error).__name__})") from None
    head, _ = unpack(reply)
    if "error" in head:
        raise DataError(str(head["error"]))
    return reply


def pack(head: dict[str, Any], data: bytes = b"") -> bytes:
    return json.dumps(head).encode("ascii") + b"\n" + data


def unpack(message: bytes) -> tuple[dict[str, Any], bytes]:
    """Raises DataError for what pack() cannot have made."""
    line, _, data = message.partition(b"\n")
    try:
        head = json.loads(line.decode("ascii"))
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict):
        raise DataError("this is no order of fedboard's")
    return head, data
