"""A commented home.toml from a few answers, for `fedboard init`.

compose() writes what config.parse() reads, and lets it judge: a wrong answer is told in its words.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from fedboard import DataError
from fedboard_host import config
from fedboard_host.config import BoardEntry

LISTEN = "0.0.0.0:4850"


@dataclass(frozen=True)
class Answers:
    """layers: features of a sample, hidden units, classes. listen: ADDRESS:PORT, "": no WiFi."""

    name: str = "home"
    boards: tuple[BoardEntry, ...] = ()
    layers: tuple[int, ...] = (64, 32, 10)
    listen: str = ""
    evaluate: str = ""  # an npz of held-out samples
    rounds: int = 50

    @property
    def key_file(self) -> str:
        return re.sub(r"[^\w.-]+", "-", self.name) + ".key" if self.listen else ""


def compose(answers: Answers, path: Path) -> str:
    """The text of a sound home.toml at `path`. Raises DataError for what cannot be."""
    text = _text(answers)
    try:
        config.parse(text, path)
    except DataError as error:
        reasons = [re.sub(r"^.*?:\d+: ", "", line) for line in str(error).splitlines()]
        raise DataError("\n".join(reasons)) from None
    return text


def _text(answers: Answers) -> str:
    lines = [
        "# A federation of boards that learn together: fedboard run, with this file's name.",
        "# All keys are told in docs/home.md; a misspelt one is named with its line.",
        "",
        "[federation]",
        f"name = {_quote(answers.name)}",
        f"rounds = {answers.rounds}",
        "# quorum = 2             # so many boards start a round; left out: half of them",
        "# deadline_s = 120       # of a round: then the updates that are in will do",
        "# new_samples = 0        # a board takes part once it has so many new ones; 0: always",
        "# every_s = 0            # seconds from one round's start to the next, at least",
        '# strategy = "fedavg"    # see docs/strategies.md',
    ]
    if answers.listen:
        lines.append(f"key_file = {_quote(answers.key_file)}  # boards need it; keep it secret")
    sizes = ", ".join(str(n) for n in answers.layers)
    labels = ", ".join(_quote(f"label{k}") for k in range(min(answers.layers[-1], 4)))
    lines += [
        "", "[model]", f"layers = [{sizes}]  # features of a sample, hidden units, classes",
        f"# labels = [{labels}]  # names of the classes, for record and predict",
        '# rule = "centred"       # for features with offsets, as of a [sensor] with a window',
        "",
        "# [sensor]               # what boards read; fedboard deploy --home tells them",
        '# module = "mpu6050"     # or lis3dh, adc, digital, your own: see docs/sensors.md',
        "# window = 100",
    ]  # fmt: skip
    for board in answers.boards:
        lines += ["", "[[board]]", f"name = {_quote(board.name)}", f"link = {_quote(board.link)}"]
    if answers.listen:
        lines += [
            "",
            "[network]                # boards on WiFi dial in here",
            f"listen = {_quote(answers.listen)}",
        ]
    if answers.evaluate:
        lines += [
            "",
            "[evaluate]               # held-out samples that judge each round's model",
            f"data = {_quote(answers.evaluate)}",
        ]
    else:
        lines += [
            "",
            "# [evaluate]             # held-out samples that judge each round's model",
            '# data = "held-out.npz"  # x: int8 (n, features), y: integers (n,)',
        ]
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
