"""The page's frame, around the fragments; and the whole as one file that needs nothing else."""

from __future__ import annotations

import time
from html import escape
from pathlib import Path

from fedboard_host.dashboard import fragments
from fedboard_host.dashboard.feed import State

_HERE = Path(__file__).resolve().parent
_SECTIONS = (  # id, title, wide
    ("summary", "Now", True),
    ("boards", "Boards", True),
    ("accuracy", "Accuracy on held-out samples", False),
    ("own", "Accuracy of each board on its own", False),
    ("loss", "Loss on held-out samples", False),
    ("bytes", "Bytes", False),
    ("confusion", "Confusion", False),
    ("events", "What happened", False),
)
_HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<link rel="icon" href="data:,">'
)
_CONTROLS = """<section class="wide"><h2 id="h-controls">Ask</h2>
<form id="controls" aria-labelledby="h-controls">
<button type="button" id="pause" {off}>Pause</button>
<label>Board<select id="board" {off}>{boards}</select></label>
<label>Label{label}</label>
<label>Seconds<input id="seconds" type="number" min="1" max="3600" value="10" {off}></label>
<button type="submit" id="record" {off}>Record</button>
<button type="button" id="personalize" {off}>Personalize</button>
</form><p id="said" role="status">{said}</p></section>"""
_ONLY_LOOKING = "Only looking: buttons work on the page of fedboard run --dashboard PORT."


def asset(name: str) -> str:
    """page.css or page.js."""
    return (_HERE / name).read_text("utf-8")


def _label(names: tuple[str, ...], off: str) -> str:
    """What to choose a label by: its name, where home.toml has names; else its number."""
    if not names:
        return f'<input id="label" type="number" min="0" max="255" value="0" {off}>'
    options = "".join(f'<option value="{k}">{escape(name)}' for k, name in enumerate(names))
    return f'<select id="label" {off}>{options}</select>'


def live(state: State, can_act: bool, query: str = "") -> str:
    """The live page; query: what its style and script need in their addresses, like ?token=."""
    off = "" if can_act else "disabled"
    label = _label(state.labels, off)
    here = state.presence.boards if state.presence else []
    controls = _CONTROLS.format(
        off=off, label=label, said="" if can_act else _ONLY_LOOKING,
        boards="".join(f"<option>{escape(board['name'])}</option>" for board in here),
    )  # fmt: skip
    found = fragments.all_of(state)
    # The controls come after the summary and the boards.
    body = _sections(found, 0, 2) + controls + _sections(found, 2, len(_SECTIONS))
    return (
        f"{_HEAD}<title>{escape(state.name)} - fedboard</title>"
        f'<link rel="stylesheet" href="page.css{escape(query)}"></head><body>'
        f'<header><h1>{escape(state.name)}</h1><span id="link" role="status">connecting</span>'
        f"</header><main>{body}</main>"
        f'<script src="page.js{escape(query)}"></script></body></html>'
    )


def report(state: State) -> str:
    """One self-contained file, without any script."""
    found = fragments.all_of(state, live=False)
    made = time.strftime("%Y-%m-%d %H:%M")
    return (
        f"{_HEAD}<title>{escape(state.name)}: report of fedboard</title>"
        f"<style>{asset('page.css')}</style></head><body><header><h1>{escape(state.name)}</h1>"
        f'<span id="link">report of fedboard, {made}</span></header>'
        f"<main>{_sections(found, 0, len(_SECTIONS))}</main></body></html>"
    )


def _sections(found: dict[str, str], first: int, last: int) -> str:
    parts = []
    for name, title, wide in _SECTIONS[first:last]:
        kind = ' class="wide"' if wide else ""
        # What scrolls must be reachable by keyboard.
        scrolls = name in ("boards", "confusion", "events")
        box = f' class="scroll" tabindex="0" role="region" aria-labelledby="h-{name}"'
        parts.append(
            f'<section{kind}><h2 id="h-{name}">{title}</h2>'
            f'<div id="{name}"{box if scrolls else ""}>{found[name]}</div></section>'
        )
    return "".join(parts)
