"""Starts an emulated Raspberry Pi Pico that mpremote and fedboard can talk to. Ctrl-C ends it.

python3 tools/dev.py pico                         a board on a link in .tools; see what it says
python3 tools/dev.py pico --flash pico.img        one that keeps its files
python3 tools/dev.py pico --tcp 4000              at socket://127.0.0.1:4000
python3 tools/dev.py pico --build                 only make what it takes (pico/kit.py)
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import get_micropython
from pico import kit
from pico.lab import Pico


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="dev.py pico",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--link", type=Path, metavar="PATH", help="where to put the link to its serial port")
    add("--tcp", type=int, metavar="PORT", help="serve it at this TCP port instead (0: any)")
    add("--flash", type=Path, metavar="FILE", help="keep its flash in this file")
    add("--uid", default="e660000000000001", metavar="HEX", help="its chip's id, 16 hex digits")
    add("--seed", type=int, default=1, metavar="N", help="of its random numbers")
    add("--pace", type=float, default=1, metavar="N", help="idle time runs N times as fast")
    add("--stats", action="store_true", help="tell each second how fast it is")
    add("--build", action="store_true", help="only make what an emulated Pico takes")
    options = parser.parse_args()
    found = kit.find(make=True)
    if found.kit is None:
        print("pico: " + found.note, file=sys.stderr)
        return 1
    if options.build:
        print(f"pico: {found.note}")
        return 0
    try:
        int(options.uid, 16)
    except ValueError:
        parser.error("--uid takes hex digits")
    link = options.link
    if link is None and options.tcp is None:
        get_micropython.TOOLS.mkdir(exist_ok=True)
        number = 0
        while (link := get_micropython.TOOLS / f"pico{number}").exists():
            number += 1
    try:
        return serve(options, link)
    except OSError as error:
        print(f"pico: {error}", file=sys.stderr)
        return 1


def serve(options: argparse.Namespace, link: Path | None) -> int:
    """Runs the board, telling what it says, until Ctrl-C or its end."""
    with Pico(
        flash=options.flash, uid=options.uid, seed=options.seed, pace=options.pace,
        tcp=options.tcp, link=link, extra=("--stats",) if options.stats else (),
    ) as pico:  # fmt: skip
        print(f"pico: runs at {pico.port} (Ctrl-C ends it); try: mpremote connect {pico.port}")
        told = len(pico.log)
        try:
            while pico.running:
                time.sleep(0.2)
                for line in pico.log[told:]:
                    print("pico: " + line)
                    told += 1
        except KeyboardInterrupt:
            print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
