"""Masked updates: only their sum can be read, exactly it, and with boards that drop out."""

from __future__ import annotations

from binascii import unhexlify
from pathlib import Path

import numpy as np
import pytest

from fedboard import DataError, WireError, cohort, mask, messages
from fedboard.base import MemoryBase
from fedboard.board import Board
from fedboard.cohort import Cohort, Opening, Unmask, recover, seal, times, unseal
from fedboard.node import Identity
from fedboard.party import Party
from fedboard_host import secret
from fedboard_host.secret import Secret
from federations import N_CLASSES, blobs
from interpreters import run
from mask_board import KEY, NONCE, PERMILLE, ROUND, RUN, base, learned, made, name, party, task
from mask_board import SPEC as SMALL

SCRIPT = Path(__file__).parent / "mask_board.py"
LATER = b"\1" + NONCE[1:]


def plain_sum(boards, n):
    """Of the changes that these of n boards send, over all parameters."""
    total = np.zeros(SMALL.n_params, np.int64)
    for i in boards:
        for k, value in made(i, n).changes():
            total[k] += value
    return total


def begin():
    return messages.Begin(what=messages.UPDATE, encoding=mask.ENCODING, meta=b"\x03")


@pytest.mark.parametrize(
    ("n", "survivors"), [(3, 0b111), (4, 0b1111), (5, 0b10101), (7, 0b1111010)]
)
def test_the_sum_is_exact_whoever_drops_out(board_runtime, n, survivors):
    """Boards on each interpreter, the host's side here."""
    lines = run(board_runtime, SCRIPT, str(n), str(survivors)).decode().split()
    host = Secret(SMALL, 3, PERMILLE, RUN, ROUND, [name(i) for i in range(n)], NONCE)
    kept = [i for i in range(n) if survivors >> i & 1]
    for i in kept:
        host.add(name(i), host.parse(begin(), unhexlify(lines[i])))
    assert host.names == [name(i) for i in kept]
    told = [Opening_of(line) for line in lines[n:]]
    assert len(told) == len(kept) * (1 + n - len(kept))
    for k, opening in enumerate(told):
        assert not host.is_open
        host.take(name(kept[k // (1 + n - len(kept))]), opening)
    assert host.is_open
    assert host.sums().tolist() == plain_sum(kept, n).tolist()


def Opening_of(line):
    message = messages.unpack(Opening.KIND, unhexlify(line))
    assert isinstance(message, Opening)
    return message


def test_what_one_board_sends_tells_nothing_by_itself():
    """Words look uniform, and are others with another nonce, board or key."""
    sent = [b"".join(made(i, 4).chunks()) for i in range(4)]
    words = np.frombuffer(b"".join(sent), "<u2")
    assert abs(words.mean() / 32767.5 - 1) < 0.1
    assert len({*sent}) == 4
    same = sent[0]
    one = party(0, 4)
    one._nonce = bytes(16)  # as if told so
    other = b"".join(one.update(SMALL, learned(0), base(), 3, task()).chunks())
    equal = sum(a == b for a, b in zip(same, other, strict=True))
    assert equal < len(same) / 16


def test_places_are_the_same_for_all_rise_and_change_with_the_round():
    found = list(mask.places(SMALL, 3, PERMILLE, RUN, ROUND))
    assert found == sorted(set(found))
    for l in range(2):
        n = sum(SMALL.at(l) <= i < SMALL.at(l + 1) for i in found)
        assert n == mask.n_places(SMALL.n_layer_params(l), PERMILLE)
    assert found != list(mask.places(SMALL, 3, PERMILLE, RUN, ROUND + 1))
    assert list(mask.places(SMALL, 2, 1000, 1, 1)) == list(range(SMALL.at(1), SMALL.n_params))
    seen = {i for r in range(60) for i in mask.places(SMALL, 3, 100, 1, r)}
    assert seen == set(range(SMALL.n_params))  # none is left out for ever


def test_settling_leaves_what_was_not_sent():
    params = learned(2)
    one = party(2, 4).update(SMALL, params, base(), 3, task())
    before = list(params)
    sent = dict(one.changes())
    assert max(map(abs, sent.values())) == 32767 // 4 or max(map(abs, sent.values())) < 8192
    one.settle()
    for i, value in enumerate(params):
        assert value == before[i] - sent.get(i, 0)


def test_sums_of_the_largest_changes_do_not_wrap():
    for n in (3, 5, cohort.MOST):
        assert n * (32767 // n) < 1 << 15


def test_gf256_is_a_field():
    assert times(0x57, 0x83) == 0xC1  # FIPS 197, 4.2
    for a in range(1, 256):
        assert times(a, cohort._inverse(a)) == 1


@pytest.mark.parametrize("n", [3, 6, 9])
def test_enough_shares_give_the_key_and_fewer_do_not(n):
    those = Cohort([name(i) for i in range(n)], b"about")
    assert those.threshold == max(3, n // 2 + 1)
    survivors = (1 << n) - 1
    shares = {i: those.share(KEY, survivors, i) for i in range(n)}
    want = those.opener(KEY, survivors)
    last = dict(list(shares.items())[-those.threshold :])
    assert recover(dict(list(shares.items())[: those.threshold])) == recover(last) == want
    assert recover(dict(list(shares.items())[: those.threshold - 1])) != want


def test_a_host_that_tells_boards_different_things_opens_nothing():
    """To unmask b4 it needs b_4, for which all must be in, and every s_i4, for which b4 is not."""
    those = Cohort([name(i) for i in range(5)], b"about")
    everyone, others = 0b11111, 0b01111
    mixed = {i: those.share(KEY, everyone if i < 2 else others, i) for i in range(3)}
    sealed = seal(those.opener(KEY, everyone), 4, 4, those.seed(KEY, 4, 4))
    with pytest.raises(WireError, match="does not fit together"):
        unseal(recover(mixed), 4, 4, sealed)


def test_boards_refuse_what_would_tell_too_much():
    one = party(1, 5)
    ask = {"round": ROUND, "nonce": NONCE, "of": 1}
    with pytest.raises(DataError, match="no masked update"):
        one.answer(Unmask(**ask, survivors=0b11111))  # it has not been asked to train
    one.join(task())
    for survivors, why in ((0b00011, "too few"), (0b111111, "too few"), (0b11101, "only those")):
        with pytest.raises(DataError, match=why):
            one.answer(Unmask(**ask, survivors=survivors))
    with pytest.raises(DataError, match="no masked update"):
        one.answer(Unmask(round=ROUND, nonce=bytes(16), survivors=0b11111, of=1))
    with pytest.raises(DataError, match="only those"):
        one.answer(Unmask(round=ROUND, nonce=NONCE, survivors=0b01111, of=4))
    first = one.answer(Unmask(**ask, survivors=0b01111))
    assert [opening.peer for opening in first] == [1, 4]
    again = one.answer(Unmask(**ask, survivors=0b01111))
    assert [a.pack() for a in again] == [a.pack() for a in first]
    with pytest.raises(DataError, match="another sum"):
        one.answer(Unmask(**ask, survivors=0b11111))


def test_a_board_masks_one_update_a_round():
    """Whoever has two under the same masks has their difference."""
    one = party(0, 3)
    one.update(SMALL, learned(0), base(), 3, task())
    with pytest.raises(DataError, match="already"):
        one.update(SMALL, learned(1), base(), 3, task())
    assert not one.take(cohort.Peer(round=ROUND, nonce=NONCE, place=0, of=3, name=name(0)))
    with pytest.raises(DataError, match="already"):
        one.update(SMALL, learned(1), base(), 3, task())
    assert one.take(cohort.Peer(round=ROUND, nonce=LATER, place=0, of=3, name=name(0)))


def test_what_is_sent_stays_the_same_whatever_becomes_of_the_parameters():
    """Else whoever has it twice has the difference, of which the masks are gone."""
    params = learned(0)
    one = party(0, 3).update(SMALL, params, base(), 3, task())
    one.prepare()
    sent = list(one.chunks(20))
    chunks = one.chunks(20)
    again = [next(chunks)]
    one.settle()
    assert params != learned(0)
    assert again + list(chunks) == sent


def test_a_cohort_that_a_board_has_left_does_not_come_back():
    """A, B, A: it would open another sum of A, and so tell b_i and s_ij."""
    one = party(0, 5)
    one.join(task())
    one.answer(Unmask(round=ROUND, nonce=NONCE, survivors=0b11111, of=0))
    peer = {"place": 0, "of": 5, "name": name(0)}
    assert one.take(cohort.Peer(round=ROUND, nonce=LATER, **peer))
    for round_no, nonce in (
        (ROUND, NONCE), (ROUND + 1, NONCE), (ROUND + 1, LATER), (ROUND, LATER + b"x"),
    ):  # fmt: skip
        with pytest.raises(DataError, match="masks of a round that is over"):
            one.take(cohort.Peer(round=round_no, nonce=nonce, **peer))
    with pytest.raises(DataError, match="no masked update"):
        one.answer(Unmask(round=ROUND, nonce=NONCE, survivors=0b01111, of=0))
    nonces = [secret.new_nonce() for _ in range(100)]
    assert nonces == sorted(set(nonces))
    assert one.take(cohort.Peer(round=ROUND, nonce=nonces[0], **peer))


def test_boards_that_were_told_other_names_have_no_mask_in_common():
    def found(names, nonce=NONCE):
        those = Cohort(names, cohort.about(task(), nonce, names))
        return {those.seed(KEY, 0, 1), those.seed(KEY, 0, 0), those.opener(KEY, 7)}

    tales = (
        ["a", "b", "c"],
        ["a", "b", "d"],
        ["a", "b", "c", "d"],
        ["a", "bc", ""],
        ["b", "a", "c"],
    )
    assert len(set().union(*map(found, tales))) == 3 * len(tales)
    assert found(["a", "b", "c"]).isdisjoint(found(["a", "b", "c"], LATER))


def test_boards_with_other_tasks_have_no_mask_in_common():
    """Each field counts, but for the order of the samples."""
    names = [name(i) for i in range(3)]
    same = cohort.about(task(), NONCE, names)
    for field, _ in messages.Task.FIELDS:
        other = task()
        value = getattr(other, field)
        setattr(other, field, value + b"x" if isinstance(value, bytes) else value + 1)
        assert (cohort.about(other, NONCE, names) == same) == (field == "seed"), field
        assert other.seed == (field == "seed")


@pytest.mark.parametrize("changes", [{"epochs": 0}, {"epochs": 0, "n_max": 9}, {"version": 0}])
def test_a_board_masks_only_what_it_learned(changes):
    asked = task()
    for field, value in changes.items():
        setattr(asked, field, value)
    with pytest.raises(DataError, match="is learned, from a model"):
        party(0, 3).join(asked)


def test_a_board_joins_only_what_it_was_told_of():
    short = Party(KEY, name(0))
    short.take(cohort.Peer(round=ROUND, nonce=NONCE, place=0, of=3, name=name(0)))
    with pytest.raises(DataError, match="with whom"):
        short.join(task())
    stranger = party(1, 4)
    stranger._name = "other"
    with pytest.raises(DataError, match="not among those"):
        stranger.join(task())
    with pytest.raises(DataError, match="cannot hide each other"):
        Cohort(["a", "b"])
    with pytest.raises(DataError, match="cannot hide each other"):
        Cohort(["a", "b", "b"])


def test_the_host_refuses_nonsense():
    host = Secret(SMALL, 3, PERMILLE, RUN, ROUND, [name(i) for i in range(3)], NONCE)
    with pytest.raises(WireError, match="not masked"):
        host.parse(messages.Begin(what=messages.UPDATE, meta=b"\x03"), b"")
    with pytest.raises(WireError, match="masked bytes"):
        host.parse(begin(), bytes(7))
    good = Opening(round=ROUND, of=0, peer=0, share=bytes(32), sealed=bytes(36))
    with pytest.raises(WireError, match="nobody asked"):
        host.take(name(0), good)  # its update is not in
    for i in range(3):
        host.add(name(i), host.parse(begin(), b"".join(made(i, 3).chunks())))
    for i in range(3):
        host.take(name(i), Opening(round=ROUND, of=i, peer=i, share=bytes(32), sealed=bytes(36)))
    with pytest.raises(WireError, match="does not fit together"):
        host.sums()


def test_the_messages_add_themselves_and_fit_a_frame():
    opening = Opening(round=1, of=2, peer=3, share=bytes(32), sealed=bytes(36))
    peer = cohort.Peer(round=1, nonce=bytes(16), place=0, of=3, name="n" * 24)
    ask = Unmask(round=1, nonce=bytes(16), survivors=7, of=1)
    for message in (opening, peer, ask):
        data = message.pack()
        assert len(data) < 105
        assert messages.unpack(message.KIND, data).pack() == data


def test_boards_that_never_mask_do_not_load_it():
    board = Board(Identity("b", b"u"), None, MemoryBase(), blobs(1, 4), bytes)
    assert board.learner.party is None
    assert N_CLASSES == 4
