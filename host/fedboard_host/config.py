"""home.toml: who takes part in a federation, what is learned and when a round is over.

    [federation]  name, folder, rounds, quorum, deadline_s, new_samples, every_s, patience, seed,
                  key_file, merge, faulty, strategy,
                  and its parameters: top_percent, bits, epochs, batch, ...
    [model]       layers, rule, labels, start
    [sensor]      module, window, ...                  of the boards, for `fedboard deploy`
    [[board]]     name, link                           one table a board
    [network]     listen                               boards that dial in over WiFi; needs a key
    [evaluate]    data                                 held-out samples, judged after every round
    [mqtt]        host, port, user, password_file, discovery        status for Home Assistant

Reading is strict: an unknown key, a wrong type or a value out of range is a DataError that names
file, line and remedy, one line for each problem found. Relative paths are relative to the file.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedboard import DataError
from fedboard.model import Spec, with_centre
from fedboard_host import robust, strategies
from fedboard_host.config_keys import PLAIN, TABLES
from fedboard_host.config_learning import read_merging, read_strategy
from fedboard_host.config_tree import Tree
from fedboard_host.config_values import is_port, nearest
from fedboard_host.mqtt import Broker

# What a board's link may begin with; "network": the board dials in, see [network].
LINKS = ("serial:", "socket://", "rfc2217://", "process:", "network")
_NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,24}\Z")  # as session.Identity wants it


@dataclass(frozen=True)
class BoardEntry:
    """One [[board]]. link: "serial:/dev/ttyACM0", "process:micropython main.py", "network", ..."""

    name: str
    link: str


@dataclass(frozen=True)
class Home:
    """A checked home.toml.

    quorum: so many boards start a round, and so many updates end it at its deadline; 0: half.
    new_samples: a board takes part once it has so many more than at its last update. every_s: from
    one round's start to the next. patience: a round waits for a board so many times as long as it
    usually takes, deadline_s at the longest; 0: always that long. silent_s: a board that says
    nothing for so long is gone, until it answers again.
    """

    path: Path
    name: str
    folder: Path
    boards: tuple[BoardEntry, ...]
    layers: tuple[int, ...]
    strategy: strategies.Strategy
    rule: str = "fedboard"
    rounds: int = 50
    quorum: int = 0
    deadline_s: float = 120.0
    new_samples: int = 0
    every_s: float = 0.0
    patience: float = 4.0
    silent_s: float = 20.0
    merging: robust.Merging = field(default_factory=robust.Merging)
    seed: int = 1
    key_file: Path | None = None
    listen: tuple[str, int] | None = None
    evaluate: Path | None = None
    start: Path | None = None  # an npz of `fedboard export` or `import` to begin with
    labels: tuple[str, ...] = ()  # the names of classes 0, 1, ...
    sensor: dict[str, Any] = field(default_factory=dict)  # as in a board's fedboard.json
    mqtt: Broker | None = None


def load(path: Path) -> Home:
    """Read and check a home.toml. Raises DataError with a line for each problem."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file: `fedboard init` writes one (or try `fedboard demo`)"
        ) from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder: name its home.toml") from None
    except (OSError, UnicodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    return parse(text, path)


def parse(text: str, path: Path) -> Home:
    """The Home in `text`; `path` is for messages and as the root of relative paths."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = f":{where[1]}" if where else ""
        reason = re.sub(r" \(at .*\)", "", str(error))
        raise DataError(f"{path}{line}: this is no TOML: {reason}") from None
    except RecursionError:
        raise DataError(f"{path}: this is no home.toml: brackets in brackets without end") from None
    return _Reader(tree, text, path).home()


class _Reader(Tree):
    """Walks the tree once."""

    def home(self) -> Home:
        for name in self.tree:
            if name not in TABLES:
                self.problem((name,), f"unknown table [{name}]{nearest(name, TABLES)}")
        federation = self.table("federation")
        model = self.table("model")
        boards = self.boards()
        network = self.table("network")
        evaluate = self.table("evaluate")
        sensor = self.table("sensor")
        for table, values, key, remedy in (
            ("federation", federation, "name", 'a name for the runs, like name = "kitchen"'),
            ("model", model, "layers", "inputs, hidden units, classes, like layers = [64, 32, 10]"),
        ):
            if key not in values and (table, key) not in self.flagged:
                self.problem((table,), f"[{table}] needs {key}: {remedy}")
        if not self.tree.get("board") and "listen" not in network:
            self.problem((), "no boards: add a [[board]] with name and link, or [network] listen")
        listen = self.listen(network)
        if listen and "key_file" not in federation:
            self.problem(
                ("network", "listen"),
                "[network] needs key_file in [federation]: make a key with `fedboard key FILE`",
            )
        if any(b.link == "network" for b in boards) and not listen:
            at = next(n for n, b in enumerate(boards) if b.link == "network")
            self.problem(
                ("board", at, "link"),
                'a board with link = "network" dials in: add [network] listen = "0.0.0.0:4850"',
            )
        quorum = federation.get("quorum", 0)
        if not listen and quorum > len(boards) > 0:
            self.problem(
                ("federation", "quorum"),
                f"quorum = {quorum} of {len(boards)} boards: it is at most their number",
            )
        rule, rounds = model.get("rule", Home.rule), federation.get("rounds", Home.rounds)
        spec = self.spec(model["layers"], rule) if "layers" in model else None
        if len(model.get("labels", [])) > model.get("layers", [255])[-1]:
            self.problem(
                ("model", "labels"),
                f"{len(model['labels'])} labels for {model['layers'][-1]} classes: "
                "the last of layers is their number",
            )
        strategy = read_strategy(self, federation, spec, rounds)
        mqtt = self.mqtt()
        n_boards = len(boards) if not listen else 0
        merging = read_merging(self, federation, strategy, rule, n_boards)
        self.raise_problems()
        root = self.path.parent
        plain: dict[str, Any] = {k: federation[k] for k in PLAIN if k in federation}
        if "rule" in model:
            plain["rule"] = model["rule"]
        if "start" in model:
            plain["start"] = root / model["start"]
        return Home(
            path=self.path,
            name=federation["name"],
            folder=root / federation.get("folder", "runs/" + federation["name"]),
            boards=tuple(boards),
            layers=tuple(model["layers"]),
            strategy=strategy,
            merging=merging,
            key_file=root / federation["key_file"] if "key_file" in federation else None,
            listen=listen,
            evaluate=root / evaluate["data"] if "data" in evaluate else None,
            labels=tuple(model.get("labels", [])),
            sensor=sensor,
            mqtt=mqtt,
            **plain,
        )

    def spec(self, layers: list[int], rule: str) -> Spec | None:
        """The model, if there is such a one."""
        try:
            return Spec(with_centre(layers, rule), rule)
        except DataError as error:
            self.problem(("model", "layers"), f"layers = {layers}: {error}")
            return None

    def boards(self) -> list[BoardEntry]:
        found = self.tree.get("board", [])
        if not isinstance(found, list) or not all(isinstance(b, dict) for b in found):
            self.problem(("board",), "boards are a list of tables: write [[board]], two brackets")
            return []
        boards: list[BoardEntry] = []
        for n, entry in enumerate(found):
            values = self.values(("board", n), "[[board]]", entry, TABLES["board"])
            for key in ("name", "link"):
                if key not in values and ("board", n, key) not in self.flagged:
                    self.problem(("board", n), f"[[board]] needs {key}")
            name, link = values.get("name", ""), values.get("link", "")
            if name and not _NAME.match(name):
                self.problem(
                    ("board", n, "name"), f'board name "{name}": use 1 to 24 letters, digits, - _ .'
                )
            if name in [b.name for b in boards]:
                self.problem(("board", n, "name"), f'two boards are named "{name}": rename one')
            if link and not (link == "network" or link.startswith(LINKS[:-1])):
                self.problem(
                    ("board", n, "link"),
                    f'link = "{link}": use one of serial:PORT, socket://HOST:PORT, '
                    "rfc2217://HOST:PORT, process:COMMAND, network",
                )
            if name and link:
                boards.append(BoardEntry(name, link))
        return boards

    def listen(self, network: dict[str, Any]) -> tuple[str, int] | None:
        if "listen" not in network:
            return None
        host, colon, port = network["listen"].rpartition(":")
        if not colon or not is_port(port):
            self.problem(
                ("network", "listen"),
                f'listen = "{network["listen"]}": use ADDRESS:PORT, like "0.0.0.0:4850"',
            )
            return None
        return host.strip("[]") or "0.0.0.0", int(port)

    def mqtt(self) -> Broker | None:
        values = self.table("mqtt")
        if not values:
            return None
        if "password_file" in values:
            values["password_file"] = self.path.parent / values["password_file"]
        return Broker(**{"host": "127.0.0.1", **values})
