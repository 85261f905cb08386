"""Figures as people read them: shares, bytes, times, and a line of blocks."""

from __future__ import annotations

SPARKS = "▁▂▃▄▅▆▇█"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def size(n_bytes: float) -> str:
    """Bytes in decimal units: 1 kB is 1000 bytes, as links are rated."""
    if n_bytes < 1000:
        return f"{n_bytes:.0f} B"
    for unit in ("kB", "MB"):
        n_bytes /= 1000
        if n_bytes < 1000:
            return f"{n_bytes:.1f} {unit}"
    return f"{n_bytes / 1000:.1f} GB"


def span(seconds: float) -> str:
    """Time for people: 8 s, 2 min 5 s, 3 h 12 min."""
    s = round(seconds)
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60} s"
    return f"{s // 3600} h {s % 3600 // 60} min"


def ago(seconds: float) -> str:
    """How long ago: tenths while it is fresh."""
    return f"{max(0.0, seconds):.1f} s" if seconds < 60 else span(seconds)


def lasting(seconds: float) -> str:
    """How long it took: tenths while it is short, and never nothing."""
    return ago(seconds) if seconds >= 0.1 else "less than 0.1 s"


def spark(values: list[float], width: int) -> str:
    """A line of blocks: the last `width` values, or all of them thinned out, from their minimum."""
    if len(values) > width:
        values = [values[(i + 1) * len(values) // width - 1] for i in range(width)]
    low, high = min(values), max(values)
    scale = (len(SPARKS) - 1) / (high - low) if high > low else 0.0
    return "".join(SPARKS[round((v - low) * scale)] for v in values)
