"""What the demo of meta-learning says at its end, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from fedboard_host.units import percent


@dataclass(frozen=True)
class Adapted:
    """What the new boards said, one value each: squared errors, or shares that were right."""

    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Summary:
    """learned, untrained: from where a new board starts. Bytes: on all links, frames and all."""

    task: str
    strategy: str
    rule: str
    sizes: tuple[int, ...]
    boards: int
    rounds: int
    shots: int
    n_adapt: int
    learned: Adapted
    untrained: Adapted
    bytes_up: int
    bytes_down: int
    bytes_dense: int  # of the model, int16
    n_asked: int  # boards, in all rounds
    runtime: str
    seed: int
    model_sha256: str
    folder: str
    seconds: float


def as_json(summary: Summary) -> dict[str, Any]:
    """The last line of --json."""
    return {"event": "Summary", **asdict(summary)}


def text(s: Summary) -> str:
    def row(name: str, found: Adapted) -> str:
        line = f"  from {name:26}"
        for values in (found.before, found.after):
            mean = sum(values) / len(values)
            line += f"{mean:12.2f}" if s.task == "sine" else f"{percent(mean):>12}"
        low, high = min(found.after), max(found.after)
        if s.task == "sine":
            return line + f"   ({low:.2f} to {high:.2f})"
        return line + f"   ({percent(low)} to {percent(high)})"

    what = "mean squared error" if s.task == "sine" else "samples classified right"
    of_each = "" if s.task == "sine" else " of each class"
    n = len(s.learned.after)
    each = s.n_asked
    return "\n".join([
        "",
        f"After {s.rounds} rounds of {s.strategy} on {s.boards} boards, {n} new boards with tasks",
        f"of their own adapt to {s.shots} shots{of_each}, {s.n_adapt} samples learned; "
        f"{what}, mean:",
        f"  {'':31}{'before':>12}{'after':>12}",
        row("the learned start", s.learned),
        row("start values, untrained", s.untrained),
        "",
        f"Bytes per board asked: {s.bytes_up / each:.0f} up, {s.bytes_down / each:.0f} down, "
        f"frames and all; the model, dense: {s.bytes_dense}",
        f"Model {'-'.join(map(str, s.sizes))} {s.rule}, SHA-256 {s.model_sha256[:16]}...; boards: "
        f"{s.runtime}, {s.seconds:.1f} s",
        f"See {s.folder}: model.npz, model.bin, log.sqlite",
    ])  # fmt: skip
