"""`fedboard run home.toml`: a federation of real boards, from its settings to its last round.

Boards on cables are opened, and again after each break; boards on the network dial in. The run's
folder has checkpoints and the log: a run that was stopped, or killed, goes on with --resume.
"""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from pathlib import Path
from typing import Any

from fedboard import DataError, prng
from fedboard.model import Spec, with_centre
from fedboard_host import dataset, decode, export, judge, keyfile, links, mqtt, presence
from fedboard_host.advertise import Advert, addresses, host_name
from fedboard_host.branch import Branch
from fedboard_host.config import Home
from fedboard_host.dashboard.feed import Feed
from fedboard_host.dashboard.serve import Page
from fedboard_host.door import Door
from fedboard_host.events import Event, Judged, Note, RoundClosed
from fedboard_host.links.tcp import is_loopback
from fedboard_host.progress import View
from fedboard_host.rounds import Policy
from fedboard_host.runtime import fast_kernels, stop_on_interrupt
from fedboard_host.server import Federation, Result
from fedboard_host.store import Store
from fedboard_host.units import percent, size, span

_RUN = 5  # labels of what follows from the seed
_MODEL = 6


def title(home: Home) -> str:
    sizes = "-".join(str(n) for n in home.layers)
    return f"{home.name}: {sizes} {home.rule}, {home.strategy.name}"


def run(
    home: Home,
    resume: bool,
    view: View,
    dashboard: tuple[str, int] | None = None,
    flower: bool = False,
) -> Result:
    """Go on to round home.rounds, or until a person stops it. Raises DataError.

    dashboard: address and port of a page that shows the run. flower: rounds begin only when the
    federation above this home asks for them, see branch; that goes on until a person stops it.
    """
    key = keyfile.read(home.key_file) if home.key_file else None
    spec = Spec(with_centre(home.layers, home.rule), home.rule, prng.mix(home.seed, _MODEL))
    start = _start(home.start, spec) if home.start else None
    evaluate = judge.Judge(spec, dataset.load_samples(home.evaluate)) if home.evaluate else None

    def note(level: str, text: str) -> None:
        view(Note(level, text))

    store = Store(home.folder, resume=resume, on_note=note)
    with contextlib.closing(store), fast_kernels():
        return asyncio.run(
            _run(home, spec, store, key, start, evaluate, view, dashboard, flower)
        )


def _start(path: Path, spec: Spec) -> array[int]:
    """The parameters in that file. Raises DataError if they are another model's."""
    found = export.read_npz(path)
    if (found.spec.sizes, found.spec.rule) != (spec.sizes, spec.rule):
        raise DataError(f"{path} is of the model {found.spec}, home.toml's is {spec}: change one")
    return found.params


async def _run(
    home: Home,
    spec: Spec,
    store: Store,
    key: bytes | None,
    start: array[int] | None,
    evaluate: judge.Judge | None,
    view: View,
    dashboard: tuple[str, int] | None,
    flower: bool,
) -> Result:
    status = _status(home, view)

    def tell(event: Event) -> None:
        view(event)
        if status is not None:
            status.on_event(event)
        if isinstance(event, RoundClosed) and evaluate is not None:
            store.log(Judged(event.round, evaluate.counts))

    quorum = home.quorum or max(1, (len(home.boards) + 1) // 2)
    federation = Federation(
        spec, home.strategy, store,
        policy=Policy(
            quorum, quorum=quorum, deadline_ms=round(home.deadline_s * 1000),
            patience=home.patience, n_new=home.new_samples, every_ms=round(home.every_s * 1000),
        ),
        key=key, name=home.name[:24], evaluate=evaluate, on_event=tell, start=start,
        run=prng.mix(home.seed, _RUN), merging=home.merging,
        dead_ms=round(home.silent_s * 1000),
    )  # fmt: skip
    view.watch_boards(federation.boards)
    advert: Advert | None = None
    page: Page | None = None
    tasks = [asyncio.create_task(asyncio.to_thread(decode.use_installed))]
    with stop_on_interrupt(federation, view):
        try:
            for board in home.boards:
                if board.link != "network":
                    federation.add_opener(links.parse(board.link))
            if home.listen is not None:
                port = await federation.listen(*home.listen)
                advert = await _advertise(home, port, view)
            tasks.append(asyncio.create_task(presence.keep(
                home.folder, home.name, home.rounds, lambda: federation.checkpoint.round,
                federation.boards, "{}:{}".format(*home.listen) if home.listen else "",
                tuple(home.labels),
            )))  # fmt: skip
            if status is not None:
                status.start()
                tasks.append(asyncio.create_task(
                    status.keep(lambda: federation.checkpoint.round, federation.boards)
                ))  # fmt: skip
            if dashboard is not None:
                page = Page(Feed(home.folder, tuple(home.labels)), federation, *dashboard)
                tasks.append(asyncio.create_task(page.serve()))
                view.note(f"watch it at {page.url}")
            if flower:
                return await _follow(federation, home.folder, view)
            return await federation.run(home.rounds)
        finally:
            if page is not None:
                page.close()
                await asyncio.wait(tasks[-1:], timeout=3)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if status is not None:
                await status.close()
            if advert is not None:
                await advert.close()
            await federation.close()


def _status(home: Home, view: View) -> mqtt.Status | None:
    def note(level: str, text: str) -> None:
        view(Note(level, text))

    return mqtt.Status(home.mqtt, home.name, home.rounds, note) if home.mqtt else None


async def _follow(federation: Federation, folder: Path, view: View) -> Result:
    """Learn as the federation above orders, until a person stops it."""
    door = Door(folder, Branch(federation, folder).answer)
    door.open()
    view.note(f"""waiting for orders; flower-supernode --node-config 'home="{folder.resolve()}"'""")
    try:
        await federation.wait_for_stop()
        await door.finish()  # its open round, too
        return await federation.run(federation.checkpoint.round)
    finally:
        await door.close()


async def _advertise(home: Home, port: int, view: View) -> Advert | None:
    """Make the host known by name, and say what boards' fedboard.json needs to find it."""
    assert home.listen is not None
    host = home.listen[0]
    if is_loopback(host):
        view.note(f"listening for boards on {host}:{port}, of this machine only")
        return None
    advert = Advert(home.name, port)
    problem = await advert.start()
    hosts = [f"{ip}:{port}" for ip in (addresses() if host == "0.0.0.0" else [host])]
    if problem:
        view(Note("warning", f"boards find this host by its address only: {problem}"))
    else:
        hosts.insert(0, f"{host_name(home.name)}:{port}")
    view.note(f'listening; in boards\' fedboard.json: "host": "{", ".join(hosts)}"')
    return advert


def as_json(home: Home, result: Result) -> dict[str, Any]:
    """The last line of --json."""
    return {
        "event": "Summary",
        "name": home.name,
        "folder": str(home.folder),
        "round": result.round,
        "rounds": home.rounds,
        "version": result.version,
        "accuracy": result.accuracy,
        "loss": result.loss,
        "bytes_up": result.bytes_up,
        "bytes_down": result.bytes_down,
        "seconds": round(result.seconds, 1),
        "stopped": result.stopped,
    }


def text(home: Home, result: Result) -> str:
    """What happened, and what to do next, for people."""
    judged = "no held-out samples to judge by (boards' own: fedboard evaluate)"
    if result.accuracy is None and result.loss is not None:
        judged = f"held-out loss {result.loss:.4g}"
    if result.accuracy is not None:
        judged = f"held-out accuracy {percent(result.accuracy)}"
    lines = [
        f"round {result.round}/{home.rounds}: {judged}; "
        f"up {size(result.bytes_up)}, down {size(result.bytes_down)}, {span(result.seconds)}"
    ]
    if result.stopped:
        lines.append(f"go on with: fedboard run {home.path} --resume")
    elif result.began >= home.rounds:
        lines.append(f"all rounds were done before: for more raise `rounds` in {home.path}")
    if result.round:
        lines.append(f"weights: fedboard export {home.folder} --npz model.npz --c-header model.h")
    return "\n".join(lines)
