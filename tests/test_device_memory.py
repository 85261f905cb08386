"""A board's RAM: it learns and uploads with little more than its weights, or says why it cannot."""

from __future__ import annotations

import pytest

pytest.importorskip("pty", reason="these processes talk over ptys")

import bench
import device_lab as lab
import get_micropython
from fedboard.model import Spec


@pytest.mark.parametrize("sizes", bench.NETWORKS)
def test_weights_and_12_kb(micropython, tmp_path, sizes):
    """With 32-bit words, as boards have them; 64-bit ones make objects about twice as large."""
    narrow = get_micropython.narrow()
    command, beyond = narrow.command or micropython, bench.TARGET_BYTES
    if not narrow.command:
        beyond *= 2
    spec = Spec(sizes)
    made = lab.make_samples(bench.N_SAMPLES, sizes[0], sizes[-1])
    free = 2 * spec.n_params + beyond
    assert bench.attempt(command, tmp_path, made, spec, free, 3)


def test_too_little_memory_is_said(micropython, tmp_path):
    """Short of memory at any point, a board answers or starts over; it never just stops."""
    spec = Spec((64, 32, 10))
    made = lab.make_samples(bench.N_SAMPLES, 64, 10)
    lab.write_samples(tmp_path / "data", made)
    for free in (11000, 13000, 15000, 26000):
        with bench.start(list(micropython), tmp_path, free) as board:
            host = bench.Host(board.stream, bench.KEY)
            host.until(lab.Joined)
            params = lab.start_params(spec)
            host.send_task(lab.make_task(params, 1, spec, batch=8), params)
            said = ""
            try:
                host.until(lab.Update, 20)
            except AssertionError as error:
                said = str(error) + repr(host.output)
            if said or free < 13000:
                assert "are free" in said or "memory" in said
                assert free < 20000
            assert board.process.poll() is None
