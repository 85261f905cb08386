"""Hostile bytes against everything that reads bytes.

    python3 tools/fuzz.py all [--runs 1000000]       frames; a tenth of that, files: the whole table
    python3 tools/fuzz.py TARGET [--runs N] [--seed S]
    python3 tools/fuzz.py TARGET --atheris ...      guided by coverage: pip install 'fedboard[fuzz]'
    python3 tools/fuzz.py corpus                      writes tests/corpora again

Targets: see fuzz_targets, which boards run, too; and, of the host alone, npz (its checkpoints) and
home (home.toml). The inputs here are malformed by
construction: genuine ones, damaged at random, or sealed again with right checksums but no key; or
with a mistake that no reader may let pass. All follow from the seed. An input that is accepted, an
exception that is not the documented one, and 30 s without an answer are failures; the input is
written to fuzz-failures/. Some damage is none in the end: a date in a zip, or one number of an
update for another, which only the checksum of its transfer can tell. Such input is counted as
well-formed, after the target has checked that it is just what a writer of ours would write.
"""

from __future__ import annotations

if __name__ == "__main__":
    import in_venv  # noqa: F401

import argparse
import faulthandler
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from types import FunctionType, ModuleType

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / folder) for folder in ("shared", "host", "device", "tools", "tests")]

import numpy as np  # noqa: E402

import fuzz_inputs as inputs  # noqa: E402
import fuzz_targets as targets  # noqa: E402
from fedboard import DataError, WireError  # noqa: E402
from fedboard_host import checkpoints, config, decode, lockstep  # noqa: E402

FAILURES = Path("fuzz-failures")
CORPORA = ROOT / "tests" / "corpora"
HANG_S = 30
FRAMES = {"frame": 1.0, "long": 0.1, "message": 0.1, "update": 0.1, "delta": 0.1}  # times --runs
FILES = {"checkpoint": 0.05, "npz": 0.005, "home": 0.025, "settings": 0.02}  # a tenth in all


class Failed(Exception):
    """One input did what no input may do."""


def update(data: bytes) -> str:
    """Beside the boards' decoder the host's: both must say the same."""
    said = targets.update_(data)
    n = data[0] if data else 0
    meta, stream = data[1 : 1 + n], data[1 + n :]
    decoder = decode.Decoder(targets.SPEC)
    layers = meta[0] if meta else 1
    sums = np.zeros(targets.SPEC.n_params, np.int64)
    try:
        decoder.add_to(sums, 1, layers, meta, stream)
    except WireError:
        if said == targets.ACCEPTED or sums.any():
            raise targets.Malformed("the host's sums differ from what boards read") from None
    try:
        found = decoder.parse(layers, meta, stream)
    except WireError:
        if said == targets.ACCEPTED:
            raise targets.Malformed("the host refuses what boards read") from None
    else:
        if said != targets.ACCEPTED:
            raise targets.Malformed("the host reads what boards refuse")
        for l, indices, values in found if sums.any() else ():
            decode.add(sums[targets.SPEC.at(l) : targets.SPEC.at(l + 1)], indices, values, -1)
        if sums.any():
            raise targets.Malformed("the host sums up what it does not read")
    _together(decoder, layers, meta, stream, said == targets.ACCEPTED)
    return said


def _together(
    decoder: decode.Decoder, layers: int, meta: bytes, stream: bytes, is_good: bool
) -> None:
    """Of many at once the host must say what it says of each."""
    sums = np.zeros(targets.SPEC.n_params, np.int64)
    many = [(i + 1, layers, meta, stream) for i in range(lockstep.LEAST)]
    added, refused, left = decoder.add_all(sums, many)
    for i in (i for each in added for i in each.members):
        decoder.add_to(sums, -1 - i, layers, meta, stream)
    if sums.any() or (not left and len(refused) != (0 if is_good else len(many))):
        raise targets.Malformed("the host's sums of many updates differ from those of each")


def npz(data: bytes) -> str:
    path = _scratch("model.npz", data)
    try:
        found = checkpoints.read(path)
    except DataError as error:
        return str(error)
    if found.spec != inputs.NPZ.spec or found.params != inputs.NPZ.params:
        raise targets.Malformed("a checkpoint of another model")
    return targets.ACCEPTED


def home(data: bytes) -> str:
    path = _scratch("home.toml", data)
    try:
        config.load(path)
    except DataError as error:
        return str(error)
    return targets.ACCEPTED


_folder = tempfile.TemporaryDirectory(prefix="fedboard-fuzz-")


def _scratch(name: str, data: bytes) -> Path:
    path = Path(_folder.name) / name
    path.write_bytes(data)
    return path


TARGETS: dict[str, Callable[[bytes], str]] = {
    **targets.TARGETS, "update": update, "npz": npz, "home": home,
}  # fmt: skip
# Where damage may make another well-formed input, as the target itself has checked: an update or a
# message has no checksum of its own, it relies on its frame's and the transfer's. What the others
# accept must be what was there before the damage; delta and npz have checked that, too.
OPEN = ("message", "update", "delta", "npz")


class Count:
    def __init__(self) -> None:
        self.refused = self.well_formed = self.accepted = self.crashes = 0
        self.seconds = 0.0


def fuzz(name: str, runs: int, seed: int) -> Count:
    """So many malformed inputs, until they are all through."""
    count = Count()
    make, target = inputs.MAKERS[name], TARGETS[name]
    began = time.monotonic()
    rng = Random(f"{name} {seed}")
    watched_s = -1.0
    for _ in range(runs):
        if time.monotonic() > watched_s + 1:  # not each time, as that takes longer than most inputs
            watched_s = time.monotonic()
            faulthandler.dump_traceback_later(HANG_S, exit=True)
        data = make(rng)
        try:
            said = target(data)
        except (targets.Malformed, targets.Forged) as error:
            count.accepted += 1
            _keep(name, data, error)
        except Exception as error:
            count.crashes += 1
            _keep(name, data, error)
        else:
            if said != targets.ACCEPTED:
                count.refused += 1
            elif name in OPEN:
                count.well_formed += 1
            else:
                count.accepted += 1
                _keep(name, data, Failed("accepted"))
    faulthandler.cancel_dump_traceback_later()
    count.seconds = time.monotonic() - began
    return count


def _keep(name: str, data: bytes, error: BaseException) -> None:
    """Write the input down and say so, once."""
    FAILURES.mkdir(exist_ok=True)
    path = FAILURES / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
    if path.exists():
        return
    path.write_bytes(data)
    print(f"fuzz: {path}: {type(error).__name__}: {error}", file=sys.stderr)


def table(shares: dict[str, int], seed: int) -> int:
    """Fuzz each target so often and print what came; the exit status."""
    print(f"{'target':<12}{'inputs':>10}{'refused':>10}{'well-formed':>13}{'accepted':>10}"
          f"{'crashes':>10}{'s':>8}")  # fmt: skip
    total = bad = 0
    for name, runs in shares.items():
        count = fuzz(name, runs, seed)
        total += runs
        bad += count.accepted + count.crashes
        print(f"{name:<12}{runs:>10,}{count.refused:>10,}{count.well_formed:>13,}"
              f"{count.accepted:>10,}{count.crashes:>10,}{count.seconds:>8.0f}",
              flush=True)  # fmt: skip
    print(f"{total:,} malformed inputs: {bad} failures, 0 hangs (one would have ended this).")
    return 1 if bad else 0


def guided(name: str, runs: int, seed: int) -> int:
    """Atheris, in this process: it ends it."""
    import importlib

    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        raise SystemExit("fuzz: atheris is not installed: pip install 'fedboard[fuzz]'") from None
    target = TARGETS[name]
    for function in _functions(inputs.READERS[name]):
        atheris.instrument_func(function)
    folder = Path(_folder.name) / "seeds"
    folder.mkdir()
    rng = Random(seed)
    for i, data in enumerate(inputs.seeds(name)):
        (folder / f"genuine-{i}").write_bytes(data)
    for i in range(20):
        (folder / f"damaged-{i}").write_bytes(inputs.MAKERS[name](rng))
    options = [f"-runs={runs}", f"-seed={seed + 1}", f"-timeout={HANG_S}", "-max_len=4096"]
    FAILURES.mkdir(exist_ok=True)
    options.append(f"-artifact_prefix={FAILURES}{os.sep}{name}-")
    atheris.Setup([sys.argv[0], *options, str(folder)], lambda data: target(bytes(data)) and None)
    atheris.Fuzz()
    return 0


def _functions(modules: Iterable[ModuleType]) -> Iterator[FunctionType]:
    """All functions and methods that are written in these modules."""
    for module in modules:
        for thing in vars(module).values():
            if getattr(thing, "__module__", "") != module.__name__:
                continue
            inner = vars(thing).values() if isinstance(thing, type) else ()
            for function in (thing, *inner):
                if isinstance(function, FunctionType):
                    yield function


def write_corpora() -> int:
    """The genuine inputs, the first malformed ones, and for each refusal the first that gets it."""
    CORPORA.mkdir(exist_ok=True)
    for name in targets.TARGETS:
        chosen = list(inputs.seeds(name))
        said = set()
        rng = Random(f"corpus {name}")
        for i in range(30_000):
            data = inputs.MAKERS[name](rng)
            text = "".join("#" if c.isdigit() else c for c in TARGETS[name](data))
            is_new = text not in said and len(data) < 2100
            if is_new or (i < 40 and len(data) < 700):
                said.add(text)
                chosen.append(data)
        (CORPORA / f"{name}.bin").write_bytes(targets.pack_corpus(chosen))
        print(f"{name}: {len(chosen)} inputs")
    return 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Hostile bytes against all that reads bytes.")
    parser.add_argument("target", choices=[*TARGETS, "all", "corpus"])
    parser.add_argument("--runs", type=int, default=100_000, help="inputs; of all: frames")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--atheris", action="store_true", help="guided by coverage")
    options = parser.parse_args(arguments)
    if not options.atheris:  # which sees nothing of compiled code
        decode.use_compiled()
    if options.target == "corpus":
        return write_corpora()
    if options.target == "all":
        shares = {**FRAMES, **FILES}
        return table({n: round(options.runs * s) for n, s in shares.items()}, options.seed)
    if options.atheris:
        return guided(options.target, options.runs, options.seed)
    return table({options.target: options.runs}, options.seed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
