"""How boards learn and how their updates are merged, from a home.toml's [federation]; see config.

Each function takes the table's sound values and tells `tree` what cannot be together: a parameter
of another strategy, a merge that wants more boards, masks beside what they hide. What it returns
then is no more than a stand-in, as raise_problems() comes before anybody uses it.
"""

from __future__ import annotations

from typing import Any

from fedboard import DataError
from fedboard.model import Spec
from fedboard_host import strategies
from fedboard_host.config_keys import STRATEGY, THRIFT
from fedboard_host.config_tree import Tree
from fedboard_host.privacy import Privacy
from fedboard_host.robust import Merging
from fedboard_host.strategies import Strategy


def read_strategy(
    tree: Tree, federation: dict[str, Any], spec: Spec | None, rounds: int
) -> Strategy:
    """The strategy with its parameters, those of another strategy being problems.

    spec: None if [model] has no sound one. rounds: of the run.
    """
    name = federation.get("strategy", "fedavg")
    known = strategies.parameters(name)
    params: dict[str, Any] = {}
    if name.startswith("fedavg"):
        params = {k: v for k, v in THRIFT.items() if k in known}
        if federation.get("merge") == "median":  # of what few send it is 0
            params["top_percent"] = 100.0
    if "rounds" in known:  # what is annealed ends with the run
        params["rounds"] = rounds
    for key in ("bits", "down_bits"):
        bits = federation.get(key, 16)
        if 8 < bits < 16:
            tree.problem(("federation", key), f"{key} = {bits}: use 1 to 8, or 16 for exact")
    for key in STRATEGY:
        if key in federation and key not in known:
            text = f"strategy {name} has no {key}: it has {', '.join(known)}"
            tree.problem(("federation", key), text)
        elif key in federation:
            params[key] = federation[key]
    try:
        strategy = strategies.make(name, params)
        if spec is not None:
            strategy.start(spec)
            if spec.n_conv and getattr(strategy, "batch", 1) != 1:
                text = f"rule {spec.rule} learns sample by sample: set batch = 1"
                tree.problem(("federation", "batch"), text)
    except DataError as error:
        tree.problem(("federation", "strategy"), str(error))
        return strategies.make("fedavg")
    return strategy


def read_merging(
    tree: Tree, federation: dict[str, Any], strategy: Strategy, rule: str, n_boards: int
) -> Merging:
    """How updates are merged; that enough boards take part. n_boards: 0: nobody knows."""
    kind, secure = federation.get("merge", "mean"), federation.get("secure", False)
    try:
        noise, clip = federation.get("noise", 0.0), federation.get("clip_norm", 0)
        merging = Merging(kind, federation.get("faulty", 1), secure, Privacy(noise, clip))
    except DataError as error:
        first = next((k for k in ("noise", "clip_norm", "secure") if k in federation), "merge")
        tree.problem(("federation", first), str(error))
        return Merging()
    if merging.privacy.noise and rule == "centred":
        text = "noise is not for rule centred, which learns a mean first: use another"
        tree.problem(("federation", "noise"), text)
    if secure:
        _check_secure(tree, federation, strategy, rule)
    if "faulty" in federation and merging.kind == "mean":
        text = 'faulty is for a merge that compares boards: set merge = "multi-krum"'
        tree.problem(("federation", "faulty"), text)
    for n, remedy in (
        (n_boards, "add boards, or lower faulty" if merging.faulty > 1 else "add boards"),
        (federation.get("quorum", 0), f"set quorum = {merging.least}"),
        (strategy.selection()[0], "use select = 0, or another strategy"),
    ):
        try:
            if n:
                merging.check(n, remedy)
        except DataError as error:
            tree.problem(("federation", "secure" if secure else "merge"), str(error))
    return merging


def _check_secure(tree: Tree, federation: dict[str, Any], strategy: Strategy, rule: str) -> None:
    """What cannot be where boards mask their updates."""
    if strategy.name != "fedavg":
        text = f"secure = true is for strategy fedavg, not {strategy.name}: choose one of them"
        tree.problem(("federation", "secure"), text)
    if rule == "centred":
        text = "secure = true hides the features' mean, too: use another rule than centred"
        tree.problem(("federation", "secure"), text)
    if "bits" in federation:
        text = "bits is not for secure = true: masked values have 16. Leave it out"
        tree.problem(("federation", "bits"), text)
