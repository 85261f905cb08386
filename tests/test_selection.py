"""The simulators' shortcut says what the real codec does: values and bytes."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

from fedboard import DataError, delta, model, update
from fedboard.base import MemoryBase
from fedboard.delta import encode_delta
from fedboard_host import selection

SPEC = model.Spec((5, 9, 11, 3))


def real(changes, top_permille, bits, layers):
    """(sent, bytes) of update.Update."""
    base = MemoryBase()
    base.begin(SPEC.pack())
    base.write(array("h", [-int(c) // 2 for c in changes]))
    base.commit(1, bytes(8))
    params = array("h", [int(c) + -int(c) // 2 for c in changes])
    made = update.Update(SPEC, params, base, layers, top_permille, bits)
    made.prepare()
    data = b"".join(made.chunks())
    sent = np.zeros(SPEC.n_params, np.int64)
    for l, indices, values in delta.parse_update(SPEC, layers, made.meta(), data):
        sent[SPEC.at(l) + np.array(indices, int)] = np.array(values, int)
    return sent, len(data) + len(made.meta())


@pytest.mark.parametrize("bits", [1, 2, 4, 5, 8, 12, 16])
@pytest.mark.parametrize("permille", [1, 50, 100, 200, 500, 1000])
def test_it_equals_the_codec(permille, bits):
    rng = np.random.default_rng(permille * 100 + bits)
    lanes = []
    for spread in (0, 1, 3, 40, 126, 128, 200, 255, 256, 300, 2000, 32000):
        normal = np.rint(rng.normal(0, spread / 2 + 0.01, SPEC.n_params))
        lanes.append(np.clip(normal, -spread, spread).astype(np.int64))
    lanes.append(np.where(rng.random(SPEC.n_params) < 0.1, 77, 0))
    changes = np.stack(lanes)
    for layers in (0b111, 0b010, 0b101):
        sent, n_bytes = selection.select(SPEC, changes, permille, bits, layers)
        for i in range(len(lanes)):
            wanted, wanted_bytes = real(changes[i], permille, bits, layers)
            assert sent[i].tolist() == wanted.tolist()
            assert n_bytes[i] == wanted_bytes
    assert (selection.select(SPEC, changes, permille, bits)[0] == sent)[:, SPEC.at(2) :].all()


def test_dense_bytes():
    changes = np.full((1, SPEC.n_params), 1000)
    for layers in (0b111, 0b011):
        _, n_bytes = selection.select(SPEC, changes, 1000, 16, layers)
        assert n_bytes[0] == selection.dense_bytes(SPEC, layers)


def test_what_cannot_be_sent_is_refused():
    with pytest.raises(DataError):
        selection.select(SPEC, np.zeros((1, SPEC.n_params), np.int64), 0, 8)


def test_deltas_have_the_bytes_of_the_codec():
    rng = np.random.default_rng(5)
    for density in (0, 0.001, 0.02, 0.3, 1):
        for spread in (1, 2, 3, 40, 127, 128, 129, 3000, 30000):
            for step in (1, 8):
                old = rng.integers(-200, 200, SPEC.n_params)
                change = rng.integers(-spread // step, spread // step + 1, SPEC.n_params) * step
                new = old + change * (rng.random(SPEC.n_params) < density)
                made = encode_delta(SPEC, array("h", old.tolist()), array("h", new.tolist()))
                wanted = len(made[1]) + len(made[2])
                assert selection.delta_bytes(SPEC, old, new) == wanted
    assert selection.delta_bytes(SPEC, None, new) == 2 * SPEC.n_params
