"""Writes docs/results.md from the rows in docs/results, which `fedboard reproduce` wrote there.

    .venv/bin/fedboard reproduce NAME --out docs/results     run an experiment (minutes)
    .venv/bin/python tools/results.py                        write the page (a second)
    .venv/bin/python tools/results.py --check                change nothing; exit 1 if it differs
"""

from __future__ import annotations

import sys
from pathlib import Path

from fedboard_host.experiments import page

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "results.md"


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print(__doc__)
        return 2
    text = page.render(DOCS / "results")
    same = PAGE.exists() and PAGE.read_text("utf-8") == text
    if arguments:
        if not same:
            print("docs/results.md differs from its rows: run tools/results.py", file=sys.stderr)
        return 0 if same else 1
    PAGE.write_text(text, "utf-8", newline="\n")
    print(f"{PAGE}: {'as it was' if same else 'written'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
