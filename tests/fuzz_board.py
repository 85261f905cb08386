"""Run by each interpreter: replays corpora, and prints what came of them and what they cost.

    fuzz_board.py CORPUS.bin...    a line each: name, inputs, accepted, CRC-32 of all answers, bytes

Any exception ends it. Bytes: by how many the heap in use has grown over a second replay, where an
interpreter can tell (0 where not): what hostile input leaves behind.
"""

import gc
import sys
from binascii import crc32

import fuzz_targets


def replay(target, inputs):
    crc = 0
    n_accepted = 0
    for data in inputs:
        said = target(data)
        n_accepted += said == fuzz_targets.ACCEPTED
        crc = crc32(said.encode(), crc)
    return n_accepted, crc & 0xFFFFFFFF


def in_use():
    if not hasattr(gc, "mem_alloc"):
        return 0
    gc.collect()
    gc.collect()
    return gc.mem_alloc()


def main(paths):
    for path in paths:
        name = path.replace("\\", "/").split("/")[-1].split(".")[0]
        target = fuzz_targets.TARGETS[name]
        with open(path, "rb") as file:
            inputs = fuzz_targets.unpack_corpus(file.read())
        n_accepted, crc = replay(target, inputs)  # whatever is loaded or cached once
        before = in_use()
        n_accepted, crc = replay(target, inputs)
        grown = in_use() - before
        if grown:  # a leak grows each time; a stale word on the stack may look like one once
            before = in_use()
            replay(target, inputs)
            grown = min(grown, in_use() - before)
        print(f"{name} {len(inputs)} {n_accepted} {crc:08x} {grown}")


if __name__ == "__main__":
    main(sys.argv[1:])
