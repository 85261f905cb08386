"""A run's State as HTML: the same fragments are pushed to the live page and written to the report.

Colours and dashes are classes of page.css, so that a fragment suits light and dark. Every text that
comes from outside goes through escape().
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape
from typing import Any

from fedboard_host.dashboard.feed import State, thin
from fedboard_host.units import ago, lasting, percent, size

_WIDTH, _HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 12, 30
_N_STYLES = 8  # of lines, in page.css

Series = tuple[str, Sequence[tuple[float, float]]]


def all_of(state: State, live: bool = True) -> dict[str, str]:
    """By the id of the element that each belongs into; the page hides what has nothing to say."""
    return {
        "summary": summary(state, live),
        "boards": boards(state, live),
        "accuracy": accuracy(state),
        "loss": loss(state),
        "own": own(state),
        "bytes": traffic(state),
        "confusion": confusion(state),
        "events": events(state),
    }


def summary(state: State, live: bool) -> str:
    last = state.rounds[-1] if state.rounds else None
    told = state.presence
    total = f" of {told.rounds}" if told else ""
    tiles = [("round", f"{last['round'] if last else 0}{total}")]
    if last and last["accuracy"] is not None:
        tiles.append(("held-out accuracy", percent(last["accuracy"])))
    tiles.append(
        ("boards heard", str(_n_here(state))) if live else ("boards", str(_n_boards(state)))
    )
    up = sum(row["bytes_up"] for row in state.rounds)
    down = sum(row["bytes_down"] for row in state.rounds)
    tiles += [("up", size(up)), ("down", size(down))]
    if last:
        tiles.append(("a round takes", lasting(last["seconds"])))
    if live and not (told and told.is_live):
        when = f", last heard {ago(told.age_s)} ago" if told else ""
        tiles.append(("host", f"not running{when}"))
    items = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in tiles)
    return f"<dl>{items}</dl>"


def _n_here(state: State) -> int:
    if state.presence is None or not state.presence.is_live:
        return 0
    return sum(board["state"] not in ("gone", "asleep") for board in state.presence.boards)


def _n_boards(state: State) -> int:
    return len(state.presence.boards) if state.presence else len(state.updates)


def boards(state: State, live: bool = True) -> str:
    """A table. What a board does is only known while its host runs; a report tells when it was."""
    told = state.presence
    if told is None or not told.boards:
        return _suspects(state) or "<p>No board has been here yet.</p>"
    rows = []
    for board in told.boards:
        name = board["name"]
        last = state.updates.get(name, [(0, None, None)])[-1]
        cells = [
            f'<th scope="row">{escape(name)}</th>',
            f"<td>{_heard(board['last_seen_s'], live)}</td>",
            f"<td>{board['n_samples']}</td>",
            f"<td>{'' if last[1] is None else percent(last[1])}</td>",
            f"<td>{'' if last[2] is None else format(last[2], '.3g')}</td>",
            f"<td>{last[0] or ''}</td>",
            f"<td>{size(board['free_ram']) if board['free_ram'] else '?'}</td>",
            f"<td>{size(board['bytes_up'])} / {size(board['bytes_down'])}</td>",
            f"<td>{escape(board['firmware'])}, {escape(board['kernels'])}</td>",
        ]
        if live:
            now = board["state"] if told.is_live else "unknown"
            cells.insert(1, f'<td><span class="state {escape(now)}">{escape(now)}</span></td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    heads = (
        "board", *(("state",) if live else ()), "last heard", "samples", "own accuracy",
        "own loss", "last round", "RAM free", "up / down", "firmware, kernels",
    )  # fmt: skip
    head = "".join(f'<th scope="col">{h}</th>' for h in heads)
    return (
        f"{_suspects(state)}<p>Own accuracy and loss: of its own samples, each predicted before it "
        "was learned.</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _heard(last_seen_s: float, live: bool) -> str:
    if live:
        return f"{ago(last_seen_s)} ago"
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() - last_seen_s))


def _suspects(state: State) -> str:
    lines = "".join(
        f'<li class="warning">{escape(board)} looks suspicious: its updates are {escape(why)}</li>'
        for board, why in state.suspects.items()
    )
    return f"<ul>{lines}</ul>" if lines else ""


def accuracy(state: State) -> str:
    points = [(r["round"], 100 * r["accuracy"]) for r in state.rounds if r["accuracy"] is not None]
    if not points:
        return ""
    text = f"Held-out accuracy over {len(points)} rounds, now {points[-1][1]:.1f} %"
    return chart([("merged model", points)], text, "%", low=0, high=100)


def loss(state: State) -> str:
    points = [(r["round"], r["loss"]) for r in state.rounds if r["loss"] is not None]
    if not points:
        return ""
    return chart([("merged model", points)], f"Held-out loss, now {points[-1][1]:.3g}", "")


def own(state: State) -> str:
    series: list[Series] = []
    for name in sorted(state.updates)[:_N_STYLES]:
        points = [(r, 100 * a) for r, a, _ in state.updates[name] if a is not None]
        if points:
            series.append((name, points))
    judged = any(row["accuracy"] is not None or row["loss"] is not None for row in state.rounds)
    hint = "<p>[evaluate] in home.toml names held-out samples, which judge the merged model.</p>"
    hint = "" if judged else hint
    if not series:
        return "<p>No update yet.</p>" + hint
    more = len(state.updates) - len(series)
    note = f"<p>and {more} boards more, see the table</p>" if more > 0 else ""
    text = "Each board's accuracy on its own samples while it learns"
    return chart(series, text, "%", low=0, high=100) + note + hint


def traffic(state: State) -> str:
    rows = [r for r in state.rounds if r["n_boards"]]
    if not rows:
        return "<p>No round yet.</p>"
    up = [(r["round"], r["bytes_up"] / r["n_boards"]) for r in rows]
    down = [(r["round"], r["bytes_down"] / r["n_boards"]) for r in rows]
    mean = [sum(y for _, y in points) / len(points) for points in (up, down)]
    text = f"Bytes a board and round: up {size(mean[0])}, down {size(mean[1])} in the mean"
    return chart([("up", up), ("down", down)], text, "B", low=0)


def confusion(state: State) -> str:
    counts = state.counts
    if not counts:
        return ""
    names = [state.labels[k] if k < len(state.labels) else str(k) for k in range(len(counts))]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    rows = []
    for k, row in enumerate(counts):
        total = max(1, sum(row))
        cells = ""
        for j, n in enumerate(row):
            shade = 0 if not n else 1 + min(4, 5 * n // (total + 1))
            right = " right" if j == k else ""
            cells += f'<td class="s{shade}{right}">{n or ""}</td>'
        rows.append(f'<tr><th scope="row">{escape(names[k])}</th>{cells}</tr>')
    return (
        f"<p>Held-out samples after round {state.judged_round}: rows are what they are, columns "
        f"what they were taken for.</p><table><thead><tr><td></td>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def events(state: State) -> str:
    if not state.events:
        return "<p>Nothing yet.</p>"
    items = []
    for event in state.events:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["at"]))
        level = event.get("level", "info") if event["kind"] == "Note" else "info"
        items.append(
            f'<li class="{escape(str(level))}"><time>{at}</time> {escape(_words(event))}</li>'
        )
    return f"<ul>{''.join(items)}</ul>"


def _words(event: dict[str, Any]) -> str:
    kind, board = event["kind"], event["board"]
    if kind == "Note":
        return str(event["text"])
    if kind == "BoardJoined":
        return f"{board} joined ({event['firmware']}, {event['n_samples']} samples)"
    if kind == "BoardLeft":
        return f"{board} left: {event['reason']}"
    if kind == "UpdateReceived":
        if event["accepted"]:
            return f"{board}: update of round {event['round']}, {size(event['n_bytes'])}"
        return f"{board}: update of round {event['round']} not used: {event['reason']}"
    if kind == "RoundClosed":
        judged = "" if event["accuracy"] is None else f", accuracy {percent(event['accuracy'])}"
        return (
            f"round {event['round']} closed: {event['n_updates']} of {event['n_boards']} "
            f"boards{judged}"
        )
    if kind == "Finished":
        return f"{'stopped' if event['stopped'] else 'done'} after round {event['round']}"
    return str(kind)


def chart(
    series: Sequence[Series],
    text: str,
    unit: str,
    low: float | None = None,
    high: float | None = None,
) -> str:
    """An SVG of lines over rounds; text: what it says, for those who do not see it, too."""
    series = [(name, thin(list(points))) for name, points in series]
    xs = [x for _, points in series for x, _ in points]
    ys = [y for _, points in series for _, y in points]
    low = min(ys) if low is None else low
    high = max(ys) if high is None else high
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    first, last = min(xs), max(xs)

    def place(x: float, y: float) -> tuple[float, float]:
        wide, tall = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
        right = (x - first) / (last - first) if last > first else 0.5
        return _LEFT + wide * right, _TOP + tall * (1 - (y - low) / ((high - low) or 1))

    parts = []
    for tick in ticks:
        _, y = place(first, tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        label = size(tick) if unit == "B" else f"{tick:g}{' ' + unit if unit else ''}"
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for x in sorted({first, last}):
        at, _ = place(x, low)
        anchor = "start" if x == first and first != last else "end"
        parts.append(
            f'<text x="{at:.1f}" y="{_HEIGHT - 10}" text-anchor="{anchor}">round {x:g}</text>'
        )
    for k, (_, points) in enumerate(series):
        placed = [place(x, y) for x, y in points]
        d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in placed)
        parts.append(f'<path class="line l{k % _N_STYLES}" d="{d}"/>')
        x, y = placed[-1]
        parts.append(f'<circle class="dot l{k % _N_STYLES}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
    keys = "".join(
        f'<li><svg class="key" viewBox="0 0 28 8" aria-hidden="true"><path class="line '
        f'l{k % _N_STYLES}" d="M0 4H28"/></svg>{escape(name)}</li>'
        for k, (name, _) in enumerate(series)
    )
    legend = f'<ul class="legend">{keys}</ul>' if len(series) > 1 else ""
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(text)}">'
        f"{''.join(parts)}</svg>{legend}<figcaption>{escape(text)}</figcaption></figure>"
    )


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers that span the range."""
    width = (high - low) or abs(high) or 1.0
    high = low + width
    step = 10.0 ** _exponent(width)
    for factor in (0.1, 0.2, 0.25, 0.5, 1.0):
        if width / (step * factor) <= 5:
            step *= factor
            break
    start = step * (low // step)
    ticks = [start]
    while ticks[-1] < high - step * 1e-9:
        ticks.append(round(start + step * len(ticks), 10))
    return ticks


def _exponent(value: float) -> int:
    import math

    return math.ceil(math.log10(value))
