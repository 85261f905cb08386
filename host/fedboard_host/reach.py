"""How to reach a single board by its name, and the newest model to send it.

    async with Reach(home, key) as reach:
        talk = await reach.board("kitchen")

A board is named as in home.toml, by its link (serial:PORT, a bare port, process:COMMAND), or by
the name that it gives itself when the USB ports are knocked on. A board at its prompt is started,
one on the network is waited for until it dials.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fedboard import DataError
from fedboard_host import links
from fedboard_host.clock import SLOW, Clock
from fedboard_host.links import Link
from fedboard_host.talk import JOIN_S, Talk, TalkError

if TYPE_CHECKING:
    from fedboard_host.config import Home
    from fedboard_host.history import History

DIAL_S = 45.0 * SLOW  # for one on the network: it dials again after half a minute


class Reach:
    """The way to boards: their links as home.toml has them, and the door for those that dial."""

    def __init__(
        self, home: Home | None, key: bytes | None, note: Callable[[str], None] | None = None
    ) -> None:
        self._home = home
        self._key = key
        self._note = note or (lambda text: None)
        self._clock = Clock()
        self._talks: list[Talk] = []
        self._listener: Any = None
        self._dialled: dict[str, Talk] = {}
        self._arrived = asyncio.Event()
        self._greeting: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Reach:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._listener is not None:
            await self._listener.close()
        for task in self._greeting:
            task.cancel()
        await asyncio.gather(*self._greeting, return_exceptions=True)
        await asyncio.gather(*(talk.close() for talk in self._talks), return_exceptions=True)

    async def board(self, name: str) -> Talk:
        """The board, joined. Raises TalkError, LinkError, DataError."""
        link = await self._link_of(name)
        if link == "network":
            return await self._wait_for(name)
        opened = await links.parse(link).open()
        if opened.is_network and self._key is None:
            await opened.close()
            raise DataError(f"{link} is on a network and needs a key: name a --key-file")
        talk = Talk(opened, self._key, self._clock)
        self._talks.append(talk)
        await talk.join(JOIN_S)
        return talk

    async def _link_of(self, name: str) -> str:
        entries = self._home.boards if self._home else ()
        for entry in entries:
            if entry.name == name:
                return entry.link
        is_com = name[:3].upper() == "COM" and name[3:].isdigit()
        if ":" in name or is_com or os.sep in name:
            return name
        if self._home is not None and self._home.listen is not None:
            return "network"  # it may dial without a [[board]]
        from fedboard_host import discover

        found = await discover.knock_on_ports(discover.serial_ports(), self._key)
        for finding in found:
            if finding.name == name:
                return finding.port
        known = sorted({e.name for e in entries} | {f.name for f in found if f.name})
        near = difflib.get_close_matches(name, known, 1)
        there = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none'}"
        if self._home is None and not near:
            there += ", and no home.toml here"
        raise DataError(f"no board {name}: {there} (a port will do, too: `fedboard boards`)")

    async def _wait_for(self, name: str) -> Talk:
        """A board that dials in."""
        if self._listener is None:
            await self._listen()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DIAL_S):
                while name not in self._dialled:
                    self._arrived.clear()
                    await self._arrived.wait()
                return self._dialled[name]
        others = ", ".join(sorted(self._dialled)) or "none"
        raise TalkError(
            f"{name} has not dialled in within {DIAL_S:.0f} s (others: {others}): "
            "is it on, in reach of the WiFi, and does its fedboard.json name this host?"
        )

    async def _listen(self) -> None:
        from fedboard_host.links.tcp import TcpListener, is_loopback

        home = self._home
        if home is None or home.listen is None:
            raise DataError('boards on WiFi dial in: home.toml needs [network] listen = "..."')
        if self._key is None and not is_loopback(home.listen[0]):
            raise DataError("boards on a network need a key: make one with `fedboard key`")
        self._listener = TcpListener(*home.listen, self._take)
        await self._listener.start()
        self._note(f"waiting for the board to dial {home.listen[0]}:{self._listener.port} ...")

    def _take(self, link: Link) -> None:
        talk = Talk(link, self._key, self._clock)
        self._talks.append(talk)
        task = asyncio.create_task(self._greet(talk))
        self._greeting.add(task)
        task.add_done_callback(self._greeting.discard)

    async def _greet(self, talk: Talk) -> None:
        try:
            await talk.join(JOIN_S)
        except TalkError as error:
            self._note(str(error))
            return
        self._dialled[talk.name] = talk
        self._arrived.set()


def newest_model(folder: Path) -> History | None:
    """The newest model of the run in the folder, to use; None if there is none yet.

    And behind it those that boards may hold.
    """
    from fedboard_host import checkpoints
    from fedboard_host.history import History

    found = []
    for path in checkpoints.paths(folder).values() if folder.is_dir() else ():
        with contextlib.suppress(DataError):  # damaged: the one before it is used
            found.append(checkpoints.read(path))
    if not found or not found[0].round:
        return None
    models = History(found[0].spec)
    for each in reversed(found):
        models.add(each.version, each.params)
        models.add(each.version, each.result)
    return models
