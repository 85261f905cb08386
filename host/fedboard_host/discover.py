"""Which boards are there: looks at serial ports, knocks on each, listens for those on the network.

A Finding is one port or one board that dialled in, with what it said, or why it said nothing and
what to do; or a board of a run that goes on, or has ended, as that run last told: see presence.
last_seen_s is as of now, and only a board that was just heard is "here". Nothing is changed on a
board, unless it is to be started (start=True), which stops whatever program it runs. Knocking on
all ports at once takes about as long as on one: as long as a silent one is waited for.
"""

from __future__ import annotations

import asyncio
import math
import os
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace

from fedboard import WireError, collect, messages
from fedboard.hub import Hub, Joined
from fedboard.session import Denied
from fedboard_host import links, portowner, usb_names
from fedboard_host.clock import SLOW
from fedboard_host.links import Link, LinkError
from fedboard_host.presence import Presence

TIMEOUT_S = 1.2 * SLOW  # a board that runs fedboard answers the second knock at the latest
LEAST_S = 1.0 * SLOW  # two knocks, and half a second for the answer to the second
ENOUGH_S = 1.75 * SLOW  # of a command that answers within two seconds
HANDSHAKE_S = 0.8 * SLOW  # from HELLO to STATUS; a Pico needs half of it
_START_TIMEOUT_S = 12.0  # a program's start on a slow board
_TICK_S = 0.05


@dataclass(frozen=True)
class Finding:
    """One port or board.

    state: here; asleep; gone; denied (a key's matter); silent; busy, unusable (the port cannot be
    opened).
    """

    port: str
    description: str = ""
    state: str = "silent"
    why: str = ""  # unless here: the reason, and what to do
    name: str = ""
    uid: str = ""  # hexadecimal
    firmware: str = ""
    kernels: str = ""
    free_ram: int = 0  # bytes; 0: the board cannot tell
    free_flash: int = 0  # likewise
    n_saves: int = 0  # models written to its flash since its start
    n_samples: int = 0
    n_in: int = 0  # features of a sample
    version: int = 0  # of the last global model on the board; 0: none
    labels: dict[int, int] = field(default_factory=dict)  # samples of each, where it was asked
    last_seen_s: float | None = None  # ago; None: never
    run: str = ""  # the federation that told of it


def serial_ports(everything: bool = False) -> list[Finding]:
    """The ports as the system lists them; without `everything` only USB ones."""
    from serial.tools import list_ports

    found = []
    for port in sorted(list_ports.comports(), key=lambda p: p.device):
        if port.vid is None and not everything:
            continue
        found.append(Finding(port.device, usb_names.title(port)))
    return found


def of_run(told: Presence) -> list[Finding]:
    """The boards that a run told of."""
    found = []
    for board in told.boards:
        state, why = "here", ""
        if not told.is_live:
            state, why = "gone", "its host does not run: go on with fedboard run ... --resume"
        elif board["state"] == "asleep":
            state, why = "asleep", "until the next round"
        elif board["state"] == "gone":
            state, why = "gone", "it is off, unplugged or out of WiFi"
        known = {f.name for f in fields(Finding)} & set(board) - {"state"}
        found.append(Finding(
            port=board["link"] or "no link", description=board["state"] if told.is_live else "",
            state=state, why=why, run=told.name, **{key: board[key] for key in known},
        ))  # fmt: skip
    return found


def merge(knocked: Sequence[Finding], told: Sequence[Finding]) -> list[Finding]:
    """Each board once: of a port that a run holds the run tells, else what was heard counts."""
    here = {finding.name for finding in knocked if finding.state == "here"}
    real = portowner.real_path
    held = {real(finding.port) for finding in told if finding.state == "here"}
    titles = {real(finding.port): finding.description + " " for finding in knocked}
    of_run = [
        replace(finding, description=titles.get(real(finding.port), "") + finding.description)
        for finding in told
        if finding.name not in here
    ]
    return [finding for finding in knocked if real(finding.port) not in held] + of_run


def patience_s(age_s: float) -> float:
    """How long to wait for ports, in a command that began age_s ago and is to be quick.

    On a busy machine it has begun long ago: that is made up for, as far as no board is missed.
    """
    return min(TIMEOUT_S, max(LEAST_S, ENOUGH_S - age_s))


async def knock_on_ports(
    ports: Sequence[Finding],
    key: bytes | None = None,
    start: bool = False,
    with_labels: bool = False,
    timeout_s: float | None = None,
) -> list[Finding]:
    """Each port with what answered there. Ports may be anything that links.parse() takes.

    with_labels: boards are asked for their samples' labels, too; that code then stays in their RAM.
    timeout_s: for an answer, None: TIMEOUT_S. Opening a port counts, too, but for LEAST_S.
    """
    timeout_s = TIMEOUT_S if timeout_s is None else timeout_s
    asked = (_knock_on_port(port, key, start, with_labels, timeout_s) for port in ports)
    found = list(await asyncio.gather(*asked))
    silent = [finding.port for finding in found if finding.state == "silent"]
    owners = await asyncio.to_thread(portowner.find_all, silent) if silent else {}
    return [
        replace(finding, state="busy", why=f"open, too, in {owners[finding.port]}")
        if finding.port in owners else finding
        for finding in found
    ]  # fmt: skip


async def listen(
    host: str,
    port: int,
    key: bytes | None,
    seconds: float,
    on_found: Callable[[Finding], None],
) -> None:
    """Tell on_found() of each board that dials in within that time. Raises LinkError."""
    from fedboard_host.links.tcp import TcpListener

    asked: set[asyncio.Task[None]] = set()

    async def ask(link: Link) -> None:
        finding = Finding(link.name, "dialled in")
        try:
            on_found(await _ask(link, finding, key, TIMEOUT_S, False))
        finally:
            await link.close()

    def take(link: Link) -> None:
        task = asyncio.get_running_loop().create_task(ask(link))
        asked.add(task)
        task.add_done_callback(asked.discard)

    listener = TcpListener(host, port, take)
    await listener.start()
    try:
        await asyncio.sleep(seconds)
    finally:
        await listener.close()
        await asyncio.gather(*asked, return_exceptions=True)


async def _knock_on_port(
    port: Finding, key: bytes | None, start: bool, with_labels: bool, timeout_s: float
) -> Finding:
    opens_s = None if port.port.startswith("process:") else timeout_s  # that starts at once
    try:
        async with asyncio.timeout(opens_s) as limit:
            link = await links.parse(port.port).open()
    except TimeoutError:
        why = "opening it takes too long: is all on that leads there?"
        return replace(port, state="unusable", why=why)
    except LinkError as error:
        state = "busy" if "in use" in str(error) else "unusable"
        return replace(port, state=state, why=str(error).removeprefix(port.port + " is "))
    left_s = (limit.when() or math.inf) - asyncio.get_running_loop().time()
    timeout_s = min(timeout_s, max(LEAST_S, left_s))
    try:
        found = await _ask(link, port, key, timeout_s, True, with_labels)
        if found.state == "silent" and start:
            why = await link.start_board()
            if why:
                return replace(found, why=why)
            found = await _ask(link, port, key, _START_TIMEOUT_S, True, with_labels)
        return found
    finally:
        await link.close()


async def _ask(
    link: Link,
    finding: Finding,
    key: bytes | None,
    timeout_s: float,
    knock: bool,
    with_labels: bool = False,
) -> Finding:
    """Shake hands, say BYE, and tell what the board said."""
    hub = Hub(key, os.urandom, "fedboard boards", knock=knock)
    began_s = time.monotonic()

    def now_ms() -> int:
        return int((time.monotonic() - began_s) * 1000 / SLOW)

    joined: Finding | None = None
    greeted_s: float | None = None  # when it said HELLO: maybe just now, as its program has started

    async def read() -> Finding:
        nonlocal joined, greeted_s
        while True:
            data = await link.read()
            if not data:
                why = link.last_words().strip().splitlines()
                return replace(finding, why=why[-1] if why else "the port was closed: try again")
            try:
                events = hub.receive(data, now_ms())
            except WireError as error:
                if joined is not None:
                    return joined
                return replace(finding, why=f"it breaks the protocol ({error}): deploy again")
            if greeted_s is None and hub.hello is not None:
                greeted_s = time.monotonic()
            for event in events:
                if isinstance(event, Joined):
                    joined = _joined(finding, event)
                    if not (with_labels and joined.n_samples):
                        return joined
                    hub.send(collect.Labels(token=1))
                elif isinstance(event, collect.Runs) and joined is not None:
                    whole = len(event.runs) // 3 * 3
                    for label, n in struct.iter_unpack("<BH", event.runs[:whole]):
                        joined.labels[label] = joined.labels.get(label, 0) + n
                    if not event.more:
                        return joined
                if isinstance(event, Denied):
                    return replace(finding, state="denied", why=event.reason)

    async def write() -> None:
        while True:
            data = hub.outgoing(now_ms())
            if data:
                await link.write(data)
            await asyncio.sleep(_TICK_S)

    writer = asyncio.get_running_loop().create_task(write())
    try:
        try:
            async with asyncio.timeout(timeout_s):
                found = await read()
        except TimeoutError:  # on a busy machine an answer may lie here, unread
            left_s = _TICK_S
            if greeted_s is not None and joined is None:
                left_s = max(left_s, greeted_s + HANDSHAKE_S - time.monotonic())
            async with asyncio.timeout(left_s):
                found = await read()
    except TimeoutError:
        if joined is not None:
            found = joined  # its labels are missing
        elif hub.hello is None:
            why = "no answer: fedboard does not run there (deploy it, or try --start)"
            found = replace(finding, why=why)
        else:
            why = "it has another key: give both the same key file"
            if key is None:
                why = "it stopped in the middle of the handshake: press its reset button"
            found = replace(finding, state="denied", why=why, name=hub.hello.name)
    finally:
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
    if hub.joined:
        hub.send(messages.Bye(reason="only looking"))
        await link.write(hub.outgoing(now_ms()))
        await asyncio.sleep(_TICK_S)
    return found


def _joined(finding: Finding, event: Joined) -> Finding:
    hello, status = event.hello, event.status
    return replace(
        finding, state="here", name=hello.name, uid=hello.uid.hex(), firmware=status.firmware,
        kernels=status.kernels, free_ram=status.free_ram, free_flash=status.free_flash,
        n_saves=status.n_saves, n_samples=status.n_samples, n_in=status.n_in,
        version=status.version, last_seen_s=0.0,
    )  # fmt: skip
