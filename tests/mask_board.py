"""Run by each interpreter: what boards of a masked round send and tell, in hexadecimal.

mask_board.py N_BOARDS SURVIVORS        a line for each board's update, then for each opening
"""

import sys
from array import array
from binascii import hexlify

from fedboard import messages, prng
from fedboard.base import MemoryBase
from fedboard.cohort import Peer, Unmask
from fedboard.mask import MaskedUpdate
from fedboard.model import Spec
from fedboard.party import Party

SPEC = Spec((9, 7, 4), "fedboard", 3)
RUN = 77
ROUND = 5
NONCE = bytes(range(16))
KEY = bytes(range(100, 132))
PERMILLE = 300


def name(i: int) -> str:
    return f"board{i}"


def party(i: int, n: int) -> Party:
    """Board i, which has heard of its n peers."""
    one = Party(KEY, name(i))
    for j in range(n):
        one.take(Peer(round=ROUND, nonce=NONCE, place=j, of=n, name=name(j)))
    return one


def base() -> MemoryBase:
    made = MemoryBase()
    made.begin(SPEC.pack())
    made.write(array("h", [i * 3 - 100 for i in range(SPEC.n_params)]))
    made.commit(1, b"12345678")
    return made


def learned(i: int) -> "array[int]":
    """Small changes, and a few that are larger than a round can take."""
    rng = prng.Xorshift(i + 1)
    params = array("h", [k * 3 - 100 for k in range(SPEC.n_params)])
    for k in range(SPEC.n_params):
        params[k] += rng.below(16001) - 8000 if k % 13 == i else rng.below(401) - 200
    return params


def task() -> messages.Task:
    return messages.Task(
        run=RUN,
        round=ROUND,
        version=1,
        op=messages.TRAIN,
        flags=messages.MASKED,
        layers=3,
        epochs=1,
        top_permille=PERMILLE,
        bits=16,
    )


def made(i: int, n: int) -> MaskedUpdate:
    update = party(i, n).update(SPEC, learned(i), base(), 3, task())
    update.prepare()
    return update


def main(n: int, survivors: int) -> None:
    for i in range(n):
        print(hexlify(b"".join(made(i, n).chunks(50))).decode())
    for i in range(n):
        if survivors >> i & 1:
            one = party(i, n)
            one.join(task())
            ask = Unmask(round=ROUND, nonce=NONCE, survivors=survivors, of=i)
            for opening in one.answer(ask):
                print(hexlify(opening.pack()).decode())


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
